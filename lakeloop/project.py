"""All definitions of a project together: loaded, checked against each other, and asked how they hang together."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from lakeloop.definition_files import Definition, read_definitions, to_spec
from lakeloop.errors import SpecError, nearest
from lakeloop.python_code import problem_with
from lakeloop.spec import NAME, ColumnType, DeltaTableSource, Expectation, PythonFunction, TableSpec, ViewSpec, WorkflowSpec

if TYPE_CHECKING:
    from lakeloop.sql import Query

S = TypeVar("S", TableSpec, ViewSpec, WorkflowSpec)
ID = tuple[str, str]
"""(domain, name)."""
TABLE_SYSTEM_COLUMNS: dict[str, ColumnType] = {"ingested_at": "timestamp"}


@dataclass(frozen=True)
class Located(Generic[S]):
    """A spec and where it stands: its domain, and the folder that its files are relative to."""

    spec: S
    domain: str
    folder: Path
    definition: Definition

    @property
    def id(self) -> ID:
        return (self.domain, self.spec.name)


@dataclass(frozen=True, order=True)
class TableRef:
    """A lake table or a feature view, by domain and name."""

    kind: Literal["table", "view"]
    domain: str
    name: str


@dataclass(frozen=True)
class FeatureColumn:
    """One input of a model: the column of a view or table, and its name in the training set (`<view>__<column>`)."""

    ref: TableRef
    column: str
    output: str
    type: ColumnType
    keys: tuple[str, ...]
    max_age: timedelta | None
    description: str = ""
    unit: str | None = None
    personal: bool = False


@dataclass(eq=False)
class Project:
    """Everything that is defined, by (domain, name). Two projects are equal only if they are the same object."""

    tables: dict[ID, Located[TableSpec]] = field(default_factory=dict)
    views: dict[ID, Located[ViewSpec]] = field(default_factory=dict)
    workflows: dict[ID, Located[WorkflowSpec]] = field(default_factory=dict)
    files: int = 0

    def all(self) -> Iterator[Located[Any]]:
        """Tables, then views, then workflows."""
        yield from self.tables.values()
        yield from self.views.values()
        yield from self.workflows.values()

    def find(self, domain: str, name: str) -> TableRef | None:
        """The table or view that `name` (or `domain.name`) means, seen from a domain."""
        parts = name.split(".")
        key = (parts[-2] if len(parts) > 1 else domain, parts[-1])
        if key in self.tables:
            return TableRef("table", *key)
        return TableRef("view", *key) if key in self.views else None

    def names(self, domain: str) -> list[str]:
        """What may be named from a domain: its own tables and views, others with their domain before them."""
        return [name if where == domain else f"{where}.{name}" for where, name in [*self.tables, *self.views]]


def load_project(defs: Path, *, root: Path | None = None, extra: Iterable[Located[Any]] = ()) -> tuple[Project, list[SpecError]]:
    """Read every `<domain>/<name>/defs.yaml` below a folder and check them all.

    Args:
        defs: the folder of definitions.
        root: files are named relative to it in messages; the working directory's parent of `defs` by default.
        extra: definitions made in Python.

    Returns:
        What could be read, and every error found. A project with errors must not be built.
    """
    base = root or defs.parent.parent
    project, errors = Project(), []
    found: list[Located[Any]] = []
    for path in sorted(defs.glob("*/*/defs.yaml")):
        project.files += 1
        shown = str(path.relative_to(base)) if path.is_relative_to(base) else str(path)
        definitions, problems = read_definitions(path, shown)
        errors += problems
        domain, folder = path.parent.parent.name, path.parent
        if not NAME.fullmatch(domain):
            errors.append(SpecError(f"wanted a folder named by a domain (lower-case letters, digits, _), found {domain!r}", file=shown))
            continue
        for definition in definitions:
            spec, problems = to_spec(definition)
            errors += problems
            if spec is None:
                continue
            if len(definitions) == 1 and spec.name != folder.name:  # type: ignore[attr-defined]
                errors.append(definition.error(f"wanted the folder's name {folder.name!r}, found {spec.name!r}", "name"))  # type: ignore[attr-defined]
            found.append(Located(spec, domain, folder, definition))  # type: ignore[type-var]
    for located in [*found, *extra]:
        errors += _add(project, located)
    errors += check(project)
    return project, sorted(errors, key=lambda e: (e.file, e.line or 0, str(e)))


def upstream(project: Project, view: Located[ViewSpec]) -> list[TableRef]:
    """The tables and views that a view reads, in a fixed order."""
    spec = view.spec
    if spec.sql is not None:
        names = [".".join(table.parts) for table in _query(view, spec.sql).tables]
    else:
        names = spec.inputs
    return _refs(project, view.domain, names)


def spine_upstream(project: Project, workflow: Located[WorkflowSpec]) -> list[TableRef]:
    """The tables and views that a workflow's spine reads, in a fixed order."""
    return _refs(project, workflow.domain, [".".join(table.parts) for table in _query(workflow, workflow.spec.spine).tables])


def resolve_view(project: Project, workflow: Located[WorkflowSpec], name: str) -> Located[ViewSpec]:
    """The feature view that a workflow names."""
    ref = project.find(workflow.domain, name)
    if ref is None or ref.kind != "view":
        raise SpecError(f"no feature view {name!r}; {nearest(name, [n for _, n in project.views])}")
    return project.views[(ref.domain, ref.name)]


def feature_columns(project: Project, workflow: Located[WorkflowSpec]) -> list[FeatureColumn]:
    """The features of a workflow, in the order in which its file names them."""
    found = []
    for name, wanted in workflow.spec.features.items():
        ref = project.find(workflow.domain, name)
        if ref is None:
            raise SpecError(f"no table or view {name!r}; {nearest(name, project.names(workflow.domain))}")
        spec = _spec(project, ref)
        columns = _feature_names(spec) if wanted.columns == ["*"] else wanted.columns
        for column in columns:
            described = spec.columns[column]
            found.append(
                FeatureColumn(
                    ref, column, f"{ref.name}__{column}", described.type, tuple(spec.keys), wanted.max_age, described.description,
                    described.unit, described.personal,
                )
            )  # fmt: skip
    return found


def columns_of(project: Project, ref: TableRef) -> dict[str, ColumnType]:
    """Every column of a table or view that a query may name, with its type; a key of a view has its source's type, here a string."""
    spec = _spec(project, ref)
    columns: dict[str, ColumnType] = {}
    if isinstance(spec, ViewSpec):
        columns |= dict.fromkeys(spec.keys, "string")
        if spec.event_time:
            columns[spec.event_time] = "timestamp"
    columns |= {name: column.type for name, column in spec.columns.items()}
    if spec.event_time:
        columns["known_at"] = "timestamp"
    if isinstance(spec, TableSpec) and not isinstance(spec.source, DeltaTableSource):
        columns |= TABLE_SYSTEM_COLUMNS
    return columns


def check(project: Project) -> list[SpecError]:
    """Everything that can only be seen with all definitions at hand."""
    errors: list[SpecError] = []
    for table in project.tables.values():
        errors += _check_expectations(table, "expectations", table.spec.expectations, table.spec.columns)
        errors += _check_rules(table)
        if isinstance(table.spec.source, PythonFunction):
            errors += _check_code(table, table.spec.source.function, "source", "function")
    for view in project.views.values():
        errors += _check_view(project, view)
    if not errors:
        errors += _check_cycles(project)
    for workflow in project.workflows.values():
        errors += _check_workflow(project, workflow)
    return errors


def _add(project: Project, located: Located[Any]) -> list[SpecError]:
    spec = located.spec
    shelf: dict[ID, Located[Any]]
    if isinstance(spec, TableSpec):
        shelf, others = project.tables, project.views  # type: ignore[assignment]
    elif isinstance(spec, ViewSpec):
        shelf, others = project.views, project.tables  # type: ignore[assignment]
    else:
        shelf, others = project.workflows, {}  # type: ignore[assignment]
    twin = shelf.get(located.id) or others.get(located.id)
    if twin is not None:
        where = f"{twin.definition.file}:{twin.definition.line_of(('name',))}"
        return [located.definition.error(f"the name {spec.name!r} is already taken in domain {located.domain!r} by {where}", "name")]
    shelf[located.id] = located
    return []


def _refs(project: Project, domain: str, names: Iterable[str]) -> list[TableRef]:
    found = (project.find(domain, name) for name in names)
    return sorted({ref for ref in found if ref is not None})


def _spec(project: Project, ref: TableRef) -> TableSpec | ViewSpec:
    return project.tables[(ref.domain, ref.name)].spec if ref.kind == "table" else project.views[(ref.domain, ref.name)].spec


def _feature_names(spec: TableSpec | ViewSpec) -> list[str]:
    """What `*` takes: every column that can be an input of a model; keys and times can't."""
    return [n for n, c in spec.columns.items() if n not in spec.keys and n != spec.event_time and c.type not in ("timestamp", "date")]


_parsed: dict[str, Query] = {}


def _query(located: Located[Any], file: str) -> Query:
    """Parse a definition's SQL file, once per content."""
    from lakeloop.sql import parse_query

    path = (located.folder / file).resolve()
    shown = str(Path(located.definition.file).parent / file)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        key = "spine" if isinstance(located.spec, WorkflowSpec) else "sql"
        raise located.definition.error(f"no file {file!r} beside the definition", key) from error
    cached = f"{shown}\n{text}"
    if cached not in _parsed:
        _parsed[cached] = parse_query(text, shown)
    return _parsed[cached]


def _check_query(project: Project, located: Located[Any], file: str, needed: Iterable[tuple[str, tuple[str, ...]]]) -> list[SpecError]:
    """A query's tables exist, its columns exist, and it gives the columns that are needed (name, key in the file)."""
    from lakeloop.sql import output_columns

    try:
        query = _query(located, file)
    except SpecError as error:
        return [error]
    errors, schemas = [], {}
    for table in query.tables:
        name = ".".join(table.parts)
        ref = project.find(located.domain, name)
        if ref is None or len(table.parts) > 2:
            errors.append(
                SpecError(
                    f"no table or view {name!r}; {nearest(name, [f'{d}.{n}' for d, n in [*project.tables, *project.views]])}",
                    file=query.file,
                    line=table.line,
                )
            )
        else:
            schemas[table.parts] = columns_of(project, ref)
    if errors:
        return errors
    try:
        given = output_columns(query, schemas)
    except SpecError as error:
        available = sorted({column for columns in schemas.values() for column in columns})
        words = [word.strip("'.,") for word in error.message.split()]
        unknown = next(
            (w for w in words if w.isidentifier() and difflib.get_close_matches(w, available, 1, 0.6) and w not in available), None
        )
        hint = f"; {nearest(unknown, available)}" if unknown else ""
        return [SpecError(error.message + hint, file=error.file, line=error.line)]
    for name, path in needed:
        if name not in given:
            errors.append(located.definition.error(f"{file} has no column {name!r}; {nearest(name, given)}", *path))
    return errors


def _check_view(project: Project, view: Located[ViewSpec]) -> list[SpecError]:
    spec = view.spec
    needed = [(key, ("keys",)) for key in spec.keys] + [(name, ("columns", name)) for name in spec.columns]
    needed += [(name, (field_,)) for field_, name in (("event_time", spec.event_time), ("known_at", spec.known_at)) if name]
    errors = _check_expectations(view, "expectations", spec.expectations, {*spec.columns, *spec.keys, spec.event_time, "known_at"})
    if spec.sql is not None:
        errors += _check_query(project, view, spec.sql, needed)
    for index, name in enumerate(spec.inputs):
        if project.find(view.domain, name) is None:
            errors.append(view.definition.error(f"no table or view {name!r}; {nearest(name, project.names(view.domain))}", "inputs", index))
    if spec.function is not None:
        errors += _check_code(view, spec.function, "function")
    if spec.known_at and not spec.event_time:
        errors.append(view.definition.error("a view without an event_time is static: it has no known time either", "known_at"))
    if spec.partitions and not spec.event_time:
        errors.append(view.definition.error("a partitioned view needs an event_time", "partitions"))
    if not errors and spec.partitions:
        for ref in upstream(project, view):
            other = _spec(project, ref).partitions
            if other and other.grain != spec.partitions.grain:
                errors.append(
                    view.definition.error(f"wanted the grain of {ref.name} ({other.grain}), found {spec.partitions.grain}", "partitions")
                )
    return errors


def _check_code(located: Located[Any], reference: str, *path: str) -> list[SpecError]:
    problem = problem_with(reference, located.folder)
    return [located.definition.error(problem, *path)] if problem else []


def _check_cycles(project: Project) -> list[SpecError]:
    state: dict[ID, int] = {}
    errors: list[SpecError] = []

    def visit(view: Located[ViewSpec], trail: tuple[str, ...]) -> None:
        if state.get(view.id) == 2:
            return
        if state.get(view.id) == 1:
            errors.append(view.definition.error(f"views read each other in a circle: {' -> '.join([*trail, view.spec.name])}", "sql"))
            return
        state[view.id] = 1
        for ref in upstream(project, view):
            if ref.kind == "view":
                visit(project.views[(ref.domain, ref.name)], (*trail, view.spec.name))
        state[view.id] = 2

    for view in project.views.values():
        visit(view, ())
    return errors


def _check_workflow(project: Project, workflow: Located[WorkflowSpec]) -> list[SpecError]:
    from lakeloop.metrics import check_metric
    from lakeloop.pipelines import check_model

    spec, at = workflow.spec, workflow.definition
    errors = _check_query(project, workflow, spec.spine, [(key, ("keys",)) for key in spec.keys] + [(spec.predict_at, ("predict_at",))])
    label_ref = project.find(workflow.domain, spec.label.view)
    if label_ref is None or label_ref.kind != "view":
        errors.append(
            at.error(f"no feature view {spec.label.view!r}; {nearest(spec.label.view, [n for _, n in project.views])}", "label", "view")
        )
    else:
        view = _spec(project, label_ref)
        if spec.label.column not in view.columns:
            errors.append(
                at.error(
                    f"{spec.label.view} has no column {spec.label.column!r}; {nearest(spec.label.column, view.columns)}", "label", "column"
                )
            )
        for key in view.keys:
            if key not in spec.keys:
                errors.append(at.error(f"the label is keyed by {key!r}, which the spine's keys lack; {nearest(key, spec.keys)}", "keys"))
    outputs: dict[str, str] = {}
    for name, wanted in spec.features.items():
        ref = project.find(workflow.domain, name)
        if ref is None:
            errors.append(at.error(f"no table or view {name!r}; {nearest(name, project.names(workflow.domain))}", "features", name))
            continue
        if ref == label_ref:
            errors.append(at.error(f"{name} holds the label: its columns would leak it into the features", "features", name))
            continue
        source = _spec(project, ref)
        for key in source.keys:
            if key not in spec.keys:
                errors.append(
                    at.error(f"{name} is keyed by {key!r}, which the spine's keys lack; {nearest(key, spec.keys)}", "features", name)
                )
        if wanted.max_age is not None and source.event_time is None:
            errors.append(at.error(f"{name} is static (it has no event time), so its values have no age", "features", name, "max_age"))
        available = _feature_names(source)
        for column in available if wanted.columns == ["*"] else wanted.columns:
            if column not in source.columns:
                errors.append(at.error(f"{name} has no column {column!r}; {nearest(column, available)}", "features", name))
            elif column not in available:
                why = f"a {source.columns[column].type}" if column not in source.keys else "a key"
                errors.append(
                    at.error(f"{name}.{column} is {why}, which can't be an input of a model; derive a number in a view", "features", name)
                )
            output = f"{ref.name}__{column}"
            if output in outputs:
                errors.append(at.error(f"{name}.{column} and {outputs[output]} would both be called {output}", "features", name))
            outputs[output] = f"{name}.{column}"
    errors += _check_evaluation(project, workflow, outputs)
    errors += _told(at, ("evaluation", "primary"), lambda: check_metric(spec.task, spec.evaluation.primary))
    for name, gate in spec.gates.items():
        if name == "champion":
            continue
        errors += _told(at, ("gates", name), lambda name=name: check_metric(spec.task, name))  # type: ignore[misc]
        for key in ("max_drop", "error_rate"):
            if getattr(gate, key) is not None:
                errors.append(at.error("this is for the gate `champion`; bound a metric by min and max", "gates", name, key))
    errors += _told(at, ("model",), lambda: check_model(spec.model, spec.task))
    columns = {*spec.keys, spec.predict_at, *outputs}
    errors += _check_expectations(
        workflow, "expectations.training_set", spec.expectations.get("training_set", []), {*columns, "label", "split"}
    )
    errors += _check_expectations(workflow, "expectations.predictions", spec.expectations.get("predictions", []), {*columns, "prediction"})
    if spec.partitions is None:
        errors.append(at.error("wanted partitions: predictions are made by partition", "partitions"))
    return errors


def _told(definition: Definition, path: tuple[str, ...], attempt: Any) -> list[SpecError]:
    """Errors of a check that doesn't know the file, told with the place."""
    try:
        attempt()
    except SpecError as error:
        return [definition.error(error.message, *path, *([error.key] if error.key else []))]
    return []


def _check_expectations(
    located: Located[Any], path: str, expectations: Iterable[Expectation], columns: Iterable[str | None] | Mapping[str, Any]
) -> list[SpecError]:
    from lakeloop.expectation_names import EXPECTATIONS

    available = sorted(c for c in columns if c)
    errors = []
    for index, expectation in enumerate(expectations):
        place: tuple[str | int, ...] = (*path.split("."), index)
        if expectation.type not in EXPECTATIONS:
            errors.append(
                located.definition.error(f"no expectation {expectation.type!r}; {nearest(expectation.type, EXPECTATIONS)}", *place)
            )
            continue
        for name in expectation.kwargs:
            if name not in EXPECTATIONS[expectation.type]:
                errors.append(
                    located.definition.error(
                        f"{expectation.type} has no {name!r}; {nearest(name, EXPECTATIONS[expectation.type])}", *place, expectation.type
                    )
                )
        named = [expectation.kwargs.get(k) for k in ("column", "column_A", "column_B")] + list(expectation.kwargs.get("column_list") or [])
        for column in named:
            if column is not None and column not in available:
                errors.append(
                    located.definition.error(f"no column {column!r}; {nearest(str(column), available)}", *place, expectation.type)
                )
    return errors


def _check_evaluation(project: Project, workflow: Located[WorkflowSpec], outputs: Mapping[str, str]) -> list[SpecError]:
    """Slices and cluster name keys or features that may be shown; costs are for a binary classification."""
    spec, at, errors = workflow.spec, workflow.definition, []
    known = {*spec.keys, *(output.split("__", 1)[1] for output in outputs)}
    personal = _personal_columns(project, workflow)
    named: list[tuple[str, tuple[str | int, ...]]] = [(column, ("slices", i)) for i, column in enumerate(spec.evaluation.slices)]
    if spec.evaluation.cluster not in (None, "day"):
        named.append((str(spec.evaluation.cluster), ("cluster",)))
    for column, place in named:
        if column not in known:
            errors.append(at.error(f"no key or feature {column!r}; {nearest(column, known)}", "evaluation", *place))
        elif place[0] == "slices" and column in personal:
            errors.append(
                at.error(f"{column} is personal: its values would stand in the report; slice by something else", "evaluation", *place)
            )
    if spec.evaluation.costs is not None and spec.task != "binary_classification":
        errors.append(at.error(f"costs are for a binary classification, this is a {spec.task}", "evaluation", "costs"))
    return errors


def _personal_columns(project: Project, workflow: Located[WorkflowSpec]) -> set[str]:
    """Columns that are marked personal where the workflow's spine and features come from, by name."""
    refs = [project.find(workflow.domain, name) for name in workflow.spec.features]
    try:
        refs += spine_upstream(project, workflow)
    except SpecError:
        pass  # told where the spine is checked
    return {name for ref in refs if ref is not None for name, column in _spec(project, ref).columns.items() if column.personal}


def _check_rules(table: Located[TableSpec]) -> list[SpecError]:
    from sqlglot import exp, parse_one
    from sqlglot.errors import SqlglotError

    errors = []
    for name, rule in table.spec.rules.items():
        try:
            tree = parse_one(rule, into=exp.Condition)
        except SqlglotError as error:
            errors.append(table.definition.error(f"can't parse the rule: {str(error).splitlines()[0]}", "rules", name))
            continue
        for column in tree.find_all(exp.Column):
            if column.name not in table.spec.columns:
                errors.append(
                    table.definition.error(f"no column {column.name!r}; {nearest(column.name, table.spec.columns)}", "rules", name)
                )
    return errors
