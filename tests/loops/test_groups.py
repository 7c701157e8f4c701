"""A coin per patient, twelve visits each: nothing can be learnt of new patients, and a split at random says that all can."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.worlds.scaffolded import problems, scaffold
from tests.worlds.shop_project import Shop, failures

PATIENTS, VISITS = 120, 12
AGAIN = ("training_sets", "models", "evaluations")


def visits() -> pd.DataFrame:
    """A row a visit: measurements that are a patient's own, the coin, the patient."""
    rng = np.random.default_rng(1)
    who = rng.permutation(np.repeat(np.arange(PATIENTS), VISITS))
    own = rng.normal(0, 1, (PATIENTS, 2))
    return pd.DataFrame(
        {
            "visit": [f"v{row:04}" for row in range(len(who))],
            "patient": who,
            "height": own[who, 0].round(3) + rng.normal(0, 0.01, len(who)).round(3),
            "pulse": own[who, 1].round(3) + rng.normal(0, 0.01, len(who)).round(3),
            "ill": rng.integers(0, 2, PATIENTS)[who],
        }
    )


def evaluated(shop: Shop, *stages: str) -> tuple[pd.Series, pd.Series]:
    """ROC AUC of the newest model, and what LL103 says of it."""
    result = shop.materialize(*stages)
    assert result.success, failures(result)
    metrics, checks = (shop.lake.open(f"reports/{name}").to_pyarrow_table().to_pandas() for name in ("metrics", "model_checks"))
    newest = metrics["version"].max()
    mine = metrics[(metrics["version"] == newest) & (metrics["model"] == "candidate")].set_index("metric")
    return mine.loc["roc_auc"], checks[checks["version"] == newest].set_index("code").loc["LL103"]


def test_a_draft_splits_by_patient_and_without_it_the_leak_is_named(
    tmp_path: Path, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKELOOP_ENV", "tgroups")
    defs = tmp_path / "platform_assets" / "defs"
    defs.mkdir(parents=True)
    visits().to_csv(tmp_path / "visits.csv", index=False)
    scaffold(tmp_path, "LakeTable", "x/visits", source=str(tmp_path / "visits.csv"))
    scaffold(tmp_path, "MLWorkflow", "x/guess", table="visits", label="ill", pipeline="gradient_boosting")
    assert problems(tmp_path) == []
    file, spine = defs / "x" / "guess" / "defs.yaml", defs / "x" / "guess" / "spine.sql"
    text = file.read_text()
    assert "group: patient" in text and "keys: [visit, patient]" in text
    assert "md5(CAST(patient AS STRING))" in spine.read_text() and "patient" not in (defs / "x/guess_inputs/view.sql").read_text()
    shop = Shop(defs, str(tmp_path / "lake"), mlflow_uri)
    score, check = evaluated(shop)
    assert score["low"] < 0.5 < score["high"] and score["value"] < 0.75
    assert check["outcome"] == "clean" and "rows are split by patient" in check["message"]

    # A spine of an earlier release, by the visit: rows of a patient are everywhere. One line of the definition keeps them together.
    spine.write_text(spine.read_text().replace("md5(CAST(patient AS STRING))", "md5(CAST(visit AS STRING))"))
    file.write_text(text.replace(", group: patient", ""))
    score, check = evaluated(shop, *AGAIN)
    assert score["value"] > 0.95
    assert check["outcome"] == "found" and "rows of one value share" in check["message"]
    file.write_text(text)
    score, check = evaluated(shop, *AGAIN)
    assert score["low"] < 0.5 < score["high"] and check["outcome"] == "clean"
