"""Sums of decision trees, evaluated by LightGBM's C library whichever library grew them: one row costs no call per tree.

LightGBM compares in float64 and sums tree after tree, as scikit-learn does, so the sums are equal bit for bit. On a row of 26 numbers, 200 trees
of 31 leaves take 28 µs; scikit-learn's own function called once for a tree that holds all of them takes 89 µs, once for each tree 1,500 µs.
Ten thousand rows take both about the same (0.9 to 1.2 times on two busy cores): LightGBM goes through all trees row by row, scikit-learn through all rows
tree by tree.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lakeloop.online.encoding import CannotCompile, Estimate
from lakeloop.online.lightgbm_trees import LightgbmSums
from lakeloop.online.one_tree import OneTree
from lakeloop.online.tree import Tree, compares


class TreeSums:
    """The sums of some trees, one per output.

    Attributes:
        borders: by feature, the thresholds of its trees.
    """

    def __init__(self, trees: Sequence[Sequence[Tree]], features: int) -> None:
        """Take trees per output, in the order in which they are added up; by scikit-learn's function where LightGBM can't evaluate them."""
        self.borders = _borders([tree for of_output in trees for tree in of_output])
        self._sums: Estimate
        try:
            self._sums = LightgbmSums(trees, features)
        except CannotCompile:
            self._sums = OneTree(trees, features)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """The sums for some rows, `(rows, outputs)`."""
        return self._sums(rows)


def _borders(trees: Sequence[Tree]) -> dict[int, np.ndarray]:
    """The thresholds by feature."""
    features, thresholds = [], []
    for tree in trees:
        numeric = compares(tree)
        features.append(tree.feature[numeric])
        thresholds.append(tree.threshold[numeric])
    of, at = np.concatenate(features), np.concatenate(thresholds)
    return {int(feature): np.unique(at[of == feature]) for feature in np.unique(of)}
