"""A weighted sum of columns, or of their logarithms, that the label follows in one direction: found greedily, with as few columns as give it.

The columns are chosen by orthogonal matching pursuit (Pati, Rezaiifar, Krishnaprasad 1993); a label that is a monotone function of the sum is replaced
by the sum's own values in the label's order, and the weights fitted anew, until the order is right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

MOST_COLUMNS = 12
MOST_ROUNDS = 30
COMPARED_ROWS = 700
"""Rows of which all pairs are compared."""
ROWS_A_COLUMN = 25
"""Rows that each column of a sum needs, so that it can't fit the label by chance."""


@dataclass(frozen=True)
class Index:
    """The columns of a sum, the sum as text, and how well the label follows it (see `concordance`)."""

    columns: tuple[str, ...]
    text: str
    exactness: float


def concordance(score: np.ndarray, y: np.ndarray) -> float:
    """The share of pairs with different labels that the score puts in the right order, in the better direction; ties count half.

    For two classes it is the area under the ROC curve. At most `COMPARED_ROWS` rows are compared, evenly spaced.

    >>> concordance(np.array([1.0, 2, 3, 4]), np.array([0.0, 0, 1, 5])), concordance(np.array([1.0, 1, 1]), np.array([0.0, 1, 2]))
    (1.0, 0.5)
    """
    if len(y) > COMPARED_ROWS:
        some = np.linspace(0, len(y) - 1, COMPARED_ROWS).astype(int)
        score, y = score[some], y[some]
    above = y[:, None] > y[None, :]
    total = int(above.sum())
    if not total:
        return 0.5
    tolerance = 1e-9 * float(np.abs(score).max() or 1.0)
    difference = score[:, None] - score[None, :]
    right = float((above & (difference > tolerance)).sum()) + 0.5 * float((above & (np.abs(difference) <= tolerance)).sum())
    return max(right, total - right) / total


def find_index(numbers: Mapping[str, np.ndarray], y: np.ndarray, *, exact: float) -> Index | None:
    """The sum of fewest columns that the label follows, plain or of logarithms (a product); None where there is none.

    Args:
        numbers: columns as float64, NaN where null.
        y: a number, or 0 and 1.
        exact: the concordance on rows that the weights weren't fitted on.
    """
    is_binary = len(np.unique(y)) == 2
    for is_log in (False, True):
        usable = _logarithms(numbers) if is_log else dict(numbers)
        if not usable:
            continue
        truth = np.sign(y) * np.log1p(np.abs(y)) if is_log and not is_binary else y
        index = _pursue(usable, truth, exact, is_log)
        if index is not None:
            return index
    return None


def _logarithms(numbers: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Of the columns that are above zero throughout."""
    positive = {name: values for name, values in numbers.items() if np.nanmin(values) > 0}
    return {name: np.log(values) for name, values in positive.items()}


def _pursue(numbers: Mapping[str, np.ndarray], y: np.ndarray, exact: float, is_log: bool) -> Index | None:
    names = [name for name, values in numbers.items() if np.isfinite(values).mean() > 0.8 and np.nanstd(values) > 0]
    if not names:
        return None
    matrix = np.column_stack([numbers[name] for name in names])
    complete = np.isfinite(matrix).all(axis=1)
    if complete.sum() < 0.5 * len(y):
        matrix = np.where(np.isfinite(matrix), matrix, np.nanmean(matrix, axis=0))
        complete = np.ones(len(y), bool)
    matrix, truth = matrix[complete], y[complete]
    scaled = (matrix - matrix.mean(axis=0)) / np.maximum(matrix.std(axis=0), 1e-300)
    learnt, held = np.arange(len(truth)) % 2 == 0, np.arange(len(truth)) % 2 == 1
    chosen: list[int] = []
    target = truth - truth.mean()
    most = min(MOST_COLUMNS, len(names), int(learnt.sum()) // ROWS_A_COLUMN)
    while len(chosen) < most:
        residual = target[learnt] - _predict(scaled, chosen, target, learnt)[learnt]
        if not residual.any():
            break
        gains = np.abs(scaled[learnt].T @ residual)
        gains[chosen] = -1
        chosen.append(int(gains.argmax()))
        if _exactness(scaled, chosen, truth, learnt, held) >= exact:
            return _index(scaled, matrix, names, _fewest(scaled, chosen, truth, learnt, held, exact), truth, learnt, held, is_log)
    return None


def _predict(scaled: np.ndarray, chosen: list[int], target: np.ndarray, learnt: np.ndarray) -> np.ndarray:
    if not chosen:
        return np.zeros(len(target))
    weights = _weights(scaled, chosen, target, learnt)
    return np.asarray(scaled[:, chosen] @ weights[1:] + weights[0])


def _weights(scaled: np.ndarray, chosen: list[int], target: np.ndarray, learnt: np.ndarray) -> np.ndarray:
    design = np.column_stack([np.ones(int(learnt.sum())), scaled[learnt][:, chosen]])
    return np.asarray(np.linalg.lstsq(design, target[learnt], rcond=None)[0])


def _monotone_weights(scaled: np.ndarray, chosen: list[int], truth: np.ndarray, learnt: np.ndarray) -> np.ndarray:
    """Weights of a sum that is in the label's order: fitted to the label, then to the sum's own values in that order, again and again."""
    weights = _weights(scaled, chosen, truth, learnt)
    if len(np.unique(truth)) == 2:
        return _separating(scaled, chosen, truth, learnt, weights)
    target = truth.astype(float).copy()
    places = np.flatnonzero(learnt)
    for _ in range(MOST_ROUNDS):
        fitted = scaled[places][:, chosen] @ weights[1:]
        order = np.lexsort((fitted, truth[places]))
        previous = weights
        target[places[order]] = np.sort(fitted)
        weights = _weights(scaled, chosen, target, learnt)
        if np.allclose(weights[1:] / (np.linalg.norm(weights[1:]) or 1), previous[1:] / (np.linalg.norm(previous[1:]) or 1), atol=1e-9):
            break
    return weights


def _separating(scaled: np.ndarray, chosen: list[int], truth: np.ndarray, learnt: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weights that separate two classes where that can be done: a logistic regression with hardly any penalty, by Newton's steps."""
    design = np.column_stack([np.ones(int(learnt.sum())), scaled[learnt][:, chosen]])
    labels, found = (truth[learnt] == truth.max()).astype(float), weights * 0.0
    for _ in range(MOST_ROUNDS):
        p = 1 / (1 + np.exp(-np.clip(design @ found, -30, 30)))
        curvature = (design.T * (p * (1 - p))) @ design + 1e-6 * len(labels) * np.eye(design.shape[1])
        step = np.linalg.solve(curvature, design.T @ (labels - p) - 1e-6 * len(labels) * found)
        found = found + step
        if np.abs(step).max() < 1e-6:
            break
    return np.asarray(found)


def _exactness(scaled: np.ndarray, chosen: list[int], truth: np.ndarray, learnt: np.ndarray, held: np.ndarray) -> float:
    """Of the sum on the rows that it wasn't fitted on; quickly of the plain fit, and where that is near, of the monotone one."""
    plain = _weights(scaled, chosen, truth, learnt)
    first = concordance(scaled[held][:, chosen] @ plain[1:], truth[held])
    if first < 0.9:
        return first
    better = _monotone_weights(scaled, chosen, truth, learnt)
    return max(first, concordance(scaled[held][:, chosen] @ better[1:], truth[held]))


def _fewest(scaled: np.ndarray, chosen: list[int], truth: np.ndarray, learnt: np.ndarray, held: np.ndarray, exact: float) -> list[int]:
    """The chosen columns without those that aren't needed."""
    kept = list(chosen)
    for column in chosen:
        fewer = [each for each in kept if each != column]
        if fewer and _exactness(scaled, fewer, truth, learnt, held) >= exact:
            kept = fewer
    return kept


def _index(
    scaled: np.ndarray, matrix: np.ndarray, names: list[str], kept: list[int], truth: np.ndarray, learnt: np.ndarray, held: np.ndarray,
    is_log: bool,
) -> Index:  # fmt: skip
    weights = _monotone_weights(scaled, kept, truth, learnt)[1:] / matrix[:, kept].std(axis=0)
    order = np.argsort(kept)
    columns = tuple(names[kept[place]] for place in order)
    return Index(columns, _text(columns, weights[order], is_log), _exactness(scaled, kept, truth, learnt, held))


def _text(columns: tuple[str, ...], weights: np.ndarray, is_log: bool) -> str:
    """The sum or product with weights relative to the smallest one, in two digits."""
    sizes = np.abs(weights)
    relative = np.sign(weights[0]) * weights / (sizes[sizes > 1e-6 * sizes.max()].min() or 1.0)
    parts = []
    for name, weight in zip(columns, relative, strict=True):
        size = f"{abs(weight):.2g}"
        if is_log:
            power = name if size == "1" else f"{name}^{size}"
            parts.append(f"{'/' if weight < 0 else '*'} {power}")
        else:
            parts.append(f"{'-' if weight < 0 else '+'} {'' if size == '1' else size + ' '}{name}")
    return " ".join(parts).removeprefix("+ ").removeprefix("* ")
