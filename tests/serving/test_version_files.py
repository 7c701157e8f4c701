"""The files of a registered version: nobody may write them through MLflow, and whoever loads them finds what the ledger has, or refuses."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cloudpickle
import httpx
import mlflow
import pandas as pd
import pytest

from lakeloop.errors import ServiceUnavailable
from lakeloop.training.pipelines import TRUSTED_TYPES
from platform_assets.stages.training.version_files import keep_contents, known_contents, load_version
from resources.lake.lake import Lake
from resources.serving.models import load_models
from resources.spark.scoring import _scorer
from resources.tracking.model_files import Trust, UnsafeModel
from resources.tracking.model_format import read_contents
from resources.tracking.registered_files import RegisteredFiles, written_paths
from resources.tracking.registry import Registry
from resources.tracking.runs import Tracking
from tests.worlds.code.brought_models import ROWS, log
from tests.worlds.hostile.honest import copy, save_all

WORKFLOW: Any = SimpleNamespace(domain="shop", spec=SimpleNamespace(name="returns"))
URI = "models:/kept/1"


class Registered:
    """A version in MLflow's file store, whose files can be overwritten as if there were no server."""

    def __init__(self, root: Path) -> None:
        self.files = copy(save_all(root / "honest")["sklearn"], root / "version")
        self.address = (root / "store").as_uri()
        client = mlflow.MlflowClient(self.address, registry_uri=self.address)
        client.create_registered_model("kept")
        client.create_model_version("kept", self.files.as_uri())
        self.messages: list[str] = []
        log = logging.Logger("kept")
        log.warning = self.messages.append  # type: ignore[method-assign, assignment]
        self.platform: Any = SimpleNamespace(
            lake=Lake(str(root / "lake")),
            settings=SimpleNamespace(tracking_uri=self.address),
            tracking=Tracking(tracking_uri=self.address),
            log=log,
            run_id="",
        )

    def overwrite(self) -> None:
        """Give the model other weights: a model that is as honest as the first one."""
        import skops.io

        path = self.files / "model.skops"
        model = skops.io.load(path, trusted=list(TRUSTED_TYPES))
        model[-1].coef_ = model[-1].coef_ * -1
        skops.io.dump(model, path)


@pytest.fixture
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registered]:
    before = mlflow.get_tracking_uri()
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # it is there at once, where a server takes seconds
    yield Registered(tmp_path)
    mlflow.set_tracking_uri(before)


def test_an_overwritten_version_is_loaded_by_nobody(registered: Registered) -> None:
    platform = registered.platform
    contents = read_contents(URI, registered.address, Trust(TRUSTED_TYPES))
    assert keep_contents(platform, WORKFLOW, "kept", "1", contents, "registration") == contents
    model = load_version(platform, WORKFLOW, "kept", "1")
    stated = {"name": "shop.returns", "version": "1", "uri": URI, "contents": json.dumps(contents.record())}
    assert load_models([stated], registered.address)[1] == {}
    batches = [pd.concat([pd.DataFrame({"_row": range(len(ROWS))}), ROWS], axis=1)]
    sent = cloudpickle.dumps(_scorer(model))
    assert len(next(cloudpickle.loads(sent)(iter(batches)))) == len(ROWS)
    vars(mlflow).pop("_lakeloop_scoring")

    registered.overwrite()
    wanted = f"{URI} was overwritten since it was registered: model.skops is another file"
    with pytest.raises(UnsafeModel, match=wanted):
        load_version(platform, WORKFLOW, "kept", "1")
    assert wanted in load_models([stated], registered.address)[1]["shop.returns"]
    with pytest.raises(ValueError, match="was overwritten since it was checked: model.skops; nothing was loaded"):
        next(cloudpickle.loads(sent)(iter(batches)))
    # What was written down first stays.
    again = read_contents(URI, registered.address, Trust(TRUSTED_TYPES))
    assert again != contents == keep_contents(platform, WORKFLOW, "kept", "1", again, "registration")
    assert registered.messages == []


def test_of_a_version_of_an_older_release_digests_are_taken_at_its_first_load_and_it_is_said(registered: Registered) -> None:
    platform = registered.platform
    assert known_contents(platform.lake, "kept", "1") is None
    load_version(platform, WORKFLOW, "kept", "1")
    assert len(registered.messages) == 1 and "they are taken now, at its first load" in registered.messages[0]
    load_version(platform, WORKFLOW, "kept", "1")
    assert len(registered.messages) == 1
    registered.overwrite()
    with pytest.raises(UnsafeModel, match="was overwritten"):
        load_version(platform, WORKFLOW, "kept", "1")


def test_a_file_more_or_less_is_an_overwritten_version(registered: Registered) -> None:
    load_version(registered.platform, WORKFLOW, "kept", "1")
    example = registered.files / "input_example.json"
    text = example.read_text()
    example.unlink()
    with pytest.raises(UnsafeModel, match=r"input_example.json is gone"):
        load_version(registered.platform, WORKFLOW, "kept", "1")
    example.write_text(text)
    (registered.files / "constraints.txt").write_text("numpy\n")
    with pytest.raises(UnsafeModel, match=r"constraints.txt was added"):
        load_version(registered.platform, WORKFLOW, "kept", "1")


def test_an_mlflow_server_that_was_stopped_is_told_in_a_sentence(registered: Registered, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    # As with SIGSTOP: the kernel takes connections, and nothing answers.
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        platform = registered.platform
        platform.settings.tracking_uri, platform.tracking = address, Tracking(tracking_uri=address)
        with pytest.raises(ServiceUnavailable, match=f"the MLflow server at {address} went away"):
            load_version(platform, WORKFLOW, "kept", "1")


API = "/api/2.0/mlflow-artifacts"
WRITES = [
    ("PUT", f"{API}/artifacts/{{path}}/model.skops"),
    ("PUT", "/ajax-api/2.0/mlflow-artifacts/artifacts/{path}/MLmodel"),
    ("PUT", f"{API}/artifacts/{{path}}/code/new.py"),
    ("PUT", f"{API}/artifacts/{{path}}//./model.skops"),
    ("PUT", f"{API}/artifacts/{{path}}/%6dodel.skops"),
    ("PUT", f"{API}/artifacts/{{path}}/evaluation/report.htm"),
    ("PUT", f"{API}/artifacts/{{path}}/x/evaluation/report.html"),
    ("DELETE", f"{API}/artifacts/{{path}}"),
    ("DELETE", f"{API}/artifacts/{{path}}/model.skops"),
    ("DELETE", f"{API}/artifacts/{{above}}"),
    ("POST", f"{API}/mpu/create/{{path}}/model.skops"),
    ("POST", f"{API}/mpu/complete/{{path}}/model.skops"),
]


def test_mlflow_refuses_to_write_files_of_a_registered_version(mlflow_uri: str) -> None:
    uri = log(mlflow_uri, "guarded", columns="items")
    client = Registry(mlflow_uri).client
    place = client.get_model_version_download_uri("guarded", uri.rpartition("/")[2]).removeprefix("mlflow-artifacts:/")
    before = read_contents(uri, mlflow_uri, Trust(TRUSTED_TYPES))
    for method, route in WRITES:
        answer = httpx.request(method, mlflow_uri + route.format(path=place, above=place.rpartition("/")[0]), content=b"{}")
        assert answer.status_code == 409, (method, route, answer.text)
        assert "is a file of a registered model version" in answer.json()["message"]
    assert read_contents(uri, mlflow_uri, Trust(TRUSTED_TYPES)) == before
    # Its report may come later; what isn't registered, is written as before.
    other = place.replace("/models/m-", "/models/m-0")
    for path in (f"{place}/evaluation/report.html", f"{other}/model.skops", "0/a/artifacts/x"):
        assert httpx.put(f"{mlflow_uri}{API}/artifacts/{path}", content=b"x").status_code == 200, path


def test_an_upload_to_a_run_is_judged_by_the_run_that_it_names() -> None:
    asked: list[tuple[list[str], str]] = []
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/ajax-api/2.0/mlflow/upload-artifact",
        "query_string": b"run_uuid=r1&path=model/MLmodel",
    }
    assert written_paths(scope) == {"*/r1/artifacts/model/MLmodel"}
    guard = RegisteredFiles(None, lambda folders, path: bool(asked.append((list(folders), path))) or True)  # type: ignore[arg-type]
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    import asyncio

    asyncio.run(guard(scope, None, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 409 and asked[0][0][-2:] == ["*/r1/artifacts/model", "*/r1/artifacts/model/MLmodel"]
