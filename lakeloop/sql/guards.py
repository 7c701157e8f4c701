"""Text that is written around expressions of a query, which stays as it is otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lakeloop.sql.spans import Span


@dataclass(frozen=True)
class Guard:
    """What is written around an expression.

    Attributes:
        span: where the expression stands.
        before: what is written before it; `{part}` in it is a part of the expression with the guards within that.
        after: what is written after it; `{again}` in it is the expression with the guards within, `{part}` as before.
        part: where `{part}` stands.
        is_operand: whether it belongs to the operator around, so that it goes around what the expression itself has.
    """

    span: Span
    before: str
    after: str
    is_operand: bool = False
    part: Span | None = None


def write_guards(text: str, guards: Iterable[Guard]) -> str:
    """Write guards into a query.

    >>> write_guards("SELECT a + b", [Guard((7, 12), "f(", ")"), Guard((7, 8), "g(", ")")])
    'SELECT f(g(a) + b)'
    """
    return _write(text, (0, len(text)), sorted(set(guards), key=lambda guard: (guard.span, guard.is_operand, guard.before)))


def _write(text: str, place: Span, guards: Sequence[Guard]) -> str:
    insertions = []
    for guard in guards:
        start, end = guard.span
        size = 2 * (end - start) + guard.is_operand
        before, after = guard.before, guard.after
        if "{again}" in after:
            inner = [
                each
                for each in guards
                if start <= each.span[0] and each.span[1] <= end and 2 * (each.span[1] - each.span[0]) + each.is_operand < size
            ]
            after = after.replace("{again}", _write(text, guard.span, inner))
        if guard.part is not None:
            within = [each for each in guards if guard.part[0] <= each.span[0] and each.span[1] <= guard.part[1]]
            part = _write(text, guard.part, within)
            before, after = before.replace("{part}", part), after.replace("{part}", part)
        # At one place the inner ones close first, and before anything opens; the outer ones open first.
        insertions += [(start, 1, -size, before), (end, 0, size, after)]
    pieces, position = [], place[0]
    for at, _, _, inserted in sorted(insertions, key=lambda each: each[:3]):
        pieces += [text[position:at], inserted]
        position = at
    return "".join([*pieces, text[position : place[1]]])
