"""What a user may write: the fields of a LakeTable, a FeatureView and an MLWorkflow, validated.

One definition for YAML and Python. Cross-references between files are checked in `lakeloop.project`.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema, field_validator, model_validator

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_DURATION = re.compile(r"(\d+)\s*(s|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}

ColumnType = Literal["string", "integer", "double", "boolean", "date", "timestamp"]
Task = Literal["binary_classification", "regression"]
Grain = Literal["month", "day"]


def parse_duration(value: Any) -> Any:
    """Read `90s`, `30m`, `3h`, `7d` or `2w` as a timedelta.

    >>> parse_duration("36h")
    datetime.timedelta(days=1, seconds=43200)
    """
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value.strip())
    if not match:
        raise ValueError(f"wanted a duration such as 90s, 30m, 3h, 7d or 2w, found {value!r}")
    return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])


def render_duration(value: timedelta) -> str:
    """Write a timedelta in the largest unit that divides it.

    >>> render_duration(timedelta(days=14)), render_duration(timedelta(minutes=90))
    ('2w', '90m')
    """
    seconds = int(value.total_seconds())
    unit = next(u for u in ("w", "d", "h", "m", "s") if seconds % _SECONDS[u] == 0)
    return f"{seconds // _SECONDS[unit]}{unit}"


def _name(value: Any) -> Any:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise ValueError(f"wanted a name of lower-case letters, digits and _, starting with a letter, found {value!r}")
    return value


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


# What YAML may hold, for editors and `dg check yaml`: shorter forms than the parsed value has.
_DURATION_SCHEMA = WithJsonSchema({"type": "string", "pattern": r"^\d+\s*(s|m|h|d|w)$"})
_NAMES_SCHEMA = WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]})
Duration = Annotated[timedelta, BeforeValidator(parse_duration), PlainSerializer(render_duration), _DURATION_SCHEMA]
Name = Annotated[str, BeforeValidator(_name)]
Names = Annotated[list[str], BeforeValidator(_one_or_many), _NAMES_SCHEMA]


class Spec(BaseModel):
    """Base of every spec: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Column(Spec):
    """One column, described once. Shown in Dagster's metadata, the catalog and the model's signature.

    `source` names the landed column it is read from (its own name by default). A list of columns is joined with `-`, and then
    parsed by `format` (a timestamp or date) or kept (a string).
    """

    type: ColumnType
    description: str = ""
    unit: str | None = None
    nullable: bool = True
    personal: bool = False
    source: Names | None = None
    format: str | None = None
    timezone: str | None = None

    @model_validator(mode="after")
    def _time_options_fit(self) -> Column:
        if self.timezone and self.type != "timestamp":
            raise ValueError(f"timezone is for a timestamp, this column is a {self.type}")
        if self.format and self.type not in ("timestamp", "date"):
            raise ValueError(f"format is for a timestamp or a date, this column is a {self.type}")
        return self


def _expectation_schema(schema: dict[str, Any]) -> None:
    """One `expect_…` key, with severity and quarantine beside it."""
    known = {name: schema["properties"][name] for name in ("severity", "quarantine")}
    schema.update(properties=known, patternProperties={"^expect_": {"type": ["object", "null"]}}, required=[])


class Expectation(Spec):
    """A Great Expectations expectation by its own name, what it blocks, and whether failing rows go aside.

    In YAML: `- expect_column_values_to_be_between: {column: seats, min_value: 1}` with `severity` and `quarantine` beside it.
    """

    model_config = ConfigDict(json_schema_extra=_expectation_schema)

    type: str
    kwargs: dict[str, Any] = Field(default_factory=dict)
    severity: Literal["blocking", "warning"] = "blocking"
    quarantine: bool = False

    @model_validator(mode="before")
    @classmethod
    def _from_mapping(cls, value: Any) -> Any:
        if not isinstance(value, dict) or "type" in value:
            return value
        names = [key for key in value if str(key).startswith("expect_")]
        if len(names) != 1:
            raise ValueError(f"wanted one expect_… key, found {', '.join(map(str, value)) or 'none'}")
        rest = {key: val for key, val in value.items() if key != names[0]}
        return {"type": names[0], "kwargs": value[names[0]] or {}, **rest}

    @model_validator(mode="after")
    def _quarantine_has_a_column(self) -> Expectation:
        if self.quarantine and not ("column" in self.kwargs and self.type.startswith("expect_column_values_")):
            raise ValueError(f"quarantine is for expectations on the values of one column, {self.type} is not one")
        return self


class Partitions(Spec):
    """Which partitions there are: from `start` up to, and not including, `end` (open when absent)."""

    grain: Grain = "month"
    start: date
    end: date | None = None

    @model_validator(mode="after")
    def _start_before_end(self) -> Partitions:
        if self.end and self.end <= self.start:
            raise ValueError(f"wanted an end after start {self.start}, found {self.end}")
        if self.grain == "month" and (self.start.day != 1 or (self.end and self.end.day != 1)):
            raise ValueError("monthly partitions start and end on the first day of a month")
        return self


class Files(Spec):
    """Files as a source: paths or globs, relative to the definition's folder, or `package:<package>/<path>`."""

    files: Names
    format: Literal["csv", "parquet", "jsonl"] | None = None
    delimiter: str = ","
    null_values: Names = Field(default_factory=lambda: [""])


class PythonFunction(Spec):
    """A Python function as a source: `module:function`, or `file.py:function` beside the definition.

    It takes nothing and returns a pyarrow Table, a Polars or a pandas DataFrame.
    """

    function: str


class DeltaTableSource(Spec):
    """A Delta table that already exists: adopted in place, checked and used, not copied."""

    delta: str


class Described(Spec):
    """What every noun says of itself."""

    name: Name
    description: str = Field(min_length=1)
    owners: list[str] = Field(default_factory=list)


class TableSpec(Described):
    """A LakeTable.

    `known_delay` and `bulk_loaded_until` decide `known_at`: event time + delay, and for rows whose event time is not before
    `bulk_loaded_until`, or that correct an earlier row, never before they landed. `rules` are SQL conditions that every row must
    meet (true or null); a row that doesn't goes to quarantine under the rule's name.
    """

    source: Files | PythonFunction | DeltaTableSource
    columns: dict[Name, Column] = Field(min_length=1)
    keys: Names = Field(min_length=1)
    event_time: str | None = None
    known_delay: Duration = timedelta(0)
    bulk_loaded_until: datetime | None = None
    partitions: Partitions | None = None
    rules: dict[Name, str] = Field(default_factory=dict)
    expectations: list[Expectation] = Field(default_factory=list)

    @field_validator("source", mode="before")
    @classmethod
    def _source_by_its_key(cls, value: Any) -> Any:
        kinds = {"files": Files, "function": PythonFunction, "delta": DeltaTableSource}
        if isinstance(value, dict):
            found = [kind for key, kind in kinds.items() if key in value]
            if len(found) != 1:
                raise ValueError(f"wanted one of files, function or delta, found {', '.join(map(str, value)) or 'nothing'}")
            return found[0].model_validate(value)  # type: ignore[attr-defined]
        return value

    @field_validator("bulk_loaded_until")
    @classmethod
    def _utc(cls, value: datetime | None) -> datetime | None:
        return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value

    @model_validator(mode="after")
    def _columns_exist(self) -> TableSpec:
        from lakeloop.errors import nearest

        for key in self.keys:
            if key not in self.columns:
                raise ValueError(f"keys: no column {key!r}; {nearest(key, self.columns)}")
        if self.event_time is not None:
            if self.event_time not in self.columns:
                raise ValueError(f"event_time: no column {self.event_time!r}; {nearest(self.event_time, self.columns)}")
            if self.columns[self.event_time].type not in ("timestamp", "date"):
                raise ValueError(f"event_time: wanted a timestamp or date, {self.event_time} is a {self.columns[self.event_time].type}")
        if self.partitions and not self.event_time:
            raise ValueError("partitions: a partitioned table needs an event_time")
        return self


class ViewSpec(Described):
    """A FeatureView: one SQL file, or one PySpark function (`module:function`, or `file.py:function` beside the definition) over lake tables.

    A function takes the tables of `inputs` by name, as Spark DataFrames, and returns one.

    `columns` are the features; keys, event time and, if the view computes it, `known_at` are columns of the query's result too.
    `lookback` is how far before a row's event time the query may read; `delay` is added to the event time when there is no
    `known_at` column.
    """

    version: int = Field(default=1, ge=1)
    sql: str | None = None
    function: str | None = None
    inputs: list[str] = Field(default_factory=list)
    keys: Names = Field(min_length=1)
    event_time: str | None = None
    known_at: str | None = None
    delay: Duration = timedelta(0)
    lookback: Duration = timedelta(0)
    columns: dict[Name, Column] = Field(min_length=1)
    partitions: Partitions | None = None
    expectations: list[Expectation] = Field(default_factory=list)

    @model_validator(mode="after")
    def _one_definition(self) -> ViewSpec:
        if (self.sql is None) == (self.function is None):
            raise ValueError("wanted either sql (a file) or function (module:function)")
        if self.function and not self.inputs:
            raise ValueError("inputs: a view by function lists the tables that it reads")
        if self.sql and self.inputs:
            raise ValueError("inputs: the tables of a view by SQL are read from the SQL; leave inputs out")
        return self


class Label(Spec):
    """The column that is predicted: a column of a feature view with the spine's entity keys."""

    view: str
    column: str


def _feature_schema(schema: dict[str, Any]) -> None:
    """A mapping with `columns`, or the columns alone."""
    mapping = {name: schema.pop(name) for name in list(schema)}
    schema["anyOf"] = [mapping, {"type": "string"}, {"type": "array", "items": {"type": "string"}}]


class FeatureRef(Spec):
    """Which columns of a view or table a workflow takes; `*` takes all. Values older than `max_age` are null."""

    model_config = ConfigDict(json_schema_extra=_feature_schema)

    columns: Names
    max_age: Duration | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, value: Any) -> Any:
        return {"columns": value} if isinstance(value, (list, str)) else value


class Model(Spec):
    """A ready-made pipeline by name, or any scikit-learn-style estimator by import path (`module:Class`)."""

    pipeline: str | None = None
    estimator: str | None = None
    params: dict[str, Any] = Field(default_factory=dict)
    trusted_types: list[str] = Field(default_factory=list)
    seed: int = 0

    @model_validator(mode="after")
    def _one_of(self) -> Model:
        if (self.pipeline is None) == (self.estimator is None):
            raise ValueError("wanted either pipeline or estimator")
        return self


class Split(Spec):
    """Windows back from the newest known label: test ends there, `gap` parts each two."""

    train: Duration
    validation: Duration = timedelta(0)
    test: Duration
    gap: Duration = timedelta(0)


class Costs(Spec):
    """What a wrong decision costs, in any one unit; the report finds the threshold that costs least."""

    false_positive: float = Field(ge=0)
    false_negative: float = Field(ge=0)

    @model_validator(mode="after")
    def _something_costs(self) -> Costs:
        if not (self.false_positive or self.false_negative):
            raise ValueError("wanted a cost above 0: with both at 0 every threshold is as good")
        return self


class Evaluation(Spec):
    """What the report measures: the metric that decides, and the columns by which errors are sliced.

    `cluster` says which rows may depend on each other: `day` (of `predict_at`), or a key or feature; rows are taken as independent
    without it. `costs` are those of a binary classification.
    """

    primary: str
    slices: list[str] = Field(default_factory=list)
    cluster: str | None = None
    costs: Costs | None = None


class Gate(Spec):
    """Bounds on a metric; for `champion`, a bound on the loss of the primary metric against it.

    A challenger is promoted when a loss of `max_drop` or more is ruled out, and so is being no better than a constant, each with a
    probability of error of at most `error_rate` (0.05 unless said otherwise).
    """

    min: float | None = None
    max: float | None = None
    max_drop: float | None = Field(default=None, ge=0)
    error_rate: float | None = Field(default=None, gt=0, le=0.5)
    severity: Literal["blocking", "warning"] = "blocking"


class Batch(Spec):
    """When batch predictions are made (cron, UTC)."""

    schedule: str | None = None


class Online(Spec):
    """That the released version is served. Rollout steps are read by the rollout."""

    canary: dict[str, Any] | None = None


class Retrain(Spec):
    """When the model is trained again: a cron schedule (UTC), causes, and the least time between two trainings."""

    schedule: str | None = None
    causes: list[Literal["data", "drift", "live_quality"]] = Field(default_factory=list)
    cooldown: Duration = timedelta(0)


class WorkflowSpec(Described):
    """An MLWorkflow: from spine, label and features to a released, served model."""

    task: Task
    spine: str
    keys: Names = Field(min_length=1)
    predict_at: str = "predict_at"
    label: Label
    features: dict[str, FeatureRef] = Field(min_length=1)
    model: Model
    split: Split
    evaluation: Evaluation
    gates: dict[str, Gate] = Field(default_factory=dict)
    partitions: Partitions | None = None
    expectations: dict[Literal["training_set", "predictions"], list[Expectation]] = Field(default_factory=dict)
    batch: Batch | None = None
    online: Online | None = None
    retrain: Retrain | None = None
