"""Dagster's web server behind the Host and Origin guard; takes the options of `dagster-webserver`."""

from __future__ import annotations

from typing import Any

import resources.host.fewer_collections  # noqa: F401
from resources.host.web_guard import HostAndOriginGuard


def main() -> None:
    """Run the web server; the guard stands in front of everything that it serves, websockets included."""
    from dagster_webserver import cli

    import resources.host.dagster_sqlite  # noqa: F401

    unguarded = cli.create_app_from_workspace_process_context  # type: ignore[attr-defined]  # a name that the module imports

    def guarded(*args: Any, **kwargs: Any) -> Any:
        return HostAndOriginGuard(unguarded(*args, **kwargs))

    cli.create_app_from_workspace_process_context = guarded  # type: ignore[attr-defined]
    cli.main()  # type: ignore[no-untyped-call]  # Dagster declares no types there


if __name__ == "__main__":
    main()
