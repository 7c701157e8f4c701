"""validated: typed, deduplicated by key, checked before it is committed; rows that break a row rule go to `quarantine`.

Beside it stands `superseded`: the earlier versions of rows that were corrected, so that features can be joined as they were known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from lakeloop.errors import NotPublished
from lakeloop.fingerprint import Fingerprint, day_hashes, fingerprint, short_hash
from lakeloop.masking import mask_row
from lakeloop.project.project import Located, Project
from lakeloop.records.tables import TableState
from lakeloop.rows.conform import Conformed, conform, quarantine_rows
from lakeloop.rows.verdicts import allow_empty_beside, check_names, generate_expectations, suite_hash
from lakeloop.spec.personal import personal_of_table
from lakeloop.spec.tables import PARTITION, DeltaTableSource, Expectation, Partitions, TableSpec, ViewSpec
from platform_assets.stages import made_of
from platform_assets.stages.base import Platform, StageResult, key_of
from platform_assets.stages.metadata import column_schema, markdown_table, table_metadata
from platform_assets.stages.publishing import (
    Judgement,
    Work,
    fresh_result,
    outcomes,
    plan_work,
    publish_batch,
    refuse_batch,
    settled_states,
)
from platform_assets.stages.stage import Check, Stage, World
from platform_assets.stages.tables.landings import RawStates, read_landed, source_state
from resources.lake.adopted import adopted_url, open_adopted, read_declared
from resources.lake.published import UNDATED, WHOLE, PartitionState, States, TableKey
from resources.lake.verdict_rows import newest
from resources.quality import quarantine_mask, run_suite

if TYPE_CHECKING:
    import pyarrow as pa

CODE_VERSION = "1"
UNIQUE_KEYS = "keys_are_unique_across_partitions"
"""The check that no key stands in another partition too; only for tables whose event time isn't part of the key."""
ACCOUNTING = "landed_is_accounted_for"
"""The check that landed rows = validated + quarantined + duplicates dropped."""


def suite(spec: TableSpec) -> list[Expectation]:
    """The generated expectations, then the user's own."""
    return [*generate_expectations(spec.columns, spec.keys), *spec.expectations]


def expected(spec: TableSpec, raw: RawStates, partition: str) -> str:
    """The fingerprint of one partition: what landed for it, and how it is conformed and checked."""
    entry = raw.get(partition)
    whole = fingerprint(
        "validated", CODE_VERSION, spec.model_dump(mode="json", exclude={"description", "owners"}), entry.fingerprint if entry else ""
    )
    landed = {"landed": f"{short_hash(entry.fingerprint)}@{entry.version}"} if entry else {}
    return Fingerprint(whole, {**made_of.code(CODE_VERSION), **made_of.keys(spec), **landed})


def validate(platform: Platform, located: Located[TableSpec], partitions: Sequence[str]) -> StageResult:
    """Conform and check what landed in some partitions, and publish it.

    Args:
        platform: lake and log.
        located: the table.
        partitions: partition keys; `["whole"]` for an unpartitioned table.

    Raises:
        NotPublished: nothing has landed.
        DataError: the landed rows can't be accounted for.
    """
    if isinstance(located.spec.source, DeltaTableSource):
        return adopt(platform, located)
    spec, key, raw_key = located.spec, key_of("validated", located), key_of("raw", located)
    states = settled_states(platform, key)
    raw = states.of(raw_key)
    if not raw:
        raise NotPublished(f"{raw_key} has no published version; materialise {raw_key} first")
    together = [*partitions, *_undated(states, located)]
    fingerprints = {name: expected(spec, raw, name) for name in together}
    work = plan_work(TableState, key, states, fingerprints, grid=spec.partitions, partitions=partitions)
    if not work.stale:
        return fresh_result(work)

    conformed = _conform(platform, spec, raw_key, raw, work.stale)
    expectations = suite(spec)
    conformed, set_aside = _quarantine(conformed, spec, expectations)
    judgement = _judge(platform, work, spec, conformed, expectations, set_aside)
    refusal = refuse_batch(platform, work, judgement)
    if refusal is not None:
        return refusal
    # Rows stay in the partition that they landed in: a time may name one that came into being later, whose next batch wouldn't hold them.
    rows = conformed.valid
    live = _live_rows(rows) + _live_rows(conformed.superseded)
    return publish_batch(
        platform,
        work,
        judgement,
        rows,
        lambda name: TableState(checks=judgement.checks, live=live, days=days_of(rows, spec, name)),
        suite=expectations,
        beside=_beside(platform, key, conformed),
        statistics=not personal_of_table(spec),
    )


def _conform(platform: Platform, spec: TableSpec, raw_key: TableKey, raw: RawStates, partitions: Sequence[str]) -> Conformed:
    """What landed in some partitions, typed and deduplicated."""
    source = source_state(raw)
    assert source.first is not None
    return conform(
        read_landed(platform, raw_key, raw, partitions),
        spec,
        bulk_until=datetime.fromisoformat(source.first),
        vanished={
            (label, partition): datetime.fromisoformat(moment)
            for label, by_partition in source.vanished.items()
            for partition, moment in by_partition.items()
        },
        last=datetime.fromisoformat(source.last or source.first),
        emptied={
            (label, partition): [(order, datetime.fromisoformat(moment)) for order, moment in landings]
            for label, by_partition in (source.emptied or {}).items()
            for partition, landings in by_partition.items()
        },
    )


def _quarantine(conformed: Conformed, spec: TableSpec, expectations: Sequence[Expectation]) -> tuple[Conformed, dict[str, tuple[int, int]]]:
    """Set the rows aside that fail expectations which ask for that; by check how many of how many."""
    set_aside: dict[str, tuple[int, int]] = {}
    for name, expectation in zip(check_names(expectations), expectations, strict=True):
        if expectation.quarantine:
            total = conformed.valid.num_rows
            mask = quarantine_mask(conformed.valid, expectation, personal_of_table(spec))
            set_aside[name] = (int(mask.sum()), total)
            conformed = quarantine_rows(conformed, mask, name, f"fails {expectation.type}", spec)
    return conformed, set_aside


def _judge(
    platform: Platform,
    work: Work,
    spec: TableSpec,
    conformed: Conformed,
    expectations: Sequence[Expectation],
    set_aside: Mapping[str, tuple[int, int]],
) -> Judgement:
    """Check a batch: the suite, that its rows are accounted for, and that no key stands in another partition too."""
    personal = personal_of_table(spec)
    # A month of which the source has nothing any more is empty; one whose rows can't be read is refused.
    judged = allow_empty_beside(expectations, 0 if conformed.landed else work.rows_elsewhere)
    verdict = run_suite(conformed.valid.select(list(spec.columns)), judged, keys=spec.keys, personal=personal, quarantined=set_aside)
    counts = {
        "landed": conformed.landed,
        "validated": conformed.valid.num_rows,
        "quarantined": conformed.quarantined.num_rows,
        "duplicates": conformed.duplicates,
    }
    is_balanced = counts["landed"] == counts["validated"] + counts["quarantined"] + counts["duplicates"]
    checks = outcomes(verdict)
    checks[ACCOUNTING] = ("passed" if is_balanced else "failed", ", ".join(f"{n} {what}" for what, n in counts.items()))
    repeated, example = _keys_elsewhere(platform, spec, work, conformed.valid)
    if keys_may_repeat(spec):
        message = f"{repeated} keys stand in another partition too, such as {example}" if repeated else ""
        checks[UNIQUE_KEYS] = ("failed" if repeated else "passed", message)
    metadata: dict[str, Any] = {
        **table_metadata(conformed.valid.drop_columns([PARTITION]), personal, uri=platform.lake.path(work.key)),
        **{f"rows_{what}": count for what, count in counts.items()},
        "partitions_written": list(work.stale),
        "raw_version": newest(work.states.of(TableKey("raw", work.key.domain, work.key.name))),
        "quarantine": dg.MetadataValue.md(markdown_table(_reasons(conformed))),
    }
    return Judgement(verdict, checks, metadata, holds=is_balanced and not repeated)


def _beside(platform: Platform, key: TableKey, conformed: Conformed) -> dict[TableKey, pa.Table]:
    """The tables that are written with a batch; the one of superseded rows once there is any."""
    quarantine, superseded = (TableKey(stage, key.domain, key.name) for stage in ("quarantine", "superseded"))
    if conformed.superseded.num_rows or platform.lake.open(superseded) is not None:
        return {quarantine: conformed.quarantined, superseded: conformed.superseded}
    return {quarantine: conformed.quarantined}


def days_of(rows: pa.Table, spec: TableSpec | ViewSpec, partition: str) -> dict[str, str] | None:
    """A hash per day of a monthly partition, for its state; None for other partitions."""
    import pyarrow.compute as pc

    if spec.partitions is None or spec.partitions.grain != "month" or partition == UNDATED or spec.event_time is None:
        return None
    return day_hashes(rows.filter(pc.equal(rows[PARTITION], partition)), spec.event_time)


def keys_may_repeat(spec: TableSpec) -> bool:
    """Whether a key could stand in two partitions: the event time, which decides the partition, isn't part of it."""
    return spec.partitions is not None and spec.event_time not in spec.keys and not isinstance(spec.source, DeltaTableSource)


def _keys_elsewhere(platform: Platform, spec: TableSpec, work: Work, rows: pa.Table) -> tuple[int, str]:
    """How many keys of a batch stand, as published, in partitions that stay as they are; and the first of them."""
    others = [name for name in work.published if name not in (*work.stale, *work.retired)]
    if not others or not keys_may_repeat(spec):
        return 0, ""
    elsewhere = platform.lake.read((work.key, newest(work.published)), columns=spec.keys, partitions=others)
    both = rows.select(spec.keys).join(elsewhere.cast(rows.select(spec.keys).schema), keys=list(spec.keys), join_type="left semi")
    if not both.num_rows:
        return 0, ""
    example = mask_row(both.slice(0, 1).to_pylist()[0], personal_of_table(spec))
    return both.num_rows, ", ".join(f"{name}={value}" for name, value in example.items())


def adopt(platform: Platform, located: Located[TableSpec]) -> StageResult:
    """Check an existing Delta table at its newest version and record the verdict; the table itself isn't touched."""
    spec, key = located.spec, key_of("validated", located)
    assert isinstance(spec.source, DeltaTableSource)
    url = adopted_url(spec.source, located.folder)
    adopted = open_adopted(url, f"{key} ({spec.source.delta})")
    version = adopted.version
    definition = spec.model_dump(mode="json", exclude={"description", "owners"})
    parts = {**made_of.code(CODE_VERSION), **made_of.keys(spec), **made_of.value("version of the adopted table", version)}
    fingerprint_now = Fingerprint(fingerprint("adopted", CODE_VERSION, definition, str(adopted.table.metadata().id), version), parts)
    work = plan_work(TableState, key, platform.lake.states(), {WHOLE: fingerprint_now}, whole=fingerprint_now)
    if not work.stale:
        return fresh_result(work)
    expectations, personal = suite(spec), personal_of_table(spec)
    rows = read_declared(adopted, spec.columns, personal)
    verdict = run_suite(rows, expectations, keys=spec.keys, personal=personal)
    checks = {**outcomes(verdict), ACCOUNTING: ("passed", f"{rows.num_rows} rows in place, none copied")}
    judgement = Judgement(verdict, checks, table_metadata(rows, personal, uri=spec.source.delta, version=version))
    refusal = refuse_batch(platform, work, judgement)
    if refusal is not None:
        return refusal
    state = PartitionState(WHOLE, fingerprint_now, version, rows.num_rows, suite_hash(expectations), TableState(checks=checks, url=url))
    platform.lake.record(key, [state], run_id=platform.run_id, after=work.published, retire=list(work.retired))
    return StageResult(fingerprint_now, rows=rows.num_rows, verdict=verdict, checks=checks, metadata=judgement.metadata)


def _live_rows(rows: pa.Table) -> int:
    import pyarrow.compute as pc

    return int(pc.sum(rows["_live"]).as_py() or 0) if "_live" in rows.column_names else 0


def _reasons(conformed: Conformed) -> list[dict[str, Any]]:
    counted = conformed.quarantined.group_by(["rule"]).aggregate([([], "count_all")])
    return [
        {"rule": row["rule"], "rows": row["count_all"]} for row in counted.sort_by([("count_all", "descending")]).slice(0, 20).to_pylist()
    ]


def _expected(world: World, located: Located[TableSpec], partition: str) -> str:
    """What an adopted table has now is known only when it is materialised, so that it is taken as it was."""
    if isinstance(located.spec.source, DeltaTableSource):
        return world.states[key_of("validated", located)][partition].fingerprint
    return expected(located.spec, world.states.of(key_of("raw", located)), partition)


def _partitions(located: Located[TableSpec]) -> Partitions | None:
    return None if isinstance(located.spec.source, DeltaTableSource) else located.spec.partitions


def _row_of(located: Located[TableSpec]) -> str:
    return f"One row per {', '.join(located.spec.keys)}" if located.spec.keys else "Without a key"


def _undated(states: States, located: Located[TableSpec]) -> list[str]:
    """Rows of no partition that have landed are validated with any that is asked for."""
    return [UNDATED] if _partitions(located) and UNDATED in states.of(key_of("raw", located)) else []


def _checks(project: Project, located: Located[TableSpec]) -> list[Check]:
    unique = [Check(UNIQUE_KEYS, True, "no key stands in two partitions")] if keys_may_repeat(located.spec) else []
    return [*Check.of(suite(located.spec)), Check(ACCOUNTING, True, "landed = validated + quarantined + duplicates dropped"), *unique]


def _schema(project: Project, located: Located[TableSpec]) -> dg.TableSchema:
    spec = located.spec
    more = {"known_at": ("timestamp", "When the row could first have been used.")} if spec.event_time else {}
    if not isinstance(spec.source, DeltaTableSource):
        more["ingested_at"] = ("timestamp", "When the row landed in this form.")
    return column_schema(spec.columns, personal_of_table(spec), more)


STAGE = Stage(
    name="validated",
    noun=TableSpec,
    code_version=CODE_VERSION,
    group="tables",
    run=validate,
    reads=lambda project, located: () if isinstance(located.spec.source, DeltaTableSource) else (key_of("raw", located),),
    expected=_expected,
    partitions=_partitions,
    goes_along=lambda world, located: _undated(world.states, located),
    checks=_checks,
    schema=_schema,
    describe=lambda located: f"{located.spec.description} {_row_of(located)}; typed, deduplicated, checked.",
    kinds=lambda _: ("delta", "greatexpectations"),
)
