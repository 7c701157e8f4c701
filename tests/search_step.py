"""Materialise the study of a shop in a process of its own, which a test may have die: `python -m tests.search_step <defs> <lake> <server>`."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.conftest import Shop

if __name__ == "__main__":
    sys.exit(not Shop(Path(sys.argv[1]), sys.argv[2], sys.argv[3]).materialize("studies").success)
