"""A checkout with its project in a folder with spaces, signs and letters beyond ASCII, walked until its model is served."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.worlds import shop
from tests.worlds.places import ROOT
from tests.worlds.servers.ports import free_port

NAME = "Überfluß & Söhne 100% #1 – it's Cre\u0300me"
PACKAGES = ("lakeloop", "resources", "platform_assets", "sensors")


def test_a_model_is_served_from_a_folder_with_any_letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / NAME
    for package in PACKAGES:
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__", "climate", "flights"))
    for file in ("pyproject.toml", "dagster.yaml", "workspace.yaml"):
        shutil.copy(ROOT / file, root / file)
    monkeypatch.setattr(shop, "WORKFLOW", f"{shop.WORKFLOW}  online: {{}}\n")
    shop.make_shop(root)
    own = ("LAKELOOP_", "DAGSTER_HOME", "PYTHONPATH")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    ports = {f"LAKELOOP_{what}_PORT": str(free_port()) for what in ("UI", "MLFLOW", "SERVING", "GRPC")}
    process = subprocess.Popen(
        [sys.executable, "-m", "lakeloop.cli", "up"], cwd=root, env={**environment, **ports, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        lines: list[str] = []
        assert process.stdout
        for line in process.stdout:
            lines.append(line)
            if "Ctrl-C stops everything" in line:
                break
        printed = "".join(lines)
        assert "is released: roc_auc" in printed and "ready after" in printed, printed
        url = f"http://127.0.0.1:{ports['LAKELOOP_SERVING_PORT']}/v1/models/shop.returns:predict"
        request = (root / ".lakeloop" / "dev" / "requests" / "shop.returns.json").read_bytes()
        (prediction,) = httpx.post(url, content=request, timeout=60).json()["predictions"]
        assert 0 < float(prediction if isinstance(prediction, int | float) else next(iter(prediction.values()))) < 1
        process.send_signal(2)
        process.communicate(timeout=60)
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait(10)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
