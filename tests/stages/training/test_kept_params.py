"""Which parameters a search is compared with, and which stay where it gained nothing: the champion's, of the same model and space."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lakeloop.fingerprint import fingerprint
from lakeloop.records.release import ReleaseState, Tuned
from lakeloop.records.training import ModelState, SearchResult
from lakeloop.spec.workflow import Model
from platform_assets.stages.training.studies import _champions_params
from resources.lake.published import WHOLE, PartitionState, States, TableKey

MODEL, OWN = Model(pipeline="linear"), {"C": 1.0}
FOUND = SearchResult("s", "roc_auc", {"C": 0.2}, OWN, 0.8, {}, {})


def params(release: ReleaseState | None, model: ModelState | None = None, spec: Model = MODEL) -> dict[str, Any] | None:
    located = SimpleNamespace(id=("shop", "returns"), spec=SimpleNamespace(model=spec))
    published = {
        TableKey(stage, "shop", "returns"): {WHOLE: PartitionState(WHOLE, "x", value=value)}
        for stage, value in (("releases", release), ("models", model))
        if value is not None
    }
    return _champions_params(States(published), located, OWN)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("release", "model", "spec", "wanted"),
    [
        (None, None, MODEL, None),
        (ReleaseState(champion=None), None, MODEL, None),
        (ReleaseState(champion="1", tuned=Tuned(fingerprint(MODEL), {"C": 0.3})), None, MODEL, {"C": 0.3}),
        (ReleaseState(champion="1", tuned=Tuned(fingerprint(MODEL), {"C": 0.3})), None, Model(pipeline="gradient_boosting"), None),
        (ReleaseState(champion="1", tuned=Tuned(fingerprint(MODEL), {"alpha": 0.3})), None, MODEL, None),
        (ReleaseState(champion="1"), ModelState("returns", "1", "run", 1, (), search=FOUND), MODEL, {"C": 0.2}),
        (ReleaseState(champion="1"), ModelState("returns", "2", "run", 1, (), search=FOUND), MODEL, None),
    ],
    ids=["no release", "no champion", "searched", "another model", "another space", "released before 0.4.0", "of another version"],
)
def test_the_champion_s_parameters_stay_if_they_are_of_this_model_and_space(release, model, spec, wanted) -> None:
    assert params(release, model, spec) == wanted


def test_a_release_keeps_what_it_was_fitted_with_and_what_losses_are_counted_from() -> None:
    state = ReleaseState(champion="3", best="2", tuned=Tuned("x", {"C": 0.5}))
    assert ReleaseState.from_record(state.record()) == state and state.yardstick == "2"
    earlier = ReleaseState.from_record({"champion": "3"})
    assert (earlier.yardstick, earlier.tuned) == ("3", None) and not {"best", "tuned"} & earlier.record().keys()
    assert FOUND.taken == {"C": 0.2} and "used" not in FOUND.record()
    assert SearchResult.from_record({**FOUND.record(), "used": {"C": 1.0}}).taken == {"C": 1.0}
