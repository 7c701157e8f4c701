"""Numbers and lists as the report says them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lakeloop.metrics import MetricValue


def figures(value: MetricValue) -> str:
    """A metric and its interval."""
    if not math.isfinite(value.value):
        return "not defined"
    return f"{number(value.value)} [{number(value.low)}, {number(value.high)}]"


def number(value: float) -> str:
    """Four digits after the point, four in all for large numbers, three in all for small ones."""
    if not math.isfinite(value):
        return "–"
    if 0 < abs(value) < 0.001:
        return f"{value:.3g}"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.2f}" if abs(value) < 10_000 else f"{value:,.0f}"


def sign(value: float) -> str:
    """A number with its sign."""
    if not math.isfinite(value):
        return "–"
    return ("+" if value >= 0 else "−") + number(abs(value))


def signed(value: float) -> str:
    """A number with its sign, in plain characters."""
    return f"+{number(value)}" if value >= 0 else number(value)


def share(value: float, low: float, high: float) -> str:
    """A share and its interval."""
    if not math.isfinite(value):
        return "–"
    return f"{value:.1%} [{low:.1%}, {high:.1%}]" if math.isfinite(low) and math.isfinite(high) else f"{value:.1%}"


def p_value(value: float) -> str:
    """A probability, small ones as such."""
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def moment(text: str) -> str:
    """An ISO time to the minute."""
    return text[:16].replace("T", " ")


def capital(text: str) -> str:
    """With a capital letter first."""
    return text[:1].upper() + text[1:]


def listed(names: Sequence[str], what: str) -> str:
    """One or several things by name."""
    return f"the {what} {names[0]}" if len(names) == 1 else f"the {what}s {', '.join(names[:-1])} and {names[-1]}"
