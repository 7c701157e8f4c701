"""validated: typed, deduplicated by key, checked before it is committed; rows that break a row rule go to `quarantine`.

Beside it stands `superseded`: the earlier versions of rows that were corrected, so that features can be joined as they were known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from lakeloop.errors import DataError, NotPublished
from lakeloop.fingerprint import day_hashes, fingerprint
from lakeloop.masking import mask_row
from lakeloop.project.project import Located, Project
from lakeloop.spec.personal import personal_of_table
from lakeloop.spec.tables import PARTITION, DeltaTableSource, Expectation, Partitions, TableSpec, ViewSpec
from platform_assets.stages.base import Platform, StageResult, key_of
from platform_assets.stages.check_rows import report_checks
from platform_assets.stages.metadata import column_schema, markdown_table, table_metadata
from platform_assets.stages.publishing import to_retire
from platform_assets.stages.stage import Check, Stage, World
from platform_assets.stages.tables.landings import SOURCE, landed_rows
from resources.lake.published import UNDATED, WHOLE, PartitionState, TableKey

if TYPE_CHECKING:
    import pyarrow as pa

    from lakeloop.project.project import Located
    from lakeloop.rows.conform import Conformed

CODE_VERSION = "1"
UNIQUE_KEYS = "keys_are_unique_across_partitions"
"""The check that no key stands in another partition too; only for tables whose event time isn't part of the key."""
ACCOUNTING = "landed_is_accounted_for"
"""The check that landed rows = validated + quarantined + duplicates dropped."""


def suite(spec: TableSpec) -> list[Expectation]:
    """The generated expectations, then the user's own."""
    from lakeloop.rows.verdicts import generate_expectations

    return [*generate_expectations(spec.columns, spec.keys), *spec.expectations]


def expected(spec: TableSpec, raw: Mapping[str, PartitionState], partition: str) -> str:
    """The fingerprint of one partition: what landed for it, and how it is conformed and checked."""
    entry = raw.get(partition)
    return fingerprint(
        "validated", CODE_VERSION, spec.model_dump(mode="json", exclude={"description", "owners"}), entry.fingerprint if entry else ""
    )


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
    spec, key = located.spec, key_of("validated", located)
    platform.lake.settle(key)
    states = platform.lake.states()
    raw_key = key_of("raw", located)
    raw = states.get(raw_key)
    if not raw:
        raise NotPublished(f"{raw_key} has no published version; materialise {raw_key} first")
    done = states.get(key, {})
    asked = list(partitions) + ([UNDATED] if spec.partitions and UNDATED in raw else [])
    wanted = {name: expected(spec, raw, name) for name in asked}
    gone = to_retire(key, spec.partitions, done, partitions)
    stale = [name for name in asked if gone or name not in done or done[name].fingerprint != wanted[name]]
    overall = fingerprint({name: wanted[name] for name in partitions})
    if not stale:
        newest = max((done[name] for name in asked), key=lambda s: s.version)
        return StageResult(overall, fresh=True, rows=sum(done[name].rows for name in asked), checks=newest.value.get("checks", {}))

    from lakeloop.rows.conform import conform, quarantine_rows
    from lakeloop.rows.verdicts import allow_empty_beside, check_names, suite_hash
    from resources.quality import quarantine_mask, run_suite

    source = raw[SOURCE].value
    conformed = conform(
        landed_rows(platform, raw_key, raw, stale),
        spec,
        bulk_until=datetime.fromisoformat(source["first"]),
        vanished={
            (label, name): datetime.fromisoformat(at) for label, gone in source.get("vanished", {}).items() for name, at in gone.items()
        },
        last=datetime.fromisoformat(source.get("last", source["first"])),
    )
    expectations = suite(spec)
    names = check_names(expectations)
    personal = personal_of_table(spec)
    aside: dict[str, tuple[int, int]] = {}
    for name, expectation in zip(names, expectations, strict=True):
        if expectation.quarantine:
            total = conformed.valid.num_rows
            mask = quarantine_mask(conformed.valid, expectation, personal)
            aside[name] = (int(mask.sum()), total)
            conformed = quarantine_rows(conformed, mask, name, f"fails {expectation.type}", spec)
    declared = conformed.valid.select(list(spec.columns))
    # A month of which the source has nothing any more is empty; one whose rows can't be read is refused.
    standing = 0 if conformed.landed else sum(state.rows for name, state in done.items() if name not in (*stale, *gone))
    judged = allow_empty_beside(expectations, standing)
    verdict = run_suite(declared, judged, keys=spec.keys, personal=personal, quarantined=aside)
    counts = {
        "landed": conformed.landed,
        "validated": conformed.valid.num_rows,
        "quarantined": conformed.quarantined.num_rows,
        "duplicates": conformed.duplicates,
    }
    balanced = counts["landed"] == counts["validated"] + counts["quarantined"] + counts["duplicates"]
    checks = {r.name: [r.outcome, r.message] for r in verdict.results}
    checks[ACCOUNTING] = ["passed" if balanced else "failed", ", ".join(f"{n} {what}" for what, n in counts.items())]
    twice = _keys_elsewhere(platform, spec, key, done, [*stale, *gone], conformed.valid)
    if keys_may_repeat(spec):
        found = f"{twice[0]} keys stand in another partition too, such as {twice[1]}" if twice[0] else ""
        checks[UNIQUE_KEYS] = ["failed" if twice[0] else "passed", found]
    metadata: dict[str, Any] = {
        **table_metadata(conformed.valid.drop_columns([PARTITION]), personal, uri=platform.lake.path(key)),
        **{f"rows_{what}": count for what, count in counts.items()},
        "partitions_written": stale,
        **({"partitions_retired": gone} if gone else {}),
        "raw_version": max(s.version for s in raw.values()),
        "quarantine": dg.MetadataValue.md(markdown_table(_reasons(conformed))),
    }
    good = verdict.passed and balanced and not twice[0]
    report_checks(platform, key, verdict, stale, overall, done=done, published=good)
    if not good:
        return StageResult(overall, rows=0, verdict=verdict, checks=checks, metadata=metadata, refused="a blocking expectation failed")

    # Rows stay in the partition that they landed in: a time may name one that came into being later, whose next batch wouldn't hold them.
    split = conformed.valid
    hashed = suite_hash(expectations)
    sizes = _sizes(split, stale)
    live = _live_rows(conformed.valid) + _live_rows(conformed.superseded)
    new_states = [
        PartitionState(
            name,
            wanted[name],
            rows=sizes.get(name, 0),
            suite_hash=hashed,
            value={"checks": checks, "live": live, **days_of(split, spec, name)},
        )
        for name in stale
    ]
    beside: dict[TableKey, pa.Table] = {
        TableKey("quarantine", key.domain, key.name): conformed.quarantined,
    }
    if conformed.superseded.num_rows or platform.lake.open(TableKey("superseded", key.domain, key.name)) is not None:
        beside[TableKey("superseded", key.domain, key.name)] = conformed.superseded
    published = platform.lake.publish(
        key, split, new_states, run_id=platform.run_id, after=done, beside=beside, retire=gone, statistics=not personal
    )
    metadata["delta_version"] = published.version
    rows = sum(published.partitions[name].rows for name in asked)
    return StageResult(overall, rows=rows, verdict=verdict, checks=checks, metadata={**metadata, "dagster/row_count": rows})


def days_of(rows: pa.Table, spec: TableSpec | ViewSpec, partition: str) -> dict[str, Any]:
    """A hash per day of a monthly partition, for its state; nothing for other partitions."""
    import pyarrow.compute as pc

    if spec.partitions is None or spec.partitions.grain != "month" or partition == UNDATED or spec.event_time is None:
        return {}
    return {"days": day_hashes(rows.filter(pc.equal(rows[PARTITION], partition)), spec.event_time)}


def keys_may_repeat(spec: TableSpec) -> bool:
    """Whether a key could stand in two partitions: the event time, which decides the partition, isn't part of it."""
    return spec.partitions is not None and spec.event_time not in spec.keys and not isinstance(spec.source, DeltaTableSource)


def _keys_elsewhere(
    platform: Platform, spec: TableSpec, key: TableKey, done: Mapping[str, PartitionState], replaced: Sequence[str], rows: pa.Table
) -> tuple[int, str]:
    """How many keys of a batch stand, as published, in partitions that stay as they are; and the first of them."""
    others = [name for name in done if name not in replaced]
    if not others or not keys_may_repeat(spec):
        return 0, ""
    standing = platform.lake.read((key, max(state.version for state in done.values())), columns=spec.keys, partitions=others)
    both = rows.select(spec.keys).join(standing.cast(rows.select(spec.keys).schema), keys=list(spec.keys), join_type="left semi")
    if not both.num_rows:
        return 0, ""
    return both.num_rows, ", ".join(
        f"{name}={value}" for name, value in mask_row(both.slice(0, 1).to_pylist()[0], personal_of_table(spec)).items()
    )


def adopt(platform: Platform, located: Located[TableSpec]) -> StageResult:
    """Check an existing Delta table at its newest version and record the verdict; the table itself isn't touched."""
    from lakeloop.rows.types import cast_exactly, schema_of
    from lakeloop.rows.verdicts import suite_hash
    from resources.lake.tables import open_delta, read_table
    from resources.quality import run_suite

    spec, key = located.spec, key_of("validated", located)
    assert isinstance(spec.source, DeltaTableSource)
    url = spec.source.delta if "://" in spec.source.delta else str((located.folder / spec.source.delta).resolve())
    table = open_delta(url)
    if table is None:
        raise DataError(f"{key}: no Delta table at {spec.source.delta}")
    version = table.version()
    expectations = suite(spec)
    wanted = fingerprint(
        "adopted", CODE_VERSION, spec.model_dump(mode="json", exclude={"description", "owners"}), str(table.metadata().id), version
    )
    done = platform.lake.states().get(key, {})
    state, gone = done.get(WHOLE), to_retire(key, None, done, [WHOLE])
    if state and state.fingerprint == wanted and not gone:
        return StageResult(wanted, fresh=True, rows=state.rows, checks=state.value.get("checks", {}))
    sources = [(col.source or [name])[0] for name, col in spec.columns.items()]
    rows = read_table(table, columns=sources).rename_columns(list(spec.columns))
    personal = personal_of_table(spec)
    rows = cast_exactly(rows, schema_of(spec.columns), str(key), personal)
    verdict = run_suite(rows, expectations, keys=spec.keys, personal=personal)
    checks: dict[str, Any] = {r.name: [r.outcome, r.message] for r in verdict.results}
    checks[ACCOUNTING] = ["passed", f"{rows.num_rows} rows in place, none copied"]
    metadata = table_metadata(rows, personal, uri=spec.source.delta, version=version)
    report_checks(platform, key, verdict, [WHOLE], wanted, done=done, published=verdict.passed)
    if not verdict.passed:
        return StageResult(wanted, rows=0, verdict=verdict, checks=checks, metadata=metadata, refused="a blocking expectation failed")
    platform.lake.record(
        key,
        [PartitionState(WHOLE, wanted, version, rows.num_rows, suite_hash(expectations), {"url": url, "checks": checks})],
        run_id=platform.run_id,
        after=done,
        retire=gone,
    )
    return StageResult(wanted, rows=rows.num_rows, verdict=verdict, checks=checks, metadata=metadata)


def _sizes(rows: pa.Table, stale: Sequence[str]) -> dict[str, int]:
    counted = rows.group_by([PARTITION]).aggregate([([], "count_all")]).to_pylist()
    found = {row[PARTITION]: row["count_all"] for row in counted}
    stray = found.keys() - set(stale)
    if stray:
        raise DataError(f"rows of partitions {', '.join(sorted(stray))} came with a batch for {', '.join(stale)}; nothing was written")
    return found


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


def _undated(world: World, located: Located[TableSpec]) -> list[str]:
    """Rows of no partition that have landed are validated with any that is asked for."""
    return [UNDATED] if _partitions(located) and UNDATED in world.states.of(key_of("raw", located)) else []


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
    goes_along=_undated,
    checks=_checks,
    schema=_schema,
    describe=lambda located: f"{located.spec.description} One row per {', '.join(located.spec.keys)}; typed, deduplicated, checked.",
    kinds=lambda _: ("delta", "greatexpectations"),
)
