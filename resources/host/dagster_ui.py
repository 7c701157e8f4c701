"""Dagster's web server behind the web guard; takes the options of `dagster-webserver`."""

from __future__ import annotations

import sys
from typing import Any

import resources.host.fewer_collections  # noqa: F401
from resources.host.bounded_connections import bound_connections
from resources.host.code_server import wait_for_socket
from resources.host.dagster_daemon import watch_less_often
from resources.host.web_guard import WebGuard


def main() -> None:
    """Run the web server; the guard protects everything that it serves, websockets included."""
    from dagster_webserver import cli

    import resources.host.dagster_sqlite  # noqa: F401

    create_app = cli.create_app_from_workspace_process_context  # type: ignore[attr-defined]  # a name that the module imports

    def create_guarded_app(*args: Any, **kwargs: Any) -> Any:
        return WebGuard(create_app(*args, **kwargs))

    cli.create_app_from_workspace_process_context = create_guarded_app  # type: ignore[attr-defined]
    bound_connections()
    watch_less_often()
    sys.argv[1:] = wait_for_socket(sys.argv[1:])
    cli.main()  # type: ignore[no-untyped-call]  # Dagster declares no types there


if __name__ == "__main__":
    main()
