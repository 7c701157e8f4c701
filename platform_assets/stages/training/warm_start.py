"""Where the training of a workflow's model starts: anew, or with the champion's trees; and what is said of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from lakeloop.records.release import ReleaseState
from lakeloop.records.training import ModelState
from lakeloop.spec.workflow import WarmStart, WorkflowSpec
from lakeloop.training.warm_start import CannotContinue
from platform_assets.stages.features.lookup import utc_moment
from platform_assets.stages.training.rows import FitData
from resources.lake.published import States
from resources.tracking.tags import CONTINUED_FROM_TAG, ROWS_FITTED_TAG, TRAINING_TAG

if TYPE_CHECKING:
    from types import ModuleType

    from lakeloop.project.project import Located
    from lakeloop.records.features import FeatureSpec
    from resources.tracking.model_format import ServableModel


class Start(NamedTuple):
    """The fingerprint of a model, and the champion that its training starts from; None where there is none, or none is asked for."""

    fingerprint: str
    champion: str | None


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

    @staticmethod
    def from_tags(tags: Mapping[str, str], count_rows: Callable[[], int]) -> Training:
        """From a registered version's tags; rows are counted where they don't say how many there were."""
        rows = int(tags[ROWS_FITTED_TAG]) if ROWS_FITTED_TAG in tags else count_rows()
        return Training(tags.get(TRAINING_TAG, ""), tags.get(CONTINUED_FROM_TAG), rows)


def start_of(states: States, located: Located[WorkflowSpec], fingerprint_from: Callable[[str | None], str]) -> Start:
    """Where the training of a model starts.

    A model that has been released since keeps the start that it had, or it would be continued from itself for ever.

    Args:
        states: what is published.
        located: the workflow.
        fingerprint_from: gives the model's fingerprint when it starts from a champion.
    """
    if located.spec.model.warm_start is None:
        return Start(fingerprint_from(None), None)
    release, model = states.whole(ReleaseState, located), states.whole(ModelState, located)
    champion = release.value.champion if release is not None else None
    if model is not None and champion == model.value.version:
        earlier = model.value.starts_from
        if fingerprint_from(earlier) == model.fingerprint:
            return Start(model.fingerprint, earlier)
    return Start(fingerprint_from(champion), champion)


def continue_champion(
    champion: ServableModel, data: FitData, lookups: FeatureSpec, *, unfitted: Any, pipeline: ModuleType, warm_start: WarmStart
) -> tuple[Any, int]:
    """Add trees to a champion, fitted on the rows that are newer than its training.

    Args:
        champion: the version to continue.
        data: all rows that a training in full takes.
        lookups: the feature spec of the training set.
        unfitted: the pipeline as the workflow asks for it now.
        pipeline: its module.
        warm_start: how many trees are added, and how many there may be.

    Returns:
        The fitted pipeline, and how many rows were newer.

    Raises:
        CannotContinue: the champion has other features, nobody knows until when it was trained, or its trees can't be continued.
    """
    if champion.feature_spec.lookups != lookups or {field.name: field.kind for field in champion.fields} != dict(data.kinds):
        raise CannotContinue(f"champion {champion.version} has other features")
    until = champion.feature_spec.trained_until
    if until is None:
        raise CannotContinue(f"it isn't known until when champion {champion.version} was trained")
    newer = data.at >= utc_moment(until)
    rows = data.frame[newer].reset_index(drop=True)
    fitted = pipeline.continued(champion.raw, unfitted, rows, data.label[newer], trees=warm_start.trees, limit=warm_start.limit)
    return fitted, len(rows)
