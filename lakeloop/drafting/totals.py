"""Lines of totals among the rows of a table, as people's sheets and official statistics have them: told, since they count what other rows count."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

_TOTAL = (
    r"^\W*(((grand|sub|over)[ -]?)?(total|totals|sum|sums|overall|all)|gesamt|gesamtsumme|insgesamt|summe|zwischensumme|endsumme|total general|"
    r"total général|sous-total|totale|suma|somme|totaal|итого|всего|合計|总计|總計)\W*$"
)
_MOST = 0.34
"""Share of the rows above which a word is no total of the others; a total of each two rows is the most."""
_FEWEST_WORDS = 3
"""Different texts of a column in which one may be a total."""
_MOST_COLUMNS = 40
"""Columns that are looked at, the first: what names a row stands at its beginning."""
_FEWEST_ROWS = 4
"""Rows from which on a last number that is the sum of the others is no chance."""


@dataclass(frozen=True)
class Totals:
    """Rows that look like totals of others.

    Attributes:
        what: which rows, and why.
        column: in the lake, that the rule is about.
        word: what it says there; empty where it says nothing.
        rule: the condition that they don't meet.
        is_certain: whether it is the last row alone, which lacks what every other row has; a draft sets it aside.
    """

    what: str
    column: str
    word: str
    rule: str
    is_certain: bool

    @property
    def told(self) -> str:
        """A sentence with what to do, or what is done."""
        if self.is_certain:
            return f"{self.what}: taken for a total of the others, which goes to quarantine"
        return f'{self.what}: if those are totals of other rows, a rule keeps them out: rules: {{no_totals: "{self.rule}"}}'


def find_totals(rows: pa.Table, names: Mapping[str, str]) -> list[Totals]:
    """Rows that look like totals of others.

    Args:
        rows: of a source, with the columns that it has.
        names: the name in the lake of each of its columns that is declared.
    """
    import pyarrow as pa

    columns = {source: rows[source] for source in list(names)[:_MOST_COLUMNS] if source in rows.column_names}
    last = rows.slice(max(rows.num_rows - 1, 0)).to_pylist()
    lacking = next((source for source, column in columns.items() if column.null_count == 1 and last[0][source] is None), None)
    texts = {source: column for source, column in columns.items() if pa.types.is_string(column.type)}
    labelled = [totals for source, column in texts.items() for totals in _labelled(source, names[source], column, lacking)]
    return labelled or _unlabelled(columns, names, lacking)


def _labelled(source: str, name: str, column: pa.ChunkedArray, lacking: str | None) -> list[Totals]:
    import pyarrow.compute as pc

    words = pc.drop_null(pc.unique(column))
    if len(words) < _FEWEST_WORDS:
        return []
    totals = []
    for word in words.filter(pc.match_substring_regex(words, _TOTAL, ignore_case=True)).to_pylist():
        count = pc.sum(pc.equal(column, word)).as_py()
        if count > _MOST * len(column):
            continue
        is_last = count == 1 and column[-1].as_py() == word
        where = "the last row" if is_last else f"row {pc.index(column, word).as_py() + 1}" + (" first" if count > 1 else "")
        text = word.replace("'", "''")
        what = f"{source} is {word!r} in {count:,} row{'s' if count > 1 else ''} ({where})"
        totals.append(Totals(what, name, word, f"{name} <> '{text}'", is_last and lacking is not None))
    return totals


def _unlabelled(columns: Mapping[str, pa.ChunkedArray], names: Mapping[str, str], lacking: str | None) -> list[Totals]:
    """A last row that lacks what all others have, and whose number is the sum of theirs."""
    if lacking is None or len(columns[lacking]) < _FEWEST_ROWS:
        return []
    for source, column in columns.items():
        last = _number(column[-1].as_py())
        if not last:
            continue
        parts = [number for number in map(_number, column[:-1].to_pylist()) if number is not None]
        if all(after - before == 1 for before, after in pairwise([*parts, last])):
            continue  # numbers of rows: 0, 1, 2, 3
        if len(parts) >= _FEWEST_ROWS - 1 and math.isclose(math.fsum(parts), last, rel_tol=1e-9):
            what = f"the last row has no {lacking}, and its {source} is the sum of all others"
            return [Totals(what, names[lacking], "", f"{names[lacking]} IS NOT NULL", True)]
    return []


def _number(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if math.isfinite(number) else None
