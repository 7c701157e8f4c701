"""Trees as one tree of scikit-learn's histogram kind, which its own function evaluates for all of them at once.

Used where LightGBM's library can't be loaded, or can't tell a threshold from zero. The first nodes lead to the tree whose number a row has as its
last feature, and a row is repeated for each tree.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lakeloop.online.encoding import CannotCompile
from lakeloop.online.tree import Tree

_MOST_CODES = 256
_CELLS = 4_000_000
"""The most numbers that repeated rows have at once: 32 MB."""


class OneTree:
    """The sums of some trees, one per output."""

    def __init__(self, trees: Sequence[Sequence[Tree]], features: int) -> None:
        """Take trees per output, in the order in which they are added up.

        Raises:
            CannotCompile: scikit-learn's trees have another form than those that are known.
        """
        from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE
        from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor

        wanted = {"value", "feature_idx", "num_threshold", "missing_go_to_left", "left", "right", "is_leaf", "is_categorical", "bitset_idx"}
        if not wanted <= set(PREDICTOR_RECORD_DTYPE.names):
            raise CannotCompile("scikit-learn's trees have a form that isn't known here")
        every = [tree for of_output in trees for tree in of_output]
        self._counts, self._features = [len(of_output) for of_output in trees], features
        dispatch = np.zeros(len(every) - 1, PREDICTOR_RECORD_DTYPE)
        starts = np.cumsum([len(dispatch), *(len(tree.value) for tree in every)])
        _dispatch(dispatch, starts, features)
        bits: list[np.ndarray] = []
        nodes = np.concatenate(
            [dispatch, *(_nodes(tree, int(start), bits, PREDICTOR_RECORD_DTYPE) for tree, start in zip(every, starts, strict=False))]
        )
        goes_left = np.array(bits, np.uint32).reshape(-1, _MOST_CODES // 32)
        self._tree = TreePredictor(nodes, goes_left, goes_left)
        # Every code is known, so that one which doesn't go to the left goes to the right.
        self._known = np.full((1, _MOST_CODES // 32), 0xFFFFFFFF, np.uint32)
        self._places = np.zeros(features + 1, np.uint32)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """The sums for some rows, `(rows, outputs)`."""
        trees = sum(self._counts)
        at_once = max(1, _CELLS // (trees * (self._features + 1)))
        return np.concatenate([self._some(rows[start : start + at_once], trees) for start in range(0, len(rows), at_once)])

    def _some(self, rows: np.ndarray, trees: int) -> np.ndarray:
        repeated = np.empty((len(rows), trees, self._features + 1))
        repeated[:, :, :-1] = rows[:, np.newaxis, :]
        repeated[:, :, -1] = np.arange(trees)
        leaves = self._tree.predict(repeated.reshape(-1, self._features + 1), self._known, self._places, 1).reshape(len(rows), trees)
        ends = np.cumsum(self._counts)
        # One after another, as every library adds its trees.
        parts = [np.cumsum(leaves[:, end - count : end], axis=1)[:, -1] for end, count in zip(ends, self._counts, strict=True)]
        return np.stack(parts, axis=1)


def _dispatch(nodes: np.ndarray, starts: np.ndarray, feature: int) -> None:
    """Fill nodes that halve the numbers of trees until one is left."""
    waiting, free = [(0, 0, len(starts) - 1)], 1
    while waiting:
        node, low, high = waiting.pop()
        if high - low < 2:
            continue
        middle = (low + high) // 2
        nodes["feature_idx"][node], nodes["num_threshold"][node] = feature, middle - 0.5
        for side, (first, last) in (("left", (low, middle)), ("right", (middle, high))):
            if last - first == 1:
                nodes[side][node] = starts[first]
            else:
                nodes[side][node] = free
                waiting.append((free, first, last))
                free += 1


def _nodes(tree: Tree, start: int, bits: list[np.ndarray], dtype: np.dtype) -> np.ndarray:
    nodes = np.zeros(len(tree.value), dtype)
    inner = ~tree.is_leaf
    nodes["is_leaf"], nodes["value"], nodes["feature_idx"] = tree.is_leaf, tree.value, tree.feature
    nodes["num_threshold"], nodes["missing_go_to_left"] = tree.threshold, tree.missing_left
    nodes["left"][inner], nodes["right"][inner] = tree.left[inner] + start, tree.right[inner] + start
    for node, codes in tree.categories.items():
        nodes["is_categorical"][node], nodes["missing_go_to_left"][node], nodes["bitset_idx"][node] = 1, 0, len(bits)
        words = np.zeros(_MOST_CODES // 32, np.uint32)
        for code in codes:
            words[code // 32] |= np.uint32(1 << code % 32)
        bits.append(words)
    return nodes
