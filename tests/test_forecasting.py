"""Forecasts: from a table of series to a released model that beats the seasonal naive forecast, and what is refused on the way."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from tests.conftest import Shop
from tests.test_scaffold import definition, problems, project, scaffold  # noqa: F401

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


def table(project: Path, rows: dict[str, list[Any]], **params: Any) -> None:  # noqa: F811
    (project / "in").mkdir(exist_ok=True)
    pyarrow.csv.write_csv(pa.table(rows), project / "in" / "rows.csv")
    scaffold(project, "LakeTable", "demand/sales", source=str(project / "in" / "rows.csv"), **params)


def forecast(project: Path, **params: Any) -> None:  # noqa: F811
    scaffold(project, "MLWorkflow", "demand/sold", **{"table": "sales", "label": "sold", "task": "forecasting", **params})


def test_from_a_table_of_series_to_a_released_forecast(project: Path, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    from resources.lake import WHOLE, TableKey

    monkeypatch.setenv("LAKELOOP_ENV", "tforecast")
    table(project, sales())
    forecast(project, horizon=HORIZON, series=["store"])
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
