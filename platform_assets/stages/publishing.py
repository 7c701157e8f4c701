"""How a stage publishes a batch: what of it is stale, whether its checks let it through, and the commit with its states."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lakeloop.errors import DataError
from lakeloop.fingerprint import fingerprint
from lakeloop.records.base import CheckedState, Checks, StateRecord
from lakeloop.rows.verdicts import Verdict, suite_hash
from lakeloop.spec.partitions import is_of_grain, name_span, partition_keys, partition_window
from lakeloop.spec.tables import PARTITION, Expectation, Partitions
from platform_assets.stages.base import Platform, StageResult
from platform_assets.stages.check_rows import report_checks
from resources.lake.published import WHOLE, Definition, PartitionState, States, TableKey, retired

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Work:
    """What a run asks of a partitioned stage, and what of it is stale.

    Attributes:
        kind: what the stage records.
        key: of the asset.
        states: of everything, as published when the work began.
        expected: the fingerprint that each partition would have if it were materialised now.
        partitions: those that the run asks for.
        stale: those to be made, in order.
        retired: published ones that the table has no more, whose rows go with the publication.
        fingerprint: of all that is asked for.
    """

    kind: type[CheckedState]
    key: TableKey
    states: States
    expected: Mapping[str, str]
    partitions: Sequence[str]
    stale: Sequence[str]
    retired: Sequence[str]
    fingerprint: str

    @property
    def published(self) -> Mapping[str, PartitionState[Any]]:
        """The states of the table itself, by partition."""
        return self.states.of(self.key)

    @property
    def rows_elsewhere(self) -> int:
        """Rows published in partitions that the batch leaves as they are."""
        return sum(state.rows for name, state in self.published.items() if name not in (*self.stale, *self.retired))


@dataclass(frozen=True)
class Judgement:
    """How a batch was judged.

    Attributes:
        verdict: of its suite.
        checks: outcome and message by name, the stage's own included.
        metadata: for Dagster.
        holds: whether the stage's own checks let it through.
    """

    verdict: Verdict
    checks: Checks
    metadata: Mapping[str, Any] = field(default_factory=dict)
    holds: bool = True

    @property
    def passed(self) -> bool:
        """Whether the batch may be published."""
        return self.verdict.passed and self.holds


def outcomes(verdict: Verdict) -> dict[str, tuple[Any, ...]]:
    """Outcome and message of each check of a verdict, as a stage records them."""
    return {result.name: (result.outcome, result.message) for result in verdict.results}


def settled_states(platform: Platform, key: TableKey) -> States:
    """What is published, after what a crash left half done in one table was finished."""
    platform.lake.settle(key)
    return platform.lake.states()


def plan_work(
    kind: type[CheckedState],
    key: TableKey,
    states: States,
    expected: Mapping[str, str],
    *,
    grid: Partitions | None = None,
    partitions: Sequence[str] = (WHOLE,),
    whole: str | None = None,
) -> Work:
    """Find what of a run is stale.

    Args:
        kind: what the stage records.
        key: of the asset.
        states: of everything.
        expected: fingerprints of the partitions asked for, and of any that go with them.
        grid: the partitions that the table is defined with.
        partitions: those that the run asks for.
        whole: the fingerprint of all that is asked for, where it isn't made of the partitions'.

    Raises:
        DataError: the table's partitions were changed, and not all new ones are asked for.
    """
    published = states.of(key)
    gone = to_retire(key, grid, published, partitions)
    stale = [name for name in expected if gone or name not in published or published[name].fingerprint != expected[name]]
    overall = whole if whole is not None else fingerprint({name: expected[name] for name in partitions})
    return Work(kind, key, states, expected, partitions, stale, gone, overall)


def fresh_result(work: Work) -> StageResult:
    """The result of a run for which nothing is stale: what was published last, with its checks."""
    states = [work.published[name].typed(work.kind) for name in work.expected]
    newest = max(states, key=lambda state: state.version)
    return StageResult(work.fingerprint, fresh=True, rows=sum(state.rows for state in states), checks=newest.value.checks)


def refuse_batch(platform: Platform, work: Work, judgement: Judgement) -> StageResult | None:
    """Add a batch's results to `reports/checks`; the result of a batch that is refused, None for one that may be published."""
    report_checks(
        platform,
        work.key,
        judgement.verdict,
        list(work.stale),
        work.fingerprint,
        done=work.published,
        published=judgement.passed,
    )
    if judgement.passed:
        return None
    return StageResult(
        work.fingerprint,
        rows=0,
        verdict=judgement.verdict,
        checks=judgement.checks,
        metadata=judgement.metadata,
        refused="a blocking expectation failed",
    )


def publish_batch(
    platform: Platform,
    work: Work,
    judgement: Judgement,
    rows: pa.Table,
    record_of: Callable[[str], StateRecord],
    *,
    suite: Sequence[Expectation],
    beside: Mapping[TableKey, pa.Table] | None = None,
    statistics: bool = True,
) -> StageResult:
    """Commit the rows of a batch that may be published, with a state for each stale partition.

    Args:
        platform: lake and run.
        work: what is stale.
        judgement: of the batch.
        rows: of the stale partitions, with the column `_partition` unless the table has none.
        record_of: what to record of a partition.
        suite: the expectations that it passed.
        beside: tables written with it, see `Lake.publish`.
        statistics: whether Delta's log may hold values of columns; not for personal ones.

    Raises:
        DataError: there are rows of other partitions.
        Conflict: another run published meanwhile.
    """
    counts, passed = _rows_by_partition(rows, work.stale), suite_hash(suite)
    states = [
        PartitionState(name, work.expected[name], rows=counts.get(name, 0), suite_hash=passed, value=record_of(name)) for name in work.stale
    ]
    published = platform.lake.publish(
        work.key,
        rows,
        states,
        run_id=platform.run_id,
        after=work.published,
        beside=beside,
        retire=list(work.retired),
        statistics=statistics,
    )
    total = sum(published.partitions[name].rows for name in work.expected)
    retired_ones = {"partitions_retired": list(work.retired)} if work.retired else {}
    metadata = {**judgement.metadata, **retired_ones, "delta_version": published.version, "dagster/row_count": total}
    return StageResult(work.fingerprint, rows=total, verdict=judgement.verdict, checks=judgement.checks, metadata=metadata)


def record_whole(platform: Platform, states: States, definition: Definition, record: StateRecord, expected: str, *, rows: int = 0) -> None:
    """List the state of a stage that has no table of ours: a model, a release, a deployment.

    Args:
        platform: lake and run.
        states: of everything, as they were when the work began.
        definition: the workflow.
        record: what its stage records.
        expected: the fingerprint that it has now.
        rows: that it is of.
    """
    key = TableKey(record.stage, *definition.id)
    platform.lake.record(key, [PartitionState(WHOLE, expected, -1, rows, value=record)], run_id=platform.run_id, after=states.of(key))


def _rows_by_partition(rows: pa.Table, stale: Sequence[str]) -> dict[str, int]:
    if PARTITION not in rows.column_names:
        return {WHOLE: rows.num_rows}
    counts = {row[PARTITION]: row["count_all"] for row in rows.group_by([PARTITION]).aggregate([([], "count_all")]).to_pylist()}
    stray = counts.keys() - set(stale)
    if stray:
        raise DataError(f"rows of partitions {', '.join(sorted(stray))} came with a batch for {', '.join(stale)}; nothing was written")
    return counts


def to_retire(key: TableKey, spec: Partitions | None, done: Mapping[str, PartitionState[Any]], asked: Sequence[str]) -> list[str]:
    """The published partitions that a table has no more since its definition was changed, to be removed by the next publication.

    Where only the start or the end has moved, any run may do that. Otherwise a row may stand in an old and in a new partition, so that all new
    ones have to come in one run: with fewer, rows would be doubled or missing.

    Raises:
        DataError: not all of them are asked for.
    """
    old = retired(spec, done)
    if spec is None or all(is_of_grain(name, spec.grain) for name in old):
        return old
    now = datetime.now(UTC)
    # The one that isn't over yet may come later: in Dagster's UI it can't be chosen.
    complete = [name for name in partition_keys(spec, now) if partition_window(name, spec.grain)[1] <= now]
    missing = [name for name in complete if name not in asked]
    if missing:
        raise DataError(
            f"{key}: its partitions were changed, and {name_span(old)} of before still stand{'s' if len(old) == 1 else ''}; wanted all partitions "
            f"{name_span(complete)} in one run, found {name_span(asked)}; nothing was changed. Materialise {key} with all its partitions as one run: "
            f"`lakeloop up` does, and so does the sensor new_data; in Dagster's UI choose All"
        )
    return old
