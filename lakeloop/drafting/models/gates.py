"""The gates of a drafted workflow, set from the base rate and the simplest model's figures on these data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lakeloop.spec.tables import Task
from lakeloop.yaml_text import to_line

GUESSING = 0.5
LEAST_AREA = 0.55
"""Without a trial: hardly more than guessing."""
MOST_CALIBRATION_SHARE = 0.25
"""Of the base rate: the probabilities of an event of 6% may be off by 1.5 points, not by the 20 that a fixed bound would let through."""
Line = tuple[str, Mapping[str, Any], str]


def draft_gates(task: Task, label: np.ndarray, baseline: Mapping[str, float]) -> list[str]:
    """The lines of `gates`.

    Args:
        task: decides which.
        label: of each labelled row, as numbers.
        baseline: metrics of the simplest model in cross-validation on these rows; empty where nothing was tried.
    """
    drafted = {
        "binary_classification": _binary,
        "multiclass_classification": _classes,
        "regression": _regression,
        "quantile_regression": _quantiles,
    }.get(task)
    lines = drafted(label, baseline) if drafted else [("champion", {"max_drop": 0.01}, "")]
    return [to_line(2, name, dict(bounds), *([why] if why else [])) for name, bounds, why in lines]


def _binary(label: np.ndarray, baseline: Mapping[str, float]) -> list[Line]:
    rate = float(label.mean())
    rarer = min(rate, 1 - rate)
    off = _short(max(MOST_CALIBRATION_SHARE * rarer, 0.001))
    return [
        ("roc_auc", *_area(baseline, "guessing has 0.5")),
        ("brier", {"max": _short(rate * (1 - rate)), "severity": "warning"}, f"saying the base rate of {rate:.1%} for every row has that"),
        ("calibration_error", {"max": off, "severity": "warning"}, f"a quarter of {rarer:.1%}, the rarer outcome's share"),
        ("champion", {"max_drop": 0.01}, ""),
    ]


def _classes(label: np.ndarray, baseline: Mapping[str, float]) -> list[Line]:
    shares = np.unique(label, return_counts=True)[1] / len(label)
    off = _short(MOST_CALIBRATION_SHARE * (1 - float(shares.max())))
    return [
        ("roc_auc", *_area(baseline, "each class against the rest: guessing has 0.5")),
        (
            "log_loss",
            {"max": _short(float(-(shares * np.log(shares)).sum())), "severity": "warning"},
            "saying the classes' shares for every row has that",
        ),
        ("calibration_error", {"max": max(off, 0.001), "severity": "warning"}, "a quarter of the share of all classes but the largest"),
        ("champion", {"max_drop": 0.02}, "log loss"),
    ]


def _regression(label: np.ndarray, baseline: Mapping[str, float]) -> list[Line]:
    spread, explained = float(label.std()), baseline.get("r2", 0.0)
    least = max(round(explained / 2, 2), 0.0) if np.isfinite(explained) else 0.0
    why = "predicting the mean of these rows has 0: raise it to the least that is useful"
    if least:
        why = f"half of what the simplest model explains in cross-validation ({explained:.2f}); predicting the mean has 0"
    return [
        ("r2", {"min": least}, why),
        (
            "champion",
            {"max_drop": _short(0.02 * spread)},
            f"mean absolute error, in the label's unit: 2% of its standard deviation of {spread:.3g}",
        ),
    ]


def _quantiles(label: np.ndarray, baseline: Mapping[str, float]) -> list[Line]:
    spread = float(label.std())
    return [
        ("coverage_error", {"max": 0.1}, "how far the share of values inside the interval may be from 90%"),
        ("champion", {"max_drop": _short(0.005 * spread)}, f"pinball loss, in the label's unit, whose standard deviation is {spread:.3g}"),
    ]


def _area(baseline: Mapping[str, float], guessing: str) -> tuple[dict[str, float], str]:
    """The least ROC AUC: half of the way from guessing to the simplest model."""
    reached = baseline.get("roc_auc", float("nan"))
    if not np.isfinite(reached):
        return {"min": LEAST_AREA}, f"{guessing}: raise it to the least that is useful"
    least = round(GUESSING + max(reached - GUESSING, 0.0) / 2, 2)
    return {"min": least}, f"{guessing}, the simplest model {reached:.3f} in cross-validation: half of the way, or the least that is useful"


def _short(value: float) -> float:
    """Two significant digits."""
    return float(f"{value:.2g}")
