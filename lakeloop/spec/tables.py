"""The fields of a LakeTable and a FeatureView, validated; those of an MLWorkflow are in `lakeloop.spec.workflow`.

The same classes serve YAML and Python. Cross-references between files are checked in `lakeloop.checking.project`.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from lakeloop.errors import nearest
from lakeloop.spec.key_texts import key_texts
from lakeloop.spec.number_formats import parse_number_format
from lakeloop.spec.zones import Zone

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic_core import CoreSchema

PARTITION = "_partition"
"""The column that holds a row's partition."""
ROW, FILE = "_row", "_file"
"""Columns that the landing adds to every row: its number in its file (from 1, without the header) and the file. Declared columns may be read
from them."""
NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_DURATION = re.compile(r"(\d+)\s*(s|m|h|d|w)")
_DECIMAL = re.compile(r"decimal\(\s*(\d{1,2})\s*,\s*(\d{1,2})\s*\)")
PLAIN_TYPES = ("string", "integer", "double", "boolean", "date", "timestamp")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}

LONGEST = timedelta(days=36_525)
"""Nobody means a longer duration: it is a number too many, or another unit."""
LONGEST_DELAY = timedelta(days=7_305)
"""The same for what is waited for: until a row is known, until a model is trained again."""
Task = Literal[
    "binary_classification", "multiclass_classification", "regression", "quantile_regression", "forecasting", "anomaly_detection"
]
Grain = Literal["month", "day"]


def parse_duration(value: Any) -> Any:
    """Parse `90s`, `30m`, `3h`, `7d` or `2w` as a timedelta; a value that isn't text is returned as it is, for pydantic to validate.

    Raises:
        ValueError: a text isn't a duration.

    >>> parse_duration("36h")
    datetime.timedelta(days=1, seconds=43200)
    """
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value.strip())
    if not match:
        raise ValueError(f"wanted a duration such as 90s, 30m, 3h, 7d or 2w, found {value!r}")
    return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])


def _check_duration(value: Any) -> Any:
    """A duration with its unit, in text: pydantic would take a number for seconds. Nothing needs no unit."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value:
        raise ValueError(f"wanted a duration with its unit, such as {value:g}h or {value:g}d, found {value!r}")
    duration = parse_duration(value)
    if isinstance(duration, timedelta) and duration > LONGEST:
        raise ValueError(f"wanted a duration of at most 100 years, found {value!r}")
    return duration


def check_delay(value: timedelta) -> timedelta:
    """A delay as it is, unless nobody could mean it."""
    if value > LONGEST_DELAY:
        raise ValueError(f"wanted a duration of at most 20 years, found {render_duration(value)}")
    return value


def render_duration(value: timedelta) -> str:
    """Render a timedelta in the largest unit that divides it.

    >>> render_duration(timedelta(days=14)), render_duration(timedelta(minutes=90))
    ('2w', '90m')
    """
    seconds = int(value.total_seconds())
    unit = next(u for u in ("w", "d", "h", "m", "s") if seconds % _SECONDS[u] == 0)
    return f"{seconds // _SECONDS[unit]}{unit}"


def _check_name(value: Any) -> Any:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise ValueError(f"wanted a name of lower-case letters, digits and _, starting with a letter, found {value!r}")
    return value


def _check_type(value: Any) -> Any:
    """A type's name; of a decimal with its digits, in one spelling.

    >>> _check_type("decimal(10, 2)")
    'decimal(10,2)'
    """
    if value in PLAIN_TYPES:
        return value
    digits = _DECIMAL.fullmatch(str(value).strip())
    if digits is None:
        raise ValueError(f"found {value!r}; {nearest(str(value), [*PLAIN_TYPES, 'decimal(p,s)'])}")
    precision, scale = map(int, digits.groups())
    if not (1 <= precision <= 38 and scale <= precision):
        raise ValueError(f"wanted decimal(p,s) of 1 to 38 digits, s of them decimals, found {value!r}")
    return f"decimal({precision},{scale})"


def decimal_digits(kind: str) -> tuple[int, int] | None:
    """The digits of a decimal type, and how many of them are decimals; None for another type.

    >>> decimal_digits("decimal(10,2)"), decimal_digits("double")
    ((10, 2), None)
    """
    digits = _DECIMAL.fullmatch(kind)
    return (int(digits[1]), int(digits[2])) if digits else None


def is_number_type(kind: str) -> bool:
    """Whether a declared type is a number.

    >>> is_number_type("decimal(10,2)"), is_number_type("boolean")
    (True, False)
    """
    return kind in ("integer", "double") or decimal_digits(kind) is not None


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


# The forms that YAML may have, for editors and `dg check yaml`; they are shorter than the parsed values.
_DURATION_SCHEMA = WithJsonSchema({"type": "string", "pattern": r"^\d+\s*(s|m|h|d|w)$"})
_NAMES_SCHEMA = WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]})
BYTE_FORMATS = ("hex", "base64")
"""How bytes are written as a string."""
EPOCHS = {"epoch_s": ("seconds", 6), "epoch_ms": ("milliseconds", 3), "epoch_us": ("microseconds", 0)}
"""Formats of timestamps that are numbers since 1970 in UTC: their unit, and the decimals of it that microseconds have."""
Duration = Annotated[timedelta, BeforeValidator(_check_duration), PlainSerializer(render_duration), _DURATION_SCHEMA]
Delay = Annotated[Duration, AfterValidator(check_delay)]
Overlap = Annotated[
    timedelta | int,
    BeforeValidator(parse_duration),
    PlainSerializer(lambda value: render_duration(value) if isinstance(value, timedelta) else value),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": r"^\d+\s*(s|m|h|d|w)$"}, {"type": "integer", "minimum": 0}]}),
]
"""How far before a cursor to read again: a duration if the cursor is a time, a number if it is a number."""
Name = Annotated[str, BeforeValidator(_check_name)]
ColumnType = Annotated[
    str,
    BeforeValidator(_check_type),
    WithJsonSchema({"anyOf": [{"enum": list(PLAIN_TYPES)}, {"type": "string", "pattern": r"^decimal\(\d+, *\d+\)$"}]}),
]
Names = Annotated[list[str], BeforeValidator(_as_list), _NAMES_SCHEMA]


def omitted_when(default: Any) -> Any:
    """A field with this default, which definitions of earlier releases lack: at its default it is in no dump, so that their fingerprints stay as they are."""
    return Field(default, exclude_if=lambda value: value == default)


class Spec(BaseModel):
    """Base of every spec: frozen, rejects unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The schema with the texts of the reference, for editors and Dagster's page of a component."""
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for key, text in key_texts().get(cls.__name__, {}).items():
            if key in properties:
                properties[key]["description"] = " ".join(filter(None, (text["is"], text.get("rule") and f"({text['rule']})")))
        return schema


class Column(Spec):
    """One column, described once; the description appears in Dagster's metadata, the catalog and the model's signature.

    `source` names the landed column that it is read from (its own name by default). A list of columns is joined with `-`, and then
    parsed by `format` (a timestamp or date) or kept (a string). Values of a `personal` column appear in the data only; unless a view's
    column says otherwise, it is personal if it is computed from one that is.

    `path` leads to a field of a landed column that holds JSON. `null_values` are texts that mean that there is no value, in this column alone,
    beside those of the source. `non_finite` says what NaN and infinity of a double are: values to `keep`, or null; without it their rows go to
    quarantine. Bytes are text in UTF-8, or written by `format: hex` or `base64`. The `format` of a number is 1234.5 as the column writes it.
    """

    type: ColumnType
    description: str = ""
    unit: str | None = None
    nullable: bool = True
    personal: bool | None = None
    source: Names | None = None
    format: str | None = None
    timezone: Zone | None = None
    path: Names | None = omitted_when(None)
    null_values: Names | None = omitted_when(None)
    non_finite: Literal["keep", "null"] | None = omitted_when(None)

    @model_validator(mode="after")
    def _options_fit(self) -> Column:
        if self.timezone and self.type != "timestamp":
            raise ValueError(f"timezone is for a timestamp, this column is a {self.type}")
        if self.format and self.type == "string" and self.format not in BYTE_FORMATS:
            raise ValueError(f"format of a string says how bytes are written: wanted {' or '.join(BYTE_FORMATS)}, found {self.format!r}")
        if self.format and self.type == "boolean":
            raise ValueError("format is for a timestamp, a date, a number or bytes held as a string, this column is a boolean")
        if self.format and is_number_type(self.type):
            parse_number_format(self.format)
        if self.format in EPOCHS and (self.type != "timestamp" or self.timezone):
            raise ValueError(f"format: {self.format} is of a timestamp in UTC, without timezone: found type: {self.type}")
        if self.non_finite and self.type != "double":
            raise ValueError(f"non_finite is for a double, this column is a {self.type}")
        if self.path and self.source and len(self.source) > 1:
            raise ValueError("path: leads into one landed column, and source lists several")
        return self

    def in_zone(self, zone: str | None) -> Column:
        """The column with a zone for times that name none, where it is a timestamp, counts no seconds since 1970 and has no zone of its own."""
        has_none = self.type == "timestamp" and self.timezone is None and self.format not in EPOCHS
        return self.model_copy(update={"timezone": zone}) if zone and has_none else self


def _expectation_schema(schema: dict[str, Any]) -> None:
    """One `expect_…` key, with severity and quarantine beside it."""
    options = {name: schema["properties"][name] for name in ("severity", "quarantine")}
    schema.update(properties=options, patternProperties={"^expect_": {"type": ["object", "null"]}}, required=[])


class Expectation(Spec):
    """A Great Expectations expectation by its own name, its severity, and whether failing rows are quarantined.

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
        options = {key: val for key, val in value.items() if key != names[0]}
        return {"type": names[0], "kwargs": value[names[0]] or {}, **options}

    @model_validator(mode="after")
    def _quarantine_has_a_column(self) -> Expectation:
        if self.quarantine and not ("column" in self.kwargs and self.type.startswith("expect_column_values_")):
            raise ValueError(f"quarantine is for expectations on the values of one column, {self.type} is not one")
        return self


class Partitions(Spec):
    """The partitions of a table: from `start` up to, and not including, `end` (open without one)."""

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
    """Files as a source: paths or globs, relative to the definition's folder, or `package:<package>/<path>`.

    Text is UTF-8 unless `encoding` names another. Of CSV, `header: false` names columns `column_1` and so on, `quote: none` takes quotes for text, `escape` is what stands before a quote that is
    text, and lines that begin with `comment` are left out. Of a workbook (`.xlsx`), `sheet` names the sheet, and `header_row` the row of the header where cells
    with titles stand above it.

    Rows of a file that isn't there any more stay (`on_missing: keep`), or go with it (`retire`): they are unknown from the landing on that noticed it.
    """

    files: Names
    format: Literal["csv", "parquet", "jsonl", "xlsx"] | None = None
    delimiter: str = ","
    null_values: Names = Field(default_factory=lambda: [""])
    header: bool = omitted_when(True)
    quote: Literal["none"] | None = omitted_when(None)
    escape: Literal["\\"] | None = omitted_when(None)
    comment: str | None = omitted_when(None)
    encoding: str | None = omitted_when(None)
    sheet: str | None = omitted_when(None)
    header_row: Annotated[int, Field(ge=1)] | None = omitted_when(None)
    on_missing: Literal["keep", "retire"] = omitted_when("keep")

    @property
    def is_workbook(self) -> bool:
        """Whether its files are workbooks, by their format or their names."""
        return self.format == "xlsx" or (
            self.format is None and any(re.search(r"\.xls[xm](\.(gz|zip|zst))?$", name, re.IGNORECASE) for name in self.files)
        )

    @model_validator(mode="after")
    def _options_of_workbooks(self) -> Files:
        given = next((name for name in ("sheet", "header_row") if getattr(self, name) is not None), None)
        if given and not self.is_workbook:
            raise ValueError(f"{given}: is for workbooks, whose names end with .xlsx or .xlsm, or that have format: xlsx")
        return self

    @field_validator("encoding")
    @classmethod
    def _names_a_text_encoding(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            "".encode(value)
        except LookupError as error:
            raise ValueError(f"wanted a text encoding, such as cp1252, utf-16 or shift_jis, found {value!r}") from error
        return value


class PythonFunction(Spec):
    """A Python function as a source: `module:function`, or `file.py:function` beside the definition.

    It takes no arguments and returns a pyarrow Table, a Polars or a pandas DataFrame.
    """

    function: str


class DeltaTableSource(Spec):
    """An existing Delta table, adopted in place: checked and used, not copied."""

    delta: str


class DatabaseSource(Spec):
    """A table or a query of a SQL database.

    `database` names the environment variable that holds the URL, since a URL contains a password and belongs in no file. Each read takes all
    rows; with a `cursor` (a column that only grows: a time of change, a serial number) it takes the rows that are new since the last read and
    those within the `overlap` before it, which may have been committed out of order. Deleted rows are noticed only without a cursor.
    """

    database: str
    table: str | None = None
    query: str | None = None
    cursor: str | None = None
    overlap: Overlap = timedelta(0)

    @model_validator(mode="after")
    def _has_table_or_query(self) -> DatabaseSource:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", self.database):
            raise ValueError(
                "database: wanted the name of an environment variable that holds the URL, found something else (kept out of this message)"
            )
        if (self.table is None) == (self.query is None):
            raise ValueError("wanted either table or query (a file of SQL)")
        if self.overlap and self.cursor is None:
            raise ValueError("overlap: reaches back from a cursor, and there is none")
        return self


class Described(Spec):
    """The fields that every definition has."""

    name: Name
    description: str = Field(min_length=1)
    owners: list[str] = Field(default_factory=list)


class TableSpec(Described):
    """A LakeTable.

    `known_delay` and `bulk_loaded_until` decide `known_at`: event time plus delay, but never before the landing for rows whose event time is
    not before `bulk_loaded_until`, or that correct an earlier row. Without `bulk_loaded_until` the first landing is the bulk load, and rows
    that land later were not known before. `rules` are SQL conditions that every row must meet (true or null); a row that doesn't goes to
    quarantine under the rule's name. An adopted table may have no `keys`: views can read it then, and no feature is looked up in it.

    `timezone` is the zone of all times that name none, unless their column says another. A time that the clocks of the zone showed twice is
    decided by the order of the source's rows, where that tells (`lakeloop.rows.local_times`). Forecasts of the table count days, weeks and months
    in this zone.
    """

    source: Files | PythonFunction | DeltaTableSource | DatabaseSource
    timezone: Zone | None = omitted_when(None)
    columns: dict[Name, Column] = Field(min_length=1)
    keys: Names = Field(default_factory=list)
    event_time: str | None = None
    known_delay: Delay = timedelta(0)
    bulk_loaded_until: datetime | None = None
    partitions: Partitions | None = None
    rules: dict[Name, str] = Field(default_factory=dict)
    expectations: list[Expectation] = Field(default_factory=list)

    @field_validator("source", mode="before")
    @classmethod
    def _source_by_its_key(cls, value: Any) -> Any:
        kinds = {"files": Files, "function": PythonFunction, "delta": DeltaTableSource, "database": DatabaseSource}
        if isinstance(value, dict):
            matches = [kind for key, kind in kinds.items() if key in value]
            if len(matches) != 1:
                raise ValueError(f"wanted one of files, function, delta or database, found {', '.join(map(str, value)) or 'nothing'}")
            return matches[0].model_validate(value)  # type: ignore[attr-defined]
        return value

    @field_validator("columns")
    @classmethod
    def _have_the_zone(cls, value: dict[str, Column], info: ValidationInfo) -> dict[str, Column]:
        zone = info.data.get("timezone")
        return {name: column.in_zone(zone) for name, column in value.items()}

    @field_validator("bulk_loaded_until")
    @classmethod
    def _as_utc(cls, value: datetime | None) -> datetime | None:
        return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value

    @model_validator(mode="after")
    def _columns_exist(self) -> TableSpec:
        if not self.keys and not isinstance(self.source, DeltaTableSource):
            raise ValueError("keys: wanted the columns that identify a row; only an adopted Delta table may have none")
        for key in self.keys:
            if key not in self.columns:
                raise ValueError(f"keys: no column {key!r}; {nearest(key, self.columns)}")
            if isinstance(self.source, DatabaseSource) and self.source.cursor and ROW in (self.columns[key].source or ()):
                raise ValueError(
                    f"keys: {key} is read from {ROW}, and with a cursor every read counts from 1 again, so later rows would take the place of "
                    "earlier ones; wanted columns that identify a row, or no cursor"
                )
        if self.event_time is not None:
            if self.event_time not in self.columns:
                raise ValueError(f"event_time: no column {self.event_time!r}; {nearest(self.event_time, self.columns)}")
            if self.columns[self.event_time].type not in ("timestamp", "date"):
                raise ValueError(f"event_time: wanted a timestamp or date, {self.event_time} is a {self.columns[self.event_time].type}")
            if self.columns[self.event_time].personal:
                raise ValueError("event_time: it decides the partitions and is shown everywhere, so it can't be personal")
        if self.partitions and not self.event_time:
            raise ValueError("partitions: a partitioned table needs an event_time")
        return self

    def zone_of(self, time: str) -> str | None:
        """The zone in which the days of a time begin: the table's, or that of its column; None for UTC, and for dates, which have none."""
        column = self.columns[time]
        zone = self.timezone or column.timezone
        return None if column.type == "date" or zone == "UTC" else zone


class ViewSpec(Described):
    """A FeatureView: one SQL file, or one PySpark function (`module:function`, or `file.py:function` beside the definition) over lake tables.

    A function takes the tables of `inputs` by name, as Spark DataFrames, and returns one.

    `columns` are the features; the query's result also has the keys, the event time and, if the view computes it, `known_at`.
    `lookback` is how far before a row's event time the query may read; `delay` is added to the event time if there is no
    `known_at` column. A view by function lists in `lineage` the `<input>.<column>` that each of its columns is computed from; for a view by
    SQL the lineage is read from the SQL.
    """

    version: int = Field(default=1, ge=1)
    sql: str | None = None
    function: str | None = None
    inputs: list[str] = Field(default_factory=list)
    lineage: dict[Name, Names] = Field(default_factory=dict)
    keys: Names = Field(min_length=1)
    event_time: str | None = None
    known_at: str | None = None
    known_delay: Literal["ignored"] | None = omitted_when(None)
    delay: Delay = timedelta(0)
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
        if self.sql and self.lineage:
            raise ValueError("lineage: of a view by SQL it is read from the SQL; leave lineage out")
        return self
