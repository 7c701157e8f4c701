"""Why an asset is stale, as `lakeloop plan --why` tells it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from platform_assets.plan import stale_assets
from platform_assets.reasons import reasons_for
from resources.lake.published import States
from tests.worlds.shop_project import Shop


def why(shop: Shop, states: States | None = None) -> dict[str, list[str]]:
    """The reasons of each stale asset."""
    from platform_assets.loading import read_project

    project, states = read_project(shop.defs), shop.lake.states() if states is None else states
    reasons = reasons_for(project, states, stale_assets(project, states))
    return {str(key): [reason.text for reason in listed] for key, listed in reasons.items()}


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_what_was_never_built_is_said_to_be(shop: Shop) -> None:
    assert why(shop)["raw/shop/orders"] == ["it was never built"]


@pytest.mark.filled
@pytest.mark.parametrize(
    ("file", "old", "new", "asset", "told"),
    [
        ("orders/defs.yaml", "mostly: 0.99", "mostly: 0.9", "validated/shop/orders", ["its definition changed: expectations"]),
        (
            "orders/defs.yaml",
            "end: 2024-06-01}",
            "end: 2024-07-01}",
            "validated/shop/orders",
            ["because raw/shop/orders is stale", "2024-06 is a new partition", "its definition changed: partitions"],
        ),
        ("history/view.sql", "SELECT", "SELECT  ", "features/shop/history", ["view.sql changed"]),
        ("history/defs.yaml", "delay: 1m", "delay: 2m", "features/shop/history", ["its definition changed: delay"]),
        ("returns/spine.sql", "SELECT", "SELECT  ", "training_sets/shop/returns", ["spine.sql changed"]),
        ("returns/defs.yaml", "gap: 1d", "gap: 2d", "training_sets/shop/returns", ["its definition changed: split"]),
    ],
)
def test_an_edit_is_named_where_it_was_made(shop: Shop, file: str, old: str, new: str, asset: str, told: list[str]) -> None:
    edit(shop.defs / "shop" / file, old, new)
    assert why(shop)[asset] == told


@pytest.mark.filled
def test_what_follows_names_what_is_stale_before_it(shop: Shop) -> None:
    edit(shop.defs / "shop" / "orders" / "defs.yaml", "mostly: 0.99", "mostly: 0.9")
    edit(shop.defs / "shop" / "history" / "view.sql", "SELECT", "SELECT  ")
    reasons = why(shop)
    assert reasons["features/shop/outcomes"] == ["because validated/shop/orders is stale"]
    assert reasons["features/shop/history"] == ["because validated/shop/orders is stale", "view.sql changed"]
    assert "because features/shop/history is stale" in reasons["training_sets/shop/returns"]


@pytest.mark.filled
def test_files_of_a_source_are_named(shop: Shop) -> None:
    data = shop.defs / "shop" / "orders" / "data"
    file = next(data.glob("*.csv"))
    lines = file.read_text().splitlines(keepends=True)
    (data / "more.csv").write_text(lines[0])
    file.write_text("".join(lines[:-1]))
    assert why(shop)["raw/shop/orders"] == ["data/more.csv is new", f"data/{file.name} changed"]


@pytest.mark.filled
def test_a_new_version_of_an_input_is_named_with_its_versions(shop: Shop) -> None:
    edit(shop.defs / "shop" / "orders" / "defs.yaml", "mostly: 0.99", "mostly: 0.9")
    assert shop.materialize("validated").success
    reasons = why(shop)
    assert reasons["features/shop/basket"] == ["validated/shop/orders changed (version 0 to 1)"]


@pytest.mark.filled
def test_code_conditions_and_older_records(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from platform_assets.stages.training import training_set

    assert shop.materialize("models", "evaluations", "releases", "predictions").success
    assert why(shop) == {}
    with monkeypatch.context() as patch:
        patch.setattr(training_set, "CODE_VERSION", "next")
        (text,) = why(shop)["training_sets/shop/returns"]
        assert text.startswith("this version of Lakeloop computes it otherwise (code version ") and text.endswith(" to next)")
    states = shop.lake.states()
    for partitions in states.values():
        for state in partitions.values():
            if getattr(state.fingerprint, "parts", None):
                state.fingerprint.parts = None  # as a version before 0.3.0 recorded it
    edit(shop.defs / "shop" / "history" / "view.sql", "SELECT", "SELECT  ")
    assert why(shop, states)["features/shop/history"] == [
        "its definition, its code or an input changed; it was recorded before the parts were noted"
    ]


@pytest.mark.filled
def test_the_command_tells_it_and_so_does_its_json(shop: Shop, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from lakeloop.cli.main import main

    monkeypatch.setenv("LAKELOOP_LAKE", shop.lake_url)
    monkeypatch.setenv("LAKELOOP_DEFS", str(shop.defs))
    edit(shop.defs / "shop" / "history" / "view.sql", "SELECT", "SELECT  ")
    assert main(["plan", "--why"]) == 0
    assert "features/shop/history  2024-01 to 2024-05\n    view.sql changed\n" in capsys.readouterr().out
    assert main(["plan", "--why", "--json"]) == 0
    stale = {entry["asset"]: entry for entry in json.loads(capsys.readouterr().out)["stale"]}
    assert stale["features/shop/history"]["why"] == [{"kind": "file", "text": "view.sql changed", "names": ["view.sql"]}]
