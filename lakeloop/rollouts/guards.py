"""Guards: counts of what must not happen more often on the canary, as evidence that may be looked at after every request.

A binomial e-process (Lindon and Malek, "Anytime-valid inference for multinomial count data", NeurIPS 2022) of the canary's share of all bad requests. Whatever
makes both legs worse at once, such as a bad day or more load, leaves that share alone, and so needs no model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import betainc, betaincc, betaln

PRIOR_ROWS = 5.0
"""How many bad requests the prior is worth, at a canary that is bad at twice the tolerated rate."""
WHOLE = 0.9
"""The weight of the evidence from the first phase on."""
LEAST_LOG = -700.0
"""Below it a double is zero: evidence stays a number that later phases can be multiplied with."""


@dataclass(frozen=True)
class Phase:
    """What was counted while the canary had one share of the traffic.

    Where the legs are chosen by a hash of the entity, bad entities are counted, each once: requests of one entity all go to one leg.

    Attributes:
        share: of the canary, above 0 and below 1.
        canary_bad, champion_bad: bad requests (or entities) on each leg.
    """

    share: float
    canary_bad: int
    champion_bad: int


def tolerated_share(share: float, ratio: float = 1.0) -> float:
    """The share of bad requests that lie on the canary where its rate is `ratio` times the champion's.

    Args:
        share: of the traffic that it has.
        ratio: how many times as often bad requests are tolerated on it.

    Example:
        >>> round(tolerated_share(0.1), 12), tolerated_share(0.5, 3.0)
        (0.1, 0.75)
    """
    return share * ratio / (share * ratio + 1 - share)


def log_e_value(phase: Phase, ratio: float = 1.0) -> float:
    """The logarithm of the evidence of one phase that the canary is worse than tolerated.

    The likelihood of the counts, mixed by a beta distribution over all shares beyond the tolerated one, over that at the tolerated one. If the canary is no
    worse, it exceeds `1/a` at any look ever with a probability of at most `a` (Ville 1939).

    Args:
        phase: what was counted.
        ratio: see `tolerated_share`.

    Example:
        >>> log_e_value(Phase(0.1, 0, 0))
        0.0
    """
    tolerated, doubled = tolerated_share(phase.share, ratio), tolerated_share(phase.share, 2 * ratio)
    a, b = PRIOR_ROWS * doubled, PRIOR_ROWS * (1 - doubled)
    x, others = phase.canary_bad, phase.champion_bad
    if x + others == 0:
        return 0.0
    value = (
        betaln(a + x, b + others)
        - betaln(a, b)
        + _log_upper(a + x, b + others, tolerated)
        - _log_upper(a, b, tolerated)
        - x * math.log(tolerated)
        - others * math.log1p(-tolerated)
    )
    return max(float(value), LEAST_LOG)


def _log_upper(a: float, b: float, point: float) -> float:
    """The logarithm of a beta distribution's upper tail; minus infinity where it underflows, which it does only if nothing speaks against the canary."""
    upper = float(betaincc(a, b, point))
    if upper > 0.5:
        return math.log1p(-float(betainc(a, b, point)))
    return math.log(upper) if upper > 0 else -math.inf


def evidence(phases: Sequence[Phase], ratio: float = 1.0) -> float:
    """The logarithm of the evidence over all phases of a rollout.

    Nine tenths of it is the product over all phases, and the rest is shared by the products that begin at each later phase, halving: a canary that did well for long and
    then does badly isn't protected by its past. Before a phase begins its own evidence is 1. A weighted mean of such processes is one, and so is their product.

    Args:
        phases: in order; the last one may still go on.
        ratio: see `tolerated_share`.
    """
    own = [log_e_value(phase, ratio) for phase in phases]
    logs = [math.log(WHOLE) + math.fsum(own)]
    left = 1 - WHOLE
    for place in range(1, len(own)):
        left /= 2
        logs.append(math.log(left) + math.fsum(own[place:]))
    logs.append(math.log(left))
    most = max(logs)
    return most + math.log(math.fsum(math.exp(value - most) for value in logs))
