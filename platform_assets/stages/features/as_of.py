"""The inputs of a view as they had landed by a moment: when rows landed, and the rows of then as Spark DataFrames.

What is loaded as history always counts: the first landing of a table (or what `bulk_loaded_until` names), the first version of an adopted
one that has rows. After it, a validated table has its versions in `superseded`, a view with an event time in its own rows, an adopted table
in its Delta versions; a view without event time is computed from its own inputs as they were. Rows of other stages are as they are now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lakeloop.project.project import TableRef, located_of, spec_of, upstream
from lakeloop.records.tables import ViewState
from lakeloop.rows.history import LANDED, RETRACTED
from lakeloop.rows.landings import TOGETHER
from lakeloop.rows.row_history import CLOSES
from lakeloop.spec.partitions import select_overlapping
from lakeloop.spec.tables import PARTITION, DeltaTableSource, TableSpec, ViewSpec
from platform_assets.stages.base import Platform, input_key
from platform_assets.stages.features.adopted import AdoptedVersion, choose_versions, find_versions, read_version
from platform_assets.stages.features.results import compute_result, shape_result
from platform_assets.stages.inputs import adopted_frame, spark_for, spark_input, standing
from platform_assets.stages.tables.landings import source_state
from resources.lake.published import WHOLE, Published, States, TableKey
from resources.lake.tables import read_table
from resources.spark.tables import frame_of, read_delta

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable
    from pyspark.sql import DataFrame, SparkSession

INGESTED_AT = "ingested_at"
Window = tuple[datetime | None, datetime | None]
ALWAYS: Window = (None, None)


@dataclass(frozen=True)
class Landings:
    """When the rows of an input landed.

    Attributes:
        times: of the rows that a view reads, after what was loaded as history.
        newest: of the whole input; None where all of it was loaded as history.
        since: from when on what was known is kept; what was known before is said by the rules of times alone.
    """

    times: frozenset[datetime]
    newest: datetime | None
    since: datetime

    @property
    def last(self) -> datetime:
        """The newest landing, or the end of the loading of history."""
        return self.newest or self.since


class InputHistory:
    """What the inputs of views were, at the versions that some states have published."""

    def __init__(self, platform: Platform, states: States) -> None:
        self._platform, self._states = platform, states
        self._adopted: dict[TableRef, list[AdoptedVersion]] = {}

    def landings(self, ref: TableRef, window: Window, *, waits: bool = True, until: datetime | None = None) -> Landings:
        """When the rows of an input landed that lie in a window of event times.

        Args:
            ref: the input.
            window: of event times.
            waits: whether a row that landed before its `known_delay` was over counts from then on. It needn't where the query reads nothing
                later than its own row, which isn't known before its own delay is over.
            until: leaves out what landed later.
        """
        since, newest = self._bounds(ref)
        if ref.is_stage:
            return Landings(frozenset(), newest, since)
        spec = spec_of(self._platform.project, ref)
        if isinstance(spec, ViewSpec):
            return Landings(self._times_of_view(ref, spec, window, newest, until), newest, since)
        if isinstance(spec.source, DeltaTableSource):
            later = [each for each in self._versions_of(ref)[1:] if until is None or each.at <= until]
            times = frozenset(each.at for each in later)
            if spec.event_time and spec.known_delay and waits:
                times |= self._completions_of_adopted(ref, spec, later)
            return Landings(times, newest, since)
        return Landings(self._times_of_table(ref, spec, window, waits=waits, until=until) if newest else frozenset(), newest, since)

    def last_landing(self, ref: TableRef) -> datetime:
        """The newest landing of an input, or the end of the loading of history."""
        since, newest = self._bounds(ref)
        return newest or since

    def since(self, refs: Sequence[TableRef]) -> datetime:
        """From when on what was known of all of some inputs is kept."""
        return max(self._bounds(ref)[0] for ref in refs)

    def is_kept(self, refs: Sequence[TableRef], moment: datetime) -> bool:
        """Whether all of some inputs can be read as they were at a moment; of an adopted table old versions may be gone."""
        for ref in refs:
            if ref.is_stage:
                if moment < self._bounds(ref)[0]:
                    return False
                continue
            spec = spec_of(self._platform.project, ref)
            if isinstance(spec, ViewSpec):
                if spec.event_time is None and not self.is_kept(self._reads(ref), moment):
                    return False
            elif isinstance(spec.source, DeltaTableSource) and moment < self._versions_of(ref)[0].at:
                return False
        return True

    def keeps_all(self, refs: Sequence[TableRef]) -> bool:
        """Whether every version of all of some inputs is kept: those of another's tables and of other stages may go."""
        for ref in refs:
            spec = None if ref.is_stage else spec_of(self._platform.project, ref)
            if spec is None or (isinstance(spec, TableSpec) and isinstance(spec.source, DeltaTableSource)):
                return False
            if isinstance(spec, ViewSpec) and not self.keeps_all(self._reads(ref)):
                return False
        return True

    def _bounds(self, ref: TableRef) -> tuple[datetime, datetime | None]:
        """`since` and `newest` of an input's landings. Rows of other stages are those of their newest publication: earlier ones aren't kept."""
        if ref.is_stage:
            published = [state.at for state in self._states.of(input_key(ref)).values() if state.at is not None]
            return max(published, default=datetime.fromtimestamp(0, UTC)), None
        spec = spec_of(self._platform.project, ref)
        if isinstance(spec, ViewSpec):
            inputs = [self._bounds(each) for each in self._reads(ref)]
            since = max(each for each, _ in inputs)
            recorded = [state.typed(ViewState).value.read_until for state in self._states.of(input_key(ref)).values()]
            if all(recorded):
                newest = max(datetime.fromisoformat(at) for each in recorded if each for at in each.values())
                return since, newest if newest > since else None
            return since, max((each for _, each in inputs if each), default=None)
        if isinstance(spec.source, DeltaTableSource):
            versions = self._versions_of(ref)
            return versions[0].at, versions[-1].at if len(versions) > 1 else None
        loaded, last = self._loaded_until(ref), self._last_landing_of_table(ref)
        since = max(loaded, spec.bulk_loaded_until) if spec.bulk_loaded_until else loaded
        return since, last if last > loaded else None

    def frames(
        self, spark: SparkSession, refs: Sequence[TableRef], moment: datetime | None, window: Window, *, waits: bool = True
    ) -> dict[TableRef, DataFrame]:
        """The rows of inputs that lie in a window as of a moment; as of the end of the loading of history without one."""
        return {ref: self._frame(spark, ref, moment, window, waits=waits) for ref in refs}

    # Tables

    def _times_of_table(
        self, ref: TableRef, spec: TableSpec, window: Window, *, waits: bool, until: datetime | None
    ) -> frozenset[datetime]:
        import pyarrow as pa
        import pyarrow.compute as pc

        published = self._platform.lake.current(input_key(ref), self._states)
        chosen, columns = self._chosen(published, spec, window), [INGESTED_AT, "_live"]
        if spec.event_time and waits and spec.known_delay:
            columns.append(spec.event_time)
        rows = self._platform.lake.read(published, columns=columns, partitions=chosen)
        superseded = self._superseded(ref)
        if superseded is not None:
            rows = pa.concat_tables([rows, read_table(superseded, columns=columns, partitions=chosen)])
        later = pc.field(INGESTED_AT) > pa.scalar(self._loaded_until(ref), pa.timestamp("us", tz="UTC"))
        if spec.event_time:
            later &= pc.field("_live")
        if until is not None:
            later &= pc.field(INGESTED_AT) <= pa.scalar(until, pa.timestamp("us", tz="UTC"))
        rows = rows.filter(later)
        times = frozenset(rows[INGESTED_AT].unique().to_pylist())
        if spec.event_time is None or spec.event_time not in rows.column_names:
            return times
        return times | _completions(rows, spec.event_time, spec.known_delay)

    def _frame_of_table(
        self, spark: SparkSession, ref: TableRef, spec: TableSpec, moment: datetime | None, window: Window, *, waits: bool
    ) -> DataFrame:
        """For each key the newest version that had landed; none where that one ended, or wasn't complete yet."""
        import pyspark.sql.functions as F
        from pyspark.sql import Window as Over

        published = self._platform.lake.current(input_key(ref), self._states)
        chosen = self._chosen(published, spec, window)
        rows = read_delta(spark, self._platform.lake.path(published.key), published.version, chosen)
        names = rows.columns
        rows = rows.withColumn(CLOSES, F.lit(False)).withColumn("_stands", F.lit(True))
        superseded = self._superseded(ref)
        if superseded is not None:
            key = TableKey("superseded", ref.domain, ref.name)
            earlier = read_delta(spark, self._platform.lake.path(key), superseded.version(), chosen)
            earlier = earlier.select(*names, _closes(earlier, spec).alias(CLOSES)).withColumn("_stands", F.lit(False))
            rows = rows.unionByName(earlier)
        is_history = F.col(INGESTED_AT) <= F.lit(self._loaded_until(ref))
        if spec.event_time:
            is_history |= ~F.col("_live")
        rows = rows.where(is_history if moment is None else is_history | (F.col(INGESTED_AT) <= F.lit(moment)))
        newest = Over.partitionBy(*spec.keys).orderBy(F.col(INGESTED_AT).desc(), F.col(CLOSES).asc(), F.col("_stands").desc())
        rows = rows.withColumn("_n", F.row_number().over(newest)).where((F.col("_n") == 1) & ~F.col(CLOSES))
        if spec.event_time and spec.known_delay and waits and moment is not None:
            rows = rows.where(is_history | (F.col(spec.event_time).cast("timestamp") <= F.lit(moment - spec.known_delay)))
        return rows.select(*[name for name in names if not name.startswith("_")])

    def _superseded(self, ref: TableRef) -> DeltaTable | None:
        return self._platform.lake.open(TableKey("superseded", ref.domain, ref.name))

    def _loaded_until(self, ref: TableRef) -> datetime:
        """The landing that was loaded as history; of a table without event time any up to `bulk_loaded_until`."""
        spec, source = spec_of(self._platform.project, ref), source_state(self._states.of(TableKey("raw", ref.domain, ref.name)))
        assert isinstance(spec, TableSpec) and source.first is not None
        first = datetime.fromisoformat(source.first)
        return max(first, spec.bulk_loaded_until) if spec.bulk_loaded_until and not spec.event_time else first

    def _last_landing_of_table(self, ref: TableRef) -> datetime:
        source = source_state(self._states.of(TableKey("raw", ref.domain, ref.name)))
        return datetime.fromisoformat(str(source.last or source.first))

    def _chosen(self, published: Published, spec: TableSpec | ViewSpec, window: Window) -> list[str] | None:
        start, end = window
        standing(self._states, published.key, spec.partitions)
        return select_overlapping(published.partitions, spec.partitions.grain, start, end) if spec.partitions and start and end else None

    # Views

    def _times_of_view(
        self, ref: TableRef, spec: ViewSpec, window: Window, newest: datetime | None, until: datetime | None
    ) -> frozenset[datetime]:
        import pyarrow.compute as pc

        if spec.event_time is None:
            if newest is None:
                return frozenset()
            last = newest if until is None else min(newest, until)
            return frozenset(at for each in self._reads(ref) for at in self.landings(each, ALWAYS, until=last).times)
        published = self._platform.lake.current(input_key(ref), self._states)
        rows = self._platform.lake.read(published, columns=[LANDED], partitions=self._chosen(published, spec, window))
        times = pc.drop_null(rows[LANDED].combine_chunks()).unique().to_pylist()
        return frozenset(at for at in times if until is None or at <= until)

    def _frame_of_view(self, spark: SparkSession, ref: TableRef, spec: ViewSpec, moment: datetime | None, window: Window) -> DataFrame:
        """The newest values that had landed; of a view without event time the query over its inputs of then."""
        import pyspark.sql.functions as F
        from pyspark.sql import Window as Over

        if spec.event_time is None:
            located = located_of(self._platform.project, ref)
            rows = compute_as_of(self._platform, self._states, self, ref, moment)
            shaped, _ = shape_result(rows, spec, [WHOLE], [WHOLE], str(input_key(ref)), located.spec.columns)
            return frame_of(spark, shaped.drop([PARTITION]))
        published = self._platform.lake.current(input_key(ref), self._states)
        chosen = self._chosen(published, spec, window)
        frame = read_delta(spark, self._platform.lake.path(published.key), published.version, chosen)
        landed = F.col(LANDED).isNull()
        frame = frame.where(landed if moment is None else landed | (F.col(LANDED) <= F.lit(moment)))
        newest = Over.partitionBy(*spec.keys, spec.event_time).orderBy(F.col("known_at").desc())
        frame = frame.withColumn("_n", F.row_number().over(newest)).where((F.col("_n") == 1) & ~F.col(RETRACTED))
        return frame.select(*[name for name in frame.columns if not name.startswith("_")])

    def _reads(self, ref: TableRef) -> list[TableRef]:
        return upstream(self._platform.project, located_of(self._platform.project, ref))

    # Adopted tables

    def _frame_of_adopted(
        self, spark: SparkSession, ref: TableRef, spec: TableSpec, moment: datetime | None, window: Window, *, waits: bool
    ) -> DataFrame:
        """The version that had landed, without the rows that weren't complete yet; what stands as it was loaded as history counts always."""
        import pyspark.sql.functions as F

        located, published = located_of(self._platform.project, ref), self._platform.lake.current(input_key(ref), self._states)
        versions = self._versions_of(ref)
        landed = [each for each in versions if moment is not None and each.at <= moment] or versions[:1]
        rows = adopted_frame(spark, located, replace(published, version=landed[-1].version), *window)
        if moment is None or len(landed) == 1 or not (spec.event_time and spec.known_delay and waits):
            return rows
        is_complete = F.col("known_at") <= F.lit(moment)
        standing = rows.where(~is_complete)
        for each in choose_versions(landed)[:-1]:
            standing = standing.intersectAll(adopted_frame(spark, located, replace(published, version=each.version), *window))
        return rows.where(is_complete).unionByName(standing)

    def _completions_of_adopted(self, ref: TableRef, spec: TableSpec, versions: Sequence[AdoptedVersion]) -> frozenset[datetime]:
        """When the rows are complete that were committed before."""
        import pyarrow as pa

        published, name = self._platform.lake.current(input_key(ref), self._states), str(spec.event_time)
        times: frozenset[datetime] = frozenset()
        for each in versions:
            rows = read_version(published, each.version, spec, [name])
            at = pa.repeat(pa.scalar(each.at, pa.timestamp("us", tz="UTC")), rows.num_rows)
            times |= _completions(rows.append_column(INGESTED_AT, at), name, spec.known_delay)
        return times

    def _versions_of(self, ref: TableRef) -> list[AdoptedVersion]:
        """The versions up to the checked one that can still be read and have the declared columns, from the loading of history on."""
        if ref not in self._adopted:
            published, spec = self._platform.lake.current(input_key(ref), self._states), spec_of(self._platform.project, ref)
            assert isinstance(spec, TableSpec)
            self._adopted[ref] = find_versions(published, spec)
        return self._adopted[ref]

    def _frame(self, spark: SparkSession, ref: TableRef, moment: datetime | None, window: Window, *, waits: bool) -> DataFrame:
        if ref.is_stage:
            return spark_input(self._platform, spark, self._states, ref)
        spec = spec_of(self._platform.project, ref)
        if isinstance(spec, ViewSpec):
            return self._frame_of_view(spark, ref, spec, moment, window)
        if isinstance(spec.source, DeltaTableSource):
            return self._frame_of_adopted(spark, ref, spec, moment, window, waits=waits)
        return self._frame_of_table(spark, ref, spec, moment, window, waits=waits)


def compute_as_of(platform: Platform, states: States, history: InputHistory, ref: TableRef, moment: datetime | None) -> pa.Table:
    """What the query or function of an unpartitioned view gives over its inputs as of a moment."""
    located = located_of(platform.project, ref)
    refs = upstream(platform.project, located)
    frames = history.frames(spark_for(platform, states, located.domain, refs), refs, moment, ALWAYS)
    return compute_result(platform, states, located, refs, [WHOLE], frames)


def _completions(rows: pa.Table, event_time: str, delay: timedelta) -> frozenset[datetime]:
    """When the rows are complete that landed before; rounded up, so that there are a few such moments to a landing."""
    import polars as pl

    grid = max(TOGETHER, delay / 4)
    event = pl.col(event_time).cast(pl.Datetime("us", "UTC"))
    frame = pl.DataFrame(pl.from_arrow(rows.select([event_time, INGESTED_AT]))).select(complete=event + delay, landed=INGESTED_AT)
    late = frame.filter(pl.col("complete") > pl.col("landed"))["complete"]
    return frozenset((late + (grid - timedelta(microseconds=1))).dt.truncate(grid).unique().to_list())


def _closes(rows: DataFrame, spec: TableSpec) -> Any:
    """Whether a superseded row ends a history. Those that were written before that was marked have keys and event time alone."""
    import pyspark.sql.functions as F

    others = [name for name in spec.columns if name not in (*spec.keys, spec.event_time)]
    is_empty = F.lit(bool(others))
    for name in others:
        is_empty &= F.col(name).isNull()
    return F.coalesce(F.col(CLOSES), is_empty) if CLOSES in rows.columns else is_empty
