"""Planted anomalies are what their kind says: mixtures of real values, and real rows of which one value was moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import iqr

from lakeloop.rows.types import Kind
from lakeloop.training.planting import MIXTURE, MOVED, UNSEEN, plant

KINDS: Mapping[str, Kind] = {"distance_km": "double", "seats": "double", "carrier": "string", "year": "double"}


def flights(n: int, seed: int = 0) -> pd.DataFrame:
    """Rows of two numbers, a text, and a number that never changes."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "distance_km": rng.gamma(3, 400, n),
            "seats": rng.choice([50.0, 120.0, 180.0], n),
            "carrier": rng.choice(np.array(["UA", "DL", None], object), n),
            "year": np.full(n, 2013.0),
        }
    )


@pytest.mark.parametrize(
    ("rows", "planted"),
    [(1, 1), (7, 7), (50, 50), (51, 50), (500, 50), (509, 50), (510, 51), (2_000, 200), (50_000, 5_000), (60_000, 5_000)],
)
def test_a_tenth_is_planted_but_fifty_at_least_and_five_thousand_at_most(rows: int, planted: int) -> None:
    made = plant(flights(rows), KINDS)
    assert len(made.frame) == len(made.source) == len(made.kind) == planted
    assert (made.kind == MIXTURE).sum() == (planted + 1) // 2 and set(made.kind) <= {MIXTURE, MOVED}
    assert len(set(made.source)) == planted and 0 <= made.source.min() <= made.source.max() < rows


@pytest.mark.parametrize("seed", range(5))
def test_a_moved_row_is_its_source_but_for_one_value_a_number_four_to_eight_ranges_off_or_an_unseen_text(seed: int) -> None:
    frame = flights(2_000, seed)
    made = plant(frame, KINDS, seed=seed)
    moved = np.flatnonzero(made.kind == MOVED)
    names = []
    for row in moved:
        before, after = frame.iloc[made.source[row]], made.frame.iloc[row]
        (name,) = [name for name in frame.columns if before[name] != after[name] and not (pd.isna(before[name]) and pd.isna(after[name]))]
        names.append(name)
        if name == "carrier":
            assert after[name] == UNSEEN and UNSEEN not in set(frame[name])
        else:
            assert 4 <= abs(after[name] - before[name]) / iqr(frame[name]) <= 8
    assert set(names) == {"distance_km", "seats", "carrier"}
    off = made.frame["distance_km"].to_numpy()[moved] - frame["distance_km"].to_numpy()[made.source[moved]]
    assert (off > 0).any() and (off < 0).any()


def test_each_value_of_a_mixture_is_a_real_one_and_their_combinations_are_those_of_chance() -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(0, 1, 20_000)
    frame = pd.DataFrame({"first": first, "twice": 2 * first})
    made = plant(frame, {"first": "double", "twice": "double"})
    mixtures = made.frame[made.kind == MIXTURE]
    assert set(mixtures["first"]) <= set(frame["first"]) and set(mixtures["twice"]) <= set(frame["twice"])
    assert abs(np.corrcoef(mixtures["first"], mixtures["twice"])[0, 1]) < 0.1
    assert mixtures["first"].std() == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize(
    ("values", "kind", "least", "most"),
    [
        ([3.0] * 60, "double", 0, 0),  # nothing to move: the row stays what it is
        ([None] * 60, "string", 0, 0),
        ([1.0] * 59 + [61.0], "double", 4 * np.std([1.0] * 59 + [61.0]), 8 * np.std([1.0] * 59 + [61.0])),  # the quartiles are equal
        ([np.nan] * 60, "double", 0, 0),
    ],
)
def test_values_that_do_not_spread_are_not_moved_and_few_that_differ_give_the_standard_deviation(
    values: Sequence[Any], kind: Kind, least: float, most: float
) -> None:
    frame = pd.DataFrame({"v": pd.Series(values, dtype=object if kind == "string" else float)})
    made = plant(frame, {"v": kind})
    moved = made.kind == MOVED
    after, before = made.frame["v"][moved], frame["v"].iloc[made.source[moved]]
    if kind == "string":
        assert (after == UNSEEN).all()
    else:
        off = np.abs(after.to_numpy() - before.to_numpy())
        assert np.isnan(off).all() if np.isnan(values).all() else ((least <= off) & (off <= most)).all()


def test_a_missing_number_is_moved_from_the_median() -> None:
    values = np.arange(100.0)
    values[::2] = np.nan
    made = plant(pd.DataFrame({"v": values}), {"v": "double"})
    was_missing = np.isnan(values[made.source]) & (made.kind == MOVED)
    known = values[~np.isnan(values)]
    off = np.abs(made.frame["v"].to_numpy()[was_missing] - np.median(known)) / iqr(known)
    assert was_missing.any() and ((off >= 4) & (off <= 8)).all()


def test_the_same_seed_plants_the_same_rows_of_the_same_types_and_the_frame_stays() -> None:
    frame = flights(900).astype({"carrier": "category"}).set_index(pd.Index(range(100, 1_000)))
    frame["carrier"] = frame["carrier"].cat.add_categories([UNSEEN])
    copied = frame.copy(deep=True)
    one, same, other = (plant(frame, KINDS, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(frame, copied)
    pd.testing.assert_frame_equal(one.frame, same.frame)
    assert (one.source == same.source).all() and not (one.source == other.source).all()
    assert one.frame.dtypes.to_dict() == frame.dtypes.to_dict() and list(one.frame.index) == list(range(90))
