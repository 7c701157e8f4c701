"""`lakeloop remove`: a definition goes with all that stands for it, nothing is lost, and it can come back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lakeloop.cli.main import main
from resources.serving.desired import Deployment, read_desired, write_desired, write_json
from resources.settings import Settings
from resources.tracking.registry import CHAMPION, Registry
from resources.tracking.tags import RETIRED_TAG
from tests.worlds.shop_project import Shop

SENSOR = "retrain_shop_returns"


@pytest.fixture
def settings(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Those of a shop with a project of its own around it."""
    monkeypatch.setenv("LAKELOOP_LAKE", shop.lake_url)
    monkeypatch.setenv("LAKELOOP_DEFS", str(shop.defs))
    monkeypatch.setenv("LAKELOOP_HOME", str(shop.defs.parents[1] / "home"))
    yield Settings.from_environment()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def instance_of(settings: Settings) -> Any:
    (settings.home / "dagster").mkdir(parents=True, exist_ok=True)
    (settings.home / "dagster" / "dagster.yaml").touch()
    return dg.DagsterInstance.from_config(str(settings.home / "dagster"))


def stop_the_sensor(instance: Any) -> None:
    """As a person does in Dagster's UI."""
    from dagster._core.definitions.run_request import InstigatorType
    from dagster._core.remote_origin import (
        InProcessCodeLocationOrigin,
        RemoteInstigatorOrigin,
        RemoteRepositoryOrigin,
    )
    from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, SensorInstigatorData
    from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

    location = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="platform_assets.definitions"), location_name="lakeloop")
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), SENSOR)
    instance.add_instigator_state(InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.STOPPED, SensorInstigatorData()))


@pytest.mark.filled
def test_a_workflow_goes_and_comes_back(shop: Shop, settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert shop.materialize("models", "evaluations", "releases").success
    folder, model = shop.defs / "shop" / "returns", settings.mlflow_name("shop", "returns")
    deployment, before, states = Deployment("shop.returns", "1", f"models:/{model}/1"), contents(folder), shop.lake.states()
    write_desired(settings.home / "serving", deployment)
    registry = Registry(shop.uri)
    with instance_of(settings) as instance:
        stop_the_sensor(instance)

        assert main(["remove", "returns"]) == 2
        assert "nothing was changed; add --yes to do it" in capsys.readouterr().err and contents(folder) == before

        assert main(["remove", "returns", "--yes"]) == 0
        told = capsys.readouterr().out
        for line in (
            f"workflow shop.returns: {folder} moves to {settings.home / 'removed'}",
            "version 1 of shop.returns is not served any more",
            f"Dagster forgets whether {SENSOR} ran or was stopped",
            f"the registered model {model} is tagged as retired; its versions and aliases, champion too, stay",
            "these tables stay in the lake: training_sets/shop/returns",
        ):
            assert line in told
        assert not folder.exists() and read_desired(settings.home / "serving") == {}
        assert instance.all_instigator_state() == []
        assert RETIRED_TAG in registry.client.get_registered_model(model).tags
        assert registry.version_of(model, CHAMPION) == "1" and registry.versions(model) == [1]
        assert shop.lake.states() == states
        assert main(["check"]) == 0 and main(["workflow"]) == 0
        assert "no workflow is defined" in capsys.readouterr().out

        assert main(["remove", "shop/returns", "--undo"]) == 0
        assert contents(folder) == before and read_desired(settings.home / "serving") == {"shop.returns": deployment}
        assert [(state.instigator_name, state.is_running) for state in instance.all_instigator_state()] == [(SENSOR, False)]
        assert RETIRED_TAG not in registry.client.get_registered_model(model).tags
        assert list((settings.home / "removed").iterdir()) == []
        assert main(["plan"]) == 0 and "predictions/shop/returns" in capsys.readouterr().out


@pytest.mark.parametrize("moved", [False, True], ids=["before the folder moved", "after it"])
def test_a_removal_that_was_cut_off_goes_on(shop: Shop, settings: Settings, moved: bool) -> None:
    from lakeloop.cli.removal import DEFINITION, RECORD, Place, plan_removal
    from resources.project import find_project

    write_desired(settings.home / "serving", Deployment("shop.returns", "1", "models:/x/1"))
    place = Place(find_project(), settings)
    removal = plan_removal(place, "returns")
    kept = place.folder_of(removal)
    write_json(kept / RECORD, asdict(removal))
    if moved:
        (shop.defs / "shop" / "returns").rename(kept / DEFINITION)
    assert main(["remove", "shop.returns", "--yes"]) == 0
    assert (kept / DEFINITION / "defs.yaml").is_file() and read_desired(settings.home / "serving") == {}
    assert not (shop.defs / "shop" / "returns").exists() and len(list((settings.home / "removed").iterdir())) == 1
    assert main(["remove", "returns", "--undo"]) == 0
    assert read_desired(settings.home / "serving")["shop.returns"].version == "1"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("orders", "shop.basket, shop.history, shop.outcomes, shop.returns read shop.orders; remove or change that first"),
        ("history", "shop.returns reads shop.history; remove or change that first"),
        ("return", "did you mean 'returns'?"),
    ],
)
def test_what_others_read_is_refused(shop: Shop, settings: Settings, capsys: pytest.CaptureFixture[str], name: str, told: str) -> None:
    before = contents(shop.defs)
    assert main(["remove", name, "--yes"]) == 1
    assert told in capsys.readouterr().err and contents(shop.defs) == before


def test_what_runs_and_what_shares_its_file_is_refused(shop: Shop, settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    with instance_of(settings) as instance:
        job = shop.definitions().resolve_implicit_global_asset_job_def()
        run = instance.create_run_for_job(
            job, status=dg.DagsterRunStatus.STARTED, asset_selection=frozenset({dg.AssetKey(["models", "shop", "returns"])})
        )
        assert main(["remove", "returns", "--yes"]) == 1
        assert f"run {run.run_id} is materialising shop.returns; wait for its end, or cancel it" in capsys.readouterr().err
    file = shop.defs / "shop" / "returns" / "defs.yaml"
    file.write_text(file.read_text() + "---\n" + file.read_text().replace("name: returns", "name: again"))
    assert main(["remove", "returns", "--yes"]) == 1
    assert "defines shop.again too; move shop.returns to a folder of its own first" in capsys.readouterr().err


@pytest.mark.filled
def test_a_renamed_workflow_is_served_under_the_old_name_until_the_new_one_is(
    shop: Shop, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    rename = ["rename", "returns", "refunds", "--yes"]
    assert shop.materialize("models", "evaluations", "releases").success
    write_desired(settings.home / "serving", Deployment("shop.returns", "1", "models:/x/1"))
    with instance_of(settings) as instance:
        stop_the_sensor(instance)
        assert main(rename[:-1]) == 2 and not (shop.defs / "shop" / "refunds").exists()
        assert main(rename) == 0
        assert "Next: lakeloop materialize shop.refunds" in capsys.readouterr().out
        stopped = {state.instigator_name for state in instance.all_instigator_state() if not state.is_running}
        assert stopped == {SENSOR, "retrain_shop_refunds"}
        assert main(["check"]) == 0
        assert main(rename) == 1
        assert "version 1 of shop.returns is released, and no version of shop.refunds is yet; run `lakeloop mat" in capsys.readouterr().err
        assert shop.materialize("training_sets", "models", "evaluations", "releases").success
        assert main(rename) == 1 and "shop.returns is served, and shop.refunds isn't yet" in capsys.readouterr().err
        write_desired(settings.home / "serving", Deployment("shop.refunds", "1", "models:/y/1"))
        assert main(rename) == 0
        assert "shop.returns is shop.refunds now" in capsys.readouterr().out
        assert [state.instigator_name for state in instance.all_instigator_state()] == ["retrain_shop_refunds"]
    assert not (shop.defs / "shop" / "returns").exists() and list(read_desired(settings.home / "serving")) == ["shop.refunds"]


def test_a_renamed_table_links_its_data_and_stays_while_it_is_read(
    shop: Shop, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rename", "orders", "sales.bookings", "--yes"]) == 0
    old, new = shop.defs / "shop" / "orders", shop.defs / "sales" / "bookings"
    assert "name: bookings\n" in (new / "defs.yaml").read_text() and "name: orders\n" in (old / "defs.yaml").read_text()
    for data in (old / "data").iterdir():
        assert data.samefile(new / "data" / data.name)
    before = contents(shop.defs)
    assert main(["rename", "orders", "sales.bookings", "--yes"]) == 1
    assert "read shop.orders; remove or change that first" in capsys.readouterr().err and contents(shop.defs) == before


@pytest.mark.parametrize(
    ("new", "told"),
    [
        ("history", "shop.history is there already, and isn't shop.returns under another name"),
        ("Refunds", "wanted <domain>.<name>, each of lower-case letters"),
        ("returns", "shop.returns is there already"),
    ],
)
def test_a_name_that_cannot_be_had_is_refused(
    shop: Shop, settings: Settings, capsys: pytest.CaptureFixture[str], new: str, told: str
) -> None:
    before = contents(shop.defs)
    assert main(["rename", "returns", new, "--yes"]) == 1
    assert told in capsys.readouterr().err and contents(shop.defs) == before


def test_undoing_what_was_not_removed_is_refused(shop: Shop, settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["remove", "returns", "--undo"]) == 1
    assert "nothing called 'returns' was removed" in capsys.readouterr().err
