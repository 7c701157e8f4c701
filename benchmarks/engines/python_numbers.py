"""Random arithmetic of whole numbers as SQL and as Python, whose numbers never overflow: Spark's rules for types, from their definition."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

WIDTHS = {"h": 32, "g": 64, "m": 64}
"""Columns and the bits of their types."""
Row = Mapping[str, int | None]


class Overflow(Exception):
    """A value that its type doesn't hold."""


class SignOverflow(Overflow):
    """The least value of a type without its sign, for which every engine ends with an error by itself."""


@dataclass(frozen=True)
class Term:
    """An expression.

    Attributes:
        sql: its text.
        bits: the width of its type.
        value: what it gives for a row; raises `Overflow` where an engine has to end with an error.
    """

    sql: str
    bits: int
    value: Callable[[Row], int | None]


def random_term(draw: random.Random, depth: int = 3) -> Term:
    """A random expression over the columns `g`, `h` and `m`."""
    if depth == 0 or draw.random() < 0.15:
        return _leaf(draw)
    left, right, third = (random_term(draw, depth - 1) for _ in range(3))
    kind = draw.choice(["+", "-", "*", "+", "-", "*", "neg", "abs", "case", "coalesce", "greatest", "mod", "div"])
    wide = max(left.bits, right.bits)
    match kind:
        case "neg":
            return Term(f"-({left.sql})", left.bits, _checked(lambda a: -a, left.bits, left, error=SignOverflow))
        case "abs":
            return Term(f"abs({left.sql})", left.bits, _checked(abs, left.bits, left, error=SignOverflow))
        case "case":
            return Term(f"CASE WHEN {third.sql} > 0 THEN {left.sql} ELSE {right.sql} END", wide, _case(third, left, right))
        case "coalesce":
            return Term(f"coalesce({left.sql}, {right.sql})", wide, lambda row: right.value(row) if (a := left.value(row)) is None else a)
        case "greatest":
            return Term(f"greatest({left.sql}, {right.sql})", wide, lambda row: _greatest(left.value(row), right.value(row)))
        case "mod":
            by = draw.choice([7, 1000])
            return Term(f"({left.sql}) % {by}", max(left.bits, 32), _checked(lambda a: abs(a) % by * (1 if a >= 0 else -1), 64, left))
        case "div":
            by = draw.choice([7, 1000])
            return Term(f"({left.sql}) DIV {by}", 64, _checked(lambda a: abs(a) // by * (1 if a >= 0 else -1), 64, left))
    functions: dict[str, Callable[[int, int], int]] = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b}
    return Term(f"({left.sql}) {kind} ({right.sql})", wide, _checked(functions[kind], wide, left, right))


def random_rows(draw: random.Random, bits: int, count: int = 6) -> list[dict[str, int | None]]:
    """Rows whose numbers have up to so many bits, and a sign."""

    def number(width: int) -> int | None:
        largest = (1 << min(bits, width - 1)) - 1
        numbers: list[int | None] = [None, draw.randrange(-3, 4), draw.randint(-largest, largest), largest, -largest - 1]
        return draw.choice(numbers)

    return [{name: number(width) for name, width in WIDTHS.items()} for _ in range(count)]


def _leaf(draw: random.Random) -> Term:
    if draw.random() < 0.25:
        value = draw.choice([0, 1, 2, 7, 1000, 2**31 - 1, 2**31])
        return Term(str(value), 32 if value < 2**31 else 64, lambda row: value)
    name = draw.choice(list(WIDTHS))
    return Term(name, WIDTHS[name], lambda row: row[name])


def _checked(function: Callable[..., int], bits: int, *terms: Term, error: type[Overflow] = Overflow) -> Callable[[Row], int | None]:
    def value(row: Row) -> int | None:
        values = [term.value(row) for term in terms]
        if None in values:
            return None
        result = function(*values)
        if not -(2 ** (bits - 1)) <= result < 2 ** (bits - 1):
            raise error
        return result

    return value


def _case(condition: Term, then: Term, other: Term) -> Callable[[Row], int | None]:
    return lambda row: then.value(row) if (condition.value(row) or 0) > 0 else other.value(row)


def _greatest(left: int | None, right: int | None) -> int | None:
    return max(left, right) if left is not None and right is not None else left if right is None else right
