"""Numbers and lists as the report shows them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lakeloop.metrics.table import MetricValue

HUGE = 1e9
"""From here on numbers are shown as powers of ten: nobody reads all digits."""
MOST_DECIMALS = 12


def format_metric(value: MetricValue) -> str:
    """A metric and its interval."""
    if not math.isfinite(value.value):
        return "not defined"
    if not (math.isfinite(value.low) and math.isfinite(value.high)):
        return f"{format_number(value.value)} (no interval)"
    return f"{format_number(value.value)} [{format_number(value.low)}, {format_number(value.high)}]"


def format_interval(low: float, high: float) -> str:
    """An interval in a column of its own."""
    return f"{format_number(low)} to {format_number(high)}" if math.isfinite(low) and math.isfinite(high) else "no interval"


def format_number(value: float) -> str:
    """A number: four decimals, fewer if it is large, three significant digits if it is small; powers of ten for huge and tiny ones."""
    if not math.isfinite(value):
        return "–"
    size = abs(value)
    if size >= HUGE or 0 < size < 0.0001:
        return f"{value:.2e}"
    if 0 < size < 0.001:
        return f"{value:.3g}"
    if not size:
        return "0.0000"  # a zero may have a sign, which means nothing
    return f"{value:.4f}" if size < 10 else f"{value:,.2f}" if size < 10_000 else f"{value:,.0f}"


def format_count(count: int, noun: str) -> str:
    """A count with its noun, given in the singular."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def format_signed(value: float) -> str:
    """A number with its sign, a minus by its typographic sign."""
    if not math.isfinite(value):
        return "–"
    return ("+" if value >= 0 else "−") + format_number(abs(value))


def format_difference(value: float, low: float, high: float) -> str:
    """A difference and its interval."""
    return (
        f"{format_signed(value)} [{format_signed(low)}, {format_signed(high)}]"
        if math.isfinite(low) and math.isfinite(high)
        else f"{format_signed(value)} (no interval)"
    )


def format_threshold(value: float) -> str:
    """A threshold of a probability, with three digits of its distance to the nearer of 0 and 1.

    >>> [format_threshold(value) for value in (0.25, 0.000161474, 0.999898123, 2.92182e-10, 1.0)]
    ['0.25', '0.000161', '0.999898', '2.92e-10', '1']
    """
    distance = min(value, 1 - value)
    if distance <= 0 or value < 0.0001:
        return f"{value:.3g}"
    return f"{value:.{min(2 - math.floor(math.log10(distance)), MOST_DECIMALS)}f}".rstrip("0").rstrip(".")


def format_plain_signed(value: float) -> str:
    """A number with its sign, in plain characters."""
    return f"+{format_number(value)}" if value >= 0 else format_number(value)


def format_share(value: float, low: float, high: float) -> str:
    """A share and its interval."""
    if not math.isfinite(value):
        return "–"
    return f"{value:.1%} [{low:.1%}, {high:.1%}]" if math.isfinite(low) and math.isfinite(high) else f"{value:.1%}"


def format_p_value(value: float) -> str:
    """A p-value, small ones by their bound."""
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def format_minute(text: str) -> str:
    """An ISO time to the minute."""
    return text[:16].replace("T", " ")


def capitalize(text: str) -> str:
    """A text with a capital first letter."""
    return text[:1].upper() + text[1:]


def join_names(names: Sequence[str], noun: str) -> str:
    """One or several things by name, with their noun in the singular."""
    return f"the {noun} {names[0]}" if len(names) == 1 else f"the {noun}s {', '.join(names[:-1])} and {names[-1]}"
