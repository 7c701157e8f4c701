"""The prediction endpoint against `mlflow models serve` and against KServe's own server with a model that does nothing, in one run.

`python -m benchmarks.online.endpoint`; it needs `wrk` on the path. The model has 26 inputs, as that of the flights, five of them texts, and about 200 trees.
Each server gets the same rows from 8 connections, one server at a time, one worker each; the others are stopped. Rounds are run in turns, and the
median counts. Large requests are compared with the library's own prediction of the same rows in this process.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pandas as pd

from benchmarks.page import Tell, show
from lakeloop.records.features import FeatureSpec
from lakeloop.spec.tasks import Answer
from lakeloop.spec.workflow import Model
from lakeloop.training.fitting import fit_model
from lakeloop.training.pipelines import TRUSTED_TYPES
from resources.serving.desired import Deployment, wait_until_serving, write_desired
from resources.tracking.model_format import load_model, log_model
from resources.tracking.registry import register
from resources.tracking.runs import Tracking
from resources.tracking.server import server_command, server_environment
from tests.worlds.servers.ports import free_ports

ROOT = Path(__file__).resolve().parents[2]
NUMBERS, TEXTS, TRAINED, LARGE = 21, 5, 20_000, 10_000
KINDS: dict[str, Any] = {**{f"n{i:02d}": "double" for i in range(NUMBERS)}, **{f"c{i}": "string" for i in range(TEXTS)}}
CONNECTIONS, SECONDS, ROUNDS = 8, 6, 3
TIMES_MLFLOW, TIMES_NOOP, P99, TIMES_BARE = 50.0, 2.0, 1 / 3, 1.3

NOOP = """
from kserve import Model, ModelServer, InferOutput, InferResponse
class Nothing(Model):
    def __init__(self):
        super().__init__("nothing"); self.ready = True
    def predict(self, payload, headers=None, response_headers=None):
        return {"predictions": [0.5]}
if __name__ == "__main__":
    ModelServer(workers=1, enable_grpc=False).start([Nothing()])
"""


def made(rows: int, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows with a label that depends on some of them."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({name: rng.normal(0, 1, rows) for name, kind in KINDS.items() if kind == "double"})
    for i in range(TEXTS):
        frame[f"c{i}"] = rng.choice([f"code-{n:03d}" for n in range(40)], rows)
    signal = frame["n00"] + frame["n01"] * frame["n02"] + (frame["c0"] < "code-020") + rng.normal(0, 1, rows)
    return frame, (signal > 0.5).to_numpy().astype(float)


def log_flights_like(uri: str) -> str:
    """Train and register the model; returns its version."""
    frame, y = made(TRAINED)
    answer = Answer("binary_classification")
    params = {"max_iter": 200, "early_stopping": False}
    estimator = fit_model(Model(pipeline="gradient_boosting", params=params), KINDS, answer, frame, y, folder=ROOT)
    context = SimpleNamespace(run_id="serving-bench", log=logging.getLogger("bench"), run_tags={})
    with Tracking(tracking_uri=uri).run(context, "bench", "model") as run:
        logged = log_model(
            run, estimator, name="model", frame=frame.head(3), kinds=KINDS, answer=answer, feature_spec=FeatureSpec(("id",), "at"),
            fingerprint="bench", trusted_types=TRUSTED_TYPES,
        )  # fmt: skip
        return register(run, logged, "bench.model", tags={}, fingerprint="bench")


@contextmanager
def running(command: list[str], log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server, stopped at the end with the processes that it started."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env={**os.environ, "PATH": path, **environment}, cwd=log.parent,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(url: str, log: Path, seconds: float = 120) -> None:
    """Wait until an address answers."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if httpx.get(url, timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"{url} didn't answer; its log says: {log.read_text()[-2000:]}")
        time.sleep(0.3)


def load(url: str, body: str, folder: Path) -> tuple[float, float]:
    """Requests a second, and the 99th percentile of the latency in ms, of one round.

    Raises:
        AssertionError: an answer wasn't 200.
    """
    script = folder / "post.lua"
    quoted = json.dumps(body)
    script.write_text(f'wrk.method="POST"\nwrk.headers["Content-Type"]="application/json"\nwrk.body={quoted}\n')
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--latency", "-s", str(script), url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in said and "Socket errors" not in said, said
    rate, p99 = re.search(r"Requests/sec:\s+([\d.]+)", said), re.search(r"99%\s+([\d.]+)(us|ms|s)", said)
    assert rate and p99, said
    return float(rate[1]), float(p99[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[p99[2]]


class Servers:
    """The three servers, each started on a port of its own, one at a time.

    Args:
        folder: for their files and logs.
        tracking: address of the MLflow server that holds the model.
        version: of the model.
    """

    def __init__(self, folder: Path, tracking: str, version: str) -> None:
        self.folder, self.tracking, self.version = folder, tracking, version
        self.uri = f"models:/bench.model/{version}"
        self.ours_port, self.mlflow_port, self.noop_port = free_ports(3)
        self.environment = {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": tracking}
        self.ready_s: list[float] = []
        self.desired = folder / "serving"
        self.desired.mkdir()
        write_desired(self.desired, Deployment("bench.model", version, self.uri))
        (folder / "noop.py").write_text(NOOP)

    @contextmanager
    def ours(self) -> Iterator[str]:
        """Lakeloop's endpoint, by its supervisor."""
        supervisor = ["resources.serving.supervisor", "--dir", str(self.desired), "--port", str(self.ours_port)]
        started, log = time.perf_counter(), self.folder / "ours.log"
        with running([sys.executable, "-m", *supervisor, "--tracking-uri", self.tracking], log, **self.environment):
            outcome = None
            while outcome is None or outcome.state == "nobody":
                time.sleep(0.1)
                outcome = wait_until_serving(self.desired, "bench.model", self.version, 120)
            assert outcome.state == "serving", f"{outcome}; its log says: {log.read_text()[-2000:]}"
            self.ready_s.append(time.perf_counter() - started)
            yield f"http://127.0.0.1:{self.ours_port}/v1/models/bench.model:predict"

    @contextmanager
    def mlflow(self) -> Iterator[str]:
        """`mlflow models serve`."""
        command = ["mlflow", "models", "serve", "-m", self.uri, "-p", str(self.mlflow_port), "--env-manager", "local", "--workers", "1"]
        address, log = f"http://127.0.0.1:{self.mlflow_port}", self.folder / "mlflow_serve.log"
        with running([sys.executable, "-m", *command], log, **self.environment):
            wait_for(f"{address}/ping", log)
            yield f"{address}/invocations"

    @contextmanager
    def noop(self) -> Iterator[str]:
        """KServe's server with a model that does nothing."""
        address, log = f"http://127.0.0.1:{self.noop_port}/v1/models/nothing", self.folder / "noop.log"
        with running([sys.executable, str(self.folder / "noop.py"), "--http_port", str(self.noop_port)], log):
            wait_for(address, log)
            yield f"{address}:predict"


@dataclass(frozen=True)
class Measured:
    """What the rounds gave: by server requests a second and the 99th percentile in ms; seconds of large requests; seconds until ready."""

    rate: dict[str, float]
    p99: dict[str, float]
    large: dict[str, float]
    ready_s: float


def serving(tell: Tell | None = None) -> dict[str, Any]:
    """Measure, and tell each ratio."""
    if shutil.which("wrk") is None:
        print("skipped: wrk, which makes the load, is not on the path", flush=True)
        return {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (port,) = free_ports(1)
        tracking, home, log = f"http://127.0.0.1:{port}", folder / "mlflow", folder / "mlflow.log"
        with running(server_command(home, port), log, **{**server_environment(home, port), "PYTHONPATH": str(ROOT)}):
            wait_for(f"{tracking}/health", log)
            version = log_flights_like(tracking)
            measured = _rounds(Servers(folder, tracking, version), load_model(f"models:/bench.model/{version}", tracking))
    _tell(measured, tell or show)
    print(json.dumps(asdict(measured)), flush=True)
    return asdict(measured)


def _rounds(servers: Servers, model: Any) -> Measured:
    frame, _ = made(1, seed=1)
    row = {name: value.item() if hasattr(value, "item") else value for name, value in frame.iloc[0].items()}
    v1, theirs = json.dumps({"instances": [row]}), json.dumps({"dataframe_records": [row]})
    types = {name: "BYTES" if kind == "string" else "FP64" for name, kind in KINDS.items()}
    v2 = json.dumps({"inputs": [{"name": n, "shape": [1], "datatype": types[n], "data": [row[n]]} for n in KINDS]})
    sides: dict[str, tuple[Callable[[], Any], str]] = {
        "ours": (servers.ours, v1), "mlflow": (servers.mlflow, theirs), "noop": (servers.noop, v1),
    }  # fmt: skip
    rounds: dict[str, list[tuple[float, float]]] = {side: [] for side in (*sides, "ours v2")}
    for _ in range(ROUNDS):
        for side, (start, body) in sides.items():
            with start() as url:
                load(url, body, servers.folder)
                rounds[side].append(load(url, body, servers.folder))
                if side == "ours":
                    rounds["ours v2"].append(load(url.replace("/v1/", "/v2/").replace(":predict", "/infer"), v2, servers.folder))
    with servers.ours() as url:
        large = _large(url.removesuffix(":predict").replace("/v1/", "/v2/") + "/infer", model)
    rate = {side: statistics.median(r for r, _ in values) for side, values in rounds.items()}
    p99 = {side: statistics.median(p for _, p in values) for side, values in rounds.items()}
    return Measured(rate, p99, large, statistics.median(servers.ready_s))


def _tell(measured: Measured, say: Tell) -> None:
    a_thousand, p99, large = {side: 1000 / rate for side, rate in measured.rate.items()}, measured.p99, measured.large
    ours, mlflow, noop = a_thousand["ours"], a_thousand["mlflow"], a_thousand["noop"]
    say("serving, mlflow", ours, mlflow, 1 / TIMES_MLFLOW, "seconds per 1,000 requests of one row, against `mlflow models serve`")
    say("serving, no-op", ours, noop, 1 / TIMES_NOOP, "the same against KServe's server with a model that does nothing")
    say("serving, p99", p99["ours"] / 1e3, p99["noop"] / 1e3, P99, "99th percentile of the latency, against the same")
    say("serving, V2", a_thousand["ours v2"], mlflow, None, "a tensor per column as JSON, against `mlflow models serve`")
    say("serving, 10,000 rows", large["binary"], large["bare"], TIMES_BARE, "10,000 rows as binary tensors, against the bare predictor")
    say("serving, 10,000 rows, JSON", large["json"], large["bare"], None, "the same as JSON")


def _large(url: str, model: Any) -> dict[str, float]:
    """Seconds of 10,000 rows in one request, as binary tensors and as JSON, and of the compiled predictor alone."""
    from resources.serving.answers import to_bytes
    from resources.serving.compiled import compiled
    from resources.serving.inputs import Batch
    from resources.serving.models import LoadedModel

    frame, _ = made(LARGE, seed=2)
    columns = {name: frame[name].tolist() for name in KINDS}
    types = {name: "BYTES" if kind == "string" else "FP64" for name, kind in KINDS.items()}
    raw = {name: to_bytes(columns[name], types[name]) for name in KINDS}
    inputs = [{"name": n, "shape": [LARGE], "datatype": types[n], "parameters": {"binary_data_size": len(raw[n])}} for n in KINDS]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    binary = head + b"".join(raw.values())
    text = json.dumps({"inputs": [{"name": n, "shape": [LARGE], "datatype": types[n], "data": columns[n]} for n in KINDS]})
    loaded = LoadedModel(model, compiled(model))
    numbers = np.ascontiguousarray(frame[[n for n, k in KINDS.items() if k == "double"]].to_numpy())
    rows = loaded.encoded(Batch(LARGE, numbers, tuple(columns[f"c{i}"] for i in range(TEXTS))))
    assert loaded.predictor is not None, loaded.why_not
    seconds: dict[str, list[float]] = {"binary": [], "json": [], "bare": []}
    with httpx.Client(timeout=60) as client:
        for turn in range(8):
            for way in seconds:
                started = time.perf_counter()
                if way == "bare":
                    loaded.predictor.scores(rows)
                else:
                    headers = {"inference-header-content-length": str(len(head))} if way == "binary" else {}
                    answered = client.post(url, content=binary if way == "binary" else text, headers=headers)
                    assert answered.status_code == 200, answered.text[:300]
                if turn:
                    seconds[way].append(time.perf_counter() - started)
    return {way: statistics.median(values) for way, values in seconds.items()}


if __name__ == "__main__":
    serving()
