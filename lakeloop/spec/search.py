"""The hyperparameter search of a workflow, `search:` in its file, validated. `lakeloop.search.space` applies it."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, field_validator, model_validator

from lakeloop.errors import nearest
from lakeloop.spec.tables import Spec

SAMPLERS = (
    "BruteForceSampler", "CmaEsSampler", "GPSampler", "GridSampler", "NSGAIIISampler", "NSGAIISampler", "QMCSampler", "RandomSampler",
    "TPESampler",
)  # fmt: skip
PRUNERS = (
    "HyperbandPruner", "MedianPruner", "NopPruner", "PercentilePruner", "SuccessiveHalvingPruner", "ThresholdPruner", "WilcoxonPruner",
)  # fmt: skip
"""Optuna's, by name; those that wrap another one can't be written in a file."""
Value = bool | int | float | str | None


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


Values = Annotated[list[Value], BeforeValidator(_as_list), WithJsonSchema({})]


class Named(Spec):
    """A sampler or pruner by its name in Optuna, with its arguments: `TPESampler`, or `TPESampler: {n_startup_trials: 5}`."""

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, dict) and len(value) == 1 and "name" not in value:
            ((name, arguments),) = value.items()
            return {"name": name, "arguments": arguments or {}}
        return value


_NAMED_SCHEMA = WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object"}]})
_NAMED_SERIALIZER = PlainSerializer(lambda named: named.model_dump(mode="json"))


class Parameter(Spec):
    """The values that one parameter may take: a range (of integers if both ends are), or choices.

    `when` names other parameters of the space and the values that they must have for this one to exist.
    """

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    step: int | float | None = Field(default=None, gt=0)
    choices: list[Value] | None = Field(default=None, min_length=1)
    when: dict[str, Values] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _range_or_choices(self) -> Self:
        if self.choices is not None:
            if self.low is not None or self.high is not None or self.log or self.step is not None:
                raise ValueError("wanted either choices, or low and high, found both")
            return self
        if self.low is None or self.high is None:
            raise ValueError("wanted low and high, or choices")
        if self.low >= self.high:
            raise ValueError(f"low: wanted a number below high, found low {self.low:g} and high {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"low: wanted a number above 0 for a logarithmic range, found {self.low:g}")
        if self.log and self.step is not None:
            raise ValueError("step: a logarithmic range has no steps")
        if self.is_integer and self.step is not None and not isinstance(self.step, int):
            raise ValueError(f"step: wanted an integer between integers, found {self.step:g}")
        return self

    @property
    def is_integer(self) -> bool:
        """Whether it is a range of integers."""
        return isinstance(self.low, int) and isinstance(self.high, int)


class Search(Spec):
    """A hyperparameter search by Optuna on the training window.

    Attributes:
        trials: the number of finished trials (complete, pruned, or failed by the estimator; those of a killed worker don't count).
        minutes: the time after which no further trial starts, summed over all runs of the study.
        folds: folds of the time-ordered cross-validation within the training window.
        metric: the metric to optimize; the evaluation's primary metric by default.
        sampler: the Optuna sampler that draws the parameters.
        pruner: the Optuna pruner that ends a trial early.
        workers: processes that run trials, in each step.
        steps: Dagster steps that run trials.
        seed: seed of the sampler; one worker gives the same study again.
        least_finished: the share of trials that must not fail, or the asset fails.
        space: parameter -> values; the pipeline's own by default.
    """

    trials: int | None = Field(default=None, ge=1)
    minutes: float | None = Field(default=None, gt=0)
    folds: int = Field(default=3, ge=1, le=50)
    metric: str | None = None
    sampler: Annotated[Named, _NAMED_SCHEMA, _NAMED_SERIALIZER] = Named(name="TPESampler")
    pruner: Annotated[Named, _NAMED_SCHEMA, _NAMED_SERIALIZER] = Named(name="MedianPruner")
    workers: int = Field(default=1, ge=1, le=256)
    steps: int = Field(default=1, ge=1, le=256)
    seed: int = Field(default=0, ge=0)
    least_finished: float = Field(default=0.5, gt=0, le=1)
    space: dict[str, Parameter] | None = Field(default=None, min_length=1)

    @field_validator("sampler", "pruner")
    @classmethod
    def _exists_in_optuna(cls, value: Named, info: Any) -> Named:
        names = SAMPLERS if info.field_name == "sampler" else PRUNERS
        if value.name not in names:
            raise ValueError(f"no {info.field_name} {value.name!r} of Optuna; {nearest(value.name, names)}")
        return value

    @field_validator("space")
    @classmethod
    def _conditions_fit(cls, value: dict[str, Parameter] | None) -> dict[str, Parameter] | None:
        if value is not None:
            order_parameters(value)
        return value

    @model_validator(mode="after")
    def _has_an_end(self) -> Self:
        if self.trials is None and self.minutes is None:
            raise ValueError("wanted trials or minutes, or both: a search needs an end")
        return self

    def exhausted_budget(self, trials: int, seconds: float) -> Literal["trials", "minutes"] | None:
        """Which budget a number of finished trials and seconds exhausts; None while both last."""
        if self.trials is not None and trials >= self.trials:
            return "trials"
        return "minutes" if self.minutes is not None and seconds >= 60 * self.minutes else None


def order_parameters(space: dict[str, Parameter]) -> list[str]:
    """Order the parameters, each after those that it depends on.

    Raises:
        ValueError: a condition names no parameter of the space, or a value that it can't have, or the conditions form a circle.
    """
    for name, parameter in space.items():
        for other, values in parameter.when.items():
            if other not in space:
                raise ValueError(f"{name}.when: no parameter {other!r} in the space; {nearest(other, space)}")
            choices = space[other].choices
            for value in values:
                if choices is not None and not any(value is c or (value == c and type(value) is type(c)) for c in choices):
                    raise ValueError(f"{name}.when.{other}: {value!r} is none of its choices; {nearest(str(value), map(str, choices))}")
    try:
        return list(TopologicalSorter({name: sorted(parameter.when) for name, parameter in sorted(space.items())}).static_order())
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        raise ValueError(f"{error.args[1][0]}.when: parameters depend on each other in a circle: {circle}") from error
