"""Runs one of the measurements: `python -m benchmarks.monitoring drift --runs 400`; without a name, or with `all`, it lists them."""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path

FILES = {
    path.stem: path
    for path in sorted(Path(__file__).parent.glob("*.py"))
    if not path.stem.startswith("_") and "\ndef main() -> " in path.read_text(encoding="utf-8")
}
"""The measurements by name."""


def list_all() -> str:
    """A line for each measurement: its name, and the first sentence of its module."""
    width = max(map(len, FILES))
    first_lines = {
        name: (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").splitlines()[0] for name, path in FILES.items()
    }
    return "\n".join(f"{name:<{width}}  {line}" for name, line in first_lines.items())


def main() -> int:
    """Hand over to the measurement that is named, with the rest of the arguments."""
    if len(sys.argv) < 2 or sys.argv[1] == "all":
        print(list_all())
        return 0
    if sys.argv[1] not in FILES:
        print(f"wanted one of {', '.join(FILES)}, found {sys.argv[1]}", file=sys.stderr)
        return 2
    name = sys.argv.pop(1)
    return int(importlib.import_module(f"benchmarks.monitoring.{name}").main() or 0)


if __name__ == "__main__":
    sys.exit(main())
