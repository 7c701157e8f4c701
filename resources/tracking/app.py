"""MLflow's server behind the Host and Origin guard; takes the options of `mlflow server`.

MLflow's own settings refuse a foreign Host, and a foreign Origin on whatever changes state; the guard refuses its reads too.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from resources.host.web_guard import HostAndOriginGuard
from resources.tracking.report_page import ReportPages


def __getattr__(name: str) -> HostAndOriginGuard:
    """`app`, built when the server process asks for it; the launcher doesn't need it."""
    if name != "app":
        raise AttributeError(name)
    from mlflow.server.fastapi_app import app

    return HostAndOriginGuard(ReportPages(app))


def main() -> None:
    """Run `mlflow server` with the guarded app in this process: MLflow would start another, which imports everything again."""
    import mlflow.server
    import uvicorn
    from mlflow.cli import cli

    def run_in_this_process(command: list[str], *, extra_env: dict[str, str], **_: Any) -> None:
        os.environ.update(extra_env)
        # `python -m uvicorn <options> <app>`
        uvicorn.main([*command[3:-1], "resources.tracking.app:app"])

    mlflow.server._exec_cmd = run_in_this_process  # type: ignore[attr-defined, assignment]  # the one place where `mlflow server` starts another
    sys.argv = ["mlflow", *sys.argv[1:]]
    cli()


if __name__ == "__main__":
    main()
