"""The inputs of a view as they had landed by a moment: when rows landed, and the rows of then as Spark DataFrames.

What is loaded as history always counts: the first landing of a table (or what `bulk_loaded_until` names), the first version of an adopted
one that has rows. After it, a validated table has its versions in `superseded`, a view with an event time in its own rows, an adopted table
in its Delta versions; a view without event time is computed from its own inputs as they were. Rows of other stages are as they are now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from lakeloop.errors import DataError
from lakeloop.project.project import TableRef, located_of, spec_of, upstream
from lakeloop.records.tables import ViewState
from lakeloop.rows.history import LANDED, RETRACTED
from lakeloop.rows.landings import TOGETHER
from lakeloop.rows.row_history import CLOSES
from lakeloop.spec.partitions import select_overlapping
from lakeloop.spec.tables import PARTITION, DeltaTableSource, TableSpec, ViewSpec
from platform_assets.stages.base import Platform, input_key
from platform_assets.stages.features.results import compute_result, shape_result
from platform_assets.stages.inputs import adopted_frame, checked_url, spark_for, spark_input, standing
from platform_assets.stages.tables.landings import source_state
from resources.lake.adopted import AdoptedTable, is_of_declared_types, open_adopted, source_of
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


@dataclass(frozen=True)
class _AdoptedVersion:
    """A version of an adopted table, and when it was committed, never before an earlier one."""

    version: int
    at: datetime


class InputHistory:
    """What the inputs of views were, at the versions that some states have published."""

    def __init__(self, platform: Platform, states: States) -> None:
        self._platform, self._states = platform, states
        self._adopted: dict[TableRef, list[_AdoptedVersion]] = {}

    def landings(self, ref: TableRef, window: Window) -> Landings:
        """When the rows of an input landed that lie in a window of event times."""
        since, newest = self._bounds(ref)
        if ref.is_stage:
            return Landings(frozenset(), newest, since)
        spec = spec_of(self._platform.project, ref)
        if isinstance(spec, ViewSpec):
            return Landings(self._times_of_view(ref, spec, window, newest), newest, since)
        if isinstance(spec.source, DeltaTableSource):
            return Landings(frozenset(each.at for each in self._versions_of(ref)[1:]), newest, since)
        return Landings(self._times_of_table(ref, spec, window) if newest else frozenset(), newest, since)

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

    def frames(self, spark: SparkSession, refs: Sequence[TableRef], moment: datetime | None, window: Window) -> dict[TableRef, DataFrame]:
        """The rows of inputs that lie in a window as of a moment; as of the end of the loading of history without one."""
        return {ref: self._frame(spark, ref, moment, window) for ref in refs}

    # Tables

    def _times_of_table(self, ref: TableRef, spec: TableSpec, window: Window) -> frozenset[datetime]:
        import pyarrow as pa
        import pyarrow.compute as pc

        published = self._platform.lake.current(input_key(ref), self._states)
        chosen, columns = self._chosen(published, spec, window), [INGESTED_AT, "_live"]
        rows = self._platform.lake.read(published, columns=columns, partitions=chosen)
        superseded = self._superseded(ref)
        if superseded is not None:
            rows = pa.concat_tables([rows, read_table(superseded, columns=columns, partitions=chosen)])
        later = pc.field(INGESTED_AT) > pa.scalar(self._loaded_until(ref), pa.timestamp("us", tz="UTC"))
        if spec.event_time:
            later &= pc.field("_live")
        return frozenset(rows.filter(later)[INGESTED_AT].unique().to_pylist())

    def _frame_of_table(self, spark: SparkSession, ref: TableRef, spec: TableSpec, moment: datetime | None, window: Window) -> DataFrame:
        """For each key the newest version that had landed; none where that one ended."""
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

    def _times_of_view(self, ref: TableRef, spec: ViewSpec, window: Window, newest: datetime | None) -> frozenset[datetime]:
        import pyarrow.compute as pc

        if spec.event_time is None:
            times = [at for each in self._reads(ref) for at in self.landings(each, ALWAYS).times]
            return frozenset(at for at in times if newest is not None and at <= newest)
        published = self._platform.lake.current(input_key(ref), self._states)
        rows = self._platform.lake.read(published, columns=[LANDED], partitions=self._chosen(published, spec, window))
        return frozenset(pc.drop_null(rows[LANDED].combine_chunks()).unique().to_pylist())

    def _frame_of_view(self, spark: SparkSession, ref: TableRef, spec: ViewSpec, moment: datetime | None, window: Window) -> DataFrame:
        """The newest values that had landed; of a view without event time the query over its inputs of then."""
        import pyspark.sql.functions as F
        from pyspark.sql import Window as Over

        if spec.event_time is None:
            located = located_of(self._platform.project, ref)
            rows = compute_as_of(self._platform, self._states, self, ref, moment)
            return frame_of(
                spark, shape_result(rows, spec, [WHOLE], [WHOLE], str(input_key(ref)), located.spec.columns)[0].drop([PARTITION])
            )
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

    def _frame_of_adopted(self, spark: SparkSession, ref: TableRef, spec: TableSpec, moment: datetime | None, window: Window) -> DataFrame:
        located, published = located_of(self._platform.project, ref), self._platform.lake.current(input_key(ref), self._states)
        versions = self._versions_of(ref)
        landed = [each for each in versions if moment is not None and each.at <= moment] or versions[:1]
        return adopted_frame(spark, located, replace(published, version=landed[-1].version), *window)

    def _versions_of(self, ref: TableRef) -> list[_AdoptedVersion]:
        """The versions up to the checked one that can still be read and have the declared columns, from the loading of history on."""
        if ref not in self._adopted:
            self._adopted[ref] = self._find_versions(ref)
        return self._adopted[ref]

    def _find_versions(self, ref: TableRef) -> list[_AdoptedVersion]:
        published = self._platform.lake.current(input_key(ref), self._states)
        spec = spec_of(self._platform.project, ref)
        assert isinstance(spec, TableSpec)
        url, where = checked_url(published), str(published.key)
        checked = open_adopted(url, where, published.version)
        commits = checked.table.history()
        moments = {int(each["version"]): datetime.fromtimestamp(each["timestamp"] / 1000, UTC) for each in commits if "timestamp" in each}
        current = _AdoptedVersion(published.version, moments.get(published.version, datetime.fromtimestamp(0, UTC)))
        versions = [current]
        # Back from the checked version: what was vacuumed once isn't there before either.
        for number in sorted((each for each in moments if each < published.version), reverse=True):
            if number + 1 != versions[-1].version or not _is_readable(url, number, checked, spec):
                break
            versions.append(_AdoptedVersion(number, moments[number]))
        in_order = accumulate(reversed(versions), lambda before, each: replace(each, at=max(each.at, before.at)))
        return _from_loading(list(in_order), spec.bulk_loaded_until)

    def _frame(self, spark: SparkSession, ref: TableRef, moment: datetime | None, window: Window) -> DataFrame:
        if ref.is_stage:
            return spark_input(self._platform, spark, self._states, ref)
        spec = spec_of(self._platform.project, ref)
        if isinstance(spec, ViewSpec):
            return self._frame_of_view(spark, ref, spec, moment, window)
        if isinstance(spec.source, DeltaTableSource):
            return self._frame_of_adopted(spark, ref, spec, moment, window)
        return self._frame_of_table(spark, ref, spec, moment, window)


def compute_as_of(platform: Platform, states: States, history: InputHistory, ref: TableRef, moment: datetime | None) -> pa.Table:
    """What the query or function of an unpartitioned view gives over its inputs as of a moment."""
    located = located_of(platform.project, ref)
    refs = upstream(platform.project, located)
    frames = history.frames(spark_for(platform, states, located.domain, refs), refs, moment, ALWAYS)
    return compute_result(platform, states, located, refs, [WHOLE], frames)


def _closes(rows: DataFrame, spec: TableSpec) -> Any:
    """Whether a superseded row ends a history. Those that were written before that was marked have keys and event time alone."""
    import pyspark.sql.functions as F

    others = [name for name in spec.columns if name not in (*spec.keys, spec.event_time)]
    is_empty = F.lit(bool(others))
    for name in others:
        is_empty &= F.col(name).isNull()
    return F.coalesce(F.col(CLOSES), is_empty) if CLOSES in rows.columns else is_empty


def _is_readable(url: str, version: int, checked: AdoptedTable, spec: TableSpec) -> bool:
    """Whether an older version has rows, the declared columns of types like those of the checked version, and its files."""
    try:
        older = open_adopted(url, checked.shown, version)
    except DataError:
        return False
    sources = [source_of(name, column) for name, column in spec.columns.items()]
    are_alike = all(older.types.get(name) == checked.types[name] for name in sources)
    return (are_alike or is_of_declared_types(older, spec.columns)) and bool(older.files) and not older.missing_files()


def _from_loading(versions: Sequence[_AdoptedVersion], bulk_loaded_until: datetime | None) -> list[_AdoptedVersion]:
    """The version with which the loading of history ended, and those after it."""
    until = max(versions[0].at + TOGETHER, bulk_loaded_until) if bulk_loaded_until else versions[0].at + TOGETHER
    loaded = [each for each in versions if each.at <= until]
    return [loaded[-1], *versions[len(loaded) :]]
