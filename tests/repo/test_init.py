"""`lakeloop init`: what it writes, what it depends on, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

from lakeloop.checking.project import load_checked
from lakeloop.cli import init as making
from lakeloop.cli.init import find_platform, init
from lakeloop.errors import LakeloopError
from resources.project import PORTS, find_project
from tests.worlds.places import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of this checkout."""
    name, content = making._build_wheel()
    path = tmp_path_factory.mktemp("wheel") / name
    path.write_bytes(content)
    return path


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def test_the_wheel_has_what_the_platform_needs_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"lakeloop", "resources", "platform_assets", "sensors"}
    tracked = subprocess.run(
        ["git", "ls-files", "lakeloop", "resources", "platform_assets", "sensors"], cwd=ROOT, capture_output=True, text=True
    )
    if tracked.returncode == 0:
        assert set(tracked.stdout.split()) - set(names) == set()
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


@pytest.mark.parametrize("name", ["mine", "Meine Züge & 100 %"])
def test_a_new_project_is_sound(tmp_path: Path, wheel: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / name
    assert init(root, platform=str(wheel)) == 0
    project, errors = load_checked(root / "defs")
    assert errors == [] and list(project.tables) == [("shop", "orders")]
    opened = find_project({}, start=root)
    assert (opened.root, opened.defs) == (root, root / "defs")
    pinned = (root / "requirements-platform.txt").read_text()
    assert pinned.startswith(f"./vendor/{wheel.name} --hash=sha256:")
    assert (root / "vendor" / wheel.name).read_bytes() == wheel.read_bytes()
    assert (root / "requirements.lock").read_text() == (ROOT / "requirements.lock").read_text()
    assert tomllib.loads((root / "pyproject.toml").read_text())["project"]["name"] == ("mine" if name == "mine" else "meine-z-ge-100")
    assert yaml.safe_load((root / "workspace.yaml").read_text()) == yaml.safe_load((ROOT / "workspace.yaml").read_text())
    assert "make run" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {name, "state"}


def test_an_empty_folder_is_filled(tmp_path: Path, wheel: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert init(tmp_path / "mine", platform=str(wheel)) == 0
    assert (tmp_path / "mine" / "defs").is_dir()


def test_the_example_domains_come_along_when_asked_for(tmp_path: Path, wheel: Path) -> None:
    assert init(tmp_path / "mine", platform=str(wheel), example=True) == 0
    project, errors = load_checked(tmp_path / "mine" / "defs")
    assert errors == [] and ("flights", "flight_delay") in project.workflows and ("shop", "orders") in project.tables


def test_two_projects_share_no_port_and_no_state(tmp_path: Path, wheel: Path) -> None:
    values = []
    for name in ("one", "two"):
        init(tmp_path / name, platform=str(wheel))
        values.append(dict(line.split("=", 1) for line in (tmp_path / name / ".env").read_text().splitlines()))
    assert set(values[0].values()).isdisjoint(values[1].values())
    assert values[0].keys() == {"LAKELOOP_DEFS", "DAGSTER_HOME", *PORTS}


def test_an_upgrade_changes_the_platform_and_nothing_of_the_users(tmp_path: Path, wheel: Path) -> None:
    root = tmp_path / "mine"
    init(root, platform=str(wheel))
    (root / "README.md").write_text("my own")
    newer = tmp_path / wheel.name.replace("-py3", "-1-py3")
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(newer, "w") as new:
        for entry in old.infolist():
            new.writestr(entry, b"# a newer lock\n" if entry.filename.endswith("requirements.lock") else old.read(entry))
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert init(root, platform=str(newer), upgrade=True) == 0
    after = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    changed = {str(path.relative_to(root)) for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert changed == {"requirements.lock", "requirements-platform.txt", f"vendor/{wheel.name}", f"vendor/{newer.name}"}
    assert (root / "requirements.lock").read_text() == "# a newer lock\n"


def refusals(tmp_path: Path) -> dict[str, tuple[Path, str | None, str]]:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    (tmp_path / "file").write_text("")
    (tmp_path / "notes.whl").write_text("no zip")
    with zipfile.ZipFile(tmp_path / "other-1-py3-none-any.whl", "w") as other:
        other.writestr("other.py", "")
    new = tmp_path / "new"
    return {
        "not empty": (tmp_path / "full", None, "wanted a new or an empty folder, found 1 files and folders in"),
        "a file": (tmp_path / "file", None, "wanted a new or an empty folder, found the file"),
        "no parent": (tmp_path / "nowhere" / "mine", None, "wanted a folder in one that exists, found no folder"),
        "no wheel": (new, "lakeloop-9.whl", "--platform: wanted a wheel, found no file"),
        "no zip": (new, str(tmp_path / "notes.whl"), "--platform: wanted a wheel of Lakeloop, found none in notes.whl"),
        "another wheel": (new, str(tmp_path / "other-1-py3-none-any.whl"), "--platform: wanted a wheel of Lakeloop, found none in other-1"),
        "no version": (new, "newest", "--platform: wanted a wheel (.whl), a URL or a version such as"),
        "no such version": (new, "999.0", "--platform: pip can't get lakeloop==999.0: "),
        "a page": (
            new,
            "https://example.invalid/lakeloop",
            "--platform: wanted the URL of a wheel (.whl), found https://example.invalid/lakeloop",
        ),
        "no host": (new, "http://127.0.0.1:9/lakeloop-1-py3-none-any.whl", "--platform: pip can't get lakeloop @ http://127.0.0.1:9/"),
    }


@pytest.mark.parametrize(
    "case",
    ["not empty", "a file", "no parent", "no wheel", "no zip", "another wheel", "no version", "no such version", "a page", "no host"],
)
def test_what_is_wrong_is_refused_in_a_sentence_and_leaves_nothing(tmp_path: Path, case: str) -> None:
    folder, platform, message = refusals(tmp_path)[case]
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(LakeloopError) as refused:
        init(folder, platform=platform)
    assert str(refused.value).startswith(message) and "\n" not in str(refused.value)
    assert sorted(path for path in tmp_path.rglob("*") if path.parts[-1] != "state") == before


def test_an_upgrade_wants_a_project(tmp_path: Path) -> None:
    with pytest.raises(
        LakeloopError, match=r"wanted the folder of a project that `lakeloop init` made, found no requirements-platform.txt in"
    ):
        init(tmp_path, upgrade=True)


def test_the_platform_that_runs_is_taken_unless_another_is_named() -> None:
    assert find_platform(None).requirement.startswith("./vendor/lakeloop-")


def test_the_command_line_makes_a_project(tmp_path: Path, wheel: Path) -> None:
    command = [sys.executable, "-m", "lakeloop.cli", "init", str(tmp_path / "mine"), "--platform", str(wheel)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith(f"cd {tmp_path / 'mine'}\n  make run")
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert again.returncode == 1 and again.stderr.startswith("lakeloop: wanted a new or an empty folder, found")
