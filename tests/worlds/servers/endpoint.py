"""A running supervisor with its model server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd

from lakeloop.records.features import FeatureSpec
from lakeloop.spec.tasks import Answer
from resources.serving.desired import Deployment, read_status, wait_until_serving, write_desired

SECRET = "kept-from-models-7f3a"

KINDS: dict[str, Any] = {"amount": "double", "country": "string"}


class Endpoint:
    """A running supervisor."""

    def __init__(self, folder: Path, uri: str, *, workers: int = 1, **variables: str) -> None:
        self.folder = folder
        command = [sys.executable, "-m", "resources.serving.supervisor", "--dir", str(folder), "--port", "0", "--tracking-uri", uri]
        command += ["--workers", str(workers)]
        environment = {**os.environ, "AWS_SECRET_ACCESS_KEY": SECRET, "LAKELOOP_DAGSTER_DB": SECRET, **variables}
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    def deploy(self, name: str, version: str) -> str:
        """State a version and wait for it; returns the address."""
        deadline = time.monotonic() + 30
        while read_status(self.folder) is None:
            assert self.process.poll() is None and time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.1)
        write_desired(self.folder, Deployment(f"shop.{name}", version, f"models:/shop.{name}/{version}"))
        outcome = wait_until_serving(self.folder, f"shop.{name}", version, 90)
        assert outcome.state == "serving", (outcome, (self.folder / "log").read_text()[-2000:])
        return outcome.address

    @property
    def grpc(self) -> str:
        """Host and port of gRPC."""
        status = read_status(self.folder)
        assert status is not None
        return status.grpc

    def stop(self) -> None:
        """Stop it."""
        self.process.terminate()
        self.process.wait(40)

    @property
    def server_pids(self) -> list[int]:
        """Process ids of the model server's workers."""
        return [int(pid) for pid in json.loads((self.folder / "children" / "current.json").read_text())["pids"]]

    @property
    def server_pid(self) -> int:
        """Process id of the model server."""
        return int(json.loads((self.folder / "children" / "current.json").read_text())["pid"])


def log_version(uri: str, name: str, slope: float) -> str:
    """Register a model that answers slope x amount."""
    from types import SimpleNamespace

    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    from resources.tracking.model_format import log_model
    from resources.tracking.registry import register
    from resources.tracking.runs import Tracking

    frame = pd.DataFrame({"amount": [1.0, 2.0, 3.0, 4.0], "country": ["de", "fr", "de", "fr"]})
    columns = ColumnTransformer([("n", "passthrough", ["amount"]), ("c", OneHotEncoder(handle_unknown="ignore"), ["country"])])
    estimator = make_pipeline(columns, LinearRegression(fit_intercept=False)).fit(frame, slope * frame["amount"])
    import logging

    context = SimpleNamespace(run_id=f"serving-{slope}", log=logging.getLogger("test"), run_tags={})
    spec = FeatureSpec(("id",), "at")
    with Tracking(tracking_uri=uri).run(context, "shop", name) as run:
        logged = log_model(
            run,
            estimator,
            name=name,
            frame=frame,
            kinds=KINDS,
            answer=Answer("regression"),
            feature_spec=spec,
            fingerprint=f"{name}{slope}",
        )
        return register(run, logged, f"shop.{name}", tags={}, fingerprint=f"{name}{slope}")
