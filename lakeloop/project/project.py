"""All definitions of a project together: loaded, and queried for their references to each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from lakeloop.errors import SpecError, nearest
from lakeloop.project.files import Definition, read_definitions, to_spec
from lakeloop.project.stage_names import RESERVED_DOMAINS
from lakeloop.spec.tables import NAME, ColumnType, DeltaTableSource, Partitions, TableSpec, ViewSpec
from lakeloop.spec.workflow import WorkflowSpec
from lakeloop.sql.query import Query, parse_query

S = TypeVar("S", TableSpec, ViewSpec, WorkflowSpec)
ID = tuple[str, str]
"""(domain, name)."""


@dataclass(frozen=True)
class Located(Generic[S]):
    """A spec with its domain, and the folder that its files are relative to."""

    spec: S
    domain: str
    folder: Path
    definition: Definition

    @property
    def id(self) -> ID:
        """Its domain and name."""
        return (self.domain, self.spec.name)


@dataclass(frozen=True, order=True)
class TableRef:
    """Rows that a query can read, by domain and name: of a lake table, of a feature view, or of another stage, which is the kind then."""

    kind: Literal["table", "view", "raw", "training_sets", "predictions"]
    domain: str
    name: str

    @property
    def stage(self) -> str:
        """The stage whose rows these are."""
        return {"table": "validated", "view": "features"}.get(self.kind, self.kind)

    @property
    def is_stage(self) -> bool:
        """Whether these are the rows of another stage than the one that a table or view is read from."""
        return self.kind not in ("table", "view")


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


@dataclass(eq=False)
class Project:
    """All definitions, by (domain, name). Two projects are equal only if they are the same object."""

    tables: dict[ID, Located[TableSpec]] = field(default_factory=dict)
    views: dict[ID, Located[ViewSpec]] = field(default_factory=dict)
    workflows: dict[ID, Located[WorkflowSpec]] = field(default_factory=dict)
    files: int = 0
    unread: dict[ID, str] = field(default_factory=dict, repr=False, compare=False)
    """Definitions that can't be read, by domain and folder, each with its file."""
    lineage: dict[tuple[str, str, str], Any] = field(default_factory=dict, repr=False, compare=False)
    personal: dict[tuple[str, str, str], frozenset[str]] = field(default_factory=dict, repr=False, compare=False)
    """Results of `lakeloop.project.lineage` and `lakeloop.project.personal`, by (stage, domain, name)."""
    more_rules: Callable[[], Mapping[str, Any]] = field(default=dict, repr=False, compare=False)
    """Gives by stage how the columns of stages come about that `lakeloop.project.lineage` doesn't know; see its `Rule`."""

    def all(self) -> Iterator[Located[Any]]:
        """Tables, then views, then workflows."""
        yield from self.tables.values()
        yield from self.views.values()
        yield from self.workflows.values()

    def shelf(self, noun: type[Any]) -> Mapping[ID, Located[Any]]:
        """All definitions of a kind: tables, views or workflows, by the class of their specs."""
        shelves: dict[type[Any], Mapping[ID, Located[Any]]] = {TableSpec: self.tables, ViewSpec: self.views, WorkflowSpec: self.workflows}
        return shelves[noun]

    def find(self, domain: str, name: str) -> TableRef | None:
        """Find the table or view that `name` (or `domain.name`) names, seen from a domain."""
        ref = self.find_rows(domain, name)
        return None if ref is None or ref.is_stage else ref

    def find_rows(self, domain: str, name: str) -> TableRef | None:
        """Find the rows that a name in SQL means, seen from a domain: `name`, `domain.name`, or `stage.domain.name`.

        Without a stage, and with `validated` or `features`, it is a table or view.
        """
        stage, owner, own = [*[""] * (2 - name.count(".")), *name.split(".")] if name.count(".") < 3 else ("", "", "")
        key = (owner or domain, own)
        if key in self.tables and stage in ("", "validated"):
            return TableRef("table", *key)
        if key in self.views and stage in ("", "features"):
            return TableRef("view", *key)
        if stage == "raw" and key in self.tables and not isinstance(self.tables[key].spec.source, DeltaTableSource):
            return TableRef("raw", *key)
        if stage == "training_sets" and key in self.workflows:
            return TableRef("training_sets", *key)
        has_predictions = stage == "predictions" and key in self.workflows and self.workflows[key].spec.batch is not None
        return TableRef("predictions", *key) if has_predictions else None

    def explain_missing(self, domain: str, name: str, kind: str = "table or view") -> str:
        """What to tell of a name that is no table or view, seen from a domain: that it can't be read, or the nearest one."""
        file = self.unread.get(tuple([domain, *name.split(".")][-2:]))  # type: ignore[arg-type]
        if file is not None:
            return f"{name} can't be read; see the errors of {file}"
        names = self.names(domain) if kind == "table or view" else [own for _, own in self.views]
        return f"no {kind} {name!r}; {nearest(name, names)}"

    def names(self, domain: str) -> list[str]:
        """The names of tables and views seen from a domain: those of other domains with their domain as a prefix."""
        return [name if owner == domain else f"{owner}.{name}" for owner, name in [*self.tables, *self.views]]


def base_of(defs: Path) -> Path:
    """The project's folder, from that of its definitions: `defs` in it, or `platform_assets/defs`."""
    return defs.parent.parent if defs.parent.name == "platform_assets" else defs.parent


def load_project(defs: Path, *, extra: Iterable[Located[Any]] = ()) -> tuple[Project, list[SpecError]]:
    """Read every `<domain>/<name>/defs.yaml` below a folder; `lakeloop.checking` checks them against each other.

    Args:
        defs: the folder of definitions; messages name files relative to the project's folder (`base_of`).
        extra: definitions made in Python.

    Returns:
        The readable definitions, and the errors of the others. A project with errors must not be built.
    """
    base = base_of(defs)
    project, errors = Project(), []
    read: list[Located[Any]] = []
    for path in sorted(defs.glob("*/*/defs.yaml")):
        project.files += 1
        file = str(path.relative_to(base)) if path.is_relative_to(base) else str(path)
        definitions, file_errors = read_definitions(path, file)
        errors += file_errors
        domain, folder = path.parent.parent.name, path.parent
        if file_errors:
            project.unread[(domain, folder.name)] = file
        if not NAME.fullmatch(domain):
            errors.append(SpecError(f"wanted a folder named by a domain (lower-case letters, digits, _), found {domain!r}", file=file))
            continue
        errors += [] if domain not in RESERVED_DOMAINS else [_reserved(domain, file)]
        for definition in definitions:
            spec, file_errors = to_spec(definition)
            errors += file_errors
            if spec is None:
                project.unread[(domain, folder.name)] = file
                continue
            if len(definitions) == 1 and spec.name != folder.name:  # type: ignore[attr-defined]
                errors.append(definition.error(f"wanted the folder's name {folder.name!r}, found {spec.name!r}", "name"))  # type: ignore[attr-defined]
            read.append(Located(spec, domain, folder, definition))  # type: ignore[type-var]
    in_python = list(extra)
    errors += [_reserved(located.domain, located.definition.file) for located in in_python if located.domain in RESERVED_DOMAINS]
    for located in [*read, *in_python]:
        errors += _add_definition(project, located)
    return project, errors


def _reserved(domain: str, file: str) -> SpecError:
    return SpecError(
        f"{domain!r} can't be a domain: in SQL it is the first name of what the platform makes, as in {domain}.<domain>.<name>; rename the "
        "folder",
        file=file,
    )


def upstream(project: Project, view: Located[ViewSpec]) -> list[TableRef]:
    """The tables, views and rows of other stages that a view reads, in a fixed order."""
    spec = view.spec
    return _query_refs(project, view, spec.sql) if spec.sql is not None else _refs(project.find(view.domain, name) for name in spec.inputs)


def spine_upstream(project: Project, workflow: Located[WorkflowSpec]) -> list[TableRef]:
    """The tables, views and rows of other stages that a workflow's spine reads, in a fixed order."""
    return _query_refs(project, workflow, workflow.spec.spine)


def resolve_view(project: Project, workflow: Located[WorkflowSpec], name: str) -> Located[ViewSpec]:
    """The feature view that a workflow names.

    Raises:
        SpecError: there is no view of that name.
    """
    ref = project.find(workflow.domain, name)
    if ref is None or ref.kind != "view":
        raise SpecError(f"no feature view {name!r}; {nearest(name, [n for _, n in project.views])}")
    return project.views[(ref.domain, ref.name)]


def label_view(project: Project, workflow: Located[WorkflowSpec]) -> Located[ViewSpec] | None:
    """The feature view that holds a workflow's label; None where it has none."""
    return resolve_view(project, workflow, workflow.spec.label.view) if workflow.spec.label else None


def feature_columns(project: Project, workflow: Located[WorkflowSpec]) -> list[FeatureColumn]:
    """The features of a workflow, in the order in which its file names them.

    Raises:
        SpecError: there is no such table, view or column.
    """
    features = []
    for name, selection in workflow.spec.features.items():
        ref = project.find(workflow.domain, name)
        if ref is None:
            raise SpecError(f"no table or view {name!r}; {nearest(name, project.names(workflow.domain))}")
        spec = spec_of(project, ref)
        columns = usable_columns(spec) if selection.columns == ["*"] else selection.columns
        for column in columns:
            if column not in spec.columns:
                raise SpecError(f"{name} has no column {column!r}; {nearest(column, spec.columns)}")
            described = spec.columns[column]
            features.append(
                FeatureColumn(
                    ref, column, f"{ref.name}__{column}", described.type, tuple(spec.keys), selection.max_age, described.description,
                    described.unit,
                )
            )  # fmt: skip
    return features


def _add_definition(project: Project, located: Located[Any]) -> list[SpecError]:
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
        location = f"{twin.definition.file}:{twin.definition.line_of(('name',))}"
        return [located.definition.error(f"the name {spec.name!r} is already taken in domain {located.domain!r} by {location}", "name")]
    shelf[located.id] = located
    return []


def _query_refs(project: Project, located: Located[Any], file: str) -> list[TableRef]:
    return _refs(project.find_rows(located.domain, ".".join(table.parts)) for table in parse_sql_file(located, file).tables)


def _refs(refs: Iterable[TableRef | None]) -> list[TableRef]:
    return sorted({ref for ref in refs if ref is not None})


def spec_of(project: Project, ref: TableRef) -> TableSpec | ViewSpec:
    """The spec of a table or view."""
    spec: TableSpec | ViewSpec = located_of(project, ref).spec
    return spec


def partitions_of(project: Project, ref: TableRef) -> Partitions | None:
    """The partitions that a query's window cuts some rows to; None for rows that are always read as a whole."""
    return None if ref.is_stage else spec_of(project, ref).partitions


def located_of(project: Project, ref: TableRef) -> Located[Any]:
    """The definition that some rows are of, with its location."""
    key = (ref.domain, ref.name)
    if ref.kind in ("table", "raw"):
        return project.tables[key]
    return project.views[key] if ref.kind == "view" else project.workflows[key]


def usable_columns(spec: TableSpec | ViewSpec) -> list[str]:
    """The columns that `*` takes: every one that can be an input of a model; keys and times can't."""
    return [n for n, c in spec.columns.items() if n not in spec.keys and n != spec.event_time and c.type not in ("timestamp", "date")]


_queries: dict[str, Query] = {}


def parse_sql_file(located: Located[Any], file: str) -> Query:
    """Parse a definition's SQL file, once per content.

    Raises:
        SpecError: there is no such file, or it can't be parsed.
    """
    path = (located.folder / file).resolve()
    file_name = str(Path(located.definition.file).parent / file)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        field_name = "spine" if isinstance(located.spec, WorkflowSpec) else "sql"
        others = [each.name for each in located.folder.glob("*.sql")] if located.folder.is_dir() else []
        hint = f"; {nearest(file, others)}" if others else ""
        raise located.definition.error(f"no file {file!r} beside the definition{hint}", field_name) from error
    key = f"{file_name}\n{text}"
    if key not in _queries:
        _queries[key] = parse_query(text, file_name)
    return _queries[key]
