"""Relations by which several columns together give the label: sums, differences, products, ratios, thresholds of them, maps of two columns.

A relation that holds in all rows is how the label was made. It is searched on one half of some rows and must hold on the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from lakeloop.evaluation.single_index import Index, concordance, find_index

MOST_ROWS = 3_000
"""Rows that a relation is searched on; it holds in all rows, so that more tell no more."""
LEAST_ROWS = 100
"""With fewer rows, some columns of many fit a label by chance."""
EXACT = 0.9995
"""Share of the pairs of rows with different labels that are put in the right order: the label follows but for rounding."""
MOST_PAIRED = 30
"""Columns of which pairs are tried: those that are nearest to the label, alone."""
MOST_VALUES = 50
"""Distinct values of a column that may be half of a map of two columns."""
MOST_RELATIONS = 5
FIRST_ROWS = 150
"""Rows that show for most pairs of columns that they don't give the label."""
ROWS_A_CELL = 5.0
"""Rows per combination of two values, on average, that a map of two columns needs."""


@dataclass(frozen=True)
class Relation:
    """Columns that give the label together.

    Attributes:
        columns: all of them.
        text: how, such as `casual + registered`.
        exactness: the share of pairs of rows with different labels that it puts in order, or of rows that it gives the label of.
    """

    columns: tuple[str, ...]
    text: str
    exactness: float

    @property
    def sentence(self) -> str:
        """The relation, in words."""
        return f"{' and '.join(self.columns)} give the label together: it follows {self.text} ({self.exactness:.2%} of what can be told)"


@dataclass(frozen=True)
class Scope:
    """What was looked at for relations: rows, numbers in sums and products, columns of which pairs were tried, columns of few values."""

    rows: int
    summed: int
    paired: int
    mapped: int

    @property
    def sentence(self) -> str:
        """What was looked at, in words."""
        sums = f"sums and products of {self.summed:,} numbers" if self.summed else "no sums, since the label has more than two classes"
        return f"looked at {sums}, pairs of {self.paired} and maps of {self.mapped} columns of few values, in {self.rows:,} rows"


def scope_of(columns: Mapping[str, np.ndarray], y: np.ndarray, *, is_class: bool) -> Scope:
    """What `find_relations` looks at in some columns."""
    ordered = not is_class or len(np.unique(y)) == 2
    numbers = sum(values.dtype != object for values in columns.values()) if ordered else 0
    return Scope(min(len(y), MOST_ROWS), numbers, min(numbers, MOST_PAIRED), min(len(_coded(columns)), 2 * MOST_PAIRED))


def find_relations(columns: Mapping[str, np.ndarray], y: np.ndarray, *, is_class: bool) -> list[Relation]:
    """The relations of several columns to the label, each without the columns of those before it.

    Args:
        columns: by name: numbers (float64, NaN where null) or objects.
        y: the label: a number, or of classes its position.
        is_class: whether the positions have no order, or `y` is 0 and 1.

    Returns:
        Nothing where rows are fewer than `LEAST_ROWS`.
    """
    picked = np.unique(np.linspace(0, len(y) - 1, min(len(y), MOST_ROWS)).astype(int)) if len(y) else np.array([], int)
    picked = picked[np.isfinite(y[picked])]
    if len(picked) < LEAST_ROWS or len(np.unique(y[picked])) < 2:
        return []
    rest = {name: values[picked] for name, values in columns.items()}
    truth, relations = y[picked], list[Relation]()
    while len(relations) < MOST_RELATIONS:
        relation = _find_one(rest, truth, is_class)
        if relation is None:
            break
        if len(relation.columns) > 1:
            relations.append(relation)
        rest = {name: values for name, values in rest.items() if name not in relation.columns}
    return relations


def _find_one(columns: Mapping[str, np.ndarray], y: np.ndarray, is_class: bool) -> Relation | None:
    """A relation; one of a single column is left to the check of single features, and hides no other."""
    numbers = {name: values for name, values in columns.items() if values.dtype != object and np.isfinite(values).mean() > 0.5}
    ordered = not is_class or len(np.unique(y)) == 2
    if ordered:
        index = find_index(numbers, y, exact=EXACT)
        if index is not None:
            return _of_index(index)
    return _of_pair(numbers, y, ordered) or _of_map(columns, y, is_class)


def _of_index(index: Index) -> Relation:
    return Relation(index.columns, index.text, index.exactness)


def _of_pair(numbers: Mapping[str, np.ndarray], y: np.ndarray, ordered: bool) -> Relation | None:
    """A sum, difference, product, ratio, the smaller, the larger, or the length of two columns that the label follows in one direction."""
    nearest = _nearest(numbers, y) if ordered else []
    best: Relation | None = None
    for first, second in combinations(nearest, 2):
        for text, value in _combined(first, second, numbers[first], numbers[second]):
            is_known = np.isfinite(value)
            if is_known.mean() < 0.5:
                continue
            some = np.flatnonzero(is_known)[:FIRST_ROWS]
            if concordance(value[some], y[some]) < 0.99:
                continue
            exactness = concordance(value[is_known], y[is_known])
            if exactness >= EXACT and (best is None or exactness > best.exactness):
                best = Relation((first, second), text, exactness)
    if best is not None:
        alone = [name for name in best.columns if _alone(numbers[name], y) >= EXACT]
        return Relation((alone[0],), alone[0], 1.0) if alone else best
    return None


def _alone(values: np.ndarray, y: np.ndarray) -> float:
    is_known = np.isfinite(values)
    return concordance(values[is_known], y[is_known])


def _nearest(numbers: Mapping[str, np.ndarray], y: np.ndarray) -> list[str]:
    """The columns whose order is nearest to that of the label, by their size too: the sign of a product leaves neither."""
    if len(numbers) <= MOST_PAIRED:
        return list(numbers)

    def strength(name: str) -> float:
        is_known = np.isfinite(numbers[name])
        values, truth = numbers[name][is_known], y[is_known]
        return max(abs(_rank_correlation(values, truth)), abs(_rank_correlation(np.abs(values), truth)))

    return sorted(numbers, key=strength, reverse=True)[:MOST_PAIRED]


def _combined(first: str, second: str, a: np.ndarray, b: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    with np.errstate(all="ignore"):
        yield f"{first} + {second}", a + b
        yield f"{first} - {second}", a - b
        yield f"|{first} - {second}|", np.abs(a - b)
        yield f"{first} * {second}", a * b
        yield f"{first} / {second}", a / b
        yield f"{second} / {first}", b / a
        yield f"the smaller of {first} and {second}", np.minimum(a, b)
        yield f"the larger of {first} and {second}", np.maximum(a, b)
        yield f"{first}² + {second}²", a * a + b * b


def _rank_correlation(values: np.ndarray, y: np.ndarray) -> float:
    if len(values) < 2:
        return 0.0
    ranks = [np.unique(each, return_inverse=True)[1].astype(float) for each in (values, y)]
    deviations = [each - each.mean() for each in ranks]
    scale = float(np.sqrt((deviations[0] ** 2).sum() * (deviations[1] ** 2).sum()))
    return float((deviations[0] * deviations[1]).sum()) / scale if scale else 0.0


def _of_map(columns: Mapping[str, np.ndarray], y: np.ndarray, is_class: bool) -> Relation | None:
    """Two columns of few values (or the signs of numbers) of which each combination has one label."""
    coded = _coded(columns)
    learnt, held = np.arange(len(y)) % 2 == 0, np.arange(len(y)) % 2 == 1
    alone = {name: _map_exactness(codes, y, learnt, held, is_class) for name, codes in coded.items()}
    names = [name for name, exactness in alone.items() if exactness < EXACT][: 2 * MOST_PAIRED]
    for first, second in combinations(names, 2):
        both = coded[first] * (MOST_VALUES + 1) + coded[second]
        exactness = _map_exactness(np.unique(both, return_inverse=True)[1], y, learnt, held, is_class)
        if exactness >= EXACT:
            real = tuple(dict.fromkeys(name.removeprefix("the sign of ") for name in (first, second)))
            return Relation(real, f"a map of {first} and {second}", exactness)
    return None


def _coded(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Columns of few values as codes, null among them; and the signs of numbers that have more."""
    coded = {}
    for name, values in columns.items():
        is_text = values.dtype == object
        known = values[[value is not None for value in values]] if is_text else values[np.isfinite(values)]
        if not len(known):
            continue
        distinct = set(known.tolist())
        if 2 <= len(distinct) + (len(known) < len(values)) <= MOST_VALUES:
            places = {value: place for place, value in enumerate(sorted(distinct, key=str))}
            coded[name] = np.array([places.get(value, MOST_VALUES) for value in values.tolist()])
        elif not is_text and known.min() < 0 < known.max():
            coded[f"the sign of {name}"] = np.where(np.isfinite(values), np.sign(values) + 1, 3).astype(int)
    return coded


def _map_exactness(codes: np.ndarray, y: np.ndarray, learnt: np.ndarray, held: np.ndarray, is_class: bool) -> float:
    """The share of the label that its values by code, as they are in some rows, give in the others; 0 where there are too few rows a code."""
    cells = int(codes.max()) + 1
    if len(y) < ROWS_A_CELL * len(np.unique(codes)):
        return 0.0
    counts = np.bincount(codes[learnt], minlength=cells)
    if is_class:
        classes = np.unique(y, return_inverse=True)[1]
        table = np.zeros((cells, int(classes.max()) + 1))
        np.add.at(table, (codes[learnt], classes[learnt]), 1)
        right = (counts[codes[held]] > 0) & (table.argmax(axis=1)[codes[held]] == classes[held])
        base = np.bincount(classes[held]).max() / held.sum()
        return float(1 - (1 - right.mean()) / (1 - base)) if base < 1 else 0.0
    means = np.bincount(codes[learnt], y[learnt], minlength=cells) / np.maximum(counts, 1)
    errors = np.where(counts[codes[held]] > 0, means[codes[held]], y[learnt].mean()) - y[held]
    spread = float(((y[held] - y[held].mean()) ** 2).sum())
    return 1 - float((errors**2).sum()) / spread if spread else 0.0


def columns_of(relations: Sequence[Relation]) -> list[str]:
    """All columns of some relations."""
    return list(dict.fromkeys(name for relation in relations for name in relation.columns))
