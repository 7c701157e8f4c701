"""Numbers as people write them: a `format` is the number 1234.5 as a column writes it, such as `1.234,5` or `$1,234.5`."""

from __future__ import annotations

import re
from dataclasses import dataclass

GROUPS = ",. '’\u00a0\u202f"
"""What may stand between thousands."""
_FORMAT = re.compile(rf"(?P<before>[^\d+-]*)1(?P<group>[{GROUPS}]?)234(?P<point>[.,])5(?P<after>[^\d+-]*)")


@dataclass(frozen=True)
class NumberFormat:
    """How a column of text writes its numbers.

    Attributes:
        before: what stands before a number, such as a currency's sign; a value may do without.
        group: what may stand between thousands; empty for nothing.
        point: before the decimals.
        after: what stands after a number, such as `%`; a value may do without.
    """

    before: str
    group: str
    point: str
    after: str

    @property
    def pattern(self) -> str:
        """The regular expression of a value, of which group 1 is the sign and group 2 the digits."""
        before, after = (rf"(?:{re.escape(text.strip())})?\s*" if text.strip() else "" for text in (self.before, self.after))
        group, point = re.escape(self.group), re.escape(self.point)
        whole = rf"(?:\d{{1,3}}(?:{group}\d{{3}})+|\d+)" if self.group else r"\d+"
        # The sign may stand on either side of what comes before: -$5, $-5.
        return rf"^{before}([+-]?)\s*{before}({whole}(?:{point}\d+)?)\s*{after}$"


def parse_number_format(text: str) -> NumberFormat:
    """Read a format.

    >>> parse_number_format("1.234,5 €")
    NumberFormat(before='', group='.', point=',', after=' €')

    Raises:
        ValueError: it isn't the number 1234.5 in any way of writing, or thousands and decimals are separated alike.
    """
    match = _FORMAT.fullmatch(text)
    if match is None or match["group"] == match["point"]:
        raise ValueError(
            f"format of a number is 1234.5 as the column writes it, such as '1.234,5', '1,234.5' or '$1,234.5', found {text!r}"
        )
    return NumberFormat(match["before"], match["group"], match["point"], match["after"])
