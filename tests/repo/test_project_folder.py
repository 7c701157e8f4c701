"""Which project a process works on, what its `.env` remembers, and the ports that it has alone."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path

import pytest

from lakeloop.errors import LakeloopError
from resources.host.ports import FIRST, assign_ports, projects_with
from resources.host.servers import require_free
from resources.project import PLATFORM_ROOT, environment, find_project, remember
from resources.settings import Settings
from tests.worlds.places import ROOT


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state of the user"))
    for name in [name for name in os.environ if name.startswith(("LAKELOOP_", "DAGSTER_HOME"))]:
        monkeypatch.delenv(name)


def make_project(root: Path, defs: str = "defs") -> Path:
    (root / defs).mkdir(parents=True)
    (root / "pyproject.toml").write_text("[tool.lakeloop]\n" if defs == "defs" else f'[tool.lakeloop]\ndefs = "{defs}"\n')
    return root


@pytest.mark.parametrize("below", ["", "defs", "defs/shop/orders", "notes"])
@pytest.mark.parametrize("name", ["mine", "meine Züge 100 %"])
def test_a_project_is_the_one_around_the_working_directory(tmp_path: Path, name: str, below: str) -> None:
    root = make_project(tmp_path / name)
    (root / below).mkdir(parents=True, exist_ok=True)
    project = find_project({}, start=root / below)
    assert (project.root, project.defs) == (root, root / "defs")


def test_a_project_may_name_its_folder_of_definitions(tmp_path: Path) -> None:
    root = make_project(tmp_path / "mine", "src/definitions")
    assert find_project({}, start=root).defs == root / "src" / "definitions"


def test_a_project_file_that_changes_is_read_again(tmp_path: Path) -> None:
    root = make_project(tmp_path / "mine", "first")
    (root / "other").mkdir()
    assert find_project({}, start=root).defs == root / "first"
    (root / "pyproject.toml").write_text('[tool.lakeloop]\ndefs = "other"\n')  # the same number of bytes
    assert find_project({}, start=root).defs == root / "other"
    (root / "pyproject.toml").write_text("[tool.lakeloop\n")
    for _ in range(2):
        with pytest.raises(LakeloopError, match=r"can't read .*pyproject\.toml"):
            find_project({}, start=root)


@pytest.mark.parametrize("written", ["{root}/defs", "defs"])
def test_lakeloop_defs_names_the_project(tmp_path: Path, written: str) -> None:
    root = make_project(tmp_path / "mine")
    project = find_project({"LAKELOOP_DEFS": written.format(root=root)}, start=root if written == "defs" else tmp_path)
    assert (project.root, project.defs) == (root, root / "defs")


def test_lakeloop_defs_may_lie_in_no_project(tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    project = find_project({"LAKELOOP_DEFS": str(tmp_path / "bare")}, start=tmp_path)
    assert (project.root, project.defs) == (tmp_path, tmp_path / "bare")
    assert project.own_or_carried("dagster.yaml").read_text() == (ROOT / "dagster.yaml").read_text()


def test_without_a_project_the_checkout_is_the_project(tmp_path: Path) -> None:
    assert find_project({}, start=tmp_path).defs == ROOT / "platform_assets" / "defs"


def test_without_a_project_an_installed_platform_says_how_to_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resources.project.PLATFORM_ROOT", tmp_path / "site-packages")
    with pytest.raises(
        LakeloopError, match=r"wanted a project, found no pyproject.toml with \[tool.lakeloop\] in .*`lakeloop init FOLDER`"
    ):
        find_project({}, start=tmp_path)


def test_a_folder_of_definitions_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        LakeloopError, match=f"LAKELOOP_DEFS: wanted the folder of a project's definitions, found no folder {tmp_path}/nowhere"
    ):
        find_project({"LAKELOOP_DEFS": str(tmp_path / "nowhere")})


def test_what_was_remembered_is_read_by_later_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_project(tmp_path / "my project")
    (root / ".env").write_text("# mine\nSHOP_DB=sqlite:///shop.db\n")
    monkeypatch.chdir(root)
    assert not remember(find_project(), {"LAKELOOP_MLFLOW_PORT": "5061", "DAGSTER_HOME": f"{root}/.lakeloop/dev/dagster"})
    assert Settings.from_environment().tracking_uri == "http://127.0.0.1:5061"
    env = environment()
    assert env["SHOP_DB"] == "sqlite:///shop.db" and env["DAGSTER_HOME"] == f"{root}/.lakeloop/dev/dagster"
    assert (root / ".env").read_text().startswith("# mine\n")
    monkeypatch.setenv("LAKELOOP_MLFLOW_PORT", "5062")
    assert Settings.from_environment().mlflow_port == 5062


@pytest.mark.parametrize("other", [{"LAKELOOP_HOME": "elsewhere"}, {"LAKELOOP_ENV": "prod"}])
def test_another_home_or_environment_has_none_of_the_remembered_addresses(tmp_path: Path, other: dict[str, str]) -> None:
    root = make_project(tmp_path / "mine")
    remember(find_project({}, root), {"LAKELOOP_LAKE": "s3://production/lake", "LAKELOOP_UI_PORT": "3007", "SHOP_DB": "x"})
    env = environment({"LAKELOOP_DEFS": str(root / "defs"), **other})
    assert env["SHOP_DB"] == "x" and not {"LAKELOOP_LAKE", "LAKELOOP_UI_PORT"} & env.keys()


def test_a_copied_project_shares_nothing_with_the_first(tmp_path: Path) -> None:
    first = make_project(tmp_path / "first")
    remember(find_project({}, first), {"DAGSTER_HOME": f"{first}/.lakeloop/dev/dagster", "LAKELOOP_UI_PORT": "3007"})
    second = tmp_path / "second"
    shutil.copytree(first, second)
    (second / "defs" / "more").mkdir()
    copy = find_project({}, second)
    assert "DAGSTER_HOME" not in environment({"LAKELOOP_DEFS": str(copy.defs)})
    # Dagster's own commands read the `.env` of the working directory before this code runs.
    with pytest.raises(LakeloopError, match=f"{second}/.env belongs to the project in {first}, from where it was copied; delete it"):
        find_project({"LAKELOOP_DEFS": str(first / "defs")}, second)
    assert remember(copy, {"LAKELOOP_UI_PORT": "3008"})
    assert environment({"LAKELOOP_DEFS": str(copy.defs)})["LAKELOOP_UI_PORT"] == "3008"
    assert environment({"LAKELOOP_DEFS": str(first / "defs")})["LAKELOOP_UI_PORT"] == "3007"
    assert not remember(copy, {"LAKELOOP_UI_PORT": "3008"})


def test_projects_get_ports_of_their_own_and_keep_them(tmp_path: Path) -> None:
    first, second, third = (make_project(tmp_path / name) for name in ("first", "second", "third"))
    nothing = [None] * len(FIRST)
    ports = {root: assign_ports(root, nothing) for root in (first, second, third)}
    assert len({port for own in ports.values() for port in own}) == 3 * len(FIRST)
    assert {root: assign_ports(root, nothing) for root in ports} == ports
    assert assign_ports(second, [4000, *nothing[1:]]) == (4000, *ports[second][1:])
    assert assign_ports(second, nothing)[0] == 4000
    assert projects_with(4000, but=first) == [str(second)] and projects_with(4000, but=second) == []
    shutil.rmtree(second)
    assert projects_with(4000, but=first) == []


def test_a_project_of_a_release_with_fewer_ports_keeps_those_that_it_has(tmp_path: Path) -> None:
    root = make_project(tmp_path / "mine")
    state = Path(os.environ["XDG_STATE_HOME"]) / "lakeloop" / "ports.json"
    state.parent.mkdir(parents=True, exist_ok=True)
    state.write_text(json.dumps({str(root): [3100, 5150, 8081]}))
    chosen = assign_ports(root, [None] * len(FIRST))
    assert chosen[:3] == (3100, 5150, 8081) and chosen[3] != 8081
    assert assign_ports(root, [None] * len(FIRST)) == chosen


def test_a_port_in_use_is_not_given_to_a_new_project(tmp_path: Path) -> None:
    root = make_project(tmp_path / "mine")
    before = assign_ports(root, [None] * len(FIRST))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", before[0] + 1))
        assert before[0] + 1 not in assign_ports(make_project(tmp_path / "next"), [None] * len(FIRST))


def test_a_folder_of_state_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert len(assign_ports(tmp_path, [None] * len(FIRST))) == len(FIRST)


def test_a_taken_port_names_the_project_that_has_it_too(tmp_path: Path) -> None:
    first = make_project(tmp_path / "first")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assign_ports(first, [port, *[None] * (len(FIRST) - 1)])
        with pytest.raises(LakeloopError) as refused:
            require_free(port, "the Dagster UI", "LAKELOOP_UI_PORT", tmp_path / "second")
    assert str(refused.value) == (
        f"port {port}, wanted for the Dagster UI, is in use (the project in {first} has it too); free it or set LAKELOOP_UI_PORT to another"
    )


@pytest.mark.parametrize("name", ["LAKELOOP_UI_PORT", "LAKELOOP_STEPS", "LAKELOOP_SPARK_ROWS"])
def test_a_setting_that_is_no_number_is_refused(name: str) -> None:
    with pytest.raises(LakeloopError, match=f"{name}: wanted a whole number, found 'many'"):
        Settings.from_environment({name: "many"})


def test_the_carried_files_are_those_of_the_checkout() -> None:
    for name in ("dagster.yaml", "workspace.yaml", "requirements.lock"):
        assert (PLATFORM_ROOT / "resources" / "carried" / name).resolve() == ROOT / name
