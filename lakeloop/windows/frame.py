"""What a window call asks for: function, arguments, partition, order and frame, as values."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Unit = Literal["rows", "range"]


@dataclass(frozen=True)
class Offset:
    """A bound of a frame, from the current row; negative is before it.

    Attributes:
        number: rows; or what is added to the order's value; or, of an interval, microseconds.
        months: calendar months of an interval, which are added first.
        is_interval: whether the order is by time and the offset a length of time.
    """

    number: int | float | Decimal = 0
    months: int = 0
    is_interval: bool = False

    @property
    def is_current(self) -> bool:
        """Whether this is the current row, with its peers in a range."""
        return not self.number and not self.months


@dataclass(frozen=True)
class Frame:
    """From where to where rows count; None is the partition's beginning or end."""

    unit: Unit
    start: Offset | None
    end: Offset | None

    @property
    def needs_own_fold(self) -> bool:
        """Whether Sail may compute it wrongly: the start moves, so that values leave; or a range's end stands at an offset.

        >>> Frame("rows", None, Offset(0)).needs_own_fold, Frame("rows", Offset(-1), Offset(0)).needs_own_fold
        (False, True)
        """
        return self.start is not None or (self.unit == "range" and self.end is not None and not self.end.is_current)


@dataclass(frozen=True)
class Order:
    """A column that rows of a partition are ordered by."""

    column: str
    descending: bool = False
    nulls_first: bool = True


@dataclass(frozen=True)
class WindowCall:
    """A call of an aggregate over a frame; all columns are those of one table.

    Attributes:
        function: its name in lower case.
        arguments: columns, none for `count(*)`.
        condition: a boolean column of the rows that count (`FILTER`), or None.
        ignores_nulls: whether `first_value` and the like skip nulls.
        number: the second argument of `nth_value`.
    """

    function: str
    arguments: tuple[str, ...]
    partition: tuple[str, ...]
    order: tuple[Order, ...]
    frame: Frame
    condition: str | None = None
    ignores_nulls: bool = False
    number: int = 1
