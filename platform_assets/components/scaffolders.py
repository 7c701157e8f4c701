"""`dg scaffold defs`: a definition drafted from data, or, where no data are named, a short template to fill in."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

import click
import dagster as dg
from pydantic import BaseModel, Field

from lakeloop.checking.project import load_checked
from lakeloop.drafting.anomaly import draft_anomaly
from lakeloop.drafting.column_names import lake_name
from lakeloop.drafting.column_times import ASSUMED, UNDECIDED, UNDECIDED_NUMBER, UNREAD
from lakeloop.drafting.forecasts.draft import draft_forecast
from lakeloop.drafting.profile import profile_table
from lakeloop.drafting.table import draft_table
from lakeloop.drafting.totals import Totals, find_totals
from lakeloop.drafting.workflow import draft_workflow
from lakeloop.errors import LakeloopError, SpecError, nearest
from lakeloop.project.names import find_named
from lakeloop.spec.tables import FILE, NAME, ROW, DatabaseSource, DeltaTableSource, Files, Spec, TableSpec
from lakeloop.spec.tasks import TASKS
from lakeloop.training.pipelines import NAMES, pipeline_module
from lakeloop.yaml_text import to_flow
from resources.sources.peek import SourceSample, look_at_source, parse_sample, peek, source_entry, unread_files

if TYPE_CHECKING:
    import pyarrow as pa

    from lakeloop.drafting.profile import TableProfile
    from lakeloop.drafting.table_keys import Origin

S = TypeVar("S", bound=Spec)
MOST_NOTES = 20
"""Columns of which a draft tells what it decided, so that all of it is on one screen."""

_TABLE = """\
type: platform_assets.components.LakeTable
attributes:
  name: {name}
  description: What one row means.
  source: {{files: data/*.csv}}
  keys: [id]
  # event_time: happened_at
  # partitions: {{start: 2024-01-01}}
  columns:
    id: {{type: string, nullable: false, description: What identifies a row.}}
    # happened_at: {{type: timestamp, timezone: Europe/Berlin, description: When it happened.}}
  # rules:
  #   amount_is_positive: amount > 0
  expectations:
    - expect_column_value_lengths_to_be_between: {{column: id, min_value: 1}}
"""
_VIEW = """\
type: platform_assets.components.FeatureView
attributes:
  name: {name}
  description: What these features say of an entity.
  sql: view.sql
  keys: [id]
  # event_time: happened_at
  columns:
    feature: {{type: double, description: What it says.}}
"""
_VIEW_SQL = "SELECT id, CAST(1 AS DOUBLE) AS feature\nFROM {domain}.some_table\n"
_WORKFLOW = """\
type: platform_assets.components.MLWorkflow
attributes:
  name: {name}
  description: What is predicted, and when it is asked.
  task: binary_classification
  spine: spine.sql
  keys: [id]
  label: {{view: some_outcomes, column: happened}}
  features:
    some_view: "*"
  model: {{pipeline: gradient_boosting}}
  split: {{train: 180d, test: 30d, gap: 1d}}
  evaluation: {{primary: roc_auc}}
  gates: {{roc_auc: {{min: 0.6}}, champion: {{max_drop: 0.005}}}}
  partitions: {{start: 2024-01-01}}
  batch: {{}}
  online: {{}}
"""
_SPINE_SQL = "SELECT id, happened_at AS predict_at\nFROM {domain}.some_table\n"


class LakeTableParams(BaseModel):
    """What a table is drafted from; without any of it the template is written."""

    source: str | None = Field(None, description="a file, a folder, a pattern, package:<package>/<path>, or a Delta table (folder or URL)")
    sheet: str | None = Field(None, description="of a workbook (.xlsx), instead of the first sheet that has values")
    database: str | None = Field(None, description="the environment variable that holds the URL of a SQL database, with table or query")
    table: str | None = Field(None, description="a table of the database, or <schema>.<table>")
    query: str | None = Field(None, description="a query: SQL, or a file of it, which is copied beside the definition")
    cursor: str | None = Field(None, description="a column of the database's table that only grows; only what is new is read then")
    overlap: str | None = Field(None, description="how far before the cursor to read again, such as 1h, or a number for a number")
    keys: list[str] = Field(default_factory=list, description="the columns that identify a row, instead of a proposal")
    event_time: str | None = Field(None, description="the column that says when a row happened, instead of a proposal")
    timezone: str | None = Field(None, description="of times that name none, such as Europe/Zurich, instead of a proposal")


class MLWorkflowParams(BaseModel):
    """What a workflow is drafted from; without any of it the template is written."""

    table: str | None = Field(None, description="the table: <domain>.<name>, or its name alone where that is in the same domain or unique")
    label: str | None = Field(None, description="the column to predict; anomalies need none, and one that is given only judges")
    time: str | None = Field(None, description="the column that says when it is asked; the table's event time unless given")
    task: str | None = Field(None, description="instead of a guess from the label's values, such as quantile_regression")
    positive: str | None = Field(
        None, description="the value of the label to ask about, for a classification in two classes instead of all"
    )
    pipeline: str | None = Field(None, description="a ready-made pipeline, instead of the one that suits the task and the number of rows")
    shuffled: bool = Field(False, description="draw rows without times at random, though they may stand in the order of time")
    horizon: int | None = Field(None, description="forecasting: how many steps ahead at most; a season unless given")
    season: int | None = Field(
        None, description="forecasting: after how many steps a series is alike again, 1 for none; by the step unless given"
    )
    series: list[str] = Field(
        default_factory=list, description="forecasting: the columns that name a series; the table's keys unless given"
    )
    every: str | None = Field(
        None, description="forecasting: the step, such as 1h, 1d or 1mo; the most frequent one in the data unless given"
    )
    origin_every: str | None = Field(None, description="forecasting: how often it is asked, such as 1d; at every row unless given")
    timezone: str | None = Field(
        None, description="forecasting: the zone in which days are counted, such as Europe/Zurich; the table's unless given"
    )


class LakeTableScaffolder(dg.Scaffolder[LakeTableParams]):
    """A table, drafted from a file, a folder, a package's file, a Delta table or a SQL database."""

    @classmethod
    def get_scaffold_params(cls) -> type[LakeTableParams]:
        """What it can be drafted from."""
        return LakeTableParams

    def scaffold(self, request: dg.ScaffoldRequest[LakeTableParams]) -> None:
        """Write `defs.yaml`, and say what was found and what comes next."""
        with _place(request) as (defs, domain, name):
            if request.params.source is None and request.params.database is None:
                _write(defs, {f"{domain}/{name}/defs.yaml": _TABLE.format(name=name)})
                return
            files, told = draft_table_files(request.params, request.target_path, request.project_root or defs.parent.parent)
            _write(defs, {f"{domain}/{name}/{file}": text for file, text in files.items()})
            _tell(told)
            click.echo(f"Next: dg scaffold defs platform_assets.components.MLWorkflow {domain}/NAME --table {name} --label COLUMN")


class FeatureViewScaffolder(dg.Scaffolder):
    """A view by SQL."""

    def scaffold(self, request: dg.ScaffoldRequest) -> None:
        """Write the template."""
        with _place(request) as (defs, domain, name):
            files = {"defs.yaml": _VIEW.format(name=name), "view.sql": _VIEW_SQL.format(domain=domain)}
            _write(defs, {f"{domain}/{name}/{file}": text for file, text in files.items()})


class MLWorkflowScaffolder(dg.Scaffolder[MLWorkflowParams]):
    """A workflow with its views and spine, drafted from a table and its label."""

    @classmethod
    def get_scaffold_params(cls) -> type[MLWorkflowParams]:
        """What it can be drafted from."""
        return MLWorkflowParams

    def scaffold(self, request: dg.ScaffoldRequest[MLWorkflowParams]) -> None:
        """Write views, spine and workflow, and say what was found and what comes next."""
        with _place(request) as (defs, domain, name):
            params = asked_for(request.params)
            if params.table is None and params.label is None and params.task is None:
                files = {"defs.yaml": _WORKFLOW.format(name=name), "spine.sql": _SPINE_SQL.format(domain=domain)}
                _write(defs, {f"{domain}/{name}/{file}": text for file, text in files.items()})
                return
            drafted, notes = draft_workflow_files(params, defs, domain, name)
            _write(defs, drafted)
            _tell(notes)
            click.echo(f"Next: lakeloop materialize {domain}.{name}")


def asked_for(params: MLWorkflowParams) -> MLWorkflowParams:
    """What a workflow is drafted from, with what is missing asked for: on a terminal only, so that nothing ever waits for an answer in vain."""
    complete = params.table is not None and (params.label is not None or params.task == "anomaly_detection")
    if complete or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return params
    answers: dict[str, Any] = {}
    if params.table is None:
        answers["table"] = click.prompt("Table (empty: a template to fill in)", default="", show_default=False).strip()
        if not answers["table"]:
            return params
    if params.label is None and params.task != "anomaly_detection":
        answers["label"] = click.prompt(
            "Label, the column to predict (empty: none, look for anomalies)", default="", show_default=False
        ).strip()
        if not answers["label"]:
            answers.update(label=None, task="anomaly_detection")
    if params.pipeline is None:
        answers["pipeline"] = (
            click.prompt(f"Pipeline, of {', '.join(NAMES)} (empty: the one that suits)", default="", show_default=False).strip() or None
        )
    return params.model_copy(update=answers)


def draft_table_files(params: LakeTableParams, folder: Path, project: Path) -> tuple[dict[str, str], list[str]]:
    """The definition of a table from its source, a query's file beside it, by name; and what to tell of it."""
    spec: DatabaseSource | DeltaTableSource | Files
    query = _query(params.query, folder) if params.query else {}
    if params.database is not None:
        source = {name: getattr(params, name) for name in ("database", "table", "query", "cursor", "overlap") if getattr(params, name)}
        source.update(query=next(iter(query))) if query else None
        source["overlap"] = int(source["overlap"]) if source.get("overlap", "").isdigit() else source.get("overlap", 0)
        source = {name: value for name, value in source.items() if value}
        spec = _valid(DatabaseSource, source)
    else:
        source = source_entry(str(params.source), folder, project, params.sheet)
        spec = _valid(DeltaTableSource, source) if "delta" in source else _valid(Files, source)
    with TemporaryDirectory() as beside:
        for file, sql in query.items():
            Path(beside, file).write_text(sql, encoding="utf-8")
        seen = peek(spec, Path(beside) if query else folder)
    origin: Origin = "adopted" if isinstance(spec, DeltaTableSource) else "files"
    if params.database is not None:
        origin = "onward" if params.cursor else "answer"
    rows, totals = _without_totals(seen, is_file=isinstance(spec, Files))
    profile = profile_table(
        rows, text=seen.is_text, timezone=params.timezone, keys=params.keys, event_time=params.event_time, files=seen.files, origin=origin,
        workbook=isinstance(spec, Files) and spec.is_workbook,
    )  # fmt: skip
    today = datetime.now(UTC).date()
    shown = str(source.get("table") or source.get("query") or next(iter(source.values())))
    text = draft_table(
        profile,
        name=folder.name,
        source=source,
        shown=shown,
        today=today,
        sampled=seen.is_partial,
        note=_cursor_note(profile) if params.database and not params.cursor else "",
        rule=next((each.rule for each in totals if each.is_certain and _is_rule_needed(each, profile)), ""),
    )
    personal = [column.name for column in profile.columns if column.column.personal]
    told = [
        f"{profile.rows:,} rows, {len(profile.columns)} columns",
        f"{_line_of(text, 'keys')}key: {', '.join(profile.keys) or 'none'} ({profile.key_reason})",
        f"{_line_of(text, 'event_time')}event time: {profile.event_time or 'none'} ({profile.time_reason})",
        *([f"{_line_of(text, 'timezone')}time zone: {profile.timezone or 'none'} ({profile.zone_reason})"] if profile.zone_reason else []),
        *([f"suspected to be personal, and masked from now on: {', '.join(personal)}"] if personal else []),
        *_told_of_files(unread_files(spec, folder, str(params.source)) if isinstance(spec, Files) else []),
        *[
            f"{_line_of(text, 'source')}{note}"
            for note in (look_at_source(Files(files=spec.files, sheet=spec.sheet), folder)[1] if isinstance(spec, Files) else ())
        ],
        *[f"{_line_of(text, 'rules') if each.is_certain else ''}{each.told}" for each in totals],
        *_told_of_columns(text, profile),
        *[f"left out: {name}: {why}" for name, why in profile.left_out.items()],
    ]
    there = {file for file, sql in query.items() if (folder / file).is_file() and (folder / file).read_text(encoding="utf-8") == sql}
    return {"defs.yaml": text, **{file: sql for file, sql in query.items() if file not in there}}, told


def _without_totals(seen: SourceSample, *, is_file: bool) -> tuple[pa.Table, list[Totals]]:
    """Rows without a last one that is a total of the others, and what there is of totals."""
    names: dict[str, str] = {}
    for source in seen.rows.column_names:
        if source not in (ROW, FILE):
            names[source] = lake_name(source, names.values())
    is_whole = is_file and seen.files == 1 and not seen.is_partial
    totals = [each if is_whole else replace(each, is_certain=False) for each in find_totals(seen.rows, names)]
    return seen.rows.slice(0, seen.rows.num_rows - any(each.is_certain for each in totals)), totals


def _is_rule_needed(totals: Totals, profile: TableProfile) -> bool:
    """Whether a total doesn't go to quarantine by itself, as a word does among numbers."""
    return not totals.word or any(column.name == totals.column and column.column.type == "string" for column in profile.columns)


def _told_of_columns(text: str, profile: TableProfile) -> list[str]:
    """What was decided of columns and isn't obvious, each with its line in the definition; what the data don't tell comes first."""
    noted = [column for column in profile.columns if column.note and not column.column.personal]
    noted.sort(key=lambda column: not column.note.startswith((ASSUMED, UNDECIDED, UNDECIDED_NUMBER, UNREAD)))
    told = [f"{_line_of(text, column.name, at=-1)}{column.name}: {column.note}" for column in noted[:MOST_NOTES]]
    return [*told, *([f"and {len(noted) - MOST_NOTES} more columns have a comment in defs.yaml"] if len(noted) > MOST_NOTES else [])]


def _line_of(text: str, key: str, at: int = 0) -> str:
    """`line N: ` of a key that begins a line of a definition, the first such line or the last; empty where there is none."""
    pattern = re.compile(rf" +(# )?{re.escape(to_flow(key))}: ")
    numbers = [number for number, line in enumerate(text.splitlines(), 1) if pattern.match(line)]
    return f"line {numbers[at]}: " if numbers else ""


def _told_of_files(names: Sequence[str]) -> list[str]:
    return [f"not read: {', '.join(names[:5])}{f' and {len(names) - 5} more' if len(names) > 5 else ''}"] if names else []


def _query(given: str, folder: Path) -> dict[str, str]:
    """The text of a query by the name of its file beside the definition.

    Raises:
        SpecError: it is neither SQL nor a file in the working directory or beside the definition.
    """
    if re.match(r"(\s|--[^\n]*\n|/\*.*?\*/)*(select|with|values)\s", given, re.IGNORECASE | re.DOTALL):
        return {"query.sql": given.strip() + "\n"}
    # os.path's question is answered for a text that is too long for a name, too.
    path = next((path for path in (folder / given, Path(given).expanduser()) if os.path.isfile(path)), None)  # noqa: PTH113
    if path is None:
        raise SpecError(f"query: wanted SQL (SELECT …) or a file of it, found no file {given!r} in {Path.cwd()} or beside the definition")
    return {path.name: path.read_text(encoding="utf-8")}


def draft_workflow_files(params: MLWorkflowParams, defs: Path, domain: str, name: str) -> tuple[Mapping[str, str], list[str]]:
    """The files of a workflow by path below the definitions, and what to tell of it."""
    check_wanted(params)
    if params.table is None or (params.label is None and params.task != "anomaly_detection"):
        raise SpecError("wanted --table and --label together (only --task anomaly_detection does without a label)")
    project, errors = load_checked(defs)
    table = find_named(project, params.table, kinds=["table"], domain=domain, errors=errors)
    if not table.spec.keys:
        raise SpecError(f"{params.table} has no key, which a workflow is drafted by; give it keys, or write a view over it that has some")
    params = _by_lake_names(params, table.spec)
    rows = parse_sample(table.spec, peek(table.spec.source, table.folder))
    if params.task == "anomaly_detection":
        drafted = draft_anomaly(
            table.spec, rows, table_domain=table.domain, name=name, label=params.label, time=params.time, positive=params.positive,
            pipeline=params.pipeline,
        )  # fmt: skip
        return {f"{domain}/{path}": text for path, text in drafted.files.items()}, drafted.notes
    assert params.label is not None
    if params.task == "forecasting":
        drafted = draft_forecast(
            table.spec, rows, table_domain=table.domain, name=name, label=params.label, time=params.time, horizon=params.horizon,
            season=params.season, series=[part.strip() for given in params.series for part in given.split(",")] or None, every=params.every,
            origin_every=params.origin_every, pipeline=params.pipeline, timezone=params.timezone,
        )  # fmt: skip
        return {f"{domain}/{path}": text for path, text in drafted.files.items()}, drafted.notes
    draft = draft_workflow(
        table.spec, rows, table_domain=table.domain, name=name, label=params.label, time=params.time, task=params.task,
        positive=params.positive, pipeline=params.pipeline, shuffled=params.shuffled,
    )  # fmt: skip
    return {f"{domain}/{path}": text for path, text in draft.files.items()}, draft.notes


def _by_lake_names(params: MLWorkflowParams, table: TableSpec) -> MLWorkflowParams:
    """The parameters with columns by their names in the lake, where they were given as the source has them: `Purchase` for `purchase`."""

    def known(given: str) -> str:
        names = [name for name, column in table.columns.items() if given in (column.source or ()) or name == lake_name(given)]
        return names[0] if given not in table.columns and len(names) == 1 else given

    named = {key: known(given) for key in ("label", "time") if (given := getattr(params, key)) is not None}
    series = [",".join(known(part.strip()) for part in given.split(",")) for given in params.series]
    return params.model_copy(update={**named, "series": series})


_FORECAST_ONLY = ("horizon", "season", "series", "every", "origin_every", "timezone")


def check_wanted(params: MLWorkflowParams) -> None:
    """Task and pipeline are there and fit each other, and no option is of another task.

    Raises:
        SpecError: with the nearest that is there.
    """
    if params.task is not None and params.task not in TASKS:
        raise SpecError(f"task: found {params.task!r}; {nearest(params.task, TASKS)}")
    if params.pipeline is not None and params.task is not None:
        pipeline_module(params.pipeline, params.task)  # type: ignore[arg-type]
    if params.pipeline is not None and params.pipeline not in NAMES:
        raise SpecError(f"pipeline: found {params.pipeline!r}; {nearest(params.pipeline, NAMES)}")
    stray = [name for name in _FORECAST_ONLY if getattr(params, name) not in (None, [])]
    if stray and params.task != "forecasting":
        raise SpecError(f"{', '.join(stray)}: only for --task forecasting")


def _valid(kind: type[S], source: Mapping[str, Any]) -> S:
    from pydantic import ValidationError

    try:
        return kind.model_validate(source)
    except ValidationError as error:
        # What was given may be a URL with a password: only the message is shown.
        raise SpecError("; ".join(item["msg"].removeprefix("Value error, ") for item in error.errors(include_url=False))) from None


def _cursor_note(profile: TableProfile) -> str:
    """Which column would do as a cursor."""
    changed = [c.source for c in profile.columns if c.column.type == "timestamp" and re.search("updated|modified|changed", c.name)]
    if not changed:
        return "everything is read each time; a column that only grows could be the cursor"
    return f"everything is read each time; cursor: {changed[0]}, overlap: 1h reads what is new (and sees no deletions)"


@contextmanager
def _place(request: dg.ScaffoldRequest[Any]) -> Iterator[tuple[Path, str, str]]:
    """The folder of definitions, domain and name of a request; an error of ours ends the command in one line and leaves nothing."""
    folder = request.target_path
    try:
        for what in (folder.parent.name, folder.name):
            if not NAME.fullmatch(what):
                raise SpecError(f"wanted <domain>/<name>, each of lower-case letters, digits and _, found {what!r}")
        if folder.parent.parent.name != "defs":
            raise SpecError(f"wanted <domain>/<name>, found {folder.name!r} alone or deeper than that")
        yield folder.parent.parent, folder.parent.name, folder.name
    except LakeloopError as error:
        for made in (folder, folder.parent):
            if made.is_dir() and made.name != "defs" and not any(made.iterdir()):
                made.rmdir()
        raise click.ClickException(str(error)) from error


def _write(defs: Path, files: Mapping[str, str]) -> None:
    """Write files that aren't there yet, all or none, and check the definitions that they make."""
    taken = [path for path in files if (defs / path).exists()]
    if taken:
        raise SpecError(f"{taken[0]} is there already; nothing was written")
    for path, text in files.items():
        (defs / path).parent.mkdir(parents=True, exist_ok=True)
        (defs / path).write_text(text, encoding="utf-8")
        click.echo(f"  {path}")
    mine = [str(e) for e in load_checked(defs)[1] if any(e.file.endswith(path) for path in files)]
    for problem in mine:
        click.echo(f"To be mended by hand: {problem}")


def _tell(lines: list[str]) -> None:
    for text in lines:
        click.echo(f"  - {text}")
