"""Where the training of a workflow's model starts: anew, or with the champion's trees; and what is said of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakeloop.records.features import FeatureSpec
from lakeloop.spec.workflow import WorkflowSpec
from lakeloop.training.warm_start import CannotContinue
from platform_assets.stages.base import Platform, key_of
from platform_assets.stages.features.lookup import utc_moment
from resources.lake.published import WHOLE, States
from resources.tracking.tags import CONTINUED_FROM_TAG, ROWS_FITTED_TAG, TRAINING_TAG

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from lakeloop.project.project import Located
    from lakeloop.rows.types import Kind

START = "starts_from"
"""In the value of a model's state: the champion at the time, which the fingerprint cites."""


@dataclass(frozen=True)
class Training:
    """How a model came to be.

    Attributes:
        text: a sentence for metadata, report and tags; empty where the workflow doesn't ask for a warm start.
        parent: the version that was continued; None when it was trained in full.
        rows: that were fitted on.
    """

    text: str
    parent: str | None
    rows: int

    @property
    def tags(self) -> dict[str, str]:
        """Of the registered version."""
        if not self.text:
            return {}
        return {TRAINING_TAG: self.text, ROWS_FITTED_TAG: str(self.rows), **({CONTINUED_FROM_TAG: self.parent} if self.parent else {})}


def start_of(states: States, located: Located[WorkflowSpec], print_of: Callable[[str | None], str]) -> tuple[str, str | None]:
    """The fingerprint of the model, and the champion that it starts from; None where there is none, or none is asked for.

    A model that has been released since keeps the start that it had, or it would be continued from itself for ever.

    Args:
        states: what is published.
        located: the workflow.
        print_of: the fingerprint with a champion.
    """
    if located.spec.model.warm_start is None:
        return print_of(None), None
    released = states.get(key_of("releases", located), {}).get(WHOLE)
    model = states.get(key_of("models", located), {}).get(WHOLE)
    champion = released.value.get("champion") if released else None
    if model is not None and champion == model.value["version"]:
        standing = model.value.get(START)
        if print_of(standing) == model.fingerprint:
            return model.fingerprint, standing
    return print_of(champion), champion


def continue_champion(
    platform: Platform,
    located: Located[WorkflowSpec],
    champion: str | None,
    *,
    fresh: Callable[[], Any],
    pipeline: Any,
    lookups: FeatureSpec,
    kinds: Mapping[str, Kind],
    frame: pd.DataFrame,
    label: np.ndarray,
    at: np.ndarray,
    in_full: int,
) -> tuple[Any, Training]:
    """The champion with more trees, or None and the reason why it is trained in full.

    Args:
        platform: where the registry is.
        located: the workflow; it asks for a warm start.
        champion: the version to continue.
        fresh: makes the unfitted pipeline.
        pipeline: its module.
        lookups: the feature spec of the training set.
        kinds: the features.
        frame: features of the rows to fit on.
        label: their labels.
        at: when each was asked, `datetime64[us]`, UTC.
        in_full: rows that a training in full takes.
    """
    from resources.tracking.model_format import load_model

    warm = located.spec.model.warm_start
    assert warm is not None
    if champion is None:
        return None, Training("in full: nothing is released yet", None, in_full)
    name = platform.settings.mlflow_name(located.domain, located.spec.name)
    model = load_model(f"models:/{name}/{champion}", platform.settings.tracking_uri)
    try:
        if model.feature_spec.lookups != lookups or {field.name: field.kind for field in model.fields} != dict(kinds):
            raise CannotContinue(f"champion {champion} has other features")
        until = model.feature_spec.trained_until
        if until is None:
            raise CannotContinue(f"it isn't known until when champion {champion} was trained")
        newer = at >= utc_moment(until)
        rows = frame[newer].reset_index(drop=True)
        grown = pipeline.continued(model.raw, fresh(), rows, label[newer], trees=warm.trees, limit=warm.limit)
    except CannotContinue as reason:
        return None, Training(f"in full: {reason}", None, in_full)
    return grown, Training(f"{warm.trees} more trees on version {champion}'s, from {len(rows):,} newer rows", champion, len(rows))
