"""Versions of a model to serve."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.worlds.once import made_once
from tests.worlds.servers.endpoint import log_version


@pytest.fixture(scope="session")
def versions(tmp_path_factory: pytest.TempPathFactory, mlflow_uri: str) -> list[str]:
    """Two versions of a model, the second with answers one and a half times as high; logged once for all processes."""

    def log(_: Path) -> list[str]:
        return [log_version(mlflow_uri, "prices", slope) for slope in (2.0, 3.0)]

    return list(made_once(tmp_path_factory, "versions", log))
