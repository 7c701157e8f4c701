"""The process that serves models: on an inherited socket over HTTP, and on a port that it shares over gRPC.

Started by the supervisor. It loads, reports, and serves until it is drained (SIGUSR1) or stopped (SIGTERM).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import resources.host.fewer_collections  # noqa: F401
from lakeloop.errors import ServiceUnavailable
from resources.host.bounded_connections import bound_connections
from resources.host.web_guard import WebGuard
from resources.serving.access import Access
from resources.serving.app import PredictionApp
from resources.serving.compiled import one_thread
from resources.serving.desired import write_json
from resources.serving.grpc_service import start_grpc
from resources.serving.meter import WRITE_S, Meter
from resources.serving.models import load_models
from resources.tracking.server import wait_until_ready

MLFLOW_TIMEOUT_S = 30.0
"""How long MLflow's server, which may start at the same time, is waited for; after that its client raises its own error."""
DRAIN_S = 10.0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--grpc-port", type=int, default=0)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--counts", type=Path, required=True)
    parser.add_argument("--tracking-uri", required=True)
    return parser.parse_args()


def main() -> None:
    """Load, report, and serve until drained (SIGUSR1), stopped (SIGTERM), or until the supervisor has ended (standard input ends)."""
    options = _options()
    threading.Thread(target=_follow_parent, daemon=True).start()
    # Imported while MLflow's server may be starting, whose client would retry only after seconds. skops comes first: see `PRELOADED`.
    import skops.io  # noqa: F401
    import uvicorn

    with suppress(ServiceUnavailable):
        wait_until_ready(options.tracking_uri, MLFLOW_TIMEOUT_S)
    one_thread()  # per worker: more workers take more cores, and threads of one would take them from each other
    models, problems = load_models(json.loads(options.state.read_text()), options.tracking_uri)
    if problems:
        write_json(options.report, {"problems": problems, "ready": False})
        raise SystemExit(3)
    for model in models.values():
        model.warm_up()
    access = Access.from_environment()
    app = PredictionApp(models, Meter(options.counts))
    bound_connections()
    config = uvicorn.Config(
        WebGuard(access.guarded(app)), log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=int(DRAIN_S),
        server_header=False, ssl_certfile=access.certificate, ssl_keyfile=access.key,
    )  # fmt: skip
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(_serve(uvicorn.Server(config), app, access, options))


async def _serve(server: Any, app: PredictionApp, access: Access, options: argparse.Namespace) -> None:
    """Serve over HTTP and gRPC, then end both."""
    loop = asyncio.get_running_loop()
    grpc_server = None
    if options.grpc_port:
        grpc_server = await start_grpc(app, options.grpc_port, access)

    async def drain() -> None:
        """Stop accepting, let clients finish (the next response closes their connection), then exit."""
        app.draining = True
        for listening in server.servers:
            listening.close()
        if grpc_server is not None:
            await grpc_server.stop(DRAIN_S)
        deadline = time.monotonic() + DRAIN_S
        while time.monotonic() < deadline and server.server_state.connections:
            await asyncio.sleep(0.1)
        server.should_exit = True

    async def write_counts() -> None:
        while True:
            await asyncio.sleep(WRITE_S)
            app.meter.write()

    tasks = [loop.create_task(write_counts())]
    loop.add_signal_handler(signal.SIGUSR1, lambda: tasks.append(loop.create_task(drain())))
    write_json(options.report, {"problems": {}, "ready": True})
    await server.serve(sockets=[socket.socket(fileno=options.fd)])
    if grpc_server is not None:
        await grpc_server.stop(DRAIN_S)
    app.meter.write()
    for task in tasks:
        task.cancel()


def _follow_parent() -> None:
    """Stop this process when the supervisor has ended."""
    # Not through sys.stdin, whose lock aborts the interpreter's shutdown.
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(DRAIN_S + 2)
    os._exit(1)


if __name__ == "__main__":
    main()
