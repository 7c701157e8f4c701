"""A lake, an MLflow server's files and a Dagster home that an earlier release left behind: opened, found fresh, and answering as before."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
import httpx
import mlflow
import pytest

from lakeloop.cli.staleness import print_plan
from lakeloop.records.base import StateRecord
from lakeloop.records.release import DeploymentState, EvaluationState, PredictionState, ReleaseState
from lakeloop.records.tables import SourceState, TableState, ViewState
from lakeloop.records.training import ModelState, StudyState, TrainingSetState
from lakeloop.spec.partitions import partition_keys
from platform_assets.assets import asset_key
from platform_assets.definitions import build_defs
from platform_assets.graph import dependencies, partitions_of
from platform_assets.loading import read_project
from platform_assets.plan import runs_for, stale_assets
from platform_assets.stages.features import rules
from resources.lake.lake import Lake
from resources.lake.published import WHOLE, TableKey
from resources.settings import Settings
from resources.tracking.model_format import load_model
from resources.tracking.registry import Registry
from resources.tracking.tags import REPORT_TAG
from tests.worlds.places import ROOT
from tests.worlds.releases import PACKED, World, frame_of
from tests.worlds.stored import contents

RECORDS: dict[str, type[StateRecord]] = {
    kind.stage: kind
    for kind in (
        SourceState, TableState, ViewState, TrainingSetState, StudyState, ModelState, EvaluationState, ReleaseState, PredictionState,
        DeploymentState,
    )
}  # fmt: skip
BEFORE_MOVING_FRAMES = [path for path in PACKED if path.name.removesuffix(".tar.xz") in ("release_0_1_0", "release_0_2_0", "release_0_3_0")]
"""Those whose moving windows were computed by a rule that was corrected in 0.4.0."""
ENGINE_RULES = rules.engine_rules
LAST_BITS = 1e-12
"""Linear models sum up by BLAS, whose kernels differ between processors in the last bits; on one processor predictions are equal."""
PLACES_OF_A_MACHINE = re.compile(rb"/(?:home|root|Users|work|builds?|mnt|var)/")
MOST_BYTES = 1_000_000


@dataclass(frozen=True)
class Opened:
    """A stored world whose MLflow server runs."""

    world: World
    uri: str


@pytest.fixture(scope="module", autouse=True)
def uncorrected(packed: Path) -> Iterator[None]:
    """Without the corrections that restate a view on purpose: what else an upgrade would make stale or change is what these tests ask."""
    known, corrected = {rules.MOVING_FRAMES} if packed not in BEFORE_MOVING_FRAMES else set(), rules.engine_rules
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rules, "engine_rules", lambda *of: {name: said for name, said in corrected(*of).items() if name in known})
        yield


@pytest.fixture(scope="module", params=PACKED, ids=lambda path: path.name.removesuffix(".tar.xz"))
def packed(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


@pytest.fixture(scope="module")
def opened(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    world = World.unpack(packed, tmp_path_factory.mktemp("world"))
    with world.mlflow_server() as (uri, _), pytest.MonkeyPatch.context() as patch:
        for name, value in world.environment(uri).items():
            patch.setenv(name, value)
        yield Opened(world, uri)


def materialise(defs: Path, keys: Sequence[TableKey], instance: dg.DagsterInstance) -> list[dg.ExecuteInProcessResult]:
    """Materialise assets with all their partitions, in as few runs as it takes."""
    project, job = read_project(defs), build_defs(defs=defs).resolve_implicit_global_asset_job_def()
    partitions = {key: partitions_of(project, key) for key in dependencies(project) if key in keys}
    names = {key: partition_keys(spec, datetime.now(UTC)) if spec else [WHOLE] for key, spec in partitions.items()}
    return [
        job.execute_in_process(instance=instance, tags=dict(run.tags), asset_selection=[asset_key(key) for key in run.assets])
        for run in runs_for(project, names)
    ]


def read_registry(uri: str) -> dict[str, Any]:
    """Every model version with its tags, every alias, and every run with its status."""
    client = Registry(uri).client
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return {
        "versions": {(version.name, version.version): dict(version.tags) for version in client.search_model_versions()},
        "aliases": {
            model.name: {alias: str(version) for alias, version in model.aliases.items()} for model in client.search_registered_models()
        },
        "runs": {run.info.run_id: run.info.status for run in client.search_runs(experiments)},
    }


def read_predictions(lake: Lake, key: TableKey) -> list[dict[str, Any]]:
    """The published rows of predictions, in order, without what tells when and by which run."""
    rows = lake.read(lake.current(key)).drop_columns(["predicted_at"]).to_pylist()
    return sorted(rows, key=lambda row: [str(value) for name, value in sorted(row.items()) if not name.startswith("prediction")])


def views_read(lake: Lake, workflow: TableKey) -> set[tuple[str, str]]:
    """The tables and views that the released model of a workflow looks its features up in, by domain and name."""
    release = lake.states()[TableKey("releases", workflow.domain, workflow.name)][WHOLE].typed(ReleaseState)
    assert release.value.feature_spec is not None
    return {(view.domain, view.name) for view in release.value.feature_spec.views}


def are_alike(value: Any, wanted: Any) -> bool:
    """Whether two pieces of JSON are equal, numbers but for the last bits."""
    if isinstance(wanted, float):
        return isinstance(value, float) and math.isclose(value, wanted, rel_tol=LAST_BITS)
    if isinstance(wanted, list):
        return isinstance(value, list) and len(value) == len(wanted) and all(map(are_alike, value, wanted))
    if isinstance(wanted, dict):
        return isinstance(value, dict) and value.keys() == wanted.keys() and all(are_alike(value[name], wanted[name]) for name in wanted)
    return bool(value == wanted)


def test_there_is_one_of_every_release() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    headings = re.findall(r"^## (\d+\.\d+\.\d+) \(([^)]*)\)", changelog, re.MULTILINE)
    released = [version for version, when in headings[1:] if when != "unreleased"]
    assert released and {f"release_{version.replace('.', '_')}.tar.xz" for version in released} <= {path.name for path in PACKED}


def test_nothing_is_stale(opened: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    project = read_project(opened.world.defs)
    assert stale_assets(project, opened.world.lake.states()) == {}
    print_plan(project, Settings.from_environment(), why=True)
    assert capsys.readouterr().out == opened.world.expected["plan"] == "everything is fresh\n"


def test_only_views_whose_values_were_corrected_are_stale_and_what_reads_them(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "engine_rules", ENGINE_RULES)
    world = World.unpack(packed, tmp_path)
    monkeypatch.setenv("LAKELOOP_LAKE", world.lake.url)
    project = read_project(world.defs)
    reads, stale = dependencies(project), stale_assets(project, world.lake.states())
    concerned = {TableKey("features", *name): set(rules.corrected_rules(project, view)) for name, view in project.views.items()}
    known = {rules.MOVING_FRAMES, rules.KNOWN_DELAY} if packed not in BEFORE_MOVING_FRAMES else {rules.KNOWN_DELAY}
    corrected = {key for key, named in concerned.items() if named - known}
    basket, recent = TableKey("features", "shop", "basket"), TableKey("features", "shop", "sales_recent")
    assert rules.FUNCTIONS in concerned[basket] and concerned[recent] >= {rules.MOVING_FRAMES}  # a function; `avg(units)` over seven days
    assert corrected <= stale.keys()
    assert [key for key in stale if key not in corrected and not stale.keys() & set(reads[key])] == []
    print_plan(project, Settings.from_environment(), why=True)
    has_parts = packed.name not in ("release_0_1_0.tar.xz", "release_0_2_0.tar.xz")
    why = f"{rules.FUNCTIONS} changed (none to each operation as Spark's)" if has_parts else "recorded before the parts were noted"
    assert why in capsys.readouterr().out


def test_what_is_published_is_what_was(opened: Opened) -> None:
    assert opened.world.states() == opened.world.expected["states"]
    assert opened.world.tables() == opened.world.expected["tables"]


def test_a_state_that_is_read_and_written_again_is_the_same(opened: Opened) -> None:
    for key, partitions in opened.world.lake.states().items():
        for name, state in partitions.items():
            if state.value:  # a landed partition has none, only its source has
                assert state.typed(RECORDS[key.stage]).value.record() == state.value, (str(key), name)


def test_dagster_has_the_latest_materialisations_of_what_is_defined(packed: Path, tmp_path: Path) -> None:
    world = World.unpack(packed, tmp_path)
    expected = world.expected["assets"]
    assert world.materialisations() == expected
    code_versions = {
        key.to_user_string(): asset.code_versions_by_key[key] for asset in build_defs(defs=world.defs).assets for key in asset.keys
    }
    assert code_versions == {name: versions["code_version"] for name, versions in expected.items()}


def test_what_is_materialised_again_is_fresh_and_stays_as_it_is(opened: Opened) -> None:
    world = opened.world
    before = world.lake.states(), world.tables(), read_registry(opened.uri)
    with dg.DagsterInstance.from_config(str(world.dagster_home)) as instance:
        results = materialise(world.defs, list(dependencies(read_project(world.defs))), instance)
    assert all(result.success for result in results)
    assert (world.lake.states(), world.tables(), read_registry(opened.uri)) == before
    events = [event for result in results for event in result.get_asset_materialization_events()]
    computed = {event.asset_key.to_user_string() for event in events if not event.materialization.metadata["fresh"].value}
    # A workflow without a released model has nothing to predict with and nothing to serve, which is said each time.
    unreleased = [name.replace(".", "/") for name, aliases in world.expected["aliases"].items() if "champion" not in aliases]
    assert computed == {f"{stage}/{name}" for stage in ("predictions", "deployments") for name in unreleased}
    assert world.materialisations() == world.expected["assets"]


def test_every_model_version_loads_and_predicts_as_before(opened: Opened) -> None:
    expected, registry = opened.world.expected, read_registry(opened.uri)
    assert registry["aliases"] == expected["aliases"]
    assert registry["versions"].keys() == {(stored["name"], stored["version"]) for stored in expected["models"]}
    for stored in expected["models"]:
        uri = f"models:/{stored['name']}/{stored['version']}"
        model = load_model(uri, opened.uri)
        assert model.feature_spec.record() == mlflow.models.get_model_info(uri).metadata["lakeloop"]["feature_spec"]
        assert are_alike(model.predict(frame_of(stored["inputs"], model)).tolist(), stored["predictions"]), stored["name"]


def test_the_endpoint_answers_as_before(opened: Opened) -> None:
    with opened.world.endpoint(opened.uri) as address:
        for stored in opened.world.expected["served"]:
            answer = httpx.post(f"{address}/v1/models/{stored['name']}:predict", json=stored["request"], timeout=60).json()
            assert are_alike(answer, stored["answer"]), (answer, stored["answer"])


def test_released_models_make_the_predictions_that_they_made(opened: Opened, packed: Path, tmp_path: Path) -> None:
    world = World.unpack(packed, tmp_path)
    states, project = world.lake.states(), read_project(world.defs)
    keys = [key for key in states if key.stage == "predictions"]
    # Of an adopted table the state holds an absolute path, so that its rows are there only where the world was made.
    adopted = {id_ for id_, table in project.tables.items() if hasattr(table.spec.source, "delta")}
    keys = [key for key in keys if not adopted & views_read(world.lake, key)]
    assert len(keys) >= 5
    before = {key: read_predictions(world.lake, key) for key in keys}
    for spine in world.defs.glob("*/*/spine.sql"):
        spine.write_text(spine.read_text() + "-- The same rows.\n")
    with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.ephemeral() as instance:
        patch.setenv("LAKELOOP_LAKE", world.lake.url)
        assert all(result.success for result in materialise(world.defs, keys, instance))
    for key in keys:
        assert world.lake.current(key).version > max(state.version for state in states[key].values())
        assert are_alike(read_predictions(world.lake, key), before[key]), key


def test_every_report_stands_at_its_address(opened: Opened) -> None:
    for (name, version), tags in read_registry(opened.uri)["versions"].items():
        # The server had another port then.
        page = httpx.get(f"{opened.uri}{urlsplit(tags[REPORT_TAG]).path}", timeout=60)
        assert page.status_code == 200
        assert f"<title>{name.partition('.')[2]}, version {version}</title>" in page.text


def test_a_stored_world_is_small_and_holds_no_place_of_the_machine_that_made_it(packed: Path, tmp_path: Path) -> None:
    assert packed.stat().st_size <= MOST_BYTES
    World.unpack(packed, tmp_path)
    places = {(where, bytes(place)) for where, data in contents(tmp_path) for place in PLACES_OF_A_MACHINE.findall(data)}
    assert places == set()
