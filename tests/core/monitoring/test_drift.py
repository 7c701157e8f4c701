"""Drift: distances equal scipy's, thresholds come from the reference itself, and what is found, clean or not applicable is told apart."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import genpareto, ks_2samp, kstwobign, wasserstein_distance

from benchmarks.monitoring.drift import World, first_alarms
from lakeloop.monitoring.counts import DayCounts, count_days, scale_of_categories, scale_of_numbers, thin
from lakeloop.monitoring.distance import are_alike, window_distances
from lakeloop.monitoring.drift import BUDGET, LOOKS, Monitor, persists, share_budget
from lakeloop.monitoring.null import Tail, fit_tails, pooled_shape

START = np.datetime64("2023-01-02")


def days_of(days: int, rows: int) -> np.ndarray:
    return np.repeat(START + np.arange(days), rows)


def counted(values: np.ndarray, rows: int, *, like: np.ndarray | None = None, start: int = 0) -> DayCounts:
    days = days_of(len(values) // rows, rows) + start
    return count_days(values, days, scale_of_numbers(values if like is None else like))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(-3, 12) | st.none(), min_size=2, max_size=30),
    st.lists(st.integers(-3, 12) | st.none(), min_size=2, max_size=30),
)
def test_distances_of_numbers_are_those_of_kolmogorov_and_smirnov(was: list[int | None], now: list[int | None]) -> None:
    """With few values each has a cell; null is below all numbers, and what lies above the reference is in its last cell."""
    reference, current = (np.array([np.nan if value is None else value for value in values], dtype=float) for values in (was, now))
    scale = scale_of_numbers(reference)
    one, other = (count_days(values, np.repeat(day, len(values)), scale) for day, values in ((START + 7, current), (START, reference)))
    distance, rows = window_distances(one, other, are_alike(one.days, other.days), window=1)
    cells = (scale.cells_of(values).astype(float) for values in (current, reference))
    assert distance[0] == pytest.approx(ks_2samp(*cells, method="asymp").statistic, abs=1e-12)
    assert rows[0] == len(now)
    largest = np.nanmax(reference, initial=-9.0)
    exact = (np.where(np.isnan(values), -1e9, np.minimum(values, largest)) for values in (current, reference))
    assert distance[0] <= ks_2samp(*exact, method="asymp").statistic + 1e-12


def test_distances_of_categories_are_half_of_wasserstein_over_indicators() -> None:
    was, now = ["a"] * 6 + ["b"] * 3 + [None], ["a", "b", "b", "new", None]
    scale = scale_of_categories(was)
    one, other = (count_days(values, np.repeat(day, len(values)), scale) for day, values in ((START + 7, now), (START, was)))
    distance, _ = window_distances(one, other, are_alike(one.days, other.days), window=1)
    cells = [scale.cells_of(values) for values in (now, was)]
    by_scipy = sum(wasserstein_distance(*[(side == cell).astype(float) for side in cells]) for cell in range(scale.cells)) / 2
    assert distance[0] == pytest.approx(by_scipy, abs=1e-12)


def test_a_window_of_equal_days_is_their_rows_together() -> None:
    rng = np.random.default_rng(1)
    was, now = rng.normal(size=40 * 7), rng.normal(0.5, size=40 * 4)
    reference, current = counted(was, 40), counted(now, 40, like=was, start=7)
    distance, rows = window_distances(current, reference, are_alike(current.days, reference.days), window=4)
    scale = scale_of_numbers(was)
    assert rows[-1] == 160
    assert distance[-1] == pytest.approx(ks_2samp(scale.cells_of(now), scale.cells_of(was[:160]), method="asymp").statistic, abs=1e-12)


def test_a_day_is_compared_with_its_weekday_and_season_of_any_year_and_never_with_itself() -> None:
    days = np.arange(np.datetime64("2021-01-01"), np.datetime64("2024-01-01"))
    today = np.datetime64("2023-01-05")
    alike = days[are_alike(np.array([today]), days)[0]]
    assert today not in alike
    assert len({int(day.astype(int)) % 7 for day in alike}) == 1
    assert {str(day)[:7] for day in alike} == {"2021-01", "2021-12", "2022-01", "2022-12", "2023-01", "2023-12"}
    assert all(any(abs((day - np.datetime64(f"{year}-01-05")).astype(int)) <= 22 for year in range(2021, 2025)) for day in alike)


def test_a_weekend_with_few_rows_is_held_against_weekends() -> None:
    """Weekdays differ by two deviations; windows whose mix of weekdays the reference hasn't are no drift."""
    rng = np.random.default_rng(2)
    means = np.where(np.arange(364) % 7 >= 5, 2.0, 0.0)
    was = (means[:, None] + rng.normal(size=(364, 100))).ravel()
    scale = scale_of_numbers(was)
    reference = count_days(was, days_of(364, 100), scale)
    sizes = [3000 if place % 7 >= 5 else 50 for place in range(14)]
    now = np.concatenate([rng.normal(means[place], size=size) for place, size in enumerate(sizes)])
    current = count_days(now, np.repeat(START + 364 + np.arange(14), sizes), scale)
    findings = Monitor({"x": reference}, {"x": 1.0}).judge({"x": current})
    assert {finding.outcome for finding in findings[3:]} == {"clean"}


def test_kolmogorovs_tail_is_extrapolated_from_a_year_of_windows() -> None:
    """The threshold for 1 in 30,000 from 365 draws is at most a quarter above the true one, and seldom below it."""
    rng = np.random.default_rng(3)
    draws = [np.abs(kstwobign.ppf(rng.random(365))) for _ in range(100)]
    true = kstwobign.isf(3.3e-5)
    ratios = np.array([tail.distance(3.3e-5) / true for tail in fit_tails(draws)])
    assert 1.0 < np.median(ratios) < 1.1
    assert np.quantile(ratios, 0.02) > 0.9 and ratios.max() < 1.25


def test_the_shape_of_a_heavy_tail_is_found_and_a_light_one_is_exponential() -> None:
    rng = np.random.default_rng(4)
    assert pooled_shape([genpareto.rvs(0.25, size=4000, random_state=rng)]) == pytest.approx(0.25, abs=0.06)
    assert pooled_shape([rng.uniform(size=1000)]) == 0.0
    assert pooled_shape([]) == pooled_shape([np.array([1.0])]) == 0.0
    tail = Tail(1.0, 0.2, 0.5, 0.25)
    assert tail.distance(1e-4) == pytest.approx(math.sqrt(1 + genpareto.isf(1e-4 / 0.2, 0.25, scale=0.5)), rel=1e-12)


def test_a_feature_that_never_varies_has_the_effect_floor() -> None:
    reference = counted(np.ones(100 * 70), 100)
    same, other = (counted(np.full(400, value), 100, like=np.ones(1), start=70) for value in (1.0, np.nan))
    monitor = Monitor({"x": reference}, {"x": 1.0})
    assert [finding.outcome for finding in monitor.judge({"x": same})] == ["not_applicable", *["clean"] * 3]
    assert monitor.judge({"x": other})[-1].outcome == "drifted"


def test_the_budget_is_shared_whole_and_importance_gets_more() -> None:
    shares = share_budget(["a", "b", "c"], {"a": 3.0, "b": 1.0, "c": -1.0})
    assert math.fsum(shares.values()) == pytest.approx(BUDGET / LOOKS)
    assert shares["a"] > shares["b"] > shares["c"] > 0


def judged(shift: float, **options: object) -> list:
    rng = np.random.default_rng(5)
    was = rng.normal(size=300 * 140)
    now = rng.normal(shift, size=300 * 12)
    names = ("x", "y")
    monitor = Monitor({name: counted(was, 300) for name in names}, {"x": 1.0, "y": 0.01}, **options.pop("monitor", {}))  # type: ignore[arg-type, call-overload]
    return monitor.judge(
        {name: counted(now, 300, like=was, start=options.get("start", 140)) for name in names}, broken=options.get("broken")
    )  # type: ignore[misc, arg-type]


def test_one_window_is_an_alarm_and_a_second_one_apart_from_it_may_retrain() -> None:
    important = [finding for finding in judged(1.0, start=84) if finding.name == "x"]
    assert [finding.outcome for finding in important[3:]] == ["drifted"] * 9
    first = next(place for place, finding in enumerate(important) if finding.outcome == "drifted")
    assert [finding.may_retrain for finding in important].index(True) == first + 4
    assert {finding.severity for finding in important} == {"error"}
    assert "of the rows lie elsewhere" in important[-1].reason
    minor = [finding for finding in judged(1.0, start=84) if finding.name == "y"]
    assert {finding.severity for finding in minor} == {"warn"} and not any(finding.may_retrain for finding in minor)


def test_a_score_is_always_important() -> None:
    score = [finding for finding in judged(1.0, start=84, monitor={"scores": {"y"}}) if finding.name == "y"]
    assert score[-1].severity == "error" and score[-1].may_retrain


def test_what_a_data_check_has_found_is_no_drift() -> None:
    findings = [finding for finding in judged(1.0, start=84, broken={"x": "values between -40 and 50 expected"}) if finding.name == "x"]
    assert findings[-1].outcome == "data_error" and not findings[-1].may_retrain
    assert "values between -40 and 50" in findings[-1].reason


def test_a_season_that_the_reference_lacks_is_said_and_starts_nothing() -> None:
    findings = [finding for finding in judged(1.0, start=210) if finding.name == "x"]
    assert findings[-1].outcome == "drifted" and not findings[-1].in_season
    assert findings[-1].severity == "warn" and not findings[-1].may_retrain
    assert "the season is new" in findings[-1].reason


def test_a_short_reference_and_a_window_of_few_rows_are_not_applicable() -> None:
    short = Monitor({"x": counted(np.arange(3000.0), 100)}, {"x": 1.0}).judge(
        {"x": counted(np.arange(400.0), 100, like=np.arange(3000.0), start=35)}
    )
    assert {finding.outcome for finding in short} == {"not_applicable"} and "56 are wanted" in short[-1].reason
    few = Monitor({"x": counted(np.arange(7000.0), 100)}, {"x": 1.0}).judge(
        {"x": counted(np.arange(40.0), 10, like=np.arange(7000.0), start=70)}
    )
    assert {finding.outcome for finding in few} == {"not_applicable"} and "200 are wanted" in few[-1].reason


def test_windows_without_rows_neither_confirm_nor_clear() -> None:
    assert persists([True, None, None, None, True])
    assert not persists([None, True, True, True, True])
    assert not persists([True, True, True, True])


def test_thinned_days_have_no_more_rows_than_asked_and_only_what_was_there() -> None:
    full = counted(np.repeat(np.arange(10.0), 10), 50)
    thinned = thin(full, 20, np.random.default_rng(6))
    assert thinned.rows.tolist() == [20, 20] and (thinned.counts <= full.counts).all()
    assert (thin(full, 50, np.random.default_rng(6)).counts == full.counts).all()


def test_cells_hold_like_shares_of_rows_and_nulls_come_first() -> None:
    rng = np.random.default_rng(7)
    values = rng.normal(size=6400)
    scale = scale_of_numbers(values)
    assert set(np.bincount(scale.cells_of(values))[1:].tolist()) == {100}
    assert scale.cells_of([np.nan, -np.inf, np.inf]).tolist() == [0, 1, 64]
    rare = scale_of_categories([f"c{place}" for place in range(70)])
    assert rare.cells_of(["c0", "c69", "new", None]).tolist() == [1, 61, 62, 0]


def test_a_sample_of_the_simulation_finds_a_shift_and_is_quiet_without() -> None:
    world = World("seasons only")
    assert first_alarms(world, 1, 0.0) == {}
    assert first_alarms(world, 2, 0.3)["f0"] <= 4
