"""A champion that knew the answers: the gate refuses it today, and an honest version takes the place of one that was released before there was a gate."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from resources.lake.published import WHOLE, TableKey
from tests.worlds.scaffolded import problems, scaffold
from tests.worlds.shop_project import Shop, failures

GATE = "    leaks: {max: 0}"


def rides() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    wind, rain = rng.normal(0, 1, (2, 700)).round(2)
    casual = (200 + 40 * wind + rng.normal(0, 30, 700)).round(1)
    registered = (500 - 60 * rain + rng.normal(0, 40, 700)).round(1)
    columns = {"wind": wind, "rain": rain, "casual": casual, "registered": registered, "bikers": casual + registered}
    return pd.DataFrame({"ride": [f"r{n:03}" for n in range(700)], **columns})


def state(shop: Shop, stage: str) -> Any:
    return shop.lake.states()[TableKey(stage, "x", "guess")][WHOLE].value


def test_a_leak_is_refused_and_a_leaky_champion_makes_way(tmp_path: Path, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKELOOP_ENV", "tleaks")
    defs = tmp_path / "platform_assets" / "defs"
    defs.mkdir(parents=True)
    rides().to_csv(tmp_path / "rides.csv", index=False)
    scaffold(tmp_path, "LakeTable", "x/rides", source=str(tmp_path / "rides.csv"))
    scaffold(tmp_path, "MLWorkflow", "x/guess", table="rides", label="bikers", pipeline="linear")
    view, columns, file = (defs / "x" / path for path in ("guess_inputs/view.sql", "guess_inputs/defs.yaml", "guess/defs.yaml"))
    honest = {path: path.read_text() for path in (view, columns, file)}
    assert "Left out: casual: says bikers together with registered (casual + registered)" in honest[view] and GATE in honest[file]

    # Somebody puts them in all the same.
    view.write_text(honest[view].replace("    wind,", "    casual,\n    registered,\n    wind,"))
    leaking = "    casual: {type: double, description: a}\n    registered: {type: double, description: b}\n"
    columns.write_text(honest[columns].replace("  columns:\n", f"  columns:\n{leaking}"))
    assert problems(tmp_path) == []
    shop = Shop(defs, str(tmp_path / "lake"), mlflow_uri)
    result = shop.materialize()
    assert result.success, failures(result)
    refused = state(shop, "releases")
    assert refused["champion"] is None and "the gate leaks failed: " in refused["reason"]
    assert "LL111: guess_inputs__casual and guess_inputs__registered give the label together" in refused["reason"]
    assert "Leave out casual of guess_inputs, registered of guess_inputs" in refused["reason"]

    # As it was before there was a gate.
    file.write_text("\n".join(line for line in honest[file].splitlines() if not line.startswith(GATE)) + "\n")
    stages = ("features", "training_sets", "models", "evaluations", "releases")
    assert shop.materialize(*stages).success
    assert state(shop, "releases")["champion"] == "1"

    # An honest version has a much larger error, and is released.
    file.write_text(re.sub(r"guess_inputs: .*", "guess_inputs: [wind, rain]", honest[file]))
    result = shop.materialize(*stages)
    assert result.success, failures(result)
    judged, release = state(shop, "evaluations"), state(shop, "releases")
    assert judged["champion"] == "1" and judged["voids"].startswith("LL111: ")
    assert judged["metrics"]["mae"] > 10 * judged["baselines"]["champion"]["mae"]
    assert release["champion"] == "2" and list(release["voided"]) == ["1"] and "its evidence is void (LL111: " in release["reason"]
