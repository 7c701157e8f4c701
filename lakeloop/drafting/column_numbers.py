"""Texts that are numbers as people write them: the format that reads all of them, if there is one and it is unambiguous."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lakeloop.drafting.column_names import is_identifier
from lakeloop.drafting.column_times import SAMPLE, UNDECIDED_NUMBER, is_lossless
from lakeloop.spec.number_formats import GROUPS, parse_number_format
from lakeloop.spec.tables import Column

if TYPE_CHECKING:
    import pyarrow as pa

_SYMBOLS = re.compile(
    r"^[+-]?\s*(?P<before>[$€£¥%]|[A-Z]{3}(?=\s))?\s*[+-]?[\d.,'’\u00a0\u202f ]*\d\s*(?P<after>[$€£¥%]|(?<=\s)[A-Z]{3})?$"
)
"""A number with a currency's sign or code, or a per cent sign, on either side."""
_UNITS = {"%": "%", "€": "EUR", "£": "GBP"}
"""Signs that mean one unit."""


def declare_number(distinct: pa.Array, source: str, unit: str | None) -> tuple[Column | None, str]:
    """Declare texts as numbers in a format; None, with a note where two formats read them differently.

    Args:
        distinct: the values, without null.
        source: the column's name as landed.
        unit: of its name.
    """
    sample = [str(value).strip() for value in distinct.slice(0, SAMPLE).to_pylist()]
    symbols = _find_symbols(sample)
    # Digits with at most a point among them are numbers without a format, or none at all.
    if symbols is None or not any(re.search(r"[^\d.+-]|\..*\.", text) for text in sample):
        return None, ""
    before, after = symbols
    bare = [text.replace(before, "", 1).replace(after, "", 1).strip(" \u00a0\u202f").lstrip("+-").strip() for text in sample]
    separators = _find_separators(bare, is_identifier(source))
    if not separators:
        return None, ""
    forms = [f"{_spaced(before, sample)}1{group}234{point}5{_spaced(after, sample, after=True)}" for group, point in separators]
    kinds = [_number_type(distinct, form) for form in forms]
    if len(forms) == 2 and all(kinds):
        ways = " or ".join(f"{{type: {kind}, format: {form!r}}}" for kind, form in zip(kinds, forms, strict=True))
        return None, f"{UNDECIDED_NUMBER} No value tells, so it stays text; declare {ways}"
    kind, form = next(((kind, form) for kind, form in zip(kinds, forms, strict=True) if kind), (None, ""))
    if kind is None:
        return None, ""
    column = Column.model_validate({"type": kind, "format": form, "unit": unit or _UNITS.get(before or after, before or after) or None})
    return column, f"1234.5 would be written {form}"


def _find_symbols(sample: Sequence[str]) -> tuple[str, str] | None:
    """What stands before and after the numbers, the same in all that have any; None where they aren't numbers."""
    matches = [_SYMBOLS.match(text) for text in sample]
    if not sample or not all(matches):
        return None
    sides = [{match[side] for match in matches if match and match[side]} for side in ("before", "after")]
    return ("".join(sides[0]), "".join(sides[1])) if all(len(side) <= 1 for side in sides) else None


def _find_separators(bare: Sequence[str], is_code: bool) -> list[tuple[str, str]]:
    """The separators of thousands and decimals that explain all numbers: two pairs where they read them differently.

    >>> _find_separators(["1.700,0", "1,25"], False), _find_separators(["1,234", "900"], False)
    ([('.', ',')], [(',', '.'), ('.', ',')])
    >>> _find_separators(["1 234 567", "12"], False), _find_separators(["079 123 456"], False), _find_separators(["7", "12"], False)
    ([(' ', '.')], [], [(',', '.')])
    """
    if any(re.match(r"0\d", text) for text in bare):
        return []
    seen = {char for text in bare for char in text if not char.isdigit()}
    pairs = [(group, point) for group in GROUPS for point in ".," if group != point and seen <= {group, point}]
    fits = [pair for pair in pairs if all(re.fullmatch(parse_number_format(f"1{pair[0]}234{pair[1]}5").pattern, text) for text in bare)]
    if not seen:
        return [(",", ".")]
    if seen & set(" '’\u00a0\u202f"):
        # Digits in groups of three may be a code; numbers have decimals, or some are shorter.
        are_numbers = seen & set(".,") or (not is_code and len({len(text) for text in bare}) > 1)
        return _by_point(fits, seen) if are_numbers else []
    common = [pair for pair in fits if set(pair) == {",", "."}]
    return common or [pair for pair in fits if seen <= set(pair)][:1]


def _by_point(fits: Sequence[tuple[str, str]], seen: set[str]) -> list[tuple[str, str]]:
    """The pairs whose mark of decimals occurs; the first where none does."""
    return [pair for pair in fits if pair[1] in seen] or list(fits[:1])


def _spaced(symbol: str, sample: Sequence[str], *, after: bool = False) -> str:
    """A symbol with the space that the numbers have beside it."""
    if not symbol:
        return ""
    has_space = any((f" {symbol}" if after else f"{symbol} ") in text for text in sample)
    return f"{' ' if after and has_space else ''}{symbol}{' ' if has_space and not after else ''}"


def _number_type(distinct: pa.Array, form: str) -> str | None:
    """The type that holds all numbers of a format; None where neither does."""
    return next((kind for kind in ("integer", "double") if is_lossless(distinct, Column(type=kind, format=form))), None)
