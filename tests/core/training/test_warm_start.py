"""Continuing boosted trees: the old trees are kept bit for bit, and the new ones are added to what they say."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from lakeloop.errors import SpecError
from lakeloop.pipelines.gradient_boosting import estimator
from lakeloop.spec.tasks import Answer, scores_of
from lakeloop.spec.workflow import Model
from lakeloop.training.fitting import fit_model
from lakeloop.training.pipelines import TRUSTED_TYPES, check_model
from lakeloop.training.warm_start import CannotContinue, continue_trees
from tests.worlds.code.own_code import PIPELINE
from tests.worlds.places import ROOT

KINDS: dict[str, Any] = {"country": "string", "plan": "string", "amount": "double", "age": "double"}
PARAMS = {"max_iter": 20, "min_samples_leaf": 5}
BINARY, NUMBER = Answer("binary_classification"), Answer("regression")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """So few rows take longer on threads that wait for each other."""
    with threadpool_limits(1):
        yield


def rows(seed: int, n: int = 600, shift: float = 0.0, countries: str = "de fr it") -> tuple[pd.DataFrame, np.ndarray]:
    """Rows with missing values; later ones have other ranges and other countries."""
    rng = np.random.default_rng(seed)
    names = np.array([*countries.split(), None], dtype=object)
    frame = pd.DataFrame(
        {
            "country": pd.Series(names[rng.integers(0, len(names), n)], dtype=object),
            "plan": pd.Series(np.array(["a", "b"], dtype=object)[rng.integers(0, 2, n)], dtype=object),
            "amount": np.where(rng.random(n) < 0.1, np.nan, rng.normal(shift, 1, n)),
            "age": rng.integers(0, 90, n).astype(float),
        }
    )
    value = np.nan_to_num(frame["amount"].to_numpy()) + (frame["country"] == "fr") - 0.02 * frame["age"] + rng.normal(0, 0.3, n)
    return frame, value.to_numpy()


def raw(pipeline: Any, frame: pd.DataFrame) -> np.ndarray:
    return np.asarray(pipeline[-1]._raw_predict(pipeline[0].transform(frame)))


@pytest.mark.parametrize("answer", [BINARY, NUMBER])
def test_a_continued_model_says_what_the_champion_says_and_what_the_new_trees_add(answer: Answer) -> None:
    frame, value = rows(1)
    newer, later = rows(2, shift=3.0, countries="at fr it se")  # other ranges, countries gone and new
    label = (value > 0).astype(float) if answer is BINARY else value
    more = (later > 3).astype(float) if answer is BINARY else later
    champion = estimator(KINDS, answer, PARAMS, 0).fit(frame, label)
    before, kept = raw(champion, newer), copy.deepcopy([p.nodes for trees in champion[-1]._predictors for p in trees])
    grown = continue_trees(champion, estimator(KINDS, answer, PARAMS, 0), newer, more, trees=7, limit=100)

    # The champion is as it was; its trees are the first of the continued model, bit for bit.
    assert np.array_equal(raw(champion, newer), before) and champion[-1].n_iter_ == 20
    assert grown[-1].n_iter_ == 27 and type(grown[-1]) is type(champion[-1])
    nodes = [p.nodes for trees in grown[-1]._predictors for p in trees]
    assert all(a.tobytes() == b.tobytes() for a, b in zip(kept, nodes[:20], strict=True))

    # What it says is the champion's score and the new trees' on top, on old rows and new.
    added = copy.deepcopy(grown)
    added[-1]._predictors = added[-1]._predictors[20:]
    added[-1]._baseline_prediction = np.zeros_like(added[-1]._baseline_prediction)
    for each in (frame, newer):
        assert raw(grown, each) == pytest.approx(raw(champion, each) + raw(added, each), abs=1e-12)
    assert np.abs(raw(added, newer)).max() > 0
    assert grown.score(newer, more) > champion.score(newer, more)


def test_scikit_learn_s_own_warm_start_would_change_what_the_old_trees_say() -> None:
    """Why it isn't used; when this fails, scikit-learn has mended it."""
    (frame, value), (newer, later) = rows(1), rows(2, shift=3.0, countries="at fr it se")
    champion = estimator(KINDS, NUMBER, PARAMS, 0).fit(frame, value)
    theirs = copy.deepcopy(champion)
    theirs[-1].set_params(warm_start=True, max_iter=21).fit(theirs[0].transform(newer), later)
    theirs[-1]._predictors = theirs[-1]._predictors[:20]
    assert not np.allclose(raw(theirs, newer), raw(champion, newer))


def test_a_continued_model_can_be_continued_stored_and_given_other_parameters() -> None:
    import skops.io

    from lakeloop.training.pipelines import TRUSTED_TYPES

    grown = estimator(KINDS, NUMBER, PARAMS, 0).fit(*rows(1))
    for seed in (2, 3):
        fresh = estimator(KINDS, NUMBER, {**PARAMS, "learning_rate": 0.01}, 0)
        grown = continue_trees(grown, fresh, *rows(seed), trees=5, limit=30)
        grown = skops.io.loads(skops.io.dumps(grown), trusted=list(TRUSTED_TYPES))
    assert grown[-1].n_iter_ == 30 and grown[-1].learning_rate == 0.01
    with pytest.raises(CannotContinue, match="has 30 trees, and 5 more would be over the limit of 30"):
        continue_trees(grown, estimator(KINDS, NUMBER, PARAMS, 0), *rows(4), trees=5, limit=30)


def test_trees_of_several_classes_are_continued() -> None:
    answer = Answer("multiclass_classification", ("low", "middle", "high"))
    (frame, value), (newer, later) = rows(1), rows(2)
    label, more = (np.digitize(each, (-0.8, 0.2)).astype(float) for each in (value, later))
    champion = estimator(KINDS, answer, PARAMS, 0).fit(frame, label)
    grown = continue_trees(champion, estimator(KINDS, answer, PARAMS, 0), newer, more, trees=3, limit=100)
    nodes = [[p.nodes.tobytes() for step in each[-1]._predictors for p in step] for each in (champion, grown)]
    assert nodes[1][:60] == nodes[0] and len(nodes[1]) == 69


def test_trees_of_every_quantile_are_continued_and_other_quantiles_are_not() -> None:
    import skops.io

    answer = Answer("quantile_regression", quantiles=(0.1, 0.5, 0.9))
    model = Model(pipeline="gradient_boosting", params=PARAMS)
    champion = fit_model(model, KINDS, answer, *rows(1), folder=ROOT)
    fresh = estimator(KINDS, answer, PARAMS, 0)
    grown = continue_trees(champion, fresh, *rows(2), trees=3, limit=100)
    for old, new in zip(champion[-1].estimators_, grown[-1].estimators_, strict=True):
        nodes = [[p.nodes.tobytes() for step in each._predictors for p in step] for each in (old, new)]
        assert nodes[1][:20] == nodes[0] and len(nodes[1]) == 23 and old.n_iter_ == 20
    frame, _ = rows(3)
    stored = skops.io.loads(skops.io.dumps(grown), trusted=list(TRUSTED_TYPES))
    assert np.array_equal(scores_of(stored, frame, answer), scores_of(grown, frame, answer))
    assert not np.array_equal(scores_of(grown, frame, answer), scores_of(champion, frame, answer))
    for levels, wanted in (
        ((0.5, 0.9), "trees for 3 quantiles, the workflow asks for 2"),
        ((0.2, 0.5, 0.9), "quantile is not the same as in"),
    ):
        other = estimator(KINDS, Answer("quantile_regression", quantiles=levels), PARAMS, 0)
        with pytest.raises(CannotContinue, match=wanted):
            continue_trees(champion, other, *rows(2), trees=3, limit=100)


def test_what_can_not_be_continued_says_why() -> None:
    from sklearn.dummy import DummyRegressor

    frame, value = rows(1)
    label = (value > 0).astype(float)
    champion = estimator(KINDS, BINARY, PARAMS, 0).fit(frame, label)
    fresh = estimator(KINDS, BINARY, PARAMS, 0)
    for old, new, few, marks, wanted in (
        (DummyRegressor(), fresh, frame, label, "the champion isn't a preprocessing and boosted trees"),
        (
            champion,
            estimator(KINDS, NUMBER, PARAMS, 0),
            frame,
            label,
            "the champion is a HistGradientBoostingClassifier, the workflow asks",
        ),
        (champion, estimator(KINDS, BINARY, {**PARAMS, "max_bins": 63}, 0), frame, label, "max_bins is not the same as in the champion"),
        (champion, fresh, frame.head(99), label[:99], "only 99 rows are newer"),
        (champion, fresh, frame, np.zeros(len(frame)), "don't have the classes that the champion knows"),
    ):
        with pytest.raises(CannotContinue, match=wanted):
            continue_trees(old, new, few, marks, trees=5, limit=100)


def test_what_can_be_continued_is_checked_at_load(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="the pipeline linear can't be continued; those that can: gradient_boosting"):
        check_model(Model(pipeline="linear", warm_start="champion"), "regression")
    (tmp_path / "mine.py").write_text(PIPELINE)
    with pytest.raises(
        SpecError, match=r"has no function continued\(champion, fresh, frame, label, \*, trees, limit\), which warm_start needs"
    ):
        check_model(Model(pipeline="mine.py", warm_start={"trees": 3}), "binary_classification", tmp_path)
    check_model(Model(pipeline="mine.py"), "binary_classification", tmp_path)
    with pytest.raises(ValueError, match="only a pipeline can be continued"):
        Model(train="a:b", warm_start="champion")
    with pytest.raises(ValueError, match="trees under a calibration can't be continued"):
        Model(pipeline="gradient_boosting", warm_start="champion", calibrate=True)
    with pytest.raises(ValueError, match="only a pipeline or an estimator can be calibrated"):
        Model(train="a:b", calibrate=True)
    with pytest.raises(ValueError, match="wanted champion, or .* found 'challenger'"):
        Model(pipeline="gradient_boosting", warm_start="challenger")
