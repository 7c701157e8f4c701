"""MLflow's client, set up to fail soon and quietly."""

from __future__ import annotations

import os

_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


def set_up_client() -> None:
    """Set MLflow's environment variables, before MLflow is imported: its own defaults retry for minutes. Variables that are set stay."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
