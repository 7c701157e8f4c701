"""The feature spec: what a model looks up. It is part of a training set's state, and travels in the MLflow model as plain JSON."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from lakeloop.records.base import Record


@dataclass(frozen=True)
class FeatureLookup(Record):
    """What is looked up in one view or table.

    Attributes:
        kind: what it is.
        domain: whose it is.
        name: of it.
        keys: the entity keys that its rows are found by.
        columns: the model's input by the column that it is read from.
        max_age: how old a value may be, as a duration (`3h`); None for any age.
        version: of a view.
    """

    kind: Literal["table", "view"]
    domain: str
    name: str
    keys: tuple[str, ...]
    columns: Mapping[str, str]
    max_age: str | None
    version: int = 1

    @property
    def label(self) -> str:
        """`<domain>.<name>`."""
        return f"{self.domain}.{self.name}"


@dataclass(frozen=True)
class FeatureSpec(Record):
    """What a model looks up, in the order of its inputs.

    Attributes:
        keys: the entity keys of the spine.
        predict_at: the spine's column that says when is asked.
        views: what is looked up, a view or table each.
        alert_threshold: of a model that flags rows, the score above which one is an alert.
        personal: the model's inputs that are personal; None where none is.
        trained_until: until when the model was trained, ISO 8601; None where nobody knows.
    """

    keys: tuple[str, ...]
    predict_at: str
    views: tuple[FeatureLookup, ...] = ()
    alert_threshold: float | None = None
    personal: tuple[str, ...] | None = None
    trained_until: str | None = None

    @classmethod
    def from_record(cls, values: Mapping[str, Any]) -> Self:
        """The spec of some JSON values; see `Record.from_record`."""
        spec = super().from_record(values)
        return replace(
            spec,
            views=tuple(FeatureLookup.from_record(view) for view in values.get("views", ())),
            # A model logged elsewhere may say these in YAML, as an integer and as a date.
            alert_threshold=None if spec.alert_threshold is None else float(spec.alert_threshold),
            trained_until=None if spec.trained_until is None else str(spec.trained_until),
        )

    @property
    def names(self) -> list[str]:
        """The model's input columns, in order."""
        return [output for view in self.views for output in view.columns.values()]

    @property
    def lookups(self) -> FeatureSpec:
        """What is looked up alone, without what is known of the model that does."""
        return replace(self, alert_threshold=None, personal=None, trained_until=None)

    def restricted_to(self, names: Collection[str]) -> FeatureSpec:
        """The same lookups of some of the inputs only."""
        views = (replace(view, columns={column: name for column, name in view.columns.items() if name in names}) for view in self.views)
        return replace(self, views=tuple(view for view in views if view.columns))

    def rules(self) -> dict[str, dict[str, Any]]:
        """For each input the rule by which it is looked up: the column, and all that is said of its view.

        >>> planes = FeatureLookup("table", "flights", "planes", ("tail",), {"seats": "planes__seats"}, None)
        >>> FeatureSpec(("tail",), "at", (planes,)).rules()["planes__seats"]["column"]
        'seats'
        """
        return {
            output: {**{name: value for name, value in view.record().items() if name != "columns"}, "column": column}
            for view in self.views
            for column, output in view.columns.items()
        }

    def looks_up_alike(self, other: FeatureSpec) -> bool:
        """Whether the other looks up all that this does: under the same name, from the same column, by the same rule."""
        others = other.rules()
        return all(others.get(output) == rule for output, rule in self.rules().items())
