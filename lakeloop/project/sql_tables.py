"""Tables as SQL names them: the columns that a query finds in each, and what to tell of a name that means none.

`Project.find_rows` says which rows a name means.
"""

from __future__ import annotations

from collections.abc import Iterable

from lakeloop.errors import SpecError, nearest
from lakeloop.project.project import ID, Project, TableRef, feature_columns, located_of, upstream
from lakeloop.project.stage_names import INFERENCE_LOG, REPORTS, STAGES, STAGES_WITH_ROWS
from lakeloop.spec.tables import ColumnType, DeltaTableSource, TableSpec, ViewSpec
from lakeloop.spec.tasks import ALERT
from lakeloop.spec.workflow import WorkflowSpec

INGESTED_AT: dict[str, ColumnType] = {"ingested_at": "timestamp"}
_PREDICTED: dict[str, ColumnType] = {
    "model_name": "string", "model_version": "string", "feature_versions": "string", "predicted_at": "timestamp",
}  # fmt: skip


def columns_of(project: Project, ref: TableRef) -> dict[str, ColumnType]:
    """Every column that a query may name, with its type.

    The keys of views, training sets and predictions count as strings here, and so do raw columns, which have the types that their source gave
    them.

    Raises:
        SpecError: a training set is of a workflow that names a table, view or column which doesn't exist.
    """
    spec = located_of(project, ref).spec
    if ref.kind == "raw":
        return {**dict.fromkeys(landed_columns(spec), "string"), **INGESTED_AT}
    if isinstance(spec, WorkflowSpec):
        return _columns_of_training_set(project, ref) if ref.kind == "training_sets" else _columns_of_predictions(spec)
    columns: dict[str, ColumnType] = {}
    if isinstance(spec, ViewSpec):
        columns |= dict.fromkeys(spec.keys, "string")
        if spec.event_time:
            columns[spec.event_time] = "timestamp"
    columns |= {name: column.type for name, column in spec.columns.items()}
    if spec.event_time:
        columns["known_at"] = "timestamp"
    if isinstance(spec, TableSpec) and not isinstance(spec.source, DeltaTableSource):
        columns |= INGESTED_AT
    return columns


def may_hold_nan(project: Project, ref: TableRef) -> bool:
    """Whether some double of a table may be NaN: it is adopted, or keeps what isn't finite, or is computed from such a table."""
    seen, waiting = {ref}, [ref]
    while waiting:
        located = located_of(project, waiting.pop())
        spec = located.spec
        if isinstance(spec, TableSpec):
            if isinstance(spec.source, DeltaTableSource) or any(column.non_finite == "keep" for column in spec.columns.values()):
                return True
            continue
        try:
            reads = upstream(project, located) if isinstance(spec, ViewSpec) else [each.ref for each in feature_columns(project, located)]
        except SpecError:  # a broken definition is told by itself
            reads = []
        waiting += [each for each in reads if each not in seen]
        seen |= set(reads)
    return False


def landed_columns(spec: TableSpec) -> list[str]:
    """The delivered columns that the declared ones are read from."""
    return list(dict.fromkeys(part for name, column in spec.columns.items() for part in column.source or [name]))


def explain_unknown(project: Project, domain: str, name: str) -> str:
    """What to tell of a name that means no rows, seen from a domain: why, and what could have been meant."""
    stage, *rest = name.split(".")
    tables = [f"{owner}.{own}" for owner, own in [*project.tables, *project.views]]
    if stage == REPORTS:
        return (
            f"definitions can't read {name}: reports grow with every run, without a version that says what a definition was made from; "
            "read them with `lakeloop sql`"
        )
    if stage == INFERENCE_LOG:
        return f"definitions can't read {name}: nothing is logged there yet; stages with rows: {', '.join(STAGES_WITH_ROWS)}"
    if stage in STAGES and stage not in STAGES_WITH_ROWS:
        return f"{stage} has no rows that a query could read; stages with rows: {', '.join(STAGES_WITH_ROWS)}"
    if stage in STAGES:
        return _explain_missing(project, stage, rest, name)
    if len(rest) < 2 and (file := project.unread.get(tuple([domain, *name.split(".")][-2:]))):  # type: ignore[arg-type]
        return f"{name} can't be read; see the errors of {file}"
    if len(rest) == 2:
        return f"no stage {stage!r}; {nearest(stage, STAGES_WITH_ROWS)}"
    return f"no table or view {name!r}; {nearest(name, tables)}"


def _explain_missing(project: Project, stage: str, rest: list[str], name: str) -> str:
    """What to tell of a name that begins with a stage that has rows."""
    key = (rest[0], rest[1]) if len(rest) == 2 else None
    if stage == "raw" and key in project.tables:
        return f"{name}: an adopted table has no deliveries; read {'.'.join(rest)}"
    if stage == "predictions" and key in project.workflows:
        return f"{name}: the workflow makes no predictions, as it has no `batch`"
    shelves: dict[str, Iterable[ID]] = {"raw": project.tables, "validated": project.tables, "features": project.views}
    named = shelves.get(stage, project.workflows)
    available = [f"{stage}.{owner}.{own}" for owner, own in named if project.find_rows(owner, f"{stage}.{owner}.{own}")]
    wanted = "" if key else f"wanted {stage}.<domain>.<name>, found {name!r}; "
    return f"{wanted or f'no rows {name!r}; '}{nearest(name, available)}"


def _columns_of_training_set(project: Project, ref: TableRef) -> dict[str, ColumnType]:
    from lakeloop.training.labels import label_column

    workflow = project.workflows[(ref.domain, ref.name)]
    spec = workflow.spec
    features: dict[str, ColumnType] = {feature.output: feature.type for feature in feature_columns(project, workflow)}
    return {
        **dict.fromkeys(spec.keys, "string"), spec.predict_at: "timestamp", **features,
        "label": label_column(spec.answer, "").type, "label_known_at": "timestamp", "split": "string",
    }  # fmt: skip


def _columns_of_predictions(spec: WorkflowSpec) -> dict[str, ColumnType]:
    answers: dict[str, ColumnType] = {name: column.type for name, column in spec.answer.columns.items()}
    flag: dict[str, ColumnType] = {ALERT: "boolean"} if spec.anomaly else {}
    return {**dict.fromkeys(spec.keys, "string"), spec.predict_at: "timestamp", **answers, **flag, **_PREDICTED}
