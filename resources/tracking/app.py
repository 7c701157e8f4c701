"""MLflow's server behind the web guard; takes the options of `mlflow server`.

MLflow's own settings refuse a foreign Host, and a foreign Origin on whatever changes state; the guard refuses its reads too. MLflow's assistant isn't
there: it runs commands on this machine for any process that can reach the port, another user's too.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from resources.host.bounded_connections import bound_connections
from resources.host.web_guard import App, Receive, Scope, Send, WebGuard, answer
from resources.tracking.first_page import FirstPage
from resources.tracking.registered_files import RegisteredFiles
from resources.tracking.report_page import ReportPages

ASSISTANT = "/ajax-api/3.0/mlflow/assistant"


def without_assistant(app: App) -> App:
    """ASGI middleware that answers 404 where MLflow has its assistant."""

    async def answer_others(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and f"{scope['path']}/".startswith(f"{ASSISTANT}/"):
            await answer(
                send, 404, {"detail": "Lakeloop runs MLflow without its assistant, which may run commands on the server's machine"}
            )
        else:
            await app(scope, receive, send)

    return answer_others


def __getattr__(name: str) -> WebGuard:
    """`app`, built when the server process asks for it; the launcher doesn't need it."""
    if name != "app":
        raise AttributeError(name)
    from mlflow.server.fastapi_app import app

    return WebGuard(without_assistant(RegisteredFiles(FirstPage(ReportPages(app)))))


def main() -> None:
    """Run `mlflow server` with the guarded app in this process: MLflow would start another, which imports everything again."""
    import mlflow.server
    import uvicorn
    from mlflow.cli import cli

    def run_in_this_process(command: list[str], *, extra_env: dict[str, str], **_: Any) -> None:
        os.environ.update(extra_env)
        # `python -m uvicorn <options> <app>`
        uvicorn.main([*command[3:-1], "resources.tracking.app:app"])

    bound_connections()
    mlflow.server._exec_cmd = run_in_this_process  # type: ignore[attr-defined, assignment]  # the one place where `mlflow server` starts another
    sys.argv = ["mlflow", *sys.argv[1:]]
    cli()


if __name__ == "__main__":
    main()
