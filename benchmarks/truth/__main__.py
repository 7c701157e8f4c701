"""Runs one of the measurements: `python -m benchmarks.truth leaks --packages FOLDER`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

NAMES = sorted(
    path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_") and "\ndef main() -> " in path.read_text()
)


def main() -> int:
    """Hand over to the measurement that is named, with the rest of the arguments."""
    if len(sys.argv) < 2 or sys.argv[1] not in NAMES:
        print(f"wanted one of {', '.join(NAMES)}, found {' '.join(sys.argv[1:2]) or 'none'}", file=sys.stderr)
        return 2
    name = sys.argv.pop(1)
    return int(importlib.import_module(f"benchmarks.truth.{name}").main() or 0)


if __name__ == "__main__":
    sys.exit(main())
