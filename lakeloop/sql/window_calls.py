"""Calls of window functions as they stand in a query: function, arguments, partition, order and frame, read from its tokens."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from lakeloop.errors import SpecError
from lakeloop.sql.selects import Select, Tokens, find_closing, opening_of, split_at_commas, walk, word_of
from lakeloop.windows.frame import Frame, Offset, Order, WindowCall

MOVING = frozenset(
    [
        "count",
        "count_if",
        "sum",
        "avg",
        "mean",
        "min",
        "max",
        "bool_and",
        "every",
        "bool_or",
        "some",
        "any",
        "stddev",
        "std",
        "stddev_samp",
        "stddev_pop",
        "variance",
        "var_samp",
        "var_pop",
        "covar_samp",
        "covar_pop",
        "corr",
        "first",
        "first_value",
        "any_value",
        "last",
        "last_value",
        "nth_value",
        "collect_list",
        "array_agg",
    ]
)
"""What `lakeloop.windows.functions` computes."""
EXACT = frozenset(["count", "count_if", "min", "max", "first", "first_value", "any_value", "last", "last_value", "nth_value"])
"""Of these the embedded engine computes right over rows, numbers and times: nothing is subtracted but whole numbers."""
COUNTS = frozenset(["count", "count_if"])
LISTS = frozenset(["collect_list", "array_agg"])
"""Of these the embedded engine keeps nulls over any frame, which Spark leaves out."""
SPREADS = frozenset(["stddev", "std", "stddev_samp", "stddev_pop", "variance", "var_samp", "var_pop", "covar_samp", "covar_pop", "corr"])
"""Of these the embedded engine gives null or 0 over any frame where a value isn't finite, and Spark NaN."""
FRAMELESS = frozenset(["row_number", "rank", "dense_rank", "percent_rank", "cume_dist", "ntile", "lag", "lead"])
"""Functions that have no frame."""
_MONTHS = {"YEAR": 12, "QUARTER": 3, "MONTH": 1}
_MICROSECONDS = {"WEEK": 604_800_000_000, "DAY": 86_400_000_000, "HOUR": 3_600_000_000, "MINUTE": 60_000_000, "SECOND": 1_000_000}
_MICROSECONDS |= {"MILLISECOND": 1000, "MICROSECOND": 1}
_CLOCK = re.compile(r"([+-]?)(\d+) (\d+)(?::(\d+))?(?::(\d+)(\.\d+)?)?")


@dataclass(frozen=True)
class Ordering:
    """A column of ORDER BY.

    Attributes:
        text: the expression.
        falls: whether it is descending.
        nulls_first: whether nulls come first.
        span: where the expression begins and ends in the query's text.
    """

    text: str
    falls: bool
    nulls_first: bool
    span: tuple[int, int]


@dataclass(frozen=True)
class Call:
    """A window call.

    Attributes:
        first: the position of the function's name.
        last: of the last token of its OVER.
        line: of its name.
        function: in lower case.
        arguments: their texts.
        partition: the texts of PARTITION BY.
        order: the columns of ORDER BY.
        frame: the frame; None if none is written.
        condition: the text of FILTER, if there is one.
        ignores_nulls: whether IGNORE NULLS stands there.
    """

    first: int
    last: int
    line: int
    function: str
    arguments: tuple[str, ...]
    partition: tuple[str, ...]
    order: tuple[Ordering, ...]
    frame: Frame | None
    condition: str | None
    ignores_nulls: bool

    @property
    def is_moving(self) -> bool:
        """Whether the engine may compute it wrongly: its frame moves, and its function or the frame's bounds aren't exact there."""
        if self.function in FRAMELESS or self.function in LISTS or self.function in SPREADS:
            return self.function not in FRAMELESS
        return self.whole_frame.needs_own_fold and not self.is_exact

    @property
    def is_exact(self) -> bool:
        """Whether the engine computes it right over a moving frame. What numbers are measured from may be a date, where it doesn't."""
        return self.function in EXACT and self.condition is None and (self.whole_frame.unit == "rows" or self.is_over_time)

    @property
    def is_over_time(self) -> bool:
        """Whether its frame is measured by intervals, from a date or a time."""
        offsets = [each for each in (self.whole_frame.start, self.whole_frame.end) if each is not None and not each.is_current]
        return len(self.order) == 1 and bool(offsets) and all(each.is_interval for each in offsets)

    @property
    def whole_frame(self) -> Frame:
        """Its frame, as it is where none is written."""
        if self.frame is not None:
            return self.frame
        return Frame("range", None, Offset(0)) if self.order else Frame("rows", None, None)

    def over(self, name_of: Callable[[str], str]) -> WindowCall:
        """The call over columns, which are named for each text."""
        arguments, number = self.arguments, 1
        if self.function == "nth_value" and len(arguments) > 1:
            number, arguments = int(arguments[1]), arguments[:1]
        if self.function in ("first", "last", "first_value", "last_value", "any_value"):
            arguments = arguments[:1]
        is_constant = self.function == "count" and all(re.fullmatch(r"\*|\d+", argument) for argument in arguments)
        return WindowCall(
            self.function,
            () if is_constant else tuple(name_of(text) for text in arguments),
            tuple(name_of(text) for text in self.partition),
            tuple(Order(name_of(each.text), each.falls, each.nulls_first) for each in self.order),
            self.whole_frame,
            name_of(self.condition) if self.condition else None,
            self.ignores_nulls,
            number,
        )


def find_calls(tokens: Tokens, select: Select, inside: Sequence[Select], file: str) -> Iterator[Call]:
    """Find the window calls of a SELECT, without those of SELECTs inside of it.

    Raises:
        SpecError: a frame can't be read, or its function can't be computed over it.
    """
    from sqlglot import TokenType

    for position in range(select.first, select.last):
        if tokens[position].token_type == TokenType.OVER and not any(each.first <= position < each.last for each in inside):
            yield _read_call(tokens, position, select, file)


def _read_call(tokens: Tokens, over: int, select: Select, file: str) -> Call:
    closing, condition, ignores_nulls = over - 1, None, False
    while True:
        words = [token.text.upper() for token in tokens[closing - 1 : closing + 1]]
        if words[1:] == ["NULLS"] and words[0] in ("IGNORE", "RESPECT"):
            ignores_nulls |= words[0] == "IGNORE"
            closing -= 2
            continue
        opening = opening_of(tokens, closing)
        assert opening is not None, "a window call has parentheses"
        if tokens[opening - 1].text.upper() == "FILTER":
            condition = tokens.slice(opening + 2, closing)
            closing = opening - 2
            continue
        break
    name = tokens[opening - 1]
    parts = split_at_commas(tokens, (opening + 1, closing))
    if parts and [token.text.upper() for token in tokens[closing - 2 : closing]] == ["IGNORE", "NULLS"]:
        ignores_nulls, parts = True, [*parts[:-1], (parts[-1][0], closing - 2)]
    arguments = tuple(tokens.slice(*part) for part in parts)
    function = name.text.lower()
    if function in ("first", "last", "first_value", "last_value", "any_value") and len(arguments) == 2:
        ignores_nulls |= arguments[1].lower() == "true"
    last, partition, order, frame = _read_window(tokens, over + 1, select, file)
    call = Call(opening - 1, last, name.line, function, arguments, partition, order, frame, condition, ignores_nulls)
    if call.is_moving and function not in MOVING:
        raise SpecError(
            f"{function} over a frame that moves: the embedded engine would compute it by subtraction, or otherwise than Spark; wanted one of "
            f"{', '.join(sorted(MOVING))}, or collect_list over the frame and a function of lists around it in another SELECT",
            file=file,
            line=name.line,
        )
    if call.whole_frame.needs_own_fold and function not in FRAMELESS and parts and tokens[parts[0][0]].text.upper() == "DISTINCT":
        raise SpecError("DISTINCT in a window function, which Spark doesn't have; count in a subquery", file=file, line=name.line)
    return call


Window = tuple[int, tuple[str, ...], tuple[Ordering, ...], Frame | None]


def _read_window(tokens: Tokens, position: int, select: Select, file: str) -> Window:
    """Read what follows OVER: a name, or a specification in parentheses, which may begin with a name. The first part is its last position."""
    from sqlglot import TokenType

    if tokens[position].token_type != TokenType.L_PAREN:
        return (position, *_read_named(tokens, tokens[position].text, select, file)[1:])
    closing = find_closing(tokens, position)
    starts = _clauses_of_window(tokens, position + 1, closing)
    begin = min(starts.values(), default=closing)
    partition: tuple[str, ...] = ()
    order: tuple[Ordering, ...] = ()
    frame = None
    if begin > position + 1:
        _, partition, order, frame = _read_named(tokens, tokens[position + 1].text, select, file)
    for name, place in starts.items():
        end = min((other for other in starts.values() if other > place), default=closing)
        if name == "PARTITION":
            partition = tuple(tokens.slice(*part) for part in split_at_commas(tokens, (place + 1, end)))
        elif name == "ORDER":
            order = tuple(_read_order(tokens, *part) for part in split_at_commas(tokens, (place + 1, end)))
        elif name in ("ROWS", "RANGE"):
            frame = _read_frame(tokens, place, end, file)
    return closing, partition, order, frame


def _clauses_of_window(tokens: Tokens, first: int, last: int) -> dict[str, int]:
    starts: dict[str, int] = {}
    for position, token, level in walk(tokens, first):
        if position >= last:
            break
        word, is_pair = word_of(token), token.text.upper().endswith("BY")
        if level == 0 and ((word in ("PARTITION", "ORDER") and is_pair) or word in ("ROWS", "RANGE")):
            starts.setdefault(word, position)
    return starts


def _read_named(tokens: Tokens, name: str, select: Select, file: str) -> Window:
    from sqlglot import TokenType

    begin = select.clauses.get("WINDOW", select.last)
    for first, _ in split_at_commas(tokens, (begin + 1, _end_of_windows(select))):
        if tokens[first].text.lower() == name.lower() and tokens[first + 1].token_type == TokenType.ALIAS:
            return _read_window(tokens, first + 2, select, file)
    return begin, (), (), None


def _end_of_windows(select: Select) -> int:
    begin = select.clauses.get("WINDOW", select.last)
    return min([select.last, *(place for place in select.clauses.values() if place > begin)])


def _read_order(tokens: Tokens, first: int, last: int) -> Ordering:
    words = [token.text.upper() for token in tokens[first:last]]
    nulls_first = None
    if words[-2:-1] == ["NULLS"]:
        nulls_first = words[-1] == "FIRST"
        last, words = last - 2, words[:-2]
    falls = words[-1] == "DESC"
    if words[-1] in ("ASC", "DESC"):
        last -= 1
    span = tokens[first].start, tokens[last - 1].end + 1
    return Ordering(tokens.slice(first, last), falls, (not falls) if nulls_first is None else nulls_first, span)


def _read_frame(tokens: Tokens, first: int, last: int, file: str) -> Frame:
    unit = "rows" if tokens[first].text.upper() == "ROWS" else "range"
    start, end = first + 1, None
    if tokens[start].text.upper() == "BETWEEN":
        start += 1
        end = next(position for position, token, level in walk(tokens, start) if level == 0 and token.text.upper() == "AND") + 1
    bounds = [(start, end - 1), (end, last)] if end else [(start, last)]
    offsets = [_read_bound(tokens, *bound, file) for bound in bounds]
    units = {_units_of(tokens.slice(*bound)) for bound, offset in zip(bounds, offsets, strict=True) if offset and offset.is_interval}
    if len(units) > 1:
        raise SpecError(
            f"a frame from {tokens.slice(*bounds[0])} to {tokens.slice(*bounds[1])}, whose units differ, so that Spark refuses it; write both in one "
            "unit, such as INTERVAL 168 HOURS PRECEDING AND INTERVAL 1 HOUR PRECEDING",
            file=file,
            line=tokens[first].line,
        )
    return Frame(unit, offsets[0], offsets[1] if end else Offset(0))  # type: ignore[arg-type]


def _units_of(text: str) -> tuple[str, str]:
    """The greatest and the smallest unit of an interval, as Spark has them in its type."""
    words = [word.removesuffix("S") for word in re.findall(r"[A-Z]+", text.upper())]
    merged = {"WEEK": "DAY", "MILLISECOND": "SECOND", "MICROSECOND": "SECOND", "QUARTER": "MONTH"}
    units = [merged.get(word, word) for word in words if word in _MONTHS or word in _MICROSECONDS]
    order = ["YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND"]
    places = sorted(order.index(unit) for unit in units)
    return order[places[0]], order[places[-1]]


def _read_bound(tokens: Tokens, first: int, last: int, file: str) -> Offset | None:
    words = [token.text.upper() for token in tokens[first:last]]
    if words[0] == "UNBOUNDED":
        return None
    if words == ["CURRENT", "ROW"]:
        return Offset(0)
    offset = read_offset(tokens.slice(first, last - 1))
    if offset is None:
        raise SpecError(
            f"a frame of {tokens.slice(first, last)}: wanted a number or a literal interval such as INTERVAL 7 DAYS",
            file=file,
            line=tokens[first].line,
        )
    sign = -1 if words[-1] == "PRECEDING" else 1
    return Offset(sign * offset.number, sign * offset.months, offset.is_interval)


def read_offset(text: str) -> Offset | None:
    """Read a number or a literal interval; None for anything else.

    >>> read_offset("INTERVAL 1 DAY"), read_offset("INTERVAL '1 02' DAY TO HOUR"), read_offset("2 * 3")
    (Offset(number=86400000000, months=0, is_interval=True), Offset(number=93600000000, months=0, is_interval=True), None)
    """
    if re.fullmatch(r"[+-]?\s*\d+L?", text, re.I):
        return Offset(int(text.upper().removesuffix("L").replace(" ", "")))
    if re.fullmatch(r"[+-]?\s*\d*\.\d+(BD)?", text, re.I):
        return Offset(Decimal(text.upper().removesuffix("BD").replace(" ", "")))
    words = re.fullmatch(r"INTERVAL\s+(.*)", text, re.I | re.S)
    if not words:
        return None
    rest = words[1].replace("'", " ").replace('"', " ").strip()
    clock = re.fullmatch(r"(.*?)\s*\b(DAY|HOUR|MINUTE|YEAR)\s+TO\s+(HOUR|MINUTE|SECOND|MONTH)", rest, re.I | re.S)
    return _read_clock(clock[1].strip(), clock[2].upper(), clock[3].upper()) if clock else _read_pairs(rest)


def _read_pairs(text: str) -> Offset | None:
    pairs = re.findall(r"([+-]?\s*\d+(?:\.\d+)?)\s*([A-Za-z]+)", text)
    if not pairs or re.sub(r"([+-]?\s*\d+(?:\.\d+)?)\s*([A-Za-z]+)", "", text).strip():
        return None
    months, number = 0, Decimal(0)
    for amount, word in pairs:
        unit = word.upper() if word.upper() in _MONTHS or word.upper() in _MICROSECONDS else word.upper().removesuffix("S")
        value = Decimal(amount.replace(" ", ""))
        if unit in _MONTHS:
            months += int(value * _MONTHS[unit])
        elif unit in _MICROSECONDS:
            number += value * _MICROSECONDS[unit]
        else:
            return None
    return Offset(int(number), months, is_interval=True)


def _read_clock(text: str, first: str, last: str) -> Offset | None:
    if (first, last) == ("YEAR", "MONTH"):
        years = re.fullmatch(r"([+-]?)(\d+)-(\d+)", text)
        return Offset(0, (-1 if years[1] == "-" else 1) * (int(years[2]) * 12 + int(years[3])), is_interval=True) if years else None
    units = ["DAY", "HOUR", "MINUTE", "SECOND"]
    named = units[units.index(first) : units.index(last) + 1]
    numbers = re.fullmatch(r"([+-]?)(\d+(?:\.\d+)?)" + r"[ :](\d+(?:\.\d+)?)" * (len(named) - 1), text)
    if not numbers:
        return None
    total = sum(Decimal(number) * _MICROSECONDS[unit] for number, unit in zip(numbers.groups()[1:], named, strict=True))
    return Offset(int(total) * (-1 if numbers[1] == "-" else 1), is_interval=True)
