"""Quality of a canary: losses of both versions on the same rows, by day, as an interval that may be looked at every day.

Days and not rows: rows of a day share its weather. Rows taken as independent under effects of days rolled back 34% of canaries that were as good as the champion.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PRIOR_DAYS = 0.2
"""How many days the prior is worth, whose effect is one standard deviation of days. It makes the bound tightest at 7 days or so: with 0.5% of wrong rollbacks it
is 6.2 standard errors then."""


@dataclass(frozen=True)
class DayLoss:
    """Losses of one day on rows that both versions have scored and whose label has come.

    Attributes:
        day: UTC.
        difference: the canary's mean loss less the champion's; positive is worse.
        rows: that it is the mean of.
    """

    day: np.datetime64
    difference: float
    rows: int


@dataclass(frozen=True)
class Bound:
    """A mean and how far the truth may lie to one side of it, at every look at once."""

    mean: float
    radius: float
    days: int

    @property
    def lower(self) -> float:
        """The lower bound."""
        return self.mean - self.radius

    @property
    def upper(self) -> float:
        """The upper bound."""
        return self.mean + self.radius


def bound(differences: Sequence[float], error_rate: float, prior_days: float = PRIOR_DAYS) -> Bound:
    """A bound of a mean of days that holds at all looks together.

    For many days this is the asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (arXiv 2103.06476):
    `sqrt(v/n (n+p)/n (log((n+p)/p) - 2 log 2a))`. For few it allows for the variance that they are estimated by, as a t-test does for one look: the
    Bayes factor of a normal effect in standard deviations against none, under the scale-invariant prior of the deviation (Gönen, Johnson, Lu and
    Westfall 2005), which is a test martingale (Pérez-Ortiz, Lardy, de Heide and Grünwald 2024). Exact for normal days, from the second on.

    Args:
        differences: one per day; days count as independent, and alike.
        error_rate: the probability that a bound to one side is ever wrong.
        prior_days: see `PRIOR_DAYS`.

    Returns:
        The mean and the radius: infinite where there are too few days for any bound.
    """
    n = len(differences)
    if n == 0:
        return Bound(math.nan, math.inf, 0)
    values = np.asarray(differences, dtype=np.float64)
    mean = float(values.mean())
    if n < 2:
        return Bound(mean, math.inf, n)
    shrunk = prior_days / (n + prior_days)
    log_ratio = (math.log((n + prior_days) / prior_days) - 2 * math.log(2 * error_rate)) / n
    if log_ratio + math.log(shrunk) >= 0:
        return Bound(mean, math.inf, n)
    ratio = math.exp(log_ratio)
    squared_t = (n - 1) * (ratio - 1) / (1 - shrunk * ratio)
    return Bound(mean, math.sqrt(squared_t * float(values.var(ddof=1)) / n), n)
