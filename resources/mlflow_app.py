"""MLflow's server behind the Host and Origin guard; takes the options of `mlflow server`.

MLflow's own settings refuse a foreign Host, and a foreign Origin on whatever changes state; the guard refuses its reads too.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """`app`, made when the server process asks for it; the launcher doesn't need it."""
    if name != "app":
        raise AttributeError(name)
    from mlflow.server.fastapi_app import app

    from resources.report_page import ReportPages
    from resources.web_guard import HostAndOriginGuard

    return HostAndOriginGuard(ReportPages(app))


def main() -> None:
    """Run `mlflow server` with the guarded app."""
    import sys

    import mlflow.server
    from mlflow.cli import cli

    unguarded = mlflow.server._build_uvicorn_command

    def guarded(uvicorn_opts: Any, host: Any, port: Any, workers: Any, app_name: str, *rest: Any) -> Any:
        return unguarded(uvicorn_opts, host, port, workers, "resources.mlflow_app:app", *rest)

    mlflow.server._build_uvicorn_command = guarded
    sys.argv = ["mlflow", *sys.argv[1:]]
    cli()


if __name__ == "__main__":
    main()
