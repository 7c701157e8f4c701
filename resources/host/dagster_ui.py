"""Dagster's web server behind the Host and Origin guard; takes the options of `dagster-webserver`."""

from __future__ import annotations

from typing import Any

import resources.host.fewer_collections  # noqa: F401
from resources.host.web_guard import HostAndOriginGuard


def main() -> None:
    """Run the web server; the guard protects everything that it serves, websockets included."""
    from dagster_webserver import cli

    import resources.host.dagster_sqlite  # noqa: F401

    create_app = cli.create_app_from_workspace_process_context  # type: ignore[attr-defined]  # a name that the module imports

    def create_guarded_app(*args: Any, **kwargs: Any) -> Any:
        return HostAndOriginGuard(create_app(*args, **kwargs))

    cli.create_app_from_workspace_process_context = create_guarded_app  # type: ignore[attr-defined]
    cli.main()  # type: ignore[no-untyped-call]  # Dagster declares no types there


if __name__ == "__main__":
    main()
