"""Rows of a group stay together: in windows, folds, calibration; against the definition, over random worlds."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeloop.errors import DataError
from lakeloop.search.cross_validation import time_folds
from lakeloop.spec.workflow import Split
from lakeloop.training.groups import NO_GROUP, group_hashes, own_groups, place_groups
from lakeloop.training.splits import APART, assign_split

WINDOWS = {"train": 0, "validation": 1, "test": 2}
SPLIT = Split(train="20d", validation="5d", test="5d", group="who")  # type: ignore[arg-type]
worlds = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 6), st.booleans()), min_size=5, max_size=60)


def arrays(world: list[tuple[int, int, bool]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    at = np.datetime64("2024-01-01", "us") + np.array([day for day, _, _ in world]) * np.timedelta64(1, "D")
    who = group_hashes([pa.chunked_array([pa.array([None if group == 0 else f"p{group}" for _, group, _ in world], pa.string())])])
    return at, who, np.array([known for _, _, known in world])


@given(worlds)
def test_the_newest_window_of_a_group_has_it_alone_and_nothing_else_is_lost(world: list[tuple[int, int, bool]]) -> None:
    at, who, known = arrays(world)
    try:
        plain, _ = assign_split(at, known, SPLIT.model_copy(update={"group": None}))
        names, _ = assign_split(at, known, SPLIT, who)
    except DataError:
        return
    newest: dict[int, int] = {}
    for name, group in zip(plain, who, strict=True):
        if name in WINDOWS and group != NO_GROUP:
            newest[group] = max(newest.get(group, 0), WINDOWS[name])
    for was, name, group in zip(plain, names, who, strict=True):
        is_apart = was in WINDOWS and group != NO_GROUP and WINDOWS[was] < newest[group]
        assert name == (APART if is_apart else was)


@given(worlds)
def test_rows_without_a_time_are_placed_by_group(world: list[tuple[int, int, bool]]) -> None:
    at, who, known = arrays(world)
    placed = place_groups(at, who)
    assert (placed[who == NO_GROUP] == at[who == NO_GROUP]).all()
    assert placed.min() >= at.min() and placed.max() <= at.max()
    for group in set(who) - {NO_GROUP}:
        assert len(set(placed[who == group])) == 1
        if len(set(at[who == group])) == 1:
            assert (placed[who == group] == at[who == group]).all()
    try:
        names, _ = assign_split(at, known, SPLIT, who, static=True)
    except DataError:
        return
    assert APART not in names
    for group in set(who) - {NO_GROUP}:
        assert len(set(names[(who == group) & known]) - {"before", "gap"}) <= 1


def test_a_split_at_random_keeps_its_shares_and_groups_keep_their_places() -> None:
    rng = np.random.default_rng(0)
    at = np.datetime64("2000-01-01", "us") + (rng.random(20_000) * 100 * 86_400e6).astype("timedelta64[us]")
    who = group_hashes([pa.chunked_array([pa.array(rng.integers(0, 2_000, 20_000))])])
    split = Split(train="80d", test="20d", group="who")  # type: ignore[arg-type]
    names, _ = assign_split(at, np.ones(20_000, bool), split, who, static=True)
    assert 0.18 < (names == "test").mean() < 0.22 and 0.77 < (names == "train").mean() < 0.82
    fewer = slice(None, None, 2)
    moved = place_groups(at, who)[fewer] - place_groups(at[fewer], who[fewer])
    assert np.median(np.abs(moved)) < np.timedelta64(1, "h")


def test_groups_that_are_there_all_the_time_are_refused_by_name() -> None:
    at = np.datetime64("2024-01-01", "us") + np.repeat(np.arange(30), 2) * np.timedelta64(1, "D")
    who = np.tile(np.array([5, 6], np.uint64), 30)
    with pytest.raises(DataError, match="every one of the 40 rows of the train window is of a who that a later window has too"):
        assign_split(at, np.ones(60, bool), Split(train="20d", test="10d", group="who"), who)  # type: ignore[arg-type]


@given(worlds, st.integers(1, 4))
def test_no_fold_fits_on_a_group_that_it_scores(world: list[tuple[int, int, bool]], count: int) -> None:
    at, who, _ = arrays(world)
    try:
        plain, folds = time_folds(at, count, timedelta()), time_folds(at, count, timedelta(), who)
    except DataError:
        return
    for before, fold in zip(plain, folds, strict=True):
        scored = set(who[fold.score]) - {NO_GROUP}
        assert (before.score == fold.score).all()
        assert fold.fit.tolist() == [row for row in before.fit if who[row] not in scored]


def test_no_group_is_fitted_and_calibrated_on() -> None:
    import pandas as pd
    from sklearn.dummy import DummyClassifier

    from lakeloop.spec.tasks import Answer
    from lakeloop.training.calibrated import fit_calibrated

    at = np.datetime64("2024-01-01", "us") + np.arange(100) * np.timedelta64(1, "h")
    who = np.where(np.arange(100) % 4 == 0, 9, np.arange(100) + 20).astype(np.uint64)
    frame, seen = pd.DataFrame({"row": np.arange(100.0)}), list[float]()

    class Remembers(DummyClassifier):
        def fit(self, X: pd.DataFrame, y: np.ndarray, sample_weight: None = None) -> DummyClassifier:
            seen.extend(X["row"])
            return super().fit(X, y)

    label = (np.arange(100) % 3 == 0).astype(float)
    fit_calibrated(
        Remembers(strategy="prior"), frame, label, Answer("binary_classification"), at=at, gap=timedelta(), method="sigmoid", groups=who
    )
    assert seen == [row for row in range(80) if row % 4]


def test_rows_without_a_group_are_groups_of_their_own() -> None:
    columns = [pa.chunked_array([["a", "a", None, None]]), pa.chunked_array([[1, 1, 2, 2]])]
    hashes = group_hashes(columns)
    assert hashes[0] == hashes[1] != NO_GROUP and (hashes[2:] == NO_GROUP).all()
    assert len(set(own_groups(hashes))) == 3
