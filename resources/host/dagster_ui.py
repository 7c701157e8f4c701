"""Dagster's web server behind the web guard; takes the options of `dagster-webserver`."""

from __future__ import annotations

import re
import sys
from typing import Any

import resources.host.fewer_collections  # noqa: F401
from resources.host.bounded_connections import bound_connections
from resources.host.code_server import wait_for_socket
from resources.host.dagster_daemon import watch_less_often
from resources.host.web_guard import App, Receive, Scope, Send, WebGuard, answer

_LOG = re.compile(r"/logs(/[^/]+)+/(out|err)")


def only_real_logs(app: App) -> App:
    """ASGI middleware that answers 404 where Dagster's route of logs is asked for what isn't one, which it takes apart without a look: 500."""

    async def answer_others(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and f"{scope['path']}/".startswith("/logs/") and not _LOG.fullmatch(scope["path"]):
            await answer(send, 404, {"error": "wanted the output of a step: /logs/<run>/<step>/out or err"})
        else:
            await app(scope, receive, send)

    return answer_others


def main() -> None:
    """Run the web server; the guard protects everything that it serves, websockets included."""
    from dagster_webserver import cli

    import resources.host.dagster_sqlite  # noqa: F401

    create_app = cli.create_app_from_workspace_process_context  # type: ignore[attr-defined]  # a name that the module imports

    def create_guarded_app(*args: Any, **kwargs: Any) -> Any:
        return WebGuard(only_real_logs(create_app(*args, **kwargs)))

    cli.create_app_from_workspace_process_context = create_guarded_app  # type: ignore[attr-defined]
    bound_connections()
    watch_less_often()
    sys.argv[1:] = wait_for_socket(sys.argv[1:])
    cli.main()  # type: ignore[no-untyped-call]  # Dagster declares no types there


if __name__ == "__main__":
    main()
