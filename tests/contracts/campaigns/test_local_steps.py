"""Steps of a series in SQL, on the embedded engine and on Spark's JVM: the same as in Python, which has them as the calendar's definition."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest

from lakeloop.spec.steps import Step
from tests.worlds.calendars.local_steps import PLACES, UNITS, Moment, number_of, step_ahead

AHEAD = (-13, -1, 0, 1, 2, 7, 30)


@pytest.fixture(scope="module", params=["embedded", "jvm"])
def spark(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A session of either engine, in UTC as the platform has it."""
    from resources.spark.sessions import SparkResource

    remote = request.getfixturevalue("jvm_remote") if request.param == "jvm" else None
    yield SparkResource(remote=remote).session("test_local_steps")


def query(spark: Any, moments: list[datetime], *expressions: str) -> list[list[Any]]:
    """The values of expressions over a column `t`, a list for each, in the order of the moments."""
    rows = pa.table({"place": range(len(moments)), "t": pa.array(moments, pa.timestamp("us", tz="UTC"))})
    spark.createDataFrame(rows).createOrReplaceTempView("moments_of_steps")
    selected = ", ".join(f"{text} AS c{number}" for number, text in enumerate(expressions))
    table = spark.sql(f"SELECT place, {selected} FROM moments_of_steps").toArrow().sort_by("place")
    return [table[f"c{number}"].to_pylist() for number in range(len(expressions))]


@pytest.mark.parametrize("zone", PLACES)
def test_numbers_and_moments_ahead_are_those_of_the_definition(spark: Any, zone: str) -> None:
    moments = PLACES[zone]
    texts = [
        text
        for unit in UNITS
        for step in [Step.parse(unit, zone)]
        for text in (step.number_sql("t"), *[step.ahead_sql("t", f"({n})") for n in AHEAD])
    ]
    values = iter(query(spark, moments, *texts))
    for unit in UNITS:
        assert next(values) == [number_of(moment, unit, zone) for moment in moments], unit
        for steps in AHEAD:
            assert next(values) == [step_ahead(moment, steps, unit, zone) for moment in moments], (unit, steps)


@pytest.mark.parametrize("zone", [None, "America/Havana", "Asia/Kolkata"])
def test_steps_before_1970_have_numbers_of_their_own(spark: Any, zone: str | None) -> None:
    start = datetime(1969, 12, 25, 17, 30, tzinfo=UTC)
    moments = [start + timedelta(hours=7 * number) for number in range(48)]
    units = [unit for unit in UNITS if not unit.endswith("mo")]
    numbers = [Step.parse(unit, zone).number_sql("t", before_1970=True) for unit in units]
    values = query(spark, moments, *numbers, *[f"pmod({number}, 7)" for number in numbers])
    for place, unit in enumerate(units):
        expected = [number_of(moment, unit, zone or "UTC") for moment in moments]
        assert min(expected) < 0 < max(expected)
        assert values[place] == expected, unit
        assert values[len(units) + place] == [number % 7 for number in expected], unit


@pytest.mark.parametrize("zone", PLACES)
def test_a_season_of_hours_is_a_local_day(spark: Any, zone: str) -> None:
    moments = PLACES[zone]
    (hours,) = query(spark, moments, f"{Step.parse('1h', zone).season_number_sql('t')} % 24")
    assert hours == [moment.astimezone(ZoneInfo(zone)).hour for moment in moments]
    (hours,) = query(spark, moments, Step.parse("1h", zone).ahead_sql("t", "36"))
    assert hours == [moment + timedelta(hours=36) for moment in moments]


@pytest.mark.parametrize("zone", [*PLACES, "America/Havana"])
@pytest.mark.parametrize(("unit", "last_days"), [("1d", False), ("1mo", True), ("3mo", True)])
def test_local_midnights_lead_to_local_midnights(spark: Any, zone: str, unit: str, last_days: bool) -> None:
    days = [midnight for day in range(800) if (midnight := Moment.midnight(2023, 1, 1, day, zone)) is not None]
    ends = [at for at, following in itertools.pairwise(days) if Moment.day(following, zone).day == 1]
    moments = days if not last_days else ends if unit == "1mo" else ends[2::3]
    array = np.array([moment.replace(tzinfo=None) for moment in moments], "datetime64[us]")
    step = Step.parse(unit, zone).anchored(array)
    ahead = query(spark, moments, *[step.ahead_sql("t", str(steps)) for steps in (1, 3)])
    for steps, values in zip((1, 3), ahead, strict=True):
        assert values[:-steps] == moments[steps:]
        assert values == [moment.replace(tzinfo=UTC) for moment in step.ahead(array, steps).tolist()]


def test_months_keep_the_time_of_day_in_utc(spark: Any) -> None:
    moments = [datetime(2023, 12, 31, 7, 30, tzinfo=UTC), datetime(2024, 1, 15, 23, 59, 59, 999_999, tzinfo=UTC)]
    (values,) = query(spark, moments, Step.parse("1mo").ahead_sql("t", "2"))
    assert values == [datetime(2024, 2, 29, 7, 30, tzinfo=UTC), datetime(2024, 3, 15, 23, 59, 59, 999_999, tzinfo=UTC)]
