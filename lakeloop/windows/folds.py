"""Folds of values over many intervals at once, by a tree of partial results (a segment tree).

An interval is put together from the O(log n) nodes that cover it, so that a NaN, an infinity or an outlier is in those results alone whose
interval holds it. This is how DuckDB computes windows, too: Leis et al., "Efficient Processing of Window Functions in Analytical SQL
Queries", VLDB 2015.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Array = np.ndarray
Parts = tuple[Array, ...]
"""What a partial result consists of, such as count, mean and squared deviations: one array each."""
Combine = Callable[[Parts, Parts], Parts]


def fold(low: Array, high: Array, leaves: Parts, combine: Combine, identity: tuple[float, ...]) -> Parts:
    """Combine the leaves of each interval [low, high), in their order.

    Args:
        low: first leaf of each interval.
        high: the leaf after its last.
        leaves: the parts of each leaf.
        combine: of two neighbours; associative but for rounding.
        identity: the parts of no leaf at all.
    """
    left, right = low.copy(), high.copy()
    before = tuple(np.full(len(low), value, part.dtype) for part, value in zip(leaves, identity, strict=True))
    after = tuple(part.copy() for part in before)
    with np.errstate(all="ignore"):
        while True:
            rows = np.flatnonzero(left < right)
            if not len(rows):
                return combine(before, after)
            odd = rows[(left[rows] & 1) == 1]
            _store(before, odd, combine(_take(before, odd), _take(leaves, left[odd])))
            left[odd] += 1
            odd = rows[(right[rows] & 1) == 1]
            odd = odd[left[odd] < right[odd]]
            right[odd] -= 1
            _store(after, odd, combine(_take(leaves, right[odd]), _take(after, odd)))
            left[rows] >>= 1
            right[rows] >>= 1
            if len(leaves[0]) % 2:
                leaves = tuple(np.append(part, part.dtype.type(value)) for part, value in zip(leaves, identity, strict=True))
            leaves = combine(tuple(part[0::2] for part in leaves), tuple(part[1::2] for part in leaves))


def _take(parts: Parts, rows: Array) -> Parts:
    return tuple(part[rows] for part in parts)


def _store(parts: Parts, rows: Array, values: Parts) -> None:
    for part, value in zip(parts, values, strict=True):
        part[rows] = value


def add(left: Parts, right: Parts) -> Parts:
    """Sums."""
    return tuple(a + b for a, b in zip(left, right, strict=True))


def take_least(left: Parts, right: Parts) -> Parts:
    """Minima."""
    return tuple(np.minimum(a, b) for a, b in zip(left, right, strict=True))


def merge_moments(left: Parts, right: Parts) -> Parts:
    """Count, mean and sum of squared deviations of two sets of values (Chan, Golub and LeVeque 1979)."""
    count, weight = _weights(left[0], right[0])
    difference = right[1] - left[1]
    mean = np.where(left[0] == 0, right[1], left[1] + difference * weight)
    spread = left[2] + right[2] + np.where((left[0] == 0) | (right[0] == 0), 0.0, difference * difference * left[0] * weight)
    return count, mean, spread


def merge_comoments(left: Parts, right: Parts) -> Parts:
    """As `merge_moments` for pairs: count, mean of x and y, squared deviations of x and y, and the products of both."""
    count, weight = _weights(left[0], right[0])
    has_both = (left[0] != 0) & (right[0] != 0)
    dx, dy = right[1] - left[1], right[2] - left[2]
    mean_x = np.where(left[0] == 0, right[1], left[1] + dx * weight)
    mean_y = np.where(left[0] == 0, right[2], left[2] + dy * weight)
    products = [np.where(has_both, a * b * left[0] * weight, 0.0) for a, b in ((dx, dx), (dy, dy), (dx, dy))]
    return (count, mean_x, mean_y, *(left[place] + right[place] + product for place, product in zip((3, 4, 5), products, strict=True)))


def _weights(left: Array, right: Array) -> tuple[Array, Array]:
    count = left + right
    return count, right / np.maximum(count, 1)
