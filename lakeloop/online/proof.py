"""Proof that a compiled predictor predicts what its model does: on rows made to part them, alone and together."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lakeloop.errors import DataError
from lakeloop.online.encoding import Input
from lakeloop.online.predictor import Predictor

if TYPE_CHECKING:
    import pandas as pd

TOLERANCE = 1e-12
"""Relative: sums of a few hundred numbers in float64, added in another order, differ by less."""
ROWS = 400
"""Rows of a kind that are predicted together."""
ALONE = 6
"""Rows of a kind that are predicted one by one: BLAS adds up single rows in another order, and MLflow takes 8 ms for one."""
BLAMED = 30
"""Rows that are predicted one by one where the model refuses them together."""
UNSEEN = "\x01never seen\x01"
EXTREME = (0.0, -0.0, 1.0, -1.0, 5e-324, -5e-324, 1e-300, 1e-40, -1e-36, 1e15, -1e15, 2.0**53, 1e38, 3.5e38, -1e39, 1e300, -1.7e308)
"""Numbers at the borders of double and single precision, and around LightGBM's zero."""


def find_difference(
    predictor: Predictor, inputs: Sequence[Input], predict: Callable[[pd.DataFrame], np.ndarray], *, seed: int = 0, rows: int = ROWS
) -> str:
    """Compare a predictor with its model on rows at random.

    The kinds of rows: ordinary ones; with nulls and categories that were never seen; at the borders where its trees part rows, and the doubles
    beside them; at the ends of what a double holds. Where the model raises on a row, the predictor has to.

    Args:
        predictor: that was compiled.
        inputs: of the model, in order; one that has `required` and says so gets no null.
        predict: of the model, from a frame of its inputs.
        seed: of the rows.
        rows: of a kind.

    Returns:
        What differs, as a sentence; empty where nothing does.
    """
    has_answered = False
    for kind, columns in _kinds(predictor, inputs, np.random.default_rng(seed), rows):
        with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):  # of what overflows, on either side
            outcomes = [_compare(predictor, inputs, predict, columns)]
            outcomes += [_compare(predictor, inputs, predict, [[values[row]] for values in columns]) for row in range(ALONE)]
        if problem := _worst(outcomes):
            return f"compiled, it differs from itself on {kind}: {problem}"
        has_answered = has_answered or "" in outcomes
    return (
        "" if has_answered else "it refuses every row of numbers and texts at random, so nobody knows whether it would be the same compiled"
    )


def _worst(outcomes: Sequence[str | None]) -> str | None:
    """The first difference of several; else whether any was compared."""
    return next((each for each in outcomes if each), "" if "" in outcomes else None)


def _compare(
    predictor: Predictor, inputs: Sequence[Input], predict: Callable[[pd.DataFrame], np.ndarray], columns: Sequence[Sequence[Any]]
) -> str | None:
    """What differs; None where both refuse the rows."""
    encoded = predictor.encoding.encode([list(values) for values in columns])
    try:
        wanted: np.ndarray | None = predict(frame_of(inputs, columns))
    except Exception:  # whatever a model raises on a row that it can't take
        wanted = None
    try:
        scores: np.ndarray | None = predictor.scores(encoded)
    except (DataError, ValueError):
        scores = None
    if wanted is None or scores is None:
        if len(encoded) > 1 and wanted is None:  # one row of them may be to blame
            return _worst([_compare(predictor, inputs, predict, [[v[n]] for v in columns]) for n in range(min(len(encoded), BLAMED))])
        if wanted is None and scores is None:
            return None
        return f"{'the model' if wanted is None else 'the predictor'} refuses a row that the other takes"
    if wanted.shape != scores.shape:
        return f"an answer of shape {scores.shape} instead of {wanted.shape}"
    is_close = np.isclose(scores, wanted, rtol=TOLERANCE, atol=0, equal_nan=True) | (scores == wanted)
    if is_close.all():
        return ""
    worst = tuple(int(place) for place in np.argwhere(~is_close)[0])
    return f"{scores[worst]!r} instead of {wanted[worst]!r}"


def frame_of(inputs: Sequence[Input], columns: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """Columns of values as the frame that the model itself gets."""
    import pandas as pd

    return pd.DataFrame(
        {
            each.name: pd.Series(list(values), dtype=object)
            if each.kind == "string"
            else np.array([np.nan if value is None else value for value in values], np.float64)
            for each, values in zip(inputs, columns, strict=True)
        }
    )


def _kinds(predictor: Predictor, inputs: Sequence[Input], rng: np.random.Generator, rows: int) -> Iterator[tuple[str, list[list[Any]]]]:
    """Rows of each kind, by column."""
    borders = getattr(predictor, "borders", None) or {}
    ordinary = [_ordinary(predictor, place, borders, rng, rows) for place in range(len(inputs))]
    yield "ordinary rows", ordinary
    yield "nulls and new categories", [_absent(each, values, rng) for each, values in zip(inputs, ordinary, strict=True)]
    if borders:
        yield (
            "the borders of its trees",
            [
                _at_borders(values, np.asarray(borders.get(place, ())), rng) if inputs[place].kind != "string" else values
                for place, values in enumerate(ordinary)
            ],
        )
    yield (
        "very large and very small numbers",
        [
            values if each.kind == "string" else _some(values, lambda: float(rng.choice(EXTREME)), 2 / len(inputs), rng)
            for each, values in zip(inputs, ordinary, strict=True)
        ],
    )


def _ordinary(predictor: Predictor, place: int, borders: Any, rng: np.random.Generator, rows: int) -> list[Any]:
    codes = predictor.encoding.codes[place]
    if codes is not None:
        return [str(text) for text in rng.choice(list(codes), rows)] if codes else [UNSEEN] * rows
    known = np.asarray(borders.get(place, ()))
    if known.size:
        spread = float(np.ptp(known[np.isfinite(known)])) if np.isfinite(known).any() else 1.0
        return list((rng.choice(known, rows) + rng.normal(0, max(spread, 1.0) / 10, rows)).tolist())
    return list((rng.normal(0, 1, rows) * 10.0 ** rng.uniform(-2, 5)).tolist())


def _absent(each: Input, values: list[Any], rng: np.random.Generator) -> list[Any]:
    missing = UNSEEN if getattr(each, "required", False) else None
    if each.kind == "string":
        return _some(values, lambda: rng.choice(np.array([missing, UNSEEN], object)), 0.4, rng)
    return values if missing else _some(values, lambda: None, 0.3, rng)


def _at_borders(values: list[Any], borders: np.ndarray, rng: np.random.Generator) -> list[Any]:
    if not borders.size:
        return values
    picked = rng.choice(borders, len(values))
    beside = np.stack([picked, np.nextafter(picked, np.inf), np.nextafter(picked, -np.inf)])
    chosen = beside[rng.integers(0, 3, len(values)), np.arange(len(values))]
    return list(np.where(np.isfinite(chosen), chosen, 0.0).tolist())


def _some(values: list[Any], other: Callable[[], Any], share: float, rng: np.random.Generator) -> list[Any]:
    return [other() if is_other else value for value, is_other in zip(values, rng.random(len(values)) < share, strict=True)]
