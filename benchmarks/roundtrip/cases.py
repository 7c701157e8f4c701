"""A random table and who writes it; and whether what is drafted, landed and read back of it says the same."""

from __future__ import annotations

import json
import math
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import pandas as pd

from benchmarks.bringing import bring
from benchmarks.roundtrip.sheets import SHEET_WRITERS, SHEETS_FROM
from benchmarks.roundtrip.values import KINDS, NAMES, Values
from benchmarks.roundtrip.writers import FILE_WRITERS, Writer
from lakeloop.errors import LakeloopError
from lakeloop.spec.tables import TableSpec

WRITERS: Mapping[str, Writer] = {**FILE_WRITERS, **SHEET_WRITERS}


@dataclass(frozen=True)
class Outcome:
    """What became of a table: `equal`, `quarantined`, `refused` or `wrong`, and what tells more."""

    kind: str
    told: str = ""


@dataclass
class Case:
    """A random table and who writes it, of some writers."""

    seed: int
    writers: Mapping[str, Writer] = field(default_factory=lambda: WRITERS, repr=False)
    writer: str = ""
    kinds: dict[str, str] = field(default_factory=dict)
    table: dict[str, Values] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rng = random.Random(self.seed)
        self.writer = rng.choice([name for name in self.writers if self.seed >= SHEETS_FROM or name not in SHEET_WRITERS])
        count = rng.choice((1, 2, 3, 5, 12, 40))
        self.table = {"id": list(range(1, count + 1))}
        for name in rng.sample(NAMES, rng.randint(1, 4)):
            kind = rng.choice(self.writers[self.writer].kinds)
            share = rng.choice((0, 0, 0.2, 0.9))
            self.kinds[name] = kind
            self.table[name] = [None if rng.random() < share else value for value in KINDS[kind](rng, count)]

    def __str__(self) -> str:
        return f"seed {self.seed}, {self.writer}, {self.kinds}"


def run(case: Case) -> Outcome:
    """Write, draft, land and read back a table; whatever isn't one of ours is `wrong`."""
    with TemporaryDirectory() as place:
        try:
            spec, rows, reasons = _bring(case, Path(place))
        except (LakeloopError, click.ClickException) as error:
            told = str(error)
            return Outcome("refused" if "Traceback" not in told else "wrong", told)
        except Exception as error:  # what a library raises is what is looked for
            return Outcome("wrong", f"{type(error).__name__}: {error}")
    wrong = list(_differences(case, spec, rows, reasons))
    if wrong:
        return Outcome("wrong", "; ".join(wrong[:4]))
    return Outcome("quarantined" if reasons else "equal")


def _bring(case: Case, place: Path) -> tuple[TableSpec, dict[int, dict[str, Any]], dict[int, str]]:
    """The definition that is drafted, the rows as validated by their id, and why others are in quarantine."""
    writer, path = case.writers[case.writer], place / "in"
    path.mkdir()
    path /= writer.file
    try:
        writer.write(case.table, path)
    except (AttributeError, NameError, ImportError):
        raise
    except Exception as error:  # not every writer takes every value
        raise LakeloopError(f"the writer refuses: {error}") from error
    params: dict[str, Any] = {"source": str(path), "keys": ["id"]}
    if case.writer.startswith("sqlite"):
        os.environ["ROUNDTRIP_DB_URL"] = f"{'adbc+' if 'adbc' in case.writer else ''}sqlite:///{path}"
        params = {"database": "ROUNDTRIP_DB_URL", "table": "t", "keys": ["id"]}
    brought = bring(params, place)
    if brought.adopted is not None:
        return brought.spec, {row["id"]: row for row in brought.adopted.to_pylist()}, {}
    assert brought.conformed is not None
    id_source = (brought.spec.columns["id"].source or ["id"])[0]
    reasons = {int(json.loads(row["raw"])[id_source]): row["reason"] for row in brought.conformed.quarantined.to_pylist()}
    return brought.spec, {int(row["id"]): row for row in brought.conformed.valid.to_pylist()}, reasons


def _differences(case: Case, spec: TableSpec, rows: Mapping[int, Mapping[str, Any]], reasons: Mapping[int, str]) -> Iterator[str]:
    """Where what is read back isn't what was written."""
    writer = case.writers[case.writer]
    is_text = writer.is_text
    for number in case.table["id"]:
        if number not in rows and not reasons.get(number):
            yield f"row {number} is gone"
    for name in case.kinds:
        by_path = {column.path[0]: lake for lake, column in spec.columns.items() if column.path and (column.source or [lake])[0] == name}
        lake_name = next((lake for lake, col in spec.columns.items() if (col.source or [lake])[0] == name and not col.path), None)
        if lake_name is None and not by_path:
            continue  # left out, and said so
        nulls = (spec.columns[lake_name].null_values or []) if lake_name else []
        read, written = [], []
        for number, value in zip(case.table["id"], case.table[name], strict=True):
            if number not in rows:
                continue
            if by_path and isinstance(value, dict):
                pairs = [(item, rows[number][by_path[part]]) for part, item in value.items() if part in by_path]
            else:
                pairs = [(value, rows[number][lake_name])] if lake_name else []
            for item, found in pairs:
                written.append(str(item))
                read.append(str(found))
                if item is None and found and found == writer.nothing:
                    continue
                if isinstance(item, float) and isinstance(found, str):
                    found = found.replace(writer.point, ".")
                if not is_same(item, found, is_text=is_text, nulls=nulls):
                    yield f"{name} ({case.kinds[name]}, {spec.columns[lake_name].type if lake_name else 'path'}): wrote {item!r}, read {found!r}"
        if case.kinds[name] in ("codes", "digits", "texts") and len(set(written)) != len(set(read)) and not nulls and not is_text:
            yield f"{name}: {len(set(written))} different texts became {len(set(read))}"


def is_same(value: Any, found: Any, *, is_text: bool, nulls: Sequence[str] = ()) -> bool:
    """Whether what is read back says the same as what was written."""
    if value is None or found is None:
        is_absent = value is None or (is_text and (value == "" or (isinstance(value, float) and math.isnan(value))))
        return (
            found in (None, "")
            if is_absent and is_text
            else (is_absent and found is None) or (isinstance(value, str) and value in nulls) or (is_text and str(value) in nulls)
        )
    if isinstance(value, bool) or isinstance(found, bool):
        return str(value).lower() == str(found).lower() or (str(value).lower(), found) in (
            ("t", True),
            ("f", False),
            ("1", True),
            ("0", False),
            ("true", "t"),
            ("false", "f"),
        )
    if isinstance(value, float) and not math.isfinite(value):
        return str(found).lower().replace("infinity", "inf") == str(value)
    if isinstance(value, (int, float, Decimal)):
        try:
            number = Decimal(repr(found) if isinstance(found, float) else str(found))
        except InvalidOperation:
            return False
        return float(number) == value if isinstance(value, float) else number == value
    if isinstance(value, str):
        return str(found) == value or _reads_as(value, found)
    if isinstance(value, (datetime, date)):
        moments = {found.isoformat() if isinstance(found, (date, datetime)) else str(found)}
        plain = value.isoformat()
        texts = {text.replace("T", " ").replace("+00:00", "").replace("Z", "").removesuffix(".000000") for text in moments}
        return any(_unzoned(text) == _unzoned(plain) for text in texts)
    if isinstance(value, time):
        return str(found) == value.isoformat()
    if isinstance(value, timedelta):
        # Parquet's intervals, as DuckDB writes durations, have milliseconds, and months beside them.
        return "M" in str(found).partition("T")[0] or bool(abs(pd.Timedelta(str(found)) - value) < timedelta(milliseconds=1))
    if isinstance(value, bytes):
        return str(found) in (value.hex(), f"\\x{value.hex()}", value.decode("utf-8", "replace"))
    if isinstance(value, list) and str(found).startswith("{"):
        return str(found) == f"{{{','.join(map(str, value))}}}"  # PostgreSQL's text of an array
    return bool(json.loads(found) == value)


def _unzoned(text: str) -> str:
    moment = datetime.fromisoformat(text.strip())
    return moment.replace(tzinfo=None).isoformat()


def _reads_as(text: str, found: Any) -> bool:
    """Whether a text was read as a number or time that gives it back."""
    if isinstance(found, (int, float, Decimal)):
        try:
            return Decimal(text.strip()) == Decimal(str(found))
        except InvalidOperation:
            return False
    return isinstance(found, (date, datetime)) and found.isoformat()[:10].split("-")[0] in text
