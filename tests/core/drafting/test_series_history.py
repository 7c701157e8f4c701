"""The history of series: what can't be forecast is refused by name, and what is thin is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from lakeloop.drafting.forecasts.history import History, choose_stride, read_history
from lakeloop.errors import DataError
from lakeloop.spec.tables import TableSpec

START = datetime(2024, 1, 1, tzinfo=UTC)
TABLE = TableSpec.model_validate(
    {
        "name": "sales",
        "description": "Sales.",
        "source": {"files": "x.csv"},
        "keys": ["shop", "day"],
        "event_time": "day",
        "columns": {
            "shop": {"type": "string", "description": "Shop."},
            "day": {"type": "timestamp", "timezone": "UTC", "description": "Day."},
            "sold": {"type": "integer", "description": "Sold."},
            "note": {"type": "string", "description": "Note."},
            "price": {"type": "double", "description": "Price."},
        },
    }
)


def days(shop: str, *numbers: int) -> list[dict[str, Any]]:
    return [{"shop": shop, "day": START + timedelta(days=number), "sold": number, "note": "x", "price": 1.5} for number in numbers]


def history(rows: list[dict[str, Any]], label: str = "sold", **options: Any) -> History:
    given: dict[str, Any] = dict.fromkeys(("time", "series", "every", "season", "horizon")) | options
    schema = pa.schema(
        [("shop", pa.string()), ("day", pa.timestamp("us", tz="UTC")), ("sold", pa.int64()), ("note", pa.string()), ("price", pa.float64())]
    )
    return read_history(TABLE, pa.Table.from_pylist(rows, schema), label, **given)


def test_step_season_and_horizon_are_read_off_the_data_and_the_keys_name_the_series() -> None:
    actual = history([*days("a", *range(60)), *days("b", *range(60))])
    assert (str(actual.every), actual.season, actual.horizon, actual.series, actual.time) == ("1d", 7, 7, ("shop",), "day")
    assert sorted(set(actual.codes.tolist())) == [0, 1] and actual.notes == []


def test_rows_without_a_value_or_a_time_are_left_out_and_gaps_are_told() -> None:
    rows = [*days("a", *range(60)), *days("b", *range(58))]
    rows[3]["sold"] = rows[4]["day"] = None
    actual = history(rows)
    assert len(actual.values) == 116
    assert actual.notes == [
        "missing in 1 of 2 series: 2 steps of 1d; averages are over the values that exist, missing targets are used neither for training nor for evaluation"
    ]


def test_a_short_series_is_told_and_a_short_history_has_no_season_or_is_refused() -> None:
    (note,) = history([*days("a", *range(60)), *days("b", *range(5))]).notes
    assert note.startswith("1 of 2 series have fewer than 21 values")
    assert history(days("a", *range(29)), horizon=9).season == 7
    thin = history(days("a", *range(0, 420, 7)), every="1w", horizon=4)
    assert thin.season == 1 and thin.notes[0].startswith("no season: the history of 60 steps is shorter than two seasons of 52")
    with pytest.raises(DataError, match="sales has 20 steps of 1d with a value of sold; wanted at least 27 to forecast 7 ahead"):
        history(days("a", *range(20)))
    with pytest.raises(
        DataError, match=r"season: two seasons of 30 steps and 7 ahead are longer than the history of 40 steps .* at most 16 is possible"
    ):
        history(days("a", *range(40)), season=30, horizon=7)


@pytest.mark.parametrize(
    ("label", "options", "message"),
    [
        ("solt", {}, "label: no column 'solt'; did you mean 'sold'?"),
        ("note", {}, "label: wanted a number to forecast, note is a string"),
        ("sold", {"time": "dai"}, "time: no column 'dai'"),
        ("sold", {"time": "note"}, "time: wanted a timestamp or date, note is a string"),
        ("sold", {"series": ["shpo"]}, "series: no column 'shpo'; did you mean 'shop'?"),
        ("sold", {"series": ["day"]}, "series: day is the label or the time"),
        ("sold", {"series": ["price"]}, "series: price is a double"),
        ("sold", {"horizon": 0}, "horizon: wanted at least 1 step, found 0"),
        ("sold", {"season": 0}, "season: wanted at least 1 step"),
        ("sold", {"every": "1 year"}, "every: wanted a step such as"),
    ],
)
def test_a_column_or_number_that_does_not_fit_is_named(label: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as error:
        history(days("a", *range(60)), label, **options)
    assert str(error.value).startswith(message)


def test_two_values_at_one_time_are_refused_with_what_to_do() -> None:
    both = [*days("a", *range(60)), *days("b", *range(60))]
    with pytest.raises(
        DataError, match=r"series: 120 of 120 rows share \(day\) by steps of 1d with another .*; name the columns that identify a series"
    ):
        history(both, series=[])
    with pytest.raises(DataError, match="their steps are shorter than 1w: name the step with --every"):
        history(both, every="1w")


def test_times_off_the_step_are_counted_and_refused() -> None:
    rows = days("a", *range(60))
    rows[10]["day"] += timedelta(hours=1)
    with pytest.raises(DataError, match="every: 1 of 60 rows aren't whole steps of 1d from the others of their series, by day"):
        history(rows)


@pytest.mark.parametrize(("question", "stride"), [(None, 1), ("1d", 1), ("1w", 7), ("12h", None), ("1mo", None), ("often", None)])
def test_origins_lie_a_multiple_of_the_step_apart(question: str | None, stride: int | None) -> None:
    actual = history(days("a", *range(60)))
    if stride is not None:
        assert choose_stride(actual, question) == stride
        return
    with pytest.raises(DataError, match="origin_every: wanted a"):
        choose_stride(actual, question)
