"""What processes that test side by side make once, and all of them use."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def made_once(paths: pytest.TempPathFactory, name: str, made: Callable[[Path], Any]) -> Any:
    """What the first of the processes that test side by side has made in a folder; the others wait for it, and get what can be pickled."""
    from resources.host.locks import file_lock

    base = paths.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with file_lock(folder.parent, name):
        kept = folder.with_suffix(".pickle")
        if not kept.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            kept.write_bytes(pickle.dumps(made(folder)))
        return pickle.loads(kept.read_bytes())
