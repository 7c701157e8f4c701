"""Column lineage: for every column of every asset, the columns of the upstream assets that it is computed from.

`lakeloop.sql.query.column_sources` traces SQL; this module adds the steps that aren't SQL: the columns read from a source, those that a
PySpark view declares, and those of training sets, models and predictions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lakeloop.errors import LakeloopError, SpecError, nearest
from lakeloop.project.project import Located, Project, TableRef, feature_columns, label_view, parse_sql_file, upstream
from lakeloop.project.sql_tables import columns_of, explain_unknown
from lakeloop.spec.tables import DatabaseSource, DeltaTableSource, Files, TableSpec, ViewSpec
from lakeloop.spec.tasks import ALERT
from lakeloop.spec.workflow import WorkflowSpec
from lakeloop.sql.query import column_sources


@dataclass(frozen=True, order=True)
class ColumnRef:
    """A column of an asset."""

    stage: str
    domain: str
    name: str
    column: str

    @property
    def asset(self) -> str:
        """`stage.domain.name`."""
        return f"{self.stage}.{self.domain}.{self.name}"

    def __str__(self) -> str:
        return f"{self.asset}.{self.column}"


Sources = dict[str, tuple[ColumnRef, ...]]
"""Column -> the columns it comes from, sorted; none for a constant, a count of rows, or a column that the platform fills."""


class Lineage:
    """The lineage of a whole project.

    Args:
        project: checked and without errors.
    """

    def __init__(self, project: Project) -> None:
        self._project = project

    @cached_property
    def columns(self) -> Mapping[ColumnRef, tuple[ColumnRef, ...]]:
        """Every column of every asset, and the columns that it directly comes from."""
        columns = {}
        for located in self._project.all():
            for stage in stages_of(self._project, located):
                for column, sources in asset_lineage(self._project, stage, located).items():
                    columns[ColumnRef(stage, located.domain, located.spec.name, column)] = sources
        return columns

    @cached_property
    def users(self) -> Mapping[ColumnRef, tuple[ColumnRef, ...]]:
        """Every column, and the columns that directly come from it."""
        users: dict[ColumnRef, list[ColumnRef]] = {ref: [] for ref in self.columns}
        for ref, sources in self.columns.items():
            for source in sources:
                users[source].append(ref)
        return {ref: tuple(sorted(refs)) for ref, refs in users.items()}

    def roots(self, ref: ColumnRef) -> tuple[ColumnRef, ...]:
        """The raw columns at the origin of a column; for an adopted table its own columns, since it has no raw ones."""
        return tuple(sorted(r for r in reachable_columns(self.columns, ref) if self._is_root(r)))

    def reach(self, ref: ColumnRef) -> tuple[ColumnRef, ...]:
        """Every column downstream of a column."""
        return tuple(sorted(reachable_columns(self.users, ref) - {ref}))

    def find(self, text: str) -> list[ColumnRef]:
        """Find the columns that `stage.domain.name.column` names (slashes work too); without a column, all of the asset.

        Domain and stage may be left out where only one asset has the rest; a table without a stage is the validated one, as in SQL.

        Raises:
            LakeloopError: there is no such column, and the message names the nearest match; or several assets may be meant.
        """
        parts = text.strip().replace("/", ".").split(".")
        assets: dict[tuple[str, ...], list[ColumnRef]] = {}
        for ref in self.columns:
            assets.setdefault((ref.stage, ref.domain, ref.name), []).append(ref)
        named = _named_assets(assets, parts)
        if not named:
            wanted = ".".join(parts[:3]) if parts[0] in {stage for stage, *_ in assets} else text
            raise LakeloopError(f"no asset with columns {wanted!r}; {nearest(wanted, map('.'.join, assets))}")
        matches = {asset: refs for asset, column in named.items() if (refs := [r for r in assets[asset] if column in ("", r.column)])}
        if len(matches) > 1:
            raise LakeloopError(f"{text!r} names several: {', '.join(map('.'.join, matches))}; wanted one of them, as stage.domain.name")
        if not matches:
            asset, column = next(iter(named.items()))
            raise LakeloopError(f"{'.'.join(asset)} has no column {column!r}; {nearest(column, [ref.column for ref in assets[asset]])}")
        return next(iter(matches.values()))

    def origin(self, ref: ColumnRef) -> str:
        """Where the values of a root are read from: the source of its table."""
        source = self._project.tables[(ref.domain, ref.name)].spec.source
        if isinstance(source, DeltaTableSource):
            column = self._project.tables[(ref.domain, ref.name)].spec.columns.get(ref.column)
            return f"column {(column.source if column and column.source else [ref.column])[0]} of the adopted table {source.delta}"
        if isinstance(source, DatabaseSource):
            return f"{source.table or source.query} of the database that {source.database} names"
        return ", ".join(source.files) if isinstance(source, Files) else f"function {source.function}"

    def _is_root(self, ref: ColumnRef) -> bool:
        if ref.stage == "validated":
            spec = self._project.tables[(ref.domain, ref.name)].spec
            return isinstance(spec.source, DeltaTableSource) and ref.column in spec.columns
        return ref.stage == "raw"


def _named_assets(assets: Collection[tuple[str, ...]], parts: Sequence[str]) -> dict[tuple[str, ...], str]:
    """The assets, as (stage, domain, name), that the beginning of a text in parts may name, each with the rest, a column or nothing."""
    stages = {stage for stage, *_ in assets}
    wanted, rest = ({parts[0]}, parts[1:]) if parts[0] in stages else (stages, parts)
    if wanted is stages:
        assets = [asset for asset in assets if asset[0] != "raw" or ("validated", *asset[1:]) not in assets]
    matches = [asset for asset in assets if asset[0] in wanted and list(asset[1:]) == list(rest[:2])]
    if matches:
        return dict.fromkeys(matches, ".".join(rest[2:]))
    return {asset: ".".join(rest[1:]) for asset in assets if asset[0] in wanted and list(asset[2:]) == list(rest[:1])}


def stages_of(project: Project, located: Located[Any]) -> list[str]:
    """The assets of a definition that have columns, by stage."""
    return [stage for stage, rule in {**RULES, **project.more_rules()}.items() if rule.applies(located)]


def asset_lineage(project: Project, stage: str, located: Located[Any]) -> Sources:
    """The columns that each column of one asset directly comes from; empty for an asset without columns."""
    rule = RULES.get(stage) or project.more_rules().get(stage)
    if rule is None or not rule.applies(located):
        return {}
    key = (stage, *located.id)
    if key not in project.lineage:
        project.lineage[key] = rule.sources(project, located)
    sources: Sources = project.lineage[key]
    return sources


def _landed_columns(spec: TableSpec) -> dict[str, tuple[str, ...]]:
    """The delivered columns that each declared one is read from."""
    return {name: tuple(dict.fromkeys(column.source or [name])) for name, column in spec.columns.items()}


def _raw_lineage(project: Project, located: Located[TableSpec]) -> Sources:
    parts = (part for columns in _landed_columns(located.spec).values() for part in columns)
    return dict.fromkeys([*dict.fromkeys(parts), "ingested_at"], ())


def _validated_lineage(project: Project, located: Located[TableSpec]) -> Sources:
    spec = located.spec
    sources = _landed_columns(spec)
    if isinstance(spec.source, DeltaTableSource):
        adopted: Sources = dict.fromkeys(spec.columns, ())
        if spec.event_time:
            adopted["known_at"] = (ColumnRef("validated", *located.id, spec.event_time),)
        return adopted

    def raw(*columns: str) -> tuple[ColumnRef, ...]:
        return tuple(sorted(ColumnRef("raw", *located.id, column) for column in columns))

    lineage = {name: raw(*parts) for name, parts in sources.items()}
    if spec.event_time:
        # Event time plus delay, and never before it landed.
        lineage["known_at"] = raw(*{*sources[spec.event_time], "ingested_at"})
    lineage["ingested_at"] = raw("ingested_at")
    return lineage


def _view_lineage(project: Project, view: Located[ViewSpec]) -> Sources:
    spec = view.spec
    computed = _query_lineage(project, view, spec.sql) if spec.sql is not None else _declared_lineage(project, view)
    names = [*spec.keys, *([spec.event_time] if spec.event_time else []), *spec.columns]
    lineage = {name: _sources_in(computed, name) for name in names}
    if spec.event_time:
        landings = [_landing_column(project, ref) for ref in upstream(project, view)]
        known_at = _sources_in(computed, spec.known_at or spec.event_time)
        lineage["known_at"] = tuple(sorted({*known_at, *(ref for ref in landings if ref is not None)}))
    return lineage


def _landing_column(project: Project, ref: TableRef) -> ColumnRef | None:
    """The column that says when an input's rows landed; a corrected value isn't known before. None for a table that can't be corrected."""
    names = columns_of(project, ref)
    return next((_column_ref(ref, name) for name in ("ingested_at", "known_at") if name in names and not _is_adopted(project, ref)), None)


def _is_adopted(project: Project, ref: TableRef) -> bool:
    return ref.kind == "table" and isinstance(project.tables[(ref.domain, ref.name)].spec.source, DeltaTableSource)


def _column_ref(ref: TableRef, name: str) -> ColumnRef:
    return ColumnRef(ref.stage, ref.domain, ref.name, name)


def _query_lineage(project: Project, located: Located[Any], file: str) -> Sources:
    query = parse_sql_file(located, file)
    refs = {table.parts: _find_ref(project, located.domain, ".".join(table.parts)) for table in query.tables}
    sources = column_sources(query, {parts: columns_of(project, ref) for parts, ref in refs.items()})
    return {name: tuple(sorted(_column_ref(refs[parts], column) for parts, column in pairs)) for name, pairs in sources.items()}


def _declared_lineage(project: Project, view: Located[ViewSpec]) -> Sources:
    """The lineage that a view by function declares.

    A key or a time without a declaration comes from the inputs' columns of that name; a view without declarations may compute any feature
    from every column.
    """
    spec = view.spec
    refs = upstream(project, view)
    all_columns = [_column_ref(ref, name) for ref in refs for name in columns_of(project, ref)]
    names = dict.fromkeys([*spec.keys, *filter(None, (spec.event_time, spec.known_at)), *spec.columns])
    lineage: Sources = {}
    for name in names:
        if name in spec.lineage:
            lineage[name] = tuple(sorted(_parse_reference(project, view, text) for text in spec.lineage[name]))
        else:
            namesakes = [ref for ref in all_columns if ref.column == name] if name not in spec.columns else []
            lineage[name] = tuple(sorted(namesakes or all_columns))
    return lineage


def _parse_reference(project: Project, view: Located[ViewSpec], text: str) -> ColumnRef:
    table, _, column = text.rpartition(".")
    return _column_ref(_find_ref(project, view.domain, table), column)


def _sources_in(lineage: Sources, name: str) -> tuple[ColumnRef, ...]:
    if name not in lineage:
        raise SpecError(f"the query has no column {name!r}; {nearest(name, lineage)}")
    return lineage[name]


def _find_ref(project: Project, domain: str, name: str) -> TableRef:
    ref = project.find_rows(domain, name)
    if ref is None:
        raise SpecError(explain_unknown(project, domain, name))
    return ref


def _training_set_lineage(project: Project, workflow: Located[WorkflowSpec]) -> Sources:
    spec = workflow.spec
    spine = _query_lineage(project, workflow, spec.spine)
    lineage = {name: _sources_in(spine, name) for name in [*spec.keys, spec.predict_at]}
    for feature in feature_columns(project, workflow):
        lineage[feature.output] = (_column_ref(feature.ref, feature.column),)
    view = label_view(project, workflow)
    if view is None or spec.label is None:
        return {**lineage, "label": (), "label_known_at": spine[spec.predict_at], "split": spine[spec.predict_at]}

    def label_column(column: str) -> ColumnRef:
        return ColumnRef("features", *view.id, column)

    lineage["label"] = (label_column(spec.label.column),)
    lineage["label_known_at"] = (label_column("known_at"),) if view.spec.event_time else spine[spec.predict_at]
    # The time decides the window, and whether there is a label.
    lineage["split"] = tuple(sorted({*spine[spec.predict_at], label_column(spec.label.column)}))
    return lineage


def _model_lineage(project: Project, workflow: Located[WorkflowSpec]) -> Sources:
    names = [*(feature.output for feature in feature_columns(project, workflow)), "label"]
    return {name: (ColumnRef("training_sets", *workflow.id, name),) for name in names}


def _model_inputs(project: Project, workflow: Located[WorkflowSpec]) -> tuple[ColumnRef, ...]:
    """The inputs of the model, from which a prediction is computed; the label was used in training and isn't an input."""
    return tuple(sorted({ColumnRef("models", *workflow.id, feature.output) for feature in feature_columns(project, workflow)}))


def _prediction_lineage(project: Project, workflow: Located[WorkflowSpec]) -> Sources:
    spine = _query_lineage(project, workflow, workflow.spec.spine)
    platform_columns: Sources = dict.fromkeys(("model_name", "model_version", "feature_versions", "predicted_at"), ())
    questions = {name: spine[name] for name in [*workflow.spec.keys, workflow.spec.predict_at]}
    return {**questions, **_deployment_lineage(project, workflow), **platform_columns}


def _deployment_lineage(project: Project, workflow: Located[WorkflowSpec]) -> Sources:
    answers = [*workflow.spec.answer.columns, *([ALERT] if workflow.spec.anomaly else [])]
    return dict.fromkeys(answers, _model_inputs(project, workflow))


@dataclass(frozen=True)
class Rule:
    """The lineage of the columns of a stage.

    Attributes:
        applies: whether a definition has the stage.
        sources: the columns that each of its columns comes from.
    """

    applies: Callable[[Located[Any]], bool]
    sources: Callable[[Project, Located[Any]], Sources]


def _is_workflow(located: Located[Any]) -> bool:
    return isinstance(located.spec, WorkflowSpec)


RULES: dict[str, Rule] = {
    "raw": Rule(
        lambda located: isinstance(located.spec, TableSpec) and not isinstance(located.spec.source, DeltaTableSource), _raw_lineage
    ),
    "validated": Rule(lambda located: isinstance(located.spec, TableSpec), _validated_lineage),
    "features": Rule(lambda located: isinstance(located.spec, ViewSpec), _view_lineage),
    "training_sets": Rule(_is_workflow, _training_set_lineage),
    "models": Rule(_is_workflow, _model_lineage),
    "predictions": Rule(lambda located: _is_workflow(located) and located.spec.batch is not None, _prediction_lineage),
    "deployments": Rule(lambda located: _is_workflow(located) and located.spec.online is not None, _deployment_lineage),
}
"""By stage, for the assets that have columns. A model's are its inputs and the label that it learned from, a deployment's what it answers."""


def reachable_columns(edges: Mapping[ColumnRef, Iterable[ColumnRef]], start: ColumnRef) -> set[ColumnRef]:
    """A column and all that can be reached from it along the edges."""
    seen: set[ColumnRef] = set()
    stack = [start]
    while stack:
        ref = stack.pop()
        if ref not in seen:
            seen.add(ref)
            stack += edges.get(ref, ())
    return seen
