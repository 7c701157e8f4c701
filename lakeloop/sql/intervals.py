"""Intervals of whole numbers, and what arithmetic makes of them: never narrower than the values that it may give."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Interval(NamedTuple):
    """The least and the greatest value that an expression may have, and the width of its type in bits."""

    low: int
    high: int
    bits: int

    @property
    def fits(self) -> bool:
        """Whether its type holds all of it."""
        return self.low >= -(1 << self.bits - 1) and self.high < (1 << self.bits - 1)

    def within(self, low: int, high: int) -> Interval:
        """What of it lies between two bounds; the nearer bound where nothing does."""
        return Interval(min(max(self.low, low), high), max(min(self.high, high), low), self.bits)

    def cut(self) -> Interval:
        """What of it its type holds."""
        return self.within(-(1 << self.bits - 1), (1 << self.bits - 1) - 1)


OTHER = "other"
"""Of an expression that isn't a whole number."""
UNKNOWN = "unknown"
"""Of one whose type can't be told."""
Numbers = Interval | str


def all_of(bits: int) -> Interval:
    """All numbers of a type.

    >>> all_of(8)
    Interval(low=-128, high=127, bits=8)
    """
    return Interval(-(1 << bits - 1), (1 << bits - 1) - 1, bits)


def hull(parts: Iterable[Numbers]) -> Numbers:
    """The interval around some."""
    listed = list(parts)
    if OTHER in listed or not listed:
        return OTHER
    intervals = [each for each in listed if isinstance(each, Interval)]
    if len(intervals) < len(listed):
        return UNKNOWN
    return Interval(min(each.low for each in intervals), max(each.high for each in intervals), max(each.bits for each in intervals))


def add(left: Interval, right: Interval) -> Interval:
    """The sums."""
    return Interval(left.low + right.low, left.high + right.high, max(left.bits, right.bits))


def subtract(left: Interval, right: Interval) -> Interval:
    """The differences."""
    return Interval(left.low - right.high, left.high - right.low, max(left.bits, right.bits))


def multiply(left: Interval, right: Interval) -> Interval:
    """The products."""
    products = [a * b for a in left[:2] for b in right[:2]]
    return Interval(min(products), max(products), max(left.bits, right.bits))


def total(numbers: Numbers, rows: int) -> Numbers:
    """The sums of up to so many numbers."""
    if not isinstance(numbers, Interval):
        return numbers
    return Interval(min(numbers.low, numbers.low * rows), max(numbers.high, numbers.high * rows), 64)


def quotient(numbers: Numbers, divisor: Numbers) -> Numbers:
    """What a division leaves behind the point out gives, in 64 bits."""
    if not isinstance(numbers, Interval):
        return all_of(64)
    is_positive = isinstance(divisor, Interval) and divisor.low > 0
    least = divisor.low if isinstance(divisor, Interval) and is_positive else 1
    most = max(abs(numbers.low), abs(numbers.high)) // least
    return Interval(0 if is_positive and numbers.low >= 0 else -most, most, 64).cut()


def rounded_quotient(numbers: Interval, divisor: Interval) -> Interval:
    """What FLOOR or CEIL of a division in doubles gives, by a divisor above 0."""
    bounds = [sign * (abs(each) // divisor.low) for each in numbers[:2] for sign in [1 if each >= 0 else -1]]
    margins = [2 + (abs(each) >> 50) for each in bounds]  # a double has 53 bits
    return Interval(min(0, bounds[0] - margins[0]), max(0, bounds[1] + margins[1]), 64).cut()


def remainder(numbers: Numbers, divisor: Numbers) -> Numbers:
    """What a division leaves, which has the sign of what is divided."""
    if not (isinstance(numbers, Interval) and isinstance(divisor, Interval)):
        return OTHER if OTHER in (numbers, divisor) else UNKNOWN
    most = max(abs(divisor.low), abs(divisor.high)) - 1
    return Interval(max(-most, min(numbers.low, 0)), min(most, max(numbers.high, 0)), max(numbers.bits, divisor.bits))


def positive_remainder(numbers: Numbers, divisor: Numbers) -> Numbers:
    """What PMOD gives: the sign of the divisor where that is below 0, else none."""
    if not (isinstance(numbers, Interval) and isinstance(divisor, Interval)):
        return OTHER if OTHER in (numbers, divisor) else UNKNOWN
    most = max(abs(divisor.low), abs(divisor.high))
    return Interval(0 if divisor.low >= 0 else -most, most, max(numbers.bits, divisor.bits)).cut()


def negate(numbers: Numbers) -> Numbers:
    """The numbers with the other sign."""
    return Interval(-numbers.high, -numbers.low, numbers.bits).cut() if isinstance(numbers, Interval) else numbers


def absolute(numbers: Numbers) -> Numbers:
    """The numbers without their sign."""
    if not isinstance(numbers, Interval):
        return numbers
    sizes = abs(numbers.low), abs(numbers.high)
    return Interval(0 if numbers.low <= 0 <= numbers.high else min(sizes), max(sizes), numbers.bits).cut()


def common_bits(left: Numbers, right: Numbers) -> Numbers:
    """What `&` gives: of a number that isn't negative no more than that."""
    if not (isinstance(left, Interval) and isinstance(right, Interval)):
        return OTHER if OTHER in (left, right) else UNKNOWN
    highs = [side.high for side in (left, right) if side.low >= 0]
    bits = max(left.bits, right.bits)
    return Interval(0, min(highs), bits) if highs else all_of(bits)


def cast(numbers: Numbers, bits: int) -> Numbers:
    """What a cast to a whole number gives; the engine tells where one doesn't fit."""
    whole = all_of(bits)
    return Interval(numbers.low, numbers.high, bits).within(whole.low, whole.high) if isinstance(numbers, Interval) else whole
