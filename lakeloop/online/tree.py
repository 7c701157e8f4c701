"""A decision tree as arrays, whichever library grew it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Tree:
    """A decision tree as arrays with a value per node, the root first.

    Attributes:
        is_leaf: whether the node is one; what the other arrays say of it counts for one kind only.
        value: of a leaf.
        feature, threshold: a row goes to the left child where its feature is at most the threshold.
        left, right: the places of a node's children.
        missing_left: whether a row without the feature goes to the left.
        categories: of the nodes that compare categories, the codes that go to the left; every other code, and a missing one, goes to the right.
    """

    is_leaf: np.ndarray
    value: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    missing_left: np.ndarray
    categories: Mapping[int, Sequence[int]] = field(default_factory=dict)


def constant(value: float) -> Tree:
    """A tree of one leaf."""
    one = np.zeros(1, np.int64)
    return Tree(np.ones(1, bool), np.array([value]), one, np.zeros(1), one, one, np.zeros(1, bool))


def compares(tree: Tree) -> np.ndarray:
    """Which of its nodes compare a number."""
    numeric: np.ndarray = ~tree.is_leaf
    numeric[list(tree.categories)] = False
    return numeric
