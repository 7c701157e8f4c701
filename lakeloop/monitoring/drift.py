"""Drift of features and scores: each window of days against the reference, by thresholds that the reference itself and one alarm budget give."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lakeloop.monitoring.counts import DayCounts, Kind, thin
from lakeloop.monitoring.distance import LEAST_ALIKE, are_alike, window_distances
from lakeloop.monitoring.null import Tail, fit_tails

WINDOW = 4
"""Days of a window. One day of 500 rows doesn't tell 0.2 standard deviations from chance among 50 features; four do."""
EFFECT_FLOOR = 0.05
"""The least distance that is an alarm: 5% of the rows, or 0.125 standard deviations of a normal feature. With enough rows everything has moved a little."""
BUDGET = 0.05
"""The probability of an alarm in a month in which nothing has drifted, over all features and scores of a workflow."""
LOOKS = 30
"""Windows that end in a month. Neighbours overlap, so that this counts a little too many."""
LEAST_ROWS = 200
"""Of a window; with fewer, nothing short of another population is told from chance."""
LEAST_DAYS = 56
"""Of the reference: eight weeks are eight days of each weekday."""
IMPORTANT = 0.05
"""The share of all importance from which on a feature's drift is an error, and a cause to retrain."""

Severity = Literal["warn", "error"]
Outcome = Literal["clean", "drifted", "data_error", "not_applicable"]


@dataclass(frozen=True)
class DriftFinding:
    """What is found of one feature or score in the window that ends with a day.

    Attributes:
        name, day, kind: of what, when.
        outcome: `data_error` where the distance is too large and a check of the data has failed on the same column: then it isn't drift.
        statistic: the distance, as a share of rows; NaN where there is none.
        threshold: that it must exceed.
        rows, reference_days: that were compared.
        in_season: whether the reference has days of this season. If not, all days of the same weekday are compared, and a season can't be told from drift.
        importance: the share of all importance.
        severity: `error` for important features and for scores, where the season is known.
        may_retrain: an important one that has been beyond its threshold in two windows in a row that have no day in common.
        reason: in words.
    """

    name: str
    day: np.datetime64
    kind: Kind
    outcome: Outcome
    statistic: float
    threshold: float
    rows: int
    reference_days: int
    in_season: bool
    importance: float
    severity: Severity
    may_retrain: bool
    reason: str


@dataclass(frozen=True)
class Thresholds:
    """What each feature must exceed, for windows of about so many rows a day."""

    tails: Mapping[str, Tail]
    probabilities: Mapping[str, float]

    def of(self, name: str) -> float:
        """The larger one of the effect floor and of the distance that the budget allows."""
        return max(EFFECT_FLOOR, self.tails[name].distance(self.probabilities[name]))


def share_budget(names: Sequence[str], importance: Mapping[str, float], budget: float = BUDGET) -> dict[str, float]:
    """The probability of a false alarm that each feature has in each window.

    Half of the budget is shared equally, half by importance: what matters is found sooner, and their sum is the budget (Bonferroni, so whatever depends on what).

    Args:
        names: of features and scores.
        importance: of them; those that aren't there have none.
        budget: for a month.

    Example:
        >>> share_budget(["a", "b"], {"a": 1.0}, budget=0.04 * LOOKS)
        {'a': 0.03, 'b': 0.01}
    """
    weights = importance_shares(names, importance)
    return {name: budget / LOOKS * (0.5 / len(names) + 0.5 * weights[name]) for name in names}


def importance_shares(names: Sequence[str], importance: Mapping[str, float]) -> dict[str, float]:
    """Importance as shares that sum to 1; equal where nothing has any."""
    positive = {name: max(importance.get(name, 0.0), 0.0) for name in names}
    total = math.fsum(positive.values())
    return {name: positive[name] / total if total > 0 else 1 / len(names) for name in names}


def fit_thresholds(
    reference: Mapping[str, DayCounts],
    importance: Mapping[str, float],
    *,
    rows_a_day: int,
    seasonal: bool = True,
    window: int = WINDOW,
    budget: float = BUDGET,
) -> Thresholds:
    """Hold the reference against itself, and take from that what chance, weather and weekdays do.

    Args:
        reference: per feature and score, the counts of the training window.
        importance: of them.
        rows_a_day: of the windows that are to be judged. Days of the reference that have more are thinned to it, since fewer rows vary more.
        seasonal: compare with the same season, see `are_alike`.
        window: days of a window.
        budget: see `BUDGET`.
    """
    nulls = []
    for place, counted in enumerate(reference.values()):
        alike = are_alike(counted.days, counted.days, seasonal=seasonal)
        alike &= (counted.rows > 0)[None, :]
        if seasonal:
            alike[alike.sum(axis=1) < LEAST_ALIKE] = False
        windows = thin(counted, rows_a_day, np.random.default_rng([27, place]))
        distances, _ = window_distances(windows, counted, alike, window)
        distances[: window - 1] = np.nan
        nulls.append(distances)
    return Thresholds(dict(zip(reference, fit_tails(nulls), strict=True)), share_budget(list(reference), importance, budget))


def size_class(rows: float) -> int:
    """Rows a day, rounded down in steps of a tenth: thresholds are computed once for each."""
    return max(1, round(1.1 ** math.floor(math.log(max(rows, 1.0)) / math.log(1.1) + 1e-9)))


@dataclass
class Monitor:
    """Judges days by a reference; thresholds are fitted once per number of rows.

    Attributes:
        reference: per feature and score, the counts of the training window.
        importance: of features; that of a score isn't needed.
        scores: which of the names are scores of the model: their drift is always an error.
        window, budget: see `WINDOW`, `BUDGET`.
    """

    reference: Mapping[str, DayCounts]
    importance: Mapping[str, float]
    scores: Collection[str] = ()
    window: int = WINDOW
    budget: float = BUDGET

    def __post_init__(self) -> None:
        largest = max(self.importance.values(), default=0.0)
        self._weights = {**self.importance, **dict.fromkeys(self.scores, largest or 1.0)}
        self._shares = importance_shares(list(self.reference), self._weights)
        self._fitted: dict[tuple[int, bool], Thresholds] = {}

    def judge(self, current: Mapping[str, DayCounts], *, broken: Mapping[str, str] | None = None) -> list[DriftFinding]:
        """Judge every day of what was counted, by the window that ends with it.

        Args:
            current: counts by the reference's scales, from at least two windows before the days that matter.
            broken: columns of which a check of the data failed in these days, by what it says.

        Returns:
            One finding per feature or score and day, in their order.
        """
        return [finding for name, counted in current.items() for finding in self._judge_one(name, counted, (broken or {}).get(name, ""))]

    def _judge_one(self, name: str, counted: DayCounts, broken: str) -> list[DriftFinding]:
        reference = self.reference[name]
        has_rows = reference.rows > 0
        seasonal = are_alike(counted.days, reference.days) & has_rows[None, :]
        in_season = seasonal.sum(axis=1) >= LEAST_ALIKE
        weekday = are_alike(counted.days, reference.days, seasonal=False) & has_rows[None, :]
        alike = np.where(in_season[:, None], seasonal, weekday)
        distances, rows = window_distances(counted, reference, alike, self.window)
        findings: list[DriftFinding] = []
        exceeded: list[bool | None] = []
        for place, day in enumerate(counted.days):
            season = bool(in_season[max(place - self.window + 1, 0) : place + 1].all())
            obstacle = ""
            if np.count_nonzero(has_rows) < LEAST_DAYS:
                obstacle = f"the reference has rows of {np.count_nonzero(has_rows)} days, and {LEAST_DAYS} are wanted"
            elif rows[place] < LEAST_ROWS:
                obstacle = f"{int(rows[place])} rows in {self.window} days, and {LEAST_ROWS} are wanted"
            threshold = math.nan if obstacle else self._threshold(name, rows[place] / min(self.window, place + 1), season)
            exceeded.append(None if obstacle else bool(distances[place] > threshold))
            findings.append(
                self._finding(
                    name, day, counted.kind, distances[place], threshold, int(rows[place]), alike[place], season, obstacle, broken, exceeded
                )
            )
        return findings

    def _threshold(self, name: str, rows_a_day: float, seasonal: bool) -> float:
        key = (size_class(rows_a_day), seasonal)
        if key not in self._fitted:
            self._fitted[key] = fit_thresholds(
                self.reference, self._weights, rows_a_day=key[0], seasonal=seasonal, window=self.window, budget=self.budget
            )
        return self._fitted[key].of(name)

    def _finding(
        self,
        name: str,
        day: np.datetime64,
        kind: Kind,
        statistic: float,
        threshold: float,
        rows: int,
        alike: np.ndarray,
        in_season: bool,
        obstacle: str,
        broken: str,
        exceeded: Sequence[bool | None],
    ) -> DriftFinding:
        share = self._shares[name]
        is_important = name in self.scores or share >= IMPORTANT
        outcome: Outcome = "not_applicable" if obstacle else "clean"
        reason = obstacle or f"{statistic:.3f} of the rows, at most {threshold:.3f} expected"
        if exceeded[-1]:
            outcome = "data_error" if broken else "drifted"
            moved = (
                "lie elsewhere than in the reference on such days"
                if in_season
                else "lie elsewhere than on such weekdays; the season is new"
            )
            reason = f"{statistic:.1%} of the rows {moved} (threshold {threshold:.1%})" + (f"; {broken}" if broken else "")
        return DriftFinding(
            name,
            day,
            kind,
            outcome,
            math.nan if obstacle else float(statistic),
            threshold,
            rows,
            int(alike.sum()),
            in_season,
            share,
            "error" if is_important and in_season else "warn",
            outcome == "drifted" and is_important and in_season and persists(exceeded, self.window),
            reason,
        )


def persists(exceeded: Sequence[bool | None], window: int = WINDOW) -> bool:
    """Whether the last window and the one before it, which has no day in common with it, were both beyond the threshold, and all between them.

    Args:
        exceeded: per day; None where a window had too few rows, which neither confirms nor clears.
        window: days of a window.

    Example:
        >>> persists([True] * 5, window=4), persists([True, True, None, True, True], window=4), persists([True, True, True, False, True], window=4)
        (True, True, False)
    """
    last = list(exceeded[-window - 1 :])
    return len(last) == window + 1 and last[0] is True and last[-1] is True and False not in last
