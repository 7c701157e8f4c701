"""Pipelines that are tried before a forecast is drafted: on the inputs that its views will have, in the order of time, the simplest that none beats."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from lakeloop.drafting.forecasts.draft import draft_forecast
from lakeloop.drafting.forecasts.history import choose_stride, read_history
from lakeloop.drafting.forecasts.plan import PIPELINE, ForecastPlan
from lakeloop.drafting.forecasts.trial import forecast_rows
from lakeloop.spec.tables import TableSpec

RNG = np.random.default_rng(0)
DAYS = np.arange(700)
NOISE = RNG.normal(0, 1, len(DAYS))
WEEK = 10 * np.sin(2 * np.pi * DAYS / 7)
TABLE = TableSpec.model_validate(
    {
        "name": "sales",
        "description": "Sales.",
        "source": {"files": "sales.csv"},
        "keys": ["shop", "at"],
        "event_time": "at",
        "columns": {"shop": {"type": "string"}, "at": {"type": "timestamp", "nullable": False}, "sold": {"type": "double"}},
    }
)


def rows_of(values: np.ndarray, kept: np.ndarray | None = None) -> pa.Table:
    """A year and more of two shops, by day; of `kept` steps alone."""
    at = np.datetime64("2022-01-01", "us") + DAYS * np.timedelta64(1, "D")
    kept = np.ones(len(DAYS), bool) if kept is None else kept
    parts = [
        {"shop": [shop] * int(kept.sum()), "at": pa.array(at[kept]).cast(pa.timestamp("us", tz="UTC")), "sold": (values + more)[kept]}
        for shop, more in (("a", 0.0), ("b", 50.0))
    ]
    return pa.concat_tables([pa.table(part) for part in parts])


def model_line(values: np.ndarray, **more: object) -> str:
    drafted = draft_forecast(TABLE, rows_of(values), table_domain="d", name="w", label="sold", horizon=7, **more)  # type: ignore[arg-type]
    return next(line for line in drafted.files["w/defs.yaml"].splitlines() if line.startswith("  model:"))


@pytest.mark.parametrize(
    ("values", "taken"),
    [
        (100 + 0.5 * DAYS + WEEK + NOISE, "linear"),
        (100 + WEEK + NOISE, "linear"),
        (100 + np.where((DAYS % 7 > 4) & ((DAYS // 28) % 2 == 0), 40, 0) + NOISE, "forecasting"),
    ],
    ids=["trend", "season", "not linear"],
)
def test_the_simplest_pipeline_that_none_beats_is_drafted_with_what_was_compared(values: np.ndarray, taken: str) -> None:
    line = model_line(values)
    assert (
        line.startswith(f"  model: {{pipeline: {taken}}}  # mae linear ")
        and ", forecasting " in line
        and "each fitted on earlier rows" in line
    )


def test_what_is_asked_for_is_not_compared_and_a_short_history_says_so() -> None:
    assert model_line(100 + NOISE, pipeline="forecasting") == "  model: {pipeline: forecasting}"
    few = rows_of(100 + NOISE).slice(0, 32)
    drafted = draft_forecast(TABLE, few, table_domain="d", name="w", label="sold", horizon=1)
    assert "model: {pipeline: forecasting}  # too few rows of the training window" in drafted.files["w/defs.yaml"]


def test_the_inputs_of_the_trial_are_those_of_the_views() -> None:
    kept = RNG.random(len(DAYS)) < 0.8
    kept[[0, -1]] = True
    values = 100 + WEEK + NOISE
    history = read_history(TABLE, rows_of(values, kept), "sold", None, None, None, None, 7)
    plan = ForecastPlan(TABLE, "d.sales", "w", "sold", history, choose_stride(history, None), PIPELINE)
    rows = forecast_rows(plan)
    assert rows is not None and rows.at is not None and rows.known_at is not None and len(rows.label) > 500
    assert rows.at.max() <= plan.train_steps() and (np.diff(rows.at) >= 0).all()
    known = {step: values[step] for step in DAYS[kept]}
    for place in range(0, len(rows.label), 37):
        row, origin, target = rows.frame.iloc[place], int(rows.at[place]), int(rows.known_at[place])
        more = 50.0 * (row["shop_name" if "shop_name" in row else "series_name"] == "s1")

        def window(end: int, width: int, more: float = more) -> list[float]:
            return [known[step] + more for step in range(max(end - width + 1, 0), end + 1) if step in known]

        season = [known[step] + more for step in range(target - 7 * -(-(target - origin) // 7), -1, -7) if step in known]
        expected = {
            "steps": target - origin,
            "last_value": known[origin] + more,
            "value_before": known.get(origin - 1, np.nan) + more,
            "mean_7": np.mean(window(origin, 7)),
            "mean_28": np.mean(window(origin, 28)),
            "deviation_28": np.std(window(origin, 28), ddof=1) if len(window(origin, 28)) > 1 else np.nan,
            "change_7": np.mean(window(origin, 7)) - (np.mean(window(origin - 7, 7)) if window(origin - 7, 7) else np.nan),
            "value_a_season_ago": season[0] if season else np.nan,
            "mean_of_4_seasons": np.mean(season[:4]) if season else np.nan,
            "value_two_seasons_ago": season[1] if len(season) > 1 else np.nan,
        }
        assert rows.label[place] == known[target] + more
        for name, value in expected.items():
            assert row[name] == pytest.approx(value, abs=1e-6, nan_ok=True), (name, place)
        weekday = int((np.datetime64("2022-01-01") + target).astype(int) + 4) % 7 + 1
        assert row["weekday"] == str(weekday)
