"""The fields of an MLWorkflow, validated. Cross-references between files are checked in `lakeloop.checking.project`."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, StrictInt, StrictStr, WithJsonSchema, field_validator, model_validator

from lakeloop.spec.cron import Cron
from lakeloop.spec.search import Search
from lakeloop.spec.tables import Delay, Described, Duration, Expectation, Names, Partitions, Spec, Task, omitted_when
from lakeloop.spec.tasks import MEDIAN, QUANTILES, Answer
from lakeloop.spec.zones import Zone

MODEL_SOURCES = ("pipeline", "estimator", "train", "registered")
"""The keys of `model`, of which a workflow has one."""


class Label(Spec):
    """The column that is predicted: a column of a feature view with the spine's entity keys.

    `classes` lists its values for a classification in several classes: texts or integers, in the order of the report.
    """

    view: str
    column: str
    classes: list[StrictStr | StrictInt] = Field(default_factory=list)
    allow_personal: bool = False

    @field_validator("classes", mode="before")
    @classmethod
    def _classes_are_of_one_kind(cls, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        if any(isinstance(label, bool) for label in value):
            raise ValueError("wanted texts or integers, found a boolean: put true and false into quotes")
        if len({type(label) for label in value}) > 1:
            raise ValueError("wanted texts only or integers only")
        if len(set(value)) < len(value):
            raise ValueError(f"{next(label for label in value if value.count(label) > 1)!r} is listed twice")
        return value


def _feature_schema(schema: dict[str, Any]) -> None:
    """A mapping with `columns`, or the columns alone."""
    mapping = {name: schema.pop(name) for name in list(schema)}
    schema["anyOf"] = [mapping, {"type": "string"}, {"type": "array", "items": {"type": "string"}}]


class FeatureRef(Spec):
    """The columns of a view or table that a workflow takes; `*` takes all. Values older than `max_age` are null."""

    model_config = ConfigDict(json_schema_extra=_feature_schema)

    columns: Names
    max_age: Duration | None = None
    allow_personal: bool = False

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, value: Any) -> Any:
        return {"columns": value} if isinstance(value, (list, str)) else value

    @field_validator("max_age")
    @classmethod
    def _some_age(cls, value: timedelta | None) -> timedelta | None:
        if value is not None and not value:
            raise ValueError("wanted a duration such as 6h, found 0s: every value would be too old")
        return value


def _warm_start_schema(schema: dict[str, Any]) -> None:
    """A mapping, or `champion` for the defaults."""
    mapping = {name: schema.pop(name) for name in list(schema)}
    schema["anyOf"] = [mapping, {"enum": ["champion"]}]


class WarmStart(Spec):
    """Lets boosted trees continue from the champion: `trees` more at a time, on rows that it wasn't trained on, up to `limit`.

    A model that can't be continued is trained in full. `champion` alone means the defaults.
    """

    model_config = ConfigDict(json_schema_extra=_warm_start_schema)

    trees: int = Field(default=50, gt=0)
    limit: int = Field(default=1_000, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        if isinstance(value, str) and value != "champion":
            raise ValueError(f"wanted champion, or {{trees: …, limit: …}}, found {value!r}")
        return {} if value == "champion" else value


def _calibration_method(value: Any) -> Any:
    return {True: "sigmoid", False: None}[value] if isinstance(value, bool) else value


Calibrate = Annotated[
    Literal["sigmoid", "isotonic"] | None,
    BeforeValidator(_calibration_method),
    WithJsonSchema({"enum": [True, False, "sigmoid", "isotonic"]}),
]


class Model(Spec):
    """Where the model comes from: exactly one of four.

    Attributes:
        pipeline: a ready-made pipeline by name, or `file.py` beside the definition with the same contract.
        estimator: a scikit-learn-style class, `module:Class` or `file.py:Class`.
        train: a function that fits, `module:function` or `file.py:function`, called as `f(frame, label, *, answer, params, seed)`.
        registered: a registered model of MLflow, made elsewhere; by `version`, by `alias`, or its newest version.
        params: parameters of the pipeline, the class or the function.
        warm_start: let a pipeline of boosted trees continue from the champion; without it each training starts anew.
        trusted_types: types in the stored model beyond those that are always trusted.
        seed: seed of everything that is drawn at random.
        calibrate: calibrate the probabilities of a classification on the newest fifth of the training rows: `true` or `sigmoid`, or `isotonic`.
    """

    pipeline: str | None = None
    estimator: str | None = None
    train: str | None = None
    registered: str | None = None
    version: int | None = Field(default=None, ge=1)
    alias: str | None = None
    params: dict[str, Any] = Field(default_factory=dict)
    warm_start: WarmStart | None = None
    trusted_types: list[str] = Field(default_factory=list)
    seed: int = 0
    calibrate: Calibrate = None

    @model_validator(mode="after")
    def _one_source(self) -> Model:
        sources = [key for key in MODEL_SOURCES if getattr(self, key) is not None]
        if len(sources) != 1:
            raise ValueError(f"wanted one of {', '.join(MODEL_SOURCES)}, found {' and '.join(sources) or 'none'}")
        if self.registered is None and not (self.version is None and self.alias is None):
            raise ValueError("version and alias are of a registered model")
        if self.warm_start is not None and self.pipeline is None:
            raise ValueError("warm_start: only a pipeline can be continued")
        if self.warm_start is not None and self.calibrate:
            raise ValueError("warm_start: trees under a calibration can't be continued; leave out one of warm_start and calibrate")
        if self.calibrate and (self.train is not None or self.registered is not None):
            raise ValueError("calibrate: only a pipeline or an estimator can be calibrated")
        if self.version is not None and self.alias is not None:
            raise ValueError("wanted version or alias, found both")
        if self.registered is not None and self.params:
            raise ValueError("params: a registered model is taken as it is, it has none to set")
        return self


def _parse_step(value: Any) -> Any:
    from lakeloop.spec.steps import Step

    return str(Step.parse(value))


class Forecast(Spec):
    """The meaning of a forecast's spine: which keys name a series, the time that is forecast, and how far ahead that is.

    `series`, `target` and `ahead` (a number of steps) are keys of the spine; `horizon` is the furthest step; `naive` is the feature that holds
    the seasonal naive forecast, which the model is compared with. Days, weeks and months of `every` are those of the calendar in `timezone`, UTC
    unless it is named; rows of an evaluation that are clustered by day or week are so by local ones.
    """

    series: Names = Field(min_length=1)
    target: str
    ahead: str
    horizon: int = Field(ge=1)
    every: Annotated[str, BeforeValidator(_parse_step)]
    naive: str
    timezone: Zone | None = omitted_when(None)

    @property
    def reach(self) -> timedelta:
        """How far ahead the furthest forecast lies, at most."""
        from lakeloop.spec.steps import Step

        return Step.parse(self.every, self.timezone).longest(self.horizon)


class Anomaly(Spec):
    """How many rows an anomaly detector may flag: `alert_rate` is a share of the ordinary rows; without it rows get a score and no flag."""

    alert_rate: float = Field(gt=0, lt=0.5)


class Split(Spec):
    """Windows back from the newest known label: the test window ends there, and a `gap` separates each two.

    `group` names keys or features whose values are a person, a machine, a shop: rows of one group are never on both sides of a split. Rows that
    have no time (`evaluation.static`) are placed by group; otherwise earlier rows of a group that a later window has are left out.
    """

    train: Duration
    validation: Duration = timedelta(0)
    test: Duration
    gap: Duration = timedelta(0)
    group: Names | None = omitted_when(None)

    @field_validator("group")
    @classmethod
    def _some_group(cls, value: list[str] | None) -> list[str] | None:
        if value is not None and not value:
            raise ValueError("wanted the column of the groups, such as group: patient, found none")
        return value


class Costs(Spec):
    """The costs of wrong decisions, in one unit of any kind; the report finds the threshold that costs least."""

    false_positive: float = Field(ge=0)
    false_negative: float = Field(ge=0)

    @model_validator(mode="after")
    def _something_costs(self) -> Costs:
        if not (self.false_positive or self.false_negative):
            raise ValueError("wanted a cost above 0: with both at 0 every threshold is as good")
        return self


class Evaluation(Spec):
    """What the report measures: the metric that decides, and the columns by which errors are sliced.

    `cluster` names rows that may depend on each other: `day` or `week` (of `predict_at`), or a key or feature; without it rows count as
    independent. `costs` are those of a binary classification. `static` means that `predict_at` is not a time but a fixed, shuffled order, as
    drafted for a table without times: the report then shows nothing over time.
    """

    primary: str
    slices: list[str] = Field(default_factory=list)
    cluster: str | None = None
    costs: Costs | None = None
    static: bool = False


class Gate(Spec):
    """Bounds on a metric; for `champion`, a bound on the loss of the primary metric against it.

    A challenger is promoted if a loss of `max_drop` or more is ruled out, and so is being no better than a constant, each with a
    probability of error of at most `error_rate` (0.05 by default).
    """

    min: float | None = None
    max: float | None = None
    max_drop: float | None = Field(default=None, ge=0)
    error_rate: float | None = Field(default=None, gt=0, le=0.5)
    severity: Literal["blocking", "warning"] = "blocking"


class Batch(Spec):
    """When batch predictions are made (cron, UTC)."""

    schedule: Cron | None = None


class Online(Spec):
    """Serves the released version; it has no settings."""


class Retrain(Spec):
    """When the model is trained again: by a cron schedule (UTC), and for the listed causes, once the last training is `cooldown` ago."""

    schedule: Cron | None = None
    causes: list[Literal["data"]] = Field(default_factory=list)
    cooldown: Delay = timedelta(0)


class WorkflowSpec(Described):
    """An MLWorkflow: from spine, label and features to a released, served model.

    `quantiles` are those that a quantile regression predicts.
    """

    task: Task
    spine: str
    keys: Names = Field(min_length=1)
    predict_at: str = "predict_at"
    label: Label | None = None
    quantiles: list[float] = Field(default_factory=list)
    features: dict[str, FeatureRef] = Field(min_length=1)
    model: Model
    split: Split
    evaluation: Evaluation
    gates: dict[str, Gate] = Field(default_factory=dict)
    partitions: Partitions | None = None
    expectations: dict[Literal["training_set", "predictions"], list[Expectation]] = Field(default_factory=dict)
    forecast: Forecast | None = None
    anomaly: Anomaly | None = None
    batch: Batch | None = None
    online: Online | None = None
    retrain: Retrain | None = None
    search: Search | None = None

    @model_validator(mode="after")
    def _sections_fit_the_task(self) -> WorkflowSpec:
        if (self.forecast is not None) != (self.task == "forecasting"):
            section = "none" if self.forecast is None else f"one with the task {self.task}"
            raise ValueError(
                f"wanted a section forecast: {{series, target, ahead, horizon, every, naive}} with the task forecasting and no other, found {section}"
            )
        if self.anomaly is not None and self.task != "anomaly_detection":
            raise ValueError(f"wanted a section anomaly with the task anomaly_detection only, found one with the task {self.task}")
        if self.label is None and self.task != "anomaly_detection":
            raise ValueError(
                f"wanted a label, such as label: {{view: outcomes, column: happened}}: only anomaly_detection does without, found {self.task}"
            )
        return self

    @property
    def answer(self) -> Answer:
        """What its models answer for a row."""
        quantiles = tuple(self.quantiles or QUANTILES) if self.task == "quantile_regression" else ()
        return Answer(self.task, tuple(self.label.classes) if self.label else (), quantiles)

    @field_validator("quantiles")
    @classmethod
    def _quantiles_increase_and_have_the_median(cls, value: list[float]) -> list[float]:
        if value and not (all(0 < level < 1 for level in value) and value == sorted(set(value)) and MEDIAN in value and len(value) > 1):
            raise ValueError(
                f"wanted increasing numbers between 0 and 1 with {MEDIAN} among them, such as {list(QUANTILES)}, found {value}"
            )
        return value
