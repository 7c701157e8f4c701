"""features: a view over lake tables, computed for the partitions whose inputs changed; earlier known values are kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import dagster as dg

from lakeloop.fingerprint import Fingerprint, fingerprint
from lakeloop.project.known_floor import known_floor
from lakeloop.project.personal import personal_columns
from lakeloop.project.project import Located, Project, TableRef, located_of, parse_sql_file, spec_of, upstream
from lakeloop.python_code import source_of
from lakeloop.records.tables import ViewState
from lakeloop.rows.verdicts import allow_empty_beside, check_names, generate_expectations
from lakeloop.spec.partitions import split_into_batches
from lakeloop.spec.tables import PARTITION, DeltaTableSource, Expectation, TableSpec, ViewSpec
from lakeloop.sql.query import normalize_sql
from platform_assets.stages import made_of
from platform_assets.stages.base import Platform, StageResult, input_key, key_of
from platform_assets.stages.features import view_versions
from platform_assets.stages.features.as_of import InputHistory
from platform_assets.stages.features.known_before import Computed, kept_since, merge_with_published, read_until
from platform_assets.stages.features.results import KNOWN_AT, compute_result, estimate_input_rows, input_window, shape_result
from platform_assets.stages.features.rules import corrected_rules, waits_for_rows
from platform_assets.stages.inputs import input_fingerprints
from platform_assets.stages.metadata import column_schema, table_metadata
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
from platform_assets.stages.stage import Check, Stage
from platform_assets.stages.tables.validated import days_of
from resources.lake.published import PartitionState, States
from resources.quality import run_suite

if TYPE_CHECKING:
    import pyarrow as pa

CODE_VERSION = "2"
ROWS_AT_ONCE = 1_000_000
"""Input rows that are computed together; a longer backfill is computed in several goes, and judged and published as one."""


def suite(spec: ViewSpec) -> list[Expectation]:
    """The generated expectations (keys and event time identify a row), then the user's own."""
    times = [spec.event_time, KNOWN_AT] if spec.event_time else []
    identity = [*spec.keys, *times[:1]]
    return [*generate_expectations(dict.fromkeys([*identity, *times, *spec.columns]), identity), *spec.expectations]


def definition(located: Located[ViewSpec]) -> str:
    """The fingerprint of what the view computes: its spec and its SQL, or the source of its function's module."""
    spec = located.spec.model_dump(mode="json", exclude={"description", "owners", "known_delay"})
    return fingerprint("features", CODE_VERSION, spec, _own_text(located))


def _own_text(located: Located[ViewSpec]) -> str:
    """The view's SQL, or the source of its function's module."""
    spec = located.spec
    return (located.folder / spec.sql).read_text() if spec.sql else source_of(str(spec.function), located.folder)


def meaning(project: Project, located: Located[ViewSpec]) -> str:
    """The fingerprint of what the values mean, which a release cites: the query without its layout and remarks, keys, times and types.

    Where views are read, what those mean is a second part. Expectations, partitions and descriptions may change without a new version, and so
    may the definitions of lake tables.
    """
    views = {ref: project.views[(ref.domain, ref.name)] for ref in upstream(project, located) if ref.kind == "view"}
    if not views:
        return _own_meaning(located)
    read = {str(input_key(ref)): meaning(project, view) for ref, view in views.items()}
    return f"{_own_meaning(located)}{view_versions.UPSTREAM}{fingerprint('upstream', read)}"


def _own_meaning(located: Located[ViewSpec]) -> str:
    spec = located.spec
    if spec.sql:
        text = normalize_sql((located.folder / spec.sql).read_text())
    else:
        text = source_of(str(spec.function), located.folder)
    named = spec.model_dump(mode="json", include={"keys", "event_time", "known_at", "delay", "lookback", "inputs"})
    return fingerprint("meaning", named, {name: column.type for name, column in spec.columns.items()}, text)


@dataclass(frozen=True)
class Told:
    """What of a fingerprint is the same for each partition of a view: what the definition says, and by which rules it is understood."""

    definition: str
    rules: Mapping[str, str]
    parts: Mapping[str, str]


def told(project: Project, located: Located[ViewSpec]) -> Told:
    """Read a view's files for its fingerprints."""
    own, text, rules = located.spec, _own_text(located), corrected_rules(project, located)
    parts = {
        **{k: v for name, said in rules.items() for k, v in made_of.value(name, said).items()},
        **made_of.code(CODE_VERSION),
        **made_of.keys(own),
        **made_of.file(own.sql or f"the module of {own.function}", text),
    }
    return Told(definition(located), rules, parts)


def expected(project: Project, states: States, located: Located[ViewSpec], partition: str, said: Told | None = None) -> str:
    """The fingerprint of one partition: the definition (what `told` gives, where that is known), and the input partitions that it reaches.

    Raises:
        NotPublished: an input has no published version.
    """
    start, end = input_window(located.spec, [partition])
    inputs = {}
    for ref in upstream(project, located):
        spec = located_of(project, ref).spec
        if ref.is_stage:
            grid = None if ref.kind == "training_sets" else spec.partitions
            inputs[str(input_key(ref))] = input_fingerprints(states, input_key(ref), grid, None, None)
            continue
        adopted = isinstance(spec, TableSpec) and isinstance(spec.source, DeltaTableSource)
        inputs[str(input_key(ref))] = input_fingerprints(states, input_key(ref), None if adopted else spec.partitions, start, end)
    said = said or told(project, located)
    whole = fingerprint(said.definition, partition, inputs, *([said.rules] if said.rules else []))
    return Fingerprint(whole, {**said.parts, **made_of.inputs(states, inputs)})


def compute(platform: Platform, located: Located[ViewSpec], partitions: Sequence[str]) -> StageResult:
    """Compute a view for the stale ones among some partitions, check it, merge it with what was known before, publish it.

    Raises:
        NotPublished: an input has no published version.
        DataError: the query's result lacks a column, or holds one that can't become its declared type.
    """
    import pyarrow as pa

    spec, key, project = located.spec, key_of("features", located), platform.project
    states = settled_states(platform, key)
    fingerprints = {name: expected(project, states, located, name) for name in sorted(partitions)}
    work = plan_work(ViewState, key, states, fingerprints, grid=spec.partitions, partitions=partitions)
    if not work.stale:
        return fresh_result(work)
    defined, means = definition(located), meaning(project, located)
    refusal = _refuse_changed_meaning(project, located, work, means)
    if refusal is not None:
        return refusal

    refs, personal = upstream(project, located), personal_columns(project, "features", located)
    batches = split_into_batches(estimate_input_rows(states, refs, work.stale), ROWS_AT_ONCE)
    parts, outside = _compute_batches(platform, located, work, refs, batches)
    judgement = _judge(platform, located, work, refs, pa.concat_tables(parts), outside)
    refusal = refuse_batch(platform, work, judgement)
    if refusal is not None:
        return refusal

    changes, history, read_as = (
        {"added": sum(part.num_rows for part in parts), "corrected": 0, "retracted": 0},
        InputHistory(platform, states),
        reading(project, located),
    )
    same: list[str] = []
    if spec.event_time:
        keeps_all, known = history.keeps_all(refs), states.partitions(ViewState, key)
        same = [name for name, state in known.items() if _means_the_same(state, defined, means, read_as, keeps_all=keeps_all)]
        floor, waits = known_floor(project, located), waits_for_rows(project, located)
        computed = Computed(platform, work, located, refs, history, same, floor, waits)
        merged = merge_with_published(computed, batches, parts)
        changes = {what: sum(getattr(each, what) for each in merged) for what in changes}
        parts = [each.rows for each in merged]
    rows, has_changes = pa.concat_tables(parts), bool(changes["corrected"] or changes["retracted"])
    record = ViewState(
        checks=judgement.checks,
        definition=defined,
        meaning=means,
        version=spec.version,
        kept=view_versions.kept_versions(work.published, spec.version),
        read_until=read_until(history, refs),
        read_as=read_as,
        engine=platform.engine_version(located.domain),
    )
    since = history.since(refs)

    def record_of(partition: str) -> ViewState:
        before = states.partition(ViewState, located, partition)
        kept = min(since, kept_since(before) or since) if partition in same else since
        has_changed = has_changes or (before is not None and before.value.changed)
        return replace(record, changed=has_changed, days=days_of(rows, spec, partition), kept_since=kept.isoformat())

    counts = {f"rows_{what}": count for what, count in changes.items()}
    judgement = replace(judgement, metadata={**judgement.metadata, **counts, "history_kept_since": since.isoformat()})
    return publish_batch(platform, work, judgement, rows, record_of, suite=suite(spec), statistics=not personal)


def _refuse_changed_meaning(project: Project, located: Located[ViewSpec], work: Work, means: str) -> StageResult | None:
    """The result of a view whose meaning was changed under a version that a release cites; None for any other."""
    spec = located.spec
    releases = view_versions.releases_that_cite(work.states, work.key, spec.version, means)
    if not releases:
        return None
    reads = [f"{ref.domain}.{ref.name}" for ref in upstream(project, located) if ref.kind == "view"]
    message = view_versions.refusal(work.key, spec, releases, reads)
    not_judged = dict.fromkeys(check_names(suite(spec)), ("could_not_run", "not computed"))
    checks = {**not_judged, view_versions.VERSION_CHECK: ("failed", message)}
    return StageResult(work.fingerprint, rows=0, checks=checks, refused=message)


def _compute_batches(
    platform: Platform, located: Located[ViewSpec], work: Work, refs: Sequence[TableRef], batches: Sequence[Sequence[str]]
) -> tuple[list[pa.Table], int]:
    """The rows of each batch of partitions, and how many rows lay outside all of them."""
    personal, parts, outside = personal_columns(platform.project, "features", located), [], 0
    for batch in batches:
        result = compute_result(platform, work.states, located, refs, batch)
        floor = known_floor(platform.project, located)
        rows, rows_outside = shape_result(result, located.spec, batch, work.stale, str(work.key), personal, floor=floor)
        parts.append(rows)
        outside += rows_outside
    return parts, outside


def _judge(platform: Platform, located: Located[ViewSpec], work: Work, refs: Sequence[TableRef], rows: pa.Table, outside: int) -> Judgement:
    """Check what was computed."""
    spec, expectations = located.spec, suite(located.spec)
    personal = personal_columns(platform.project, "features", located)
    # Labels of a new month that aren't known yet, say: a view with rows in other partitions may have none in these.
    judged = allow_empty_beside(expectations, work.rows_elsewhere)
    verdict = run_suite(rows.drop_columns([PARTITION]), judged, keys=spec.keys, personal=personal)
    checks = {**outcomes(verdict), view_versions.VERSION_CHECK: ("passed", "")}
    versions = {str(input_key(ref)): platform.lake.current(input_key(ref), work.states).version for ref in refs}
    metadata: dict[str, Any] = {
        **table_metadata(rows, personal, uri=platform.lake.path(work.key)),
        "partitions_written": list(work.stale),
        "inputs": dg.MetadataValue.json(versions),
        "rows_outside_partitions": outside,
    }
    return Judgement(verdict, checks, metadata)


def reading(project: Project, located: Located[ViewSpec]) -> str:
    """The fingerprint of how the rows of a view's input tables are read: the types, rules and times of the columns that the view names.

    A table whose definition was changed in these gives other values for rows that landed long ago, which no landing explains. So does a rule
    that was corrected.
    """
    spec = located.spec
    names = parse_sql_file(located, spec.sql).columns if spec.sql else None
    tables = [(ref, spec_of(project, ref)) for ref in upstream(project, located) if not ref.is_stage]
    parts = {str(input_key(ref)): _reading_of_table(table, names) for ref, table in tables if isinstance(table, TableSpec)}
    views = {
        str(input_key(ref)): reading(project, project.views[(ref.domain, ref.name)]) for ref, table in tables if isinstance(table, ViewSpec)
    }
    rules = corrected_rules(project, located)
    return fingerprint("reading", parts, views, *([rules] if rules else []))


def _reading_of_table(spec: TableSpec, names: Collection[str] | None) -> dict[str, Any]:
    of_source = spec.source.model_dump(mode="json", include={"null_values"})
    columns = {
        name: column.model_dump(mode="json", exclude={"description", "unit", "personal"}, exclude_defaults=True)
        for name, column in spec.columns.items()
        if names is None or name in names or name in spec.keys or name == spec.event_time
    }
    rules = spec.model_dump(mode="json", include={"keys", "event_time", "known_delay", "bulk_loaded_until", "rules"})
    return {**of_source, "columns": columns, **rules}


def _means_the_same(state: PartitionState[ViewState], defined: str, means: str, read_as: str, *, keeps_all: bool) -> bool:
    """Whether a partition's rows still hold: with other descriptions, expectations or partitions a view's values are what they were.

    What was computed before reading was recorded has times by another rule. It is computed anew where the versions of all inputs are kept.
    """
    is_defined_alike = state.value.definition == defined or state.value.meaning == means
    return is_defined_alike and (not keeps_all if state.value.read_as is None else state.value.read_as == read_as)


def _checks(project: Project, located: Located[ViewSpec]) -> list[Check]:
    cited = Check(view_versions.VERSION_CHECK, True, "the definition is the one that releases cite under its version")
    return [*Check.of(suite(located.spec)), cited]


def _schema(project: Project, located: Located[ViewSpec]) -> dg.TableSchema:
    spec = located.spec
    more = {name: ("key", "Entity key.") for name in spec.keys if name not in spec.columns}
    if spec.event_time:
        more |= {spec.event_time: ("timestamp", "Event time."), "known_at": ("timestamp", "When the row could first have been used.")}
    return column_schema(spec.columns, personal_columns(project, "features", located), more)


STAGE = Stage(
    name="features",
    noun=ViewSpec,
    code_version=CODE_VERSION,
    group="features",
    run=compute,
    reads=lambda project, located: [input_key(ref) for ref in upstream(project, located)],
    expected=lambda world, located, partition: expected(
        world.project, world.states, located, partition, world.once(("features", located.id), lambda: told(world.project, located))
    ),
    partitions=lambda located: located.spec.partitions,
    checks=_checks,
    schema=_schema,
    describe=lambda located: located.spec.description,
    kinds=lambda located: ("delta", "sql" if located.spec.sql else "pyspark"),
    tags=lambda located: {"lakeloop/version": str(located.spec.version)},
)
