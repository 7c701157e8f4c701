"""Files that other projects test their readers with (CSV, JSON, Parquet): each drafted, landed, read back and compared with DuckDB, value by value.

`python -m benchmarks.files_of_others FOLDER… --state FILE` goes on after the files that FILE has, prints what isn't right, and ends with a table.
The folders are clones of repositories such as apache/parquet-testing and duckdb/duckdb; none of their files belongs to this one.

Outcomes: `equal`; `told` (equal where a draft tells what it guessed, or rows are in quarantine with a reason); `refused` by a sentence; `uncompared`
(landed, and no other reader takes the file); and what must not be: `other` (values or rows), `traceback`, `slow`, `crash`.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import click

from benchmarks.bringing import Brought, bring
from benchmarks.other_readers import Unreadable, difference, readings
from lakeloop.errors import LakeloopError
from lakeloop.spec.tables import FILE, ROW, Column
from resources.sources.files import COMPRESSIONS, FORMATS

SLOWEST_S = 120
"""Files of a few megabytes that take longer are found wanting."""
WRONG = ("other", "traceback", "slow", "crash")


@dataclass(frozen=True)
class Outcome:
    """What became of a file, and what tells more."""

    kind: str
    told: str = ""


def kind_of(path: Path) -> str:
    """The format of a file by its name: csv, parquet or jsonl; empty for another."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    return FORMATS.get(suffixes[-1], "") if suffixes and suffixes[-1] != ".txt" else ""


def run(path: Path) -> Outcome:
    """Draft, land, read back and compare a file."""
    with TemporaryDirectory() as place:
        try:
            brought = bring({"source": str(path)}, Path(place))
        except (LakeloopError, click.ClickException) as error:
            told = str(error)
            return Outcome("refused" if "Traceback" not in told else "traceback", told)
        except TimeoutError as error:
            return Outcome("slow", str(error))
        except BaseException as error:  # what a library raises is what is looked for, Rust's panics too
            if isinstance(error, KeyboardInterrupt):
                raise
            return Outcome("traceback", f"{type(error).__name__}: {error}")
    return compare(brought, path)


def compare(brought: Brought, path: Path) -> Outcome:
    """Compare what has landed with what other readers read, the likeliest reading first."""
    assert brought.landed is not None and brought.conformed is not None
    differences: list[str] = []
    for name, columns in readings(path, kind_of(path), brought.spec.source):  # type: ignore[arg-type]  # its source is files
        if isinstance(columns, Unreadable):
            continue
        wrong = next(_differences(brought, columns, path), None)
        if wrong is None:
            kind = "told" if brought.conformed.quarantined.num_rows or (differences and _guesses(brought)) else "equal"
            return Outcome(kind, f"as {name}" + (f"; {'; '.join(_guesses(brought))}" if kind == "told" else ""))
        differences.append(f"{name}: {wrong}")
    return Outcome("other", "; ".join(differences)) if differences else Outcome("uncompared", "no other reader takes it")


def _guesses(brought: Brought) -> list[str]:
    """What a draft says that it guessed of the file."""
    options = brought.spec.source.model_dump(exclude_defaults=True, exclude={"files"})
    usual = ("rows, ", "key: ", "event time: ", "suspected", "left out", "assumed")
    return [f"{name}: {value!r}" for name, value in options.items()] + [text for text in brought.told if not any(w in text for w in usual)]


def _differences(brought: Brought, columns: Mapping[str, list[Any]], path: Path) -> Iterator[str]:
    """Where what is read back isn't what another reader reads; rows in quarantine have their reason."""
    landed, conformed = brought.landed, brought.conformed
    assert landed is not None and conformed is not None
    count = len(next(iter(columns.values()), []))
    if count != landed.num_rows:
        yield f"{count} rows, landed {landed.num_rows}"
        return
    if conformed.valid.num_rows + conformed.quarantined.num_rows + conformed.duplicates != conformed.landed:
        yield "rows are gone without a reason"
    aside = set(conformed.quarantined["_row"].to_pylist())
    delivered = [name for name in landed.column_names if not name.startswith("_") or name in columns]
    for name, column in brought.spec.columns.items():
        source = (column.source or [name])[0]
        is_of_folder = any(part.startswith(f"{source}=") for part in path.parts)
        if is_of_folder or source in (ROW, FILE) or len(column.source or []) > 1:
            continue
        # Readers name what has no name, or comes twice, each in its own way: then the place tells.
        place = delivered.index(source) if source in delivered else None
        names = list(columns)
        theirs = columns.get(source) or (columns[names[place]] if place is not None and place < len(names) else None)
        if theirs is None:
            if any(value is not None for value in _values(brought, name, column)):
                yield f"no column {source!r} in {names[:8]}"
            continue
        for number, (value, found) in enumerate(zip(theirs, _values(brought, name, column), strict=True), 1):
            told = None if number in aside else difference(value, found, column, brought.spec.source)  # type: ignore[arg-type]  # as above
            if told:
                yield f"row {number}, {name} ({column.type}): {told}"
                break


def _values(brought: Brought, name: str, column: Column) -> list[Any]:
    from lakeloop.rows.conform import parse_column

    assert brought.landed is not None
    if (column.source or [name])[0] not in brought.landed.column_names:
        return [None] * brought.landed.num_rows  # it never had a value
    return _plain(parse_column(brought.landed, name, column))


def _plain(values: Any) -> list[Any]:
    """Values as Python has them; times as microseconds, since Python's end with the year 9999."""
    import pyarrow as pa

    return list(values.cast(pa.int64()).to_pylist() if pa.types.is_timestamp(values.type) else values.to_pylist())


def _stop(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"more than {SLOWEST_S} s")


def _state(path: Path | None) -> dict[str, list[str]]:
    """The outcomes so far; a file that was begun and has none ended the process."""
    outcomes: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path and path.is_file() else []:
        file, *outcome = json.loads(line)
        outcomes[file] = outcome
    return {file: outcome or ["crash", ""] for file, outcome in outcomes.items()}


def table_of(outcomes: Mapping[str, list[str]]) -> str:
    """Outcomes by format, as Markdown."""
    kinds = ("equal", "told", "refused", "uncompared", *WRONG)
    lines = [f"| format | files | {' | '.join(kinds)} |", "|---|---|" + "---|" * len(kinds)]
    for shown, kind in (("CSV", "csv"), ("JSON", "jsonl"), ("Parquet", "parquet")):
        counts = Counter(outcome[0] for file, outcome in outcomes.items() if kind_of(Path(file)) == kind)
        lines.append(f"| {shown} | {sum(counts.values()):,} | " + " | ".join(f"{counts[name]:,}" for name in kinds) + " |")
    return "\n".join(lines)


def main() -> int:
    """Run the campaign; whether all is well decides the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--state", type=Path, help="a file of the outcomes so far, a line for each")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--again", nargs="*", default=[], help="outcomes that are tried again, such as other traceback")
    parser.add_argument("--only", default="", help="csv, jsonl or parquet")
    options = parser.parse_args()
    outcomes, began = _state(options.state), time.monotonic()
    signal.signal(signal.SIGALRM, _stop)
    paths = sorted(path for folder in options.folders for path in folder.rglob("*") if path.is_file() and kind_of(path))
    for path in (path.absolute() for path in paths if options.only in ("", kind_of(path))):
        if str(path) in outcomes and outcomes[str(path)][0] not in options.again:
            continue
        if time.monotonic() - began > options.seconds:
            break
        _note(options.state, [str(path)])
        signal.alarm(SLOWEST_S)
        try:
            outcome = run(path)
        except TimeoutError as error:
            outcome = Outcome("slow", str(error))
        signal.alarm(0)
        outcomes[str(path)] = [outcome.kind, outcome.told[:600]]
        _note(options.state, [str(path), *outcomes[str(path)]])
        if outcome.kind in WRONG:
            print(f"{path}: {outcome.kind}: {outcome.told[:600]}", flush=True)
    print(table_of(outcomes))
    return int(any(outcome[0] in WRONG for outcome in outcomes.values()))


def _note(state: Path | None, line: list[str]) -> None:
    if state is not None:
        with state.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    sys.exit(main())
