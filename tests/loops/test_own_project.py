"""A project of one's own, as its user has it: a wheel in an empty environment, `lakeloop init`, two scaffold commands, a released model that answers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.worlds.places import ROOT

pytestmark = pytest.mark.timeout(3000)


class OwnProject:
    """A project in a folder of its own, with an environment of its own; nothing of this checkout is on its path."""

    def __init__(self, root: Path, state: Path) -> None:
        self.root = root
        ours = ("LAKELOOP_", "DAGSTER_", "MLFLOW_", "PYTHON", "VIRTUAL_ENV", "MAKE", "MFLAGS")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)} | {"XDG_STATE_HOME": str(state)}

    def run(self, *command: str, timeout: float = 1800) -> str:
        """What a command says; it has to succeed. Names without a folder are those of the project's environment."""
        path = f"{self.root / '.venv' / 'bin'}{os.pathsep}{self.environment['PATH']}"
        environment = {**self.environment, "PATH": path, "VIRTUAL_ENV": str(self.root / ".venv")}
        done = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, timeout=timeout)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout + done.stderr

    def up(self) -> subprocess.Popen[str]:
        """`lakeloop up`, ready."""
        process = subprocess.Popen(
            [str(self.root / ".venv" / "bin" / "lakeloop"), "up"], cwd=self.root, env=self.environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        lines = []
        assert process.stdout
        for line in process.stdout:
            lines.append(line)
            if "Ctrl-C stops everything" in line:
                return process
        process.wait(60)
        process.stdout.close()
        raise AssertionError("".join(lines))

    def remembered(self) -> dict[str, str]:
        """The values of `.env`."""
        lines = (self.root / ".env").read_text().splitlines()
        return {name: value.strip("'") for name, _, value in (line.partition("=") for line in lines)}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnProject]:
    folder = tmp_path_factory.mktemp("own")
    mine = OwnProject(folder / "my shop", folder / "state")
    command = [sys.executable, "-m", "lakeloop.cli", "init", str(mine.root)]
    subprocess.run(command, cwd=ROOT, env={**mine.environment, "PYTHONPATH": str(ROOT)}, check=True, stdout=subprocess.DEVNULL)
    yield mine


def test_it_sets_itself_up_and_its_checks_and_tests_pass(project: OwnProject) -> None:
    told = project.run("make", "test")
    assert "all good: 1 tables, 0 views, 0 workflows in 1 files" in told and "2 passed" in told


def test_dagsters_own_commands_work_in_it(project: OwnProject) -> None:
    assert "raw/shop/orders" in project.run("dg", "list", "defs", "--json")
    project.run("dg", "check", "defs")
    project.run("dg", "check", "yaml")


def test_from_a_table_to_a_model_that_answers(project: OwnProject) -> None:
    process = project.up()
    try:
        component = "platform_assets.components.MLWorkflow"
        project.run("dg", "scaffold", "defs", component, "shop/returns", "--table", "orders", "--label", "returned")
        assert "all good: 1 tables" in project.run("lakeloop", "check")
        project.run("dagster", "asset", "materialize", "-m", "platform_assets.definitions", "--select", 'key:"*/shop/*"')
        assert "everything is fresh" in project.run("lakeloop", "plan")
        address = f"http://127.0.0.1:{project.remembered()['LAKELOOP_SERVING_PORT']}/v1/models/shop.returns"
        assert ready(address)
        features = json.loads(httpx.get(address.replace("/v1/", "/v2/"), timeout=20).text)["inputs"]
        row: dict[str, Any] = {each["name"]: None for each in features}
        answer = httpx.post(f"{address}:predict", json={"instances": [row]}, timeout=60)
        assert answer.status_code == 200, answer.text
        (prediction,) = answer.json()["predictions"]
        assert "true" in str(prediction).lower() or 0 <= float(prediction if isinstance(prediction, float) else 0) <= 1
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 0


def ready(address: str) -> bool:
    """Whether a model is served within two minutes."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            if httpx.get(address, timeout=20).json().get("ready") in (True, "True"):
                return True
        except (httpx.HTTPError, ValueError):
            pass
        time.sleep(1)
    return False
