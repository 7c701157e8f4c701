"""scikit-learn's histogram trees as `Tree`: what they do with missing values and categories, including those that they never saw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lakeloop.online.columns import Columns
from lakeloop.online.encoding import CannotCompile, Encoding, Part
from lakeloop.online.tree import Tree, constant
from lakeloop.online.trees import TreeSums


def histogram_sums(boosters: Sequence[Any], columns: Columns) -> Part:
    """The raw sums of one or several HistGradientBoosting, side by side, and how strings are coded for them.

    Args:
        boosters: fitted on the same columns.
        columns: that they get.

    Raises:
        CannotCompile: its categories aren't among the inputs as strings, or differ between several of them.
    """
    first = boosters[0]
    order, categories = _order(first)
    for other in boosters[1:]:
        other_order, other_categories = _order(other)
        if not np.array_equal(order, other_order) or any(
            not np.array_equal(one, two, equal_nan=True) for one, two in zip(categories, other_categories, strict=True)
        ):
            raise CannotCompile("its trees for several numbers don't share their categories")
    direct = columns.sources is not None and all(
        np.isnan(columns.nulls[place]) for place in np.array(columns.sources)[order[len(categories) :]]
    )
    if not direct:
        if categories:
            raise CannotCompile("its trees have categories among columns that are computed")
        trees = [of_output for booster in boosters for of_output in _trees(booster, order, [])]
        sums, matrix = TreeSums(trees, len(order)), columns.matrix
        return Part(columns.encoding, lambda rows: sums(matrix(rows)))
    places = np.array(columns.sources, np.intp)[order]
    encoding, strings = _with_categories(columns, places, categories)
    trees = [of_output for booster in boosters for of_output in _trees(booster, places, strings)]
    sums = TreeSums(trees, len(encoding.codes))
    return Part(encoding, sums, sums.borders)


def _order(booster: Any) -> tuple[np.ndarray, list[np.ndarray]]:
    """The columns in the order in which its trees count them, and the values that it knows of each that is a category: these come first."""
    if booster._preprocessor is None:
        return np.arange(booster.n_features_in_), []
    is_category = booster.is_categorical_
    return np.concatenate([np.flatnonzero(is_category), np.flatnonzero(~is_category)]), list(
        booster._preprocessor.named_transformers_["encoder"].categories_
    )


@dataclass(frozen=True)
class _Category:
    """A string among the inputs, as the trees know it.

    Attributes:
        size: how many codes the trees know; that number itself is the code of what they take for missing.
        null: the code of null; None where they take it for missing.
    """

    size: int
    null: int | None


def _with_categories(columns: Columns, places: np.ndarray, categories: Sequence[np.ndarray]) -> tuple[Encoding, list[_Category]]:
    """An encoding whose strings have the codes by which the trees know them: the place of a value among those that the trees know."""
    codes, unknown, strings = list(columns.encoding.codes), list(columns.encoding.unknown), []
    for place, values in zip(places, categories, strict=False):
        of_input = columns.encoding.codes[place]
        if of_input is None:
            raise CannotCompile("its trees have categories among its numbers")
        known = {float(value): code for code, value in enumerate(values) if not np.isnan(value)}
        missing = len(values)
        codes[place] = {text: float(known.get(value, missing)) for text, value in of_input.items()}
        unknown[place] = float(known.get(unknown[place], missing))
        strings.append(_Category(missing, known.get(columns.nulls[place])))
    return Encoding(tuple(codes), tuple(unknown)), strings


def _trees(booster: Any, places: np.ndarray, strings: Sequence[_Category]) -> list[list[Tree]]:
    """Its trees per output, what they begin from first."""
    known, of_feature = booster._bin_mapper.make_known_categories_bitsets()
    base = np.asarray(booster._baseline_prediction, dtype=np.float64).reshape(-1)
    trees = [[constant(float(value))] for value in base]
    for of_round in booster._predictors:
        for output, predictor in enumerate(of_round):
            trees[output].append(_tree(predictor, known, of_feature, places, strings))
    return trees


def _tree(predictor: Any, known: np.ndarray, of_feature: np.ndarray, places: np.ndarray, strings: Sequence[_Category]) -> Tree:
    nodes = predictor.nodes
    left, right = nodes["left"].astype(np.int64), nodes["right"].astype(np.int64)
    missing_left, is_leaf = nodes["missing_go_to_left"].astype(bool), nodes["is_leaf"].astype(bool)
    categories: dict[int, Sequence[int]] = {}
    for node in np.flatnonzero(nodes["is_categorical"].astype(bool) & ~is_leaf).tolist():
        feature = int(nodes["feature_idx"][node])
        string, is_known = strings[feature], _bits(known[of_feature[feature]])
        goes_left = _bits(predictor.raw_left_cat_bitsets[nodes["bitset_idx"][node]])
        if missing_left[node]:
            goes_left |= {code for code in range(string.size + 1) if code not in is_known}
        null_left = missing_left[node] if string.null is None else string.null in goes_left
        if null_left:  # the right child of a `Tree` is where null goes
            goes_left = set(range(string.size + 1)) - goes_left
            left[node], right[node] = right[node], left[node]
        categories[node] = sorted(goes_left)
    features = np.where(is_leaf, 0, places[np.where(is_leaf, 0, nodes["feature_idx"])])
    return Tree(is_leaf, nodes["value"].astype(np.float64), features, nodes["num_threshold"], left, right, missing_left, categories)


def _bits(words: np.ndarray) -> set[int]:
    return {32 * number + bit for number, word in enumerate(words.tolist()) for bit in range(32) if word >> bit & 1}


def inverse_link(booster: Any, method: str) -> Callable[[np.ndarray], np.ndarray]:
    """What a booster makes of its sums for a method of it.

    Raises:
        CannotCompile: its loss has another link than those of the ready-made pipelines.
    """
    from scipy.special import expit
    from sklearn.utils.extmath import softmax

    links: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
        "IdentityLink": _unchanged,
        "LogLink": np.exp,
        "LogitLink": expit,
        "MultinomialLogit": softmax,
    }
    if method == "decision_function":
        return links["IdentityLink"]
    link = type(booster._loss.link).__name__
    if link not in links:
        raise CannotCompile(f"its loss has the link {link}, which isn't known here")
    return links[link]


def _unchanged(sums: np.ndarray) -> np.ndarray:
    return sums
