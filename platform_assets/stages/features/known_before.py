"""Since when the values of a view are known: each value from the first landing of its inputs on as of which the query gives it.

What is published stays. A change since then is known from the landing as of which the query gives it: if the inputs have one new landing, that
is the one; if they have several, the query runs as of each. Nothing published, or something that means something else, and all landings
count.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from lakeloop.errors import DataError
from lakeloop.project.personal import personal_columns
from lakeloop.project.project import Located, TableRef
from lakeloop.records.tables import ViewState
from lakeloop.rows.history import LANDED, Merged, merge_history
from lakeloop.rows.landings import choose_landings
from lakeloop.spec.partitions import FORMATS, partition_window
from lakeloop.spec.tables import PARTITION, ViewSpec
from platform_assets.stages.base import Platform, input_key
from platform_assets.stages.features.as_of import InputHistory, Landings
from platform_assets.stages.features.results import compute_result, input_window, shape_result
from platform_assets.stages.inputs import spark_for
from platform_assets.stages.publishing import Work
from resources.lake.published import WHOLE, PartitionState
from resources.lake.verdict_rows import newest

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Computed:
    """What a view is computed of, and with.

    Attributes:
        platform: where the lake is.
        work: what is computed.
        located: the view.
        refs: what it reads.
        history: of its inputs.
        same: the published partitions whose rows mean what the computed ones do.
        floor: how long after its event time a row is known at the earliest, by what the view reads.
        waits: whether a value may be computed from rows of a later time than its own.
    """

    platform: Platform
    work: Work
    located: Located[ViewSpec]
    refs: Sequence[TableRef]
    history: InputHistory
    same: Collection[str]
    floor: timedelta
    waits: bool

    @property
    def spec(self) -> ViewSpec:
        """Of the view."""
        return self.located.spec


def merge_with_published(computed: Computed, batches: Sequence[Sequence[str]], parts: list[pa.Table]) -> list[Merged]:
    """Merge the computed rows of a view with an event time into what was published, a batch at a time.

    Args:
        computed: the view.
        batches: the partitions that were computed together.
        parts: the rows of each batch; empty afterwards, so that they are freed one after the other.
    """
    merged = []
    for batch in batches:
        rows = parts.pop(0)
        for partitions, published in _split_by_history(computed, batch):
            merged.append(_merge_landings(computed, partitions, published, _rows_of(rows, partitions, batch)))
    return merged


def read_until(history: InputHistory, refs: Sequence[TableRef]) -> dict[str, str]:
    """The newest landing of each input, as a view records it."""
    return {str(input_key(ref)): history.last_landing(ref).isoformat() for ref in refs}


def kept_since(state: PartitionState[ViewState] | None) -> datetime | None:
    """From when on the published history of a partition is what was known; None where that wasn't recorded."""
    return datetime.fromisoformat(state.value.kept_since) if state is not None and state.value.kept_since else None


def _merge_landings(computed: Computed, partitions: Sequence[str], published: pa.Table | None, rows: pa.Table) -> Merged:
    """Merge the values as of each landing that counts, those of the newest being the `rows`."""
    spec, window = computed.spec, input_window(computed.spec, partitions)
    landings = {ref: computed.history.landings(ref, window, waits=computed.waits) for ref in computed.refs}
    since = _landed_since(computed, partitions, landings) if published is not None else set()
    if published is not None:
        published = _without_pending(computed, partitions, published)
    newest = max(each.last for each in landings.values())
    if published is not None and _is_restated(computed, partitions, published, rows, since=since, newest=newest):
        published = None
    if published is None:
        moments = _moments_of_all(spec, partitions, {at for each in landings.values() for at in each.times})
    else:
        moments = _moments_since(computed, since) or [newest]
    added, corrected, retracted, history = 0, 0, 0, published
    for moment, values in _values_as_of(computed, partitions, moments, rows):
        step = _merge(spec, history, values, moment)
        history = step.rows
        added, corrected, retracted = added + step.added, corrected + step.corrected, retracted + step.retracted
    assert history is not None
    return Merged(history, added, corrected, retracted)


def _merge(spec: ViewSpec, history: pa.Table | None, values: pa.Table, moment: datetime | None) -> Merged:
    return merge_history(history, values, keys=spec.keys, event_time=str(spec.event_time), columns=list(spec.columns), landed=moment)


def _is_restated(
    computed: Computed, partitions: Sequence[str], published: pa.Table, rows: pa.Table, *, since: Collection[datetime], newest: datetime
) -> bool:
    """Whether values differ though no landing can be why: the engine is, or a rule of reading. They are computed anew for all times then.

    After a landing that shows only in what is computed as of before it, which is done once where the engine is another one than before.
    """
    states = _states_of(computed, partitions)
    kept = [kept_since(state) for state in states]
    if any(each is not None and each < computed.history.since(computed.refs) for each in kept):
        return False  # what was published knows more than could be computed now
    if not since:
        return _differs(computed.spec, published, rows, newest)
    engines = {state.value.engine for state in states} - {None, computed.platform.engine_version(computed.located.domain)}
    read = [_read_until(state, ref) for state in states for ref in computed.refs]
    # Partitions that were computed at different times have no moment in common.
    if not engines or len({tuple((state.value.read_until or {}).items()) for state in states}) > 1:
        return False
    if not computed.history.is_kept(computed.refs, max(read)) or min(since) <= max(read):
        return False
    before = [values for _, values in _values_as_of(computed, partitions, [max(read), None], rows)][:-1]
    return bool(before) and _differs(computed.spec, published, before[0], max(read))


def _differs(spec: ViewSpec, published: pa.Table, values: pa.Table, moment: datetime) -> bool:
    """Whether values aren't those that were published last."""
    merged = _merge(spec, published, values, moment)
    return bool(merged.added or merged.corrected or merged.retracted)


def _without_pending(computed: Computed, partitions: Sequence[str], published: pa.Table) -> pa.Table:
    """The published rows without those that wait for rows which weren't complete yet: nobody has used them, and they are computed again."""
    import pyarrow as pa
    import pyarrow.compute as pc

    read = max(_read_until(state, ref) for state in _states_of(computed, partitions) for ref in computed.refs)
    is_known = pc.less_equal(published[LANDED], pa.scalar(read, pa.timestamp("us", tz="UTC")))
    return published.filter(pc.fill_null(is_known, True))


def _moments_of_all(spec: ViewSpec, partitions: Sequence[str], landings: Collection[datetime]) -> list[datetime | None]:
    """The moments that the history of partitions consists of, None being the end of the loading of history."""
    start = partition_window(partitions[0], spec.partitions.grain)[0] if spec.partitions else None
    chosen = choose_landings(landings, start=start)
    is_loaded_before = bool(chosen) and start is not None and chosen[0] <= start
    return [*([] if is_loaded_before else [None]), *chosen]


def _moments_since(computed: Computed, landings: Collection[datetime]) -> list[datetime | None]:
    """The landings at which values may have changed since they were published; as of the newest they are computed in any case."""
    readable = {at for at in landings if at == max(landings) or computed.history.is_kept(computed.refs, at)}
    return list(choose_landings(readable))


def _values_as_of(
    computed: Computed, partitions: Sequence[str], moments: Sequence[datetime | None], rows: pa.Table
) -> Iterator[tuple[datetime | None, pa.Table]]:
    """The values of partitions as of moments in order; those of the last are the `rows`. One as of which there are none is left out."""
    from pyspark.errors import PySparkException

    platform, states, spec = computed.platform, computed.work.states, computed.spec
    where, window = str(computed.work.key), input_window(spec, partitions)
    personal = personal_columns(platform.project, "features", computed.located)
    for moment in moments[:-1]:
        try:
            spark = spark_for(platform, states, computed.located.domain, computed.refs)
            frames = computed.history.frames(spark, computed.refs, moment, window, waits=computed.waits)
            result = compute_result(platform, states, computed.located, computed.refs, partitions, frames)
            values, _ = shape_result(result, spec, partitions, partitions, where, personal, floor=computed.floor)
        except (DataError, PySparkException) as error:
            cause = type(error).__name__ if personal else " ".join(str(error).split())[:300]
            platform.log.warning(
                f"{where}: not computed as of {moment or 'the loading of history'}, so its values are known later: {cause}"
            )
            continue
        identity = list(dict.fromkeys([*spec.keys, str(spec.event_time)]))
        if values.group_by(identity).aggregate([]).num_rows < values.num_rows:
            platform.log.warning(f"{where}: as of {moment or 'the loading of history'} several rows have the same {', '.join(identity)}")
            continue
        yield moment, values
    yield moments[-1], rows


def _landed_since(computed: Computed, partitions: Sequence[str], landings: dict[TableRef, Landings]) -> set[datetime]:
    """The landings that came after partitions were computed: those whose rows are read, and the newest of each input."""
    states, since = _states_of(computed, partitions), set()
    for ref, each in landings.items():
        read = min(_read_until(state, ref) for state in states)
        since |= {at for at in (*each.times, each.last) if at > read}
    return since


def _read_until(state: PartitionState[ViewState], ref: TableRef) -> datetime:
    """Up to which landing a partition has read an input; where that wasn't recorded, it is before the partition was published."""
    recorded = (state.value.read_until or {}).get(str(input_key(ref)))
    if recorded is not None:
        return datetime.fromisoformat(recorded)
    return state.at or datetime.max.replace(tzinfo=UTC)


def _states_of(computed: Computed, partitions: Sequence[str]) -> list[PartitionState[ViewState]]:
    """What was published of partitions; of all, where the view is cut anew."""
    return [state for name, state in _published_states(computed).items() if computed.work.retired or name in partitions]


def _published_states(computed: Computed) -> dict[str, PartitionState[ViewState]]:
    states = computed.work.states.partitions(ViewState, computed.work.key)
    return {name: states[name] for name in computed.same}


def _split_by_history(computed: Computed, batch: Sequence[str]) -> Iterator[tuple[list[str], pa.Table | None]]:
    """The partitions of a batch that have published rows which mean the same, with these; and the others."""
    if computed.work.retired:
        yield list(batch), _published_rows(computed, batch)
        return
    known = [name for name in batch if name in computed.same]
    others = [name for name in batch if name not in computed.same]
    if known:
        yield known, _published_rows(computed, known)
    if others:
        yield others, None


def _rows_of(rows: pa.Table, partitions: Sequence[str], batch: Sequence[str]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    if len(partitions) == len(batch):
        return rows
    return rows.filter(pc.is_in(rows[PARTITION], value_set=pa.array(list(partitions), pa.string())))


def _published_rows(computed: Computed, partitions: Sequence[str]) -> pa.Table | None:
    """The published rows of partitions, of those that mean the `same`; from the partitions of before, where the view is cut anew."""
    import pyarrow as pa
    import pyarrow.compute as pc

    platform, work, spec = computed.platform, computed.work, computed.spec
    wanted = list(computed.same) if work.retired else list(partitions)
    if not wanted:
        return None
    rows = platform.lake.read((work.key, newest(work.published)), partitions=wanted)
    if not work.retired:
        return rows
    names = pc.strftime(rows[spec.event_time], FORMATS[spec.partitions.grain]) if spec.partitions else pa.repeat(WHOLE, rows.num_rows)
    rows = rows.set_column(rows.schema.get_field_index(PARTITION), PARTITION, names)
    return rows.filter(pc.is_in(rows[PARTITION], value_set=pa.array(list(partitions), pa.string())))
