"""Steps of a series: what is one, how long it is, and how it is read off the data."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeloop.spec.steps import Step, guess_step

STEPS = st.builds(Step, st.integers(1, 60), st.sampled_from(["s", "m", "h", "d", "w", "mo"]))


@given(STEPS)
def test_a_step_is_written_as_it_is_read(step: Step) -> None:
    assert Step.parse(str(step)) == step == Step.parse(f" {step.count} {step.unit} ")


@pytest.mark.parametrize("text", ["", "0d", "-1d", "1.5h", "d", "1y", "1 month", "1d 2h", None, 7])
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
        ("3mo", 2, timedelta(days=186), "2 steps of 3mo"),
    ],
)
def test_a_length_is_never_taken_too_short(text: str, steps: int, longest: timedelta, words: str) -> None:
    step = Step.parse(text)
    assert (step.longest(steps), step.describe(steps)) == (longest, words)
    assert (step.seconds is None) == text.endswith("mo")


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
        ("1mo", "(year(t) * 12 + month(t) - 1)", "CAST(add_months(t, n) AS TIMESTAMP)"),
        ("3mo", "(year(t) * 12 + month(t) - 1) DIV 3", "CAST(add_months(t, n * 3) AS TIMESTAMP)"),
    ],
)
def test_sql_counts_the_steps_that_python_counts(text: str, number: str, ahead: str) -> None:
    assert (Step.parse(text).number_sql("t"), Step.parse(text).ahead_sql("t", "n")) == (number, ahead)


@pytest.mark.parametrize(
    ("times", "step"),
    [
        (["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-09"], "1d"),
        (["2024-01-01T00:00", "2024-01-01T00:15", "2024-01-01T00:30", "2024-01-01T00:30", "NaT"], "15m"),
        (["2024-05-31", "2024-06-30", "2024-07-31", "2024-08-31"], "31d"),  # ends of months lie no steps apart
        (["2024-01-15", "2024-02-15", "2024-03-15", "2024-05-15"], "1mo"),
        (["2024-01-01", "2024-01-15"], "2w"),
        (["2024-01-01", "2024-02-01"], "31d"),  # two are too few to say months
        (["2024-01-01"], "1d"),
        ([], "1d"),
    ],
)
def test_the_most_frequent_distance_is_the_step(times: list[str], step: str) -> None:
    assert str(guess_step(np.array(times, "datetime64[us]"))) == step
