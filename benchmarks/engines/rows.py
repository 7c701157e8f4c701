"""The table that queries are about: few rows, and in each column the values that engines disagree on."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 48
SCHEMA = {
    "k": "string", "o": "bigint", "u": "timestamp", "ts": "timestamp", "d": "date", "i": "int", "n": "bigint", "x": "double", "y": "double",
    "z": "double", "p": "decimal(10,2)", "s": "string", "b": "boolean", "a": "array<bigint>", "g": "bigint", "h": "int", "t": "string",
    "q": "decimal(20,4)", "w": "decimal(38,2)", "m": "date",
}  # fmt: skip
"""`o` and `u` are unique; `y` and `z` are ordinary numbers, `x` has what isn't; `g` and `h` reach to the ends of their types, by
the seed, `q` and `w` to the ends of theirs; `t` is a number in text, and `m` a day near the end of a month."""
_REACHES = (0, 10, 24, 40, 56, 63)
"""How many bits fewer than its type a seed's greatest whole number has."""
_MOMENTS = (
    datetime(1969, 12, 31, 23, 59, 59, 500000, UTC), datetime(2024, 1, 31, 10, tzinfo=UTC), datetime(2024, 2, 29, tzinfo=UTC),
    datetime(2024, 3, 31, 2, 30, tzinfo=UTC), datetime(1900, 3, 1, tzinfo=UTC), datetime(2023, 12, 31, 23, 59, 59, 999999, UTC),
)  # fmt: skip
_DATES = (
    date(1969, 12, 31),
    date(2024, 1, 31),
    date(2024, 2, 29),
    date(2023, 2, 28),
    date(1900, 1, 1),
    date(2024, 12, 30),
    date(2021, 1, 1),
)
_HOSTILE = (float("nan"), float("inf"), float("-inf"), 1e17, 9.97e36, -0.0, 0.0, 1e-9, 2.5, -2.5, 0.5, 1e20, 1e-5, 123456789.0)
_WORDS = (
    "",
    " ",
    "a",
    "A",
    "Ä",
    "ß",
    "1",
    "-1",
    "1.5",
    " 2 ",
    "1e3",
    "NaN",
    "null",
    "true",
    "2024-01-31",
    "2024-02-30",
    "10:20",
    "a,b,,c",
    "a%b_c",
    "😀x",
)


def make_rows(seed: int) -> pa.Table:
    """Make the table of a seed."""
    import pyarrow as pa

    draw = random.Random(seed)
    kinds = {
        "string": pa.string(), "bigint": pa.int64(), "timestamp": pa.timestamp("us", "UTC"), "date": pa.date32(), "int": pa.int32(),
        "double": pa.float64(), "boolean": pa.bool_(), "decimal(10,2)": pa.decimal128(10, 2), "decimal(20,4)": pa.decimal128(20, 4), "decimal(38,2)": pa.decimal128(38, 2),
        "array<bigint>": pa.list_(pa.int64()),
    }  # fmt: skip
    rows = [_row(draw, number) for number in range(ROWS)]
    wide = random.Random(f"whole numbers {seed}")  # its own, so that other columns stay as they were recorded
    bits = 63 - wide.choice(_REACHES)
    for row in rows:
        row |= {"g": _whole(wide, bits), "h": _whole(wide, min(bits, 31))}
    edges = random.Random(f"edges {seed}")
    for row in rows:
        row |= _edges(edges)
    columns = {name: pa.array([row[name] for row in rows], kinds[kind]) for name, kind in SCHEMA.items()}
    return pa.table(columns)


def _row(draw: random.Random, number: int) -> dict[str, Any]:
    start = datetime(2024, 1, 25, tzinfo=UTC)

    def maybe(value: Any, share: float = 0.12) -> Any:
        return None if draw.random() < share else value

    return {
        "k": draw.choice(["a", "a", "b", "c", None]),
        "o": number,
        "u": start + timedelta(hours=7 * number, microseconds=number),
        "ts": maybe(draw.choice(_MOMENTS) if draw.random() < 0.3 else start + timedelta(hours=draw.randrange(0, 240, 6))),
        "d": maybe(draw.choice(_DATES) if draw.random() < 0.3 else date(2024, 1, 25) + timedelta(days=draw.randrange(12))),
        "i": maybe(draw.choice([0, 1, 2, 3, 5, 8, -1, -7, 100])),
        "n": maybe(draw.choice([0, 1, 2, 3, 7, -3, 2**53 + 1, -(2**40), 10**12])),
        "x": maybe(draw.choice(_HOSTILE) if draw.random() < 0.4 else float(draw.randrange(-5, 6))),
        "y": maybe(round(draw.gauss(0, 10), 3)),
        "z": maybe(draw.choice([1.0, 1.0, 2.0, 3.25, -4.0])),
        "p": maybe(Decimal(draw.randrange(-10_000, 10_000)) / 100),
        "s": maybe(draw.choice(_WORDS)),
        "b": maybe(draw.random() < 0.5),
        "a": maybe([draw.choice([1, 2, 3, None]) for _ in range(draw.randrange(4))]),
    }


def _whole(draw: random.Random, bits: int) -> int | None:
    """A number up to the ends of so many bits and a sign, often near 0 or at an end."""
    largest = (1 << bits) - 1
    near = draw.randrange(-5, 6)
    numbers: list[int | None] = [None, near, near, draw.randint(-largest, largest), largest // 2, largest, -largest - 1]
    return draw.choice(numbers)


def _edges(draw: random.Random) -> dict[str, Any]:
    """A number in text, decimals up to the ends of their types, and a day near the end of a month."""
    digits = draw.choice([2, 4, 12, 16, 20])
    wide = draw.choice([3, 10, 28, 35, 38])
    row = {
        "t": str(draw.randrange(-20, 200)),
        "q": Decimal((draw.random() < 0.3, tuple(map(int, str(draw.randrange(10**digits)))), -4)),
        "w": Decimal((draw.random() < 0.3, tuple(map(int, str(draw.randrange(10**wide)))), -2)),
        "m": date(draw.choice([1967, 2023, 2024]), draw.randrange(1, 13), 1) - timedelta(days=draw.randrange(1, 4)),
    }
    return {name: None if draw.random() < 0.12 else value for name, value in row.items()}
