"""What a measurement says: a line for each claim, and tables of the documentation, each between two comments that name it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"
Tell = Callable[[str, float, float, float | None, str], None]
"""Gets a claim: its name, what is ours, its yardstick, the most that their ratio may be, and what it is."""


def show(name: str, ours: float, theirs: float, limit: float | None, what: str) -> None:
    """Print a claim."""
    within = "no limit" if limit is None else f"limit {limit}"
    print(f"{name:<26} {ours:7.2f} against {theirs:7.2f}: {ours / theirs:5.2f} ({within})  {what}", flush=True)


def write_between(page: Path, name: str, text: str) -> None:
    """Replace what stands between `<!-- name: how it is written -->` and `<!-- end of name -->`.

    Raises:
        ValueError: the page has no such place, or several.
    """
    place = re.compile(rf"(<!-- {re.escape(name)}: [^\n]*-->\n).*?(<!-- end of {re.escape(name)} -->)", re.DOTALL)
    written, count = place.subn(lambda found: f"{found[1]}{text}\n{found[2]}", page.read_text(encoding="utf-8"))
    if count != 1:
        raise ValueError(f"wanted one place for `{name}` in {page}, found {count}")
    page.write_text(written, encoding="utf-8")


def row(name: str, ratio: float, limit: float | None, what: str) -> str:
    """A claim as a row of the table of docs/speed.md."""
    return f"| {name} | {ratio:.2f} | {'' if limit is None else limit} | {what} |"


def write_rows(page: Path, name: str, rows: Mapping[str, str]) -> None:
    """Replace rows of a table of the page, by what stands in their first column; new ones are added at its end.

    Raises:
        ValueError: the page has no such place, or several.
    """
    inside = re.search(
        rf"<!-- {re.escape(name)}: [^\n]*-->\n(.*?)<!-- end of {re.escape(name)} -->", page.read_text(encoding="utf-8"), re.DOTALL
    )
    lines = inside[1].splitlines() if inside else []
    waiting = dict(rows)
    lines = [waiting.pop(line.split("|")[1].strip(), line) if line.startswith("| ") else line for line in lines]
    write_between(page, name, "\n".join([*lines, *waiting.values()]))
