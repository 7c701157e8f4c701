"""Steps of a series: what is one, how long it is, and how it is read off the data."""

from __future__ import annotations

import itertools
import subprocess
import sys
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeloop.spec.steps import Step, guess_step
from tests.worlds.calendars.local_steps import PLACES, UNITS, Moment, number_of, step_ahead

STEPS = st.builds(Step, st.integers(1, 60), st.sampled_from(["s", "m", "h", "d", "w", "mo"]))


@given(STEPS)
def test_a_step_is_written_as_it_is_read(step: Step) -> None:
    assert Step.parse(str(step)) == step == Step.parse(f" {step.count} {step.unit} ")


@pytest.mark.parametrize("text", ["", "0d", "-1d", "1.5h", "d", "1 year", "1 month", "1d 2h", None, 7])
def test_what_is_no_step_is_refused_with_examples(text: object) -> None:
    with pytest.raises(ValueError, match=r"wanted a step such as 15m, 1h, 1d, 1w or 1mo, found "):
        Step.parse(text)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "steps", "longest", "words"),
    [
        ("15m", 4, timedelta(hours=1), "4 steps of 15m"),
        ("1h", 24, timedelta(days=1), "24 hours"),
        ("1w", 1, timedelta(weeks=1), "week"),
        ("1mo", 12, timedelta(days=372), "12 months"),
        ("3mo", 2, timedelta(days=186), "2 quarters"),
        ("2mo", 2, timedelta(days=124), "2 steps of 2mo"),
        ("1y", 1, timedelta(days=372), "year"),
    ],
)
def test_a_length_is_never_taken_too_short(text: str, steps: int, longest: timedelta, words: str) -> None:
    step = Step.parse(text)
    assert (step.longest(steps), step.describe(steps)) == (longest, words)
    assert (step.seconds is None) == text.endswith(("mo", "y"))


@given(STEPS, st.integers(-(10**9), 4 * 10**9), st.integers(1, 10**6))
def test_numbers_rise_with_time_and_grow_by_one_a_step(step: Step, second: int, later: int) -> None:
    moment = np.datetime64(second, "s").astype("datetime64[us]")
    numbers = step.numbers(np.array([moment, moment + np.timedelta64(later, "s")]))
    assert numbers[0] <= numbers[1]
    if step.seconds is not None:
        assert step.numbers(np.array([moment + np.timedelta64(step.seconds, "s")]))[0] == numbers[0] + 1


def test_months_are_numbered_by_the_calendar() -> None:
    moments = np.array(["2023-12-31T23:59", "2024-01-01", "2024-02-29", "2024-03-01"], "datetime64[us]")
    assert np.diff(Step.parse("1mo").numbers(moments)).tolist() == [1, 1, 1]
    assert np.diff(Step.parse("3mo").numbers(moments)).tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("text", "number", "ahead"),
    [
        ("15m", "unix_timestamp(t) DIV 900", "t + n * INTERVAL 15 MINUTE"),
        ("1mo", "(year(t) * 12 + month(t) - 1)", "t + make_ym_interval(0, n)"),
        ("3mo", "(year(t) * 12 + month(t) - 1) DIV 3", "t + make_ym_interval(0, n * 3)"),
    ],
)
def test_sql_counts_the_steps_that_python_counts(text: str, number: str, ahead: str) -> None:
    assert (Step.parse(text).number_sql("t"), Step.parse(text).ahead_sql("t", "n")) == (number, ahead)


@pytest.mark.parametrize(
    ("times", "step"),
    [
        (["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-09"], "1d"),
        (["2024-01-01T00:00", "2024-01-01T00:15", "2024-01-01T00:30", "2024-01-01T00:30", "NaT"], "15m"),
        (["2024-05-31", "2024-06-30", "2024-07-31", "2024-08-31"], "1mo"),
        (["2024-01-31", "2024-02-29", "2024-03-30", "2024-04-29"], "30d"),  # neither ends nor one day of months
        (["2024-01-15", "2024-02-15", "2024-03-15", "2024-05-15"], "1mo"),
        (["2023-12-31", "2024-03-31", "2024-06-30", "2024-09-30"], "3mo"),
        (["2021-07-01", "2022-07-01", "2023-07-01", "2024-07-01"], "12mo"),
        (["2024-01-01", "2024-01-15"], "2w"),
        (["2024-01-01", "2024-02-01"], "31d"),  # two are too few to say months
        (["2024-01-01"], "1d"),
        ([], "1d"),
    ],
)
def test_the_most_frequent_distance_is_the_step(times: list[str], step: str) -> None:
    assert str(guess_step(np.array(times, "datetime64[us]"))) == step


@pytest.mark.parametrize("zone", PLACES)
@pytest.mark.parametrize("unit", UNITS)
@given(data=st.data())
def test_calendar_steps_in_a_zone_are_those_of_the_definition(zone: str, unit: str, data: st.DataObject) -> None:
    step = Step.parse(unit, zone)
    moments = data.draw(st.lists(st.sampled_from(PLACES[zone]), min_size=1, max_size=20))
    steps = data.draw(st.integers(-40, 40))
    array = np.array([moment.replace(tzinfo=None) for moment in moments], "datetime64[us]")
    assert step.numbers(array).tolist() == [number_of(moment, unit, zone) for moment in moments]
    assert step.ahead(array, steps).tolist() == [step_ahead(moment, steps, unit, zone).replace(tzinfo=None) for moment in moments]


@pytest.mark.parametrize("zone", [*PLACES, "Europe/London", "America/Havana"])
@pytest.mark.parametrize(
    ("unit", "anchor"),
    [("1d", "day_start"), ("2d", "day_start"), ("1w", "day_start"), ("1mo", "day_start"), ("1mo", "month_end"), ("3mo", "month_end")],
)
def test_a_series_is_each_step_ahead_of_the_others(zone: str, unit: str, anchor: str) -> None:
    """Local midnights, of days and of the last days of months: each is where a step from any other leads, and they are found again."""
    midnights = [midnight for day in range(800) if (midnight := Moment.midnight(2023, 1, 1, day, zone)) is not None]
    step = Step.parse(unit, zone)
    if anchor == "month_end":
        midnights = [at for at, following in itertools.pairwise(midnights) if Moment.day(following, zone).day == 1]
    moments = np.array([moment.replace(tzinfo=None) for moment in midnights], "datetime64[us]")
    if anchor == "day_start":
        numbers = step.numbers(moments)
        first = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1))[1:]
        moments = moments[first] if unit != "1w" else moments[first[0] :: 7]
    elif unit == "3mo":
        moments = moments[2::3]
    assert step.anchored(moments).anchor == (anchor if zone != "UTC" or anchor == "month_end" else None)
    assert str(guess_step(moments, zone)) == unit
    anchored, numbers = step.anchored(moments), step.numbers(moments)
    for base in range(len(moments)):
        assert (anchored.ahead(np.repeat(moments[base], len(moments)), numbers - numbers[base]) == moments).all()


@pytest.mark.parametrize(("zone", "more"), [("Europe/Zurich", 60), ("Australia/Lord_Howe", 30), ("Asia/Kolkata", 0), ("Pacific/Apia", 60)])
def test_a_reach_in_local_days_covers_the_clock_that_is_put_back(zone: str, more: int) -> None:
    assert Step.parse("1d", zone).longest(7) == timedelta(days=7, minutes=more)
    assert Step.parse("24h", zone).longest(7) == timedelta(days=7)


def test_utc_is_no_zone_of_its_own() -> None:
    assert Step.parse("1d", "UTC") == Step.parse("1d")


def test_the_reach_of_a_forecast_is_computed_without_polars() -> None:
    """Definitions are loaded and checked in the process that Dagster's steps are forked from: threads of Polars that were started there hang in them."""
    code = (
        "import sys; from lakeloop.spec.workflow import Forecast; "
        "f = Forecast(series=['s'], target='t', ahead='a', horizon=7, every='1d', naive='n', timezone='Europe/Zurich'); "
        "assert f.reach.total_seconds() == 169 * 3600; assert 'polars' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
