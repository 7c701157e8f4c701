"""Forecasts: from a table of series to a released model that beats the seasonal naive forecast, and what is refused on the way."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from tests.worlds.scaffolded import definition, problems, scaffold
from tests.worlds.shop_project import Shop

START = date(2023, 1, 1)
HORIZON = 5


def sales(days: int = 240, stores: tuple[str, ...] = ("north", "south"), seed: int = 3) -> dict[str, list[Any]]:
    """A weekly season on a trend that leaves everything seen behind; a day a fortnight is missing in the south."""
    rng = np.random.default_rng(seed)
    rows: dict[str, list[Any]] = {"store": [], "day": [], "sold": []}
    for number, store in enumerate(stores):
        level = 50 + 40 * number
        for day in range(days):
            if store == "south" and day % 14 == 5:
                continue
            weekly = (0, 2, 4, 8, 16, 30, 20)[day % 7]
            rows["store"].append(store)
            rows["day"].append((START + timedelta(days=day)).isoformat())
            rows["sold"].append(round(float(level + weekly + 0.4 * day + rng.normal(0, 3)), 2))
    return rows


def table(project: Path, rows: dict[str, list[Any]], **params: Any) -> None:
    (project / "in").mkdir(exist_ok=True)
    pyarrow.csv.write_csv(pa.table(rows), project / "in" / "rows.csv")
    scaffold(project, "LakeTable", "demand/sales", source=str(project / "in" / "rows.csv"), **params)


def forecast(project: Path, **params: Any) -> None:
    scaffold(project, "MLWorkflow", "demand/sold", **{"table": "sales", "label": "sold", "task": "forecasting", **params})


def test_from_a_table_of_series_to_a_released_forecast(project: Path, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from resources.lake.published import WHOLE, TableKey

    monkeypatch.setenv("LAKELOOP_ENV", "tforecast")
    table(project, sales())
    # On a trend and a season that are added a linear model is better, and trees would be refused for it.
    forecast(project, horizon=HORIZON, series=["store"], pipeline="linear")
    assert problems(project) == []
    shop = Shop(project / "platform_assets" / "defs", str(project / "lake"), mlflow_uri)
    result = shop.materialize()
    assert result.success, [e.event_specific_data.error for e in result.all_events if e.event_type_value == "STEP_FAILURE"]
    states = shop.lake.states()
    released = states[TableKey("releases", "demand", "sold")][WHOLE].value
    assert released["champion"] == "1", released["reason"]
    judged = states[TableKey("evaluations", "demand", "sold")][WHOLE].value
    assert judged["metrics"]["mase"] < 0.8 and judged["baselines"]["seasonal_naive"]["mase"] == pytest.approx(1.0)
    assert abs(judged["metrics"]["bias"]) < 2  # the trend goes on beyond what was seen
    assert judged["checks"]["LL102_overlap_in_time"][0] == "clean"
    rows = shop.lake.read(shop.lake.current(TableKey("training_sets", "demand", "sold"))).to_pandas()
    train, test = rows[rows["split"] == "train"], rows[rows["split"] == "test"]
    assert train["label_known_at"].max() < test["predict_at"].min()
    assert test["predict_at"].nunique() > 30
    of_south = rows[(rows["store"] == "south") & rows["label"].notna()]
    naive = of_south["sold_season__value_a_season_ago"]
    by_time = {(r.store, r.target_at): r.label for r in rows[rows["label"].notna()].itertuples()}
    for row, value in list(zip(of_south.itertuples(), naive, strict=True))[300:320]:
        earlier = [row.target_at - timedelta(days=7 * k) for k in range(1, 4)]
        known = [by_time[("south", at)] for at in earlier if at <= row.predict_at and ("south", at) in by_time]
        assert value == known[0]
    predicted = shop.lake.read(shop.lake.current(TableKey("predictions", "demand", "sold"))).to_pandas()
    newest = predicted["predict_at"].max()
    ahead = predicted[(predicted["predict_at"] == newest) & (predicted["store"] == "north")].sort_values("target_at")
    assert list(ahead["steps_ahead"]) == list(range(1, HORIZON + 1)) and ahead["target_at"].min() > newest
    slices = shop.lake.open_table("reports/slices").to_pandas() if hasattr(shop.lake, "open_table") else None
    assert slices is None or set(slices["slice_by"]) == {"steps_ahead", "series"}


def test_a_winter_that_was_drafted_in_utc_is_told_of_in_summer(
    project: Path, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from resources.lake.published import WHOLE, TableKey

    monkeypatch.setenv("LAKELOOP_ENV", "twinter")
    days = [datetime(2024, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")) + timedelta(days=day) for day in range(180)]
    rows = {
        "at": [day.astimezone(UTC).isoformat() for day in days],
        "sold": [float(day.weekday() * 5) + n * 0.1 for n, day in enumerate(days)],
    }
    table(project, {name: values[:80] for name, values in rows.items()})
    assert "a midnight of Europe/Berlin; so it is in Europe/Paris" in capsys.readouterr().out
    forecast(project, horizon=3)
    assert "a doubt: the times are 23:00 UTC, a midnight of Europe/Berlin" in capsys.readouterr().out
    shop = Shop(project / "platform_assets" / "defs", str(project / "lake"), mlflow_uri)
    key, name = TableKey("training_sets", "demand", "sold"), "times_are_whole_steps"
    for count, outcome in ((80, "passed"), (180, "failed")):
        pyarrow.csv.write_csv(pa.table({name: values[:count] for name, values in rows.items()}), project / "in" / "rows.csv")
        assert shop.materialize("raw", "validated", "features", "training_sets").success
        told = shop.lake.states()[key][WHOLE].value["checks"][name]
        assert told[0] == outcome
    # From 31 March on midnight is at 22:00 UTC; the fewer times are counted, those of winter or of summer.
    assert told[1].startswith(
        "89 of 180 times aren't whole steps of 1d in UTC from the others of their series, such as 2024-04-01 22:00:00"
    )
    assert "draft the forecast again with --timezone Europe/Berlin" in told[1]


def test_days_of_a_zone_are_forecast_through_both_changes_of_its_clocks(
    project: Path, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The targets, seasons and calendar of a year of local midnights, compared with what Python's clocks say."""
    from resources.lake.published import WHOLE, TableKey

    monkeypatch.setenv("LAKELOOP_ENV", "tlocal")
    zone = ZoneInfo("America/New_York")
    days = [datetime(2024, 1, 1, tzinfo=zone) + timedelta(days=day) for day in range(366)]
    weekly = (0, 2, 4, 8, 16, 30, 20)
    rng = np.random.default_rng(5)
    values = [round(50 + weekly[day.weekday()] + 0.1 * n + float(rng.normal(0, 2)), 2) for n, day in enumerate(days)]
    table(project, {"at": [day.astimezone(UTC).isoformat() for day in days], "sold": values}, timezone="America/New_York")
    forecast(project, horizon=3, timezone="America/New_York")
    assert problems(project) == []
    shop = Shop(project / "platform_assets" / "defs", str(project / "lake"), mlflow_uri)
    result = shop.materialize()
    assert result.success, [e.event_specific_data.error for e in result.all_events if e.event_type_value == "STEP_FAILURE"]
    rows = shop.lake.read(shop.lake.current(TableKey("training_sets", "demand", "sold"))).to_pylist()
    assert shop.lake.states()[TableKey("training_sets", "demand", "sold")][WHOLE].value["checks"]["times_are_whole_steps"][0] == "passed"
    by_day, known = {day.date(): value for day, value in zip(days, values, strict=True)}, 0
    for row in rows:
        origin, target = (row[name].astimezone(zone) for name in ("predict_at", "target_at"))
        assert origin.hour == target.hour == 0 and target.date() == origin.date() + timedelta(days=row["steps_ahead"])
        assert row["label"] == by_day.get(target.date())
        assert row["sold_calendar__weekday"] == str(target.isoweekday() % 7 + 1)
        seven_before = target.date() - timedelta(days=7)
        assert row["sold_season__value_a_season_ago"] == by_day.get(seven_before)
        assert row["sold_recent__last_value"] == by_day[origin.date()]
        if row["sold_recent__mean_7"] is not None and origin.date() >= date(2024, 1, 8):
            week = [by_day[origin.date() - timedelta(days=back)] for back in range(7)]
            assert row["sold_recent__mean_7"] == pytest.approx(sum(week) / 7)
            known += 1
    assert len(rows) == 3 * 366 and known > 1000
    predicted = shop.lake.read(shop.lake.current(TableKey("predictions", "demand", "sold"))).to_pylist()
    assert {
        row["target_at"].astimezone(zone).date() for row in predicted if row["predict_at"].astimezone(zone).date() == date(2024, 12, 31)
    } == {date(2025, 1, day) for day in (1, 2, 3)}


@pytest.mark.parametrize(
    ("change", "params", "told"),
    [
        ({}, {"horizon": 0}, "horizon: wanted at least 1 step, found 0"),
        ({}, {"season": 0}, "season: wanted at least 1 step"),
        ({}, {"horizon": 5, "season": 365}, "season: two seasons of 365 steps and 5 ahead are longer than the history of 60 steps of 1d; at most 27"),
        ({}, {"horizon": 50}, "has 60 steps of 1d with a value of sold; wanted at least 70 to forecast 50 ahead"),
        ({}, {"series": ["shop"]}, "series: no column 'shop'"),
        ({}, {"series": ["sold"]}, "series: sold is the label or the time"),
        ({}, {"every": "fortnight"}, "every: wanted a step such as 15m, 1h, 1d, 1w or 1mo, found 'fortnight'"),
        ({}, {"every": "1w"}, "their steps are shorter than 1w"),
        ({}, {"every": "1h", "origin_every": "90m"}, "origin_every: wanted a multiple of the step of 1h, found 90m"),
        ({}, {"label": "store"}, "label: wanted a number to forecast, store is a string"),
        ({}, {"pipeline": "gradient_boosting"}, "gradient_boosting is for .*, not for forecasting; for that there is forecasting, linear"),
        ({}, {"pipeline": "forcasting"}, "no pipeline 'forcasting'; did you mean 'forecasting'"),
        ({}, {"task": "forcasting"}, "task: found 'forcasting'; did you mean 'forecasting'"),
        ({}, {"task": "regression", "horizon": 3}, "horizon, series: only for --task forecasting"),
        ({"store": ["all"] * 120}, {"series": ["store"]}, "120 of 120 rows share .store, day. by steps of 1d with another .2 of 2023"),
        ({"day": None}, {"every": "1d"}, "aren't whole steps of 1d from the others of their series"),
    ],
)  # fmt: skip
def test_what_cannot_be_forecast_is_told_by_its_option(project: Path, change: Any, params: dict[str, Any], told: str) -> None:
    import click

    rows = sales(60, ("north", "west"))
    if change.get("day", "") is None:
        change = {"day": [f"{day} {index % 7:02d}:00:00" for index, day in enumerate(rows["day"])]}
    table(project, {"row_id": [f"r{i}" for i in range(120)], **rows, **change}, event_time="day")
    with pytest.raises(click.ClickException, match=told):
        forecast(project, **{"series": ["store"], **params})
    assert not (project / "platform_assets" / "defs" / "demand" / "sold").exists()


def test_missing_days_and_short_series_are_said_and_the_rest_is_drafted(
    project: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = sales(60)
    rows = {name: [*values, *values[:4]] for name, values in rows.items()}
    rows["store"][-4:] = ["new"] * 4
    table(project, rows)
    forecast(project, horizon=3)
    told = capsys.readouterr().out
    assert "missing in 1 of 3 series: 4 steps of 1d" in told
    assert "1 of 3 series have fewer than 17 values" in told
    assert problems(project) == []


def test_a_gap_that_does_not_cover_the_horizon_is_refused_where_it_stands(project: Path) -> None:
    table(project, sales(60))
    forecast(project, horizon=HORIZON)
    path = project / "platform_assets" / "defs" / "demand" / "sold" / "defs.yaml"
    path.write_text(path.read_text().replace("gap: 5d", "gap: 4d"))
    (problem,) = problems(project)
    assert (
        "split.gap: wanted at least 5d (the horizon of 5 steps of 1d), found 4d: the model would learn from values of the next window"
        in problem
    )
    path.write_text(path.read_text().replace("gap: 4d", "gap: 5d").replace("naive: value_a_season_ago", "naive: value_a_saison_ago"))
    assert "forecast.naive: no feature 'value_a_saison_ago'; did you mean 'value_a_season_ago'" in problems(project)[0]
    path.write_text(path.read_text().replace("task: forecasting", "task: regression"))
    assert any("wanted a section forecast" in problem for problem in problems(project))


def test_a_zone_that_is_changed_in_one_place_alone_and_a_gap_without_its_hour_are_refused(project: Path) -> None:
    midnights = [datetime(2024, 1, 1, tzinfo=ZoneInfo("Europe/Zurich")) + timedelta(days=day) for day in range(200)]
    table(project, {"at": [day.astimezone(UTC).isoformat() for day in midnights], "sold": [1.0 + n % 7 for n in range(200)]})
    forecast(project, horizon=5, timezone="Europe/Zurich")
    assert problems(project) == []
    path = project / "platform_assets" / "defs" / "demand" / "sold" / "defs.yaml"
    assert "gap: 121h}  # windows of origins; the gap covers the horizon with the clocks put back" in path.read_text()
    path.write_text(path.read_text().replace("gap: 121h", "gap: 5d").replace("timezone: Europe/Zurich", "timezone: America/New_York"))
    told = problems(project)
    assert any("split.gap: wanted at least 121h" in problem for problem in told)
    assert any("forecast.timezone: wanted Europe/Zurich, in which spine.sql counts, found America/New_York" in problem for problem in told)
    path.write_text(path.read_text().replace("timezone: America/New_York", "timezone: America/New_Yorck"))
    assert any("did you mean America/New_York" in problem for problem in problems(project))


@pytest.mark.parametrize(
    ("times", "every", "season"),
    [
        ([f"{1990 + m // 12}-{1 + m % 12:02d}-01" for m in range(96)], "1mo", 12),
        ([f"2024-03-{1 + h // 24:02d} {h % 24:02d}:30:00" for h in range(240)], "1h", 24),
        ([f"2024-03-{1 + q // 96:02d} {q % 96 // 4:02d}:{q % 4 * 15:02d}:00" for q in range(480)], "15m", 1),
    ],
)
def test_step_and_season_are_read_off_the_times(project: Path, times: list[str], every: str, season: int) -> None:
    table(project, {"at": times, "passengers": [100 + i % 13 for i in range(len(times))]})
    forecast(project, label="passengers", horizon=3)
    assert problems(project) == []
    assert f"every: {every}" in definition(project, "demand/sold/defs.yaml")
    assert f"% {season} AS season_phase" in definition(project, "demand/sold/spine.sql")


@pytest.mark.parametrize("log", [False, True])
def test_a_trend_goes_on_beyond_everything_that_was_learnt_from(log: bool) -> None:
    import pandas as pd

    from lakeloop.spec.tasks import Answer
    from lakeloop.spec.workflow import Model
    from lakeloop.training.pipelines import build_estimator

    rng = np.random.default_rng(0)
    level = np.exp(np.linspace(3, 5, 600)) if log else np.linspace(10, 200, 600)
    value = level * (1 + 0.1 * np.sin(np.arange(600) / 7 * 2 * np.pi)) + rng.normal(0, 0.5, 600)
    frame = pd.DataFrame({"ago": value[:-7], "weekday": [str(i % 7) for i in range(593)]})
    model = build_estimator(
        Model(pipeline="forecasting", params={"log": log}), {"ago": "double", "weekday": "string"}, Answer("forecasting")
    )
    model.fit(frame[:450], value[7:457])
    predicted = model.predict(frame[450:])
    assert predicted[-50:].mean() > 1.1 * value[:457].max()
    assert abs((predicted - value[457:]).mean()) < 0.5 * (value[457:] - frame["ago"][450:]).abs().mean()


def test_the_relative_error_of_the_reference_itself_is_one_and_its_interval_covers() -> None:
    from lakeloop.metrics.table import relative_metrics

    rng, held = np.random.default_rng(5), 0
    for _ in range(600):
        y, noise = rng.normal(10, 2, 200), rng.normal(0, 1, (2, 200))
        (interval,) = relative_metrics("forecasting", y, y + 0.7 * noise[0], y + 0.5 * noise[0] + 0.5 * noise[1])
        held += interval.low <= 0.7 / np.sqrt(0.5) <= interval.high
    assert 0.92 <= held / 600 <= 0.98
    (same,) = relative_metrics("forecasting", y, y + noise[0], y + noise[0])
    assert same.value == 1 and np.isnan([same.low, same.high]).all(), "it is the same for every row, which says nothing of other rows"
