"""Windows over moving frames, taken out of a query: one SELECT at a time is split into what the engine computes and what numpy computes.

The embedded engine slides such a frame by subtracting the values that leave it, so that one NaN, infinity or outlier spoils all later values.
A SELECT with such windows becomes an inner query, which gives their arguments beside all other columns, and an outer one over its rows and the
windows' values. Text is moved, never generated: another spelling may compute something else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from lakeloop.errors import SpecError
from lakeloop.sql.query import DIALECT
from lakeloop.sql.selects import Select, Tokens, find_selects, opening_of, scopes_of, split_at_commas
from lakeloop.sql.window_calls import Call, find_calls
from lakeloop.windows.frame import WindowCall

MARK = "_moving_"
ARGUMENT = "_argument_"


@dataclass
class _Arguments:
    """What the inner query computes for windows: each expression once, by its text."""

    names: dict[str, str] = field(default_factory=dict)

    def name_of(self, text: str) -> str:
        return self.names.setdefault(text, f"{ARGUMENT}{len(self.names)}")


@dataclass(frozen=True)
class Split:
    """A SELECT with moving windows, split.

    Attributes:
        inner: the query whose rows the windows are over. Columns named by `MARK` stand where projections with windows stood; columns named by
            `ARGUMENT` come last.
        calls: the windows over its columns.
    """

    inner: str
    calls: tuple[WindowCall, ...]
    _text: str
    _select: Select
    _projections: tuple[str | None, ...]
    _count: int

    def outer(self, view: str, names: Sequence[str]) -> str:
        """The whole query with this SELECT over a view.

        Args:
            view: the rows of `inner`, their columns named `_0`, `_1`, …, followed by the values of `calls`.
            names: the columns of `inner`.
        """
        marked = {f"{MARK}{number}": text for number, text in enumerate(self._projections) if text is not None}
        places = {name: f"`_{place}`" for place, name in enumerate(names[len(names) - self._count :], len(names) - self._count)}
        values = [f"`_{len(names) + number}`" for number in range(len(self.calls))]
        projections = []
        for place, name in enumerate(names[: len(names) - self._count]):
            if name in marked:
                projections.append(_fill(marked[name], {**places, **{f"{{{n}}}": value for n, value in enumerate(values)}}))
            else:
                projections.append(f"`_{place}` AS `{name.replace('`', '``')}`")
        distinct = "DISTINCT " if self._select.is_distinct else ""
        start, end = self._select.span
        tail = self._text[end:]
        return f"{self._text[:start]}SELECT {distinct}{', '.join(projections)} FROM {view}{tail}"


def _fill(text: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(f"\0{name}\0", value)
    return text


def order_by_times(text: str, file: str = "query") -> str:
    """Cast what windows over intervals are ordered by to a timestamp, of those that stay with the embedded engine: over dates it gets the bounds wrong.

    >>> order_by_times("SELECT count(*) OVER (ORDER BY d RANGE INTERVAL 2 DAYS PRECEDING) AS n FROM t")
    'SELECT count(*) OVER (ORDER BY CAST(d AS TIMESTAMP) RANGE INTERVAL 2 DAYS PRECEDING) AS n FROM t'
    """
    tokens = Tokens(text)
    selects = find_selects(tokens)
    spans = set()
    for select in selects:
        for call in find_calls(tokens, select, _inside(select, selects), file):
            if call.is_exact and call.is_over_time:
                spans.add(call.order[0].span)
    for start, end in sorted(spans, reverse=True):
        text = f"{text[:start]}CAST({text[start:end]} AS TIMESTAMP){text[end:]}"
    return text


def _inside(select: Select, selects: Sequence[Select]) -> list[Select]:
    return [other for other in selects if select.first < other.first and other.last <= select.last]


def next_split(text: str, file: str = "query") -> Split | None:
    """Split the first innermost SELECT of a query that has windows over moving frames; None if there is none.

    Raises:
        SpecError: such a window can't be taken out; the message says what to write.
    """
    return next(iter(splits(text, file)), None)


def splits(text: str, file: str = "query", *, with_exact: bool = False) -> Iterator[Split]:
    """Split each SELECT of a query that has windows over moving frames, as if the others had none; inner ones come first.

    `with_exact` takes out also those over intervals that the engine computes right, if they are ordered by times.

    Raises:
        SpecError: as `next_split`.
    """
    tokens = Tokens(text)
    selects = find_selects(tokens)
    for select in sorted(selects, key=lambda each: -each.depth):
        calls = [
            call
            for call in find_calls(tokens, select, _inside(select, selects), file)
            if call.is_moving or (with_exact and call.is_over_time)
        ]
        if calls:
            yield _split(tokens, select, selects, calls, file)


def _split(tokens: Tokens, select: Select, selects: Sequence[Select], calls: list[Call], file: str) -> Split:
    _require_relation(tokens, select, selects, calls[0], file)
    arguments = _Arguments()
    inner: list[str] = []
    projections: list[str | None] = []
    moving: list[WindowCall] = []
    for number, (first, last) in enumerate(split_at_commas(tokens, select.projections)):
        own = [call for call in calls if first <= call.first and call.last < last]
        if own:
            projections.append(_projection(tokens, (first, last), own, arguments, moving, file, has_groups="GROUP" in select.clauses))
            inner.append(f"0 AS {MARK}{number}")
        else:
            projections.append(None)
            inner.append(tokens.slice(first, last))
    first, last = select.projections
    for call in calls:
        if not first <= call.first < last:
            raise _error("a window over a moving frame outside of the columns; name it in a subquery, and use it around it", call, file)
    _check_order(tokens, select, file)
    asked = [f"{expression} AS {name}" for expression, name in arguments.names.items()]
    body = tokens.slice(select.projections[1], select.body_end)
    query = f"SELECT {', '.join([*inner, *asked])} {body}"
    for ctes in scopes_of(tokens, select):
        query = f"WITH {ctes} {query if query.startswith('SELECT') else f'SELECT * FROM ({query})'}"
    start, end = tokens[select.first].start, tokens[select.body_end - 1].end + 1
    return Split(query, tuple(moving), tokens.text, replace(select, span=(start, end)), tuple(projections), len(asked))


def _projection(
    tokens: Tokens, span: tuple[int, int], own: list[Call], arguments: _Arguments, moving: list[WindowCall], file: str,
    *, has_groups: bool,
) -> str:  # fmt: skip
    """A projection whose windows, and whatever else it reads, are replaced by marks of inner columns."""
    edits = []
    for call in own:
        moving.append(call.over(arguments.name_of))
        edits.append((tokens[call.first].start, tokens[call.last].end + 1, f"\0{{{len(moving) - 1}}}\0"))
    start, end = tokens[span[0]].start, tokens[span[1] - 1].end + 1
    rest = _outside(tokens.text, start, end, edits)
    for first, last in _columns_of(rest, own[0], file, has_groups=has_groups):
        edits.append((start + first, start + last, f"\0{arguments.name_of(tokens.text[start + first : start + last])}\0"))
    text = tokens.text
    pieces, position = [], start
    for first, last, replacement in sorted(edits):
        pieces += [text[position:first], replacement]
        position = last
    return "".join([*pieces, text[position:end]])


def _outside(text: str, start: int, end: int, edits: Sequence[tuple[int, int, str]]) -> str:
    """A projection with its moving windows blanked by a number of the same length."""
    rest = text[start:end]
    for first, last, _ in edits:
        rest = rest[: first - start] + "0".ljust(last - first) + rest[last - start :]
    return rest


def _columns_of(rest: str, call: Call, file: str, *, has_groups: bool) -> Iterator[tuple[int, int]]:
    """Where the columns, and windows over other frames, stand in the rest of a projection."""
    import sqlglot
    from sqlglot import exp

    tokens = Tokens(f"SELECT {rest}")
    shift = len("SELECT ")
    (select,) = find_selects(tokens)[:1]
    others = [(tokens[each.first].start - shift, tokens[each.last].end + 1 - shift) for each in find_calls(tokens, select, [], file)]
    for first, last in others:
        rest = rest[:first] + "0".ljust(last - first) + rest[last:]
    tree = sqlglot.parse_one(f"SELECT {rest}", read=DIALECT)
    if tree.find(exp.Lambda, exp.Subquery, exp.Star) or (has_groups and tree.find(exp.Column, exp.AggFunc)) or tree.find(exp.AggFunc):
        raise _error(
            "a window over a moving frame beside aggregates, subqueries or functions of elements; name it alone in a subquery, and use it around it",
            call,
            file,
        )
    yield from others
    for column in tree.find_all(exp.Column):
        if column.parent and column.find_ancestor(exp.Column):
            continue
        start, end = column.parts[0].meta.get("start"), column.parts[-1].meta.get("end")
        if start is None or end is None:
            raise _error(f"a window over a moving frame beside {column.sql(DIALECT)}; name it alone in a subquery", call, file)
        yield start - shift, end + 1 - shift


def _check_order(tokens: Tokens, select: Select, file: str) -> None:
    """ORDER BY behind such a SELECT may name its columns only."""
    import sqlglot
    from sqlglot import exp

    if not {"ORDER", "SORT"} & set(select.clauses):
        return
    tree = sqlglot.parse_one(tokens.slice(select.first, select.last), read=DIALECT)
    names = {name.lower() for name in tree.named_selects}  # type: ignore[attr-defined]
    for clause in ("order", "sort"):
        for column in tree.args[clause].find_all(exp.Column) if tree.args.get(clause) else ():
            if "*" not in names and (column.table or column.name.lower() not in names):
                line = tokens[select.clauses.get("ORDER", select.first)].line
                raise SpecError(
                    f"ORDER BY {column.sql(DIALECT)} beside a window over a moving frame: wanted a column of this SELECT; rows of a view "
                    "have no order, leave it out",
                    file=file,
                    line=line,
                )


def _require_relation(tokens: Tokens, select: Select, selects: Sequence[Select], call: Call, file: str) -> None:
    """A SELECT that stands in a condition or among columns may read what is around it, and can't run alone."""
    from sqlglot import TokenType

    opening = opening_of(tokens, select.first)
    while opening is not None:
        around = max((each for each in selects if each.first < opening < each.last), key=lambda each: each.depth, default=None)
        before = tokens[opening - 1].token_type if opening else None
        is_cte = before == TokenType.ALIAS
        starts_query = before in (None, TokenType.L_PAREN, TokenType.UNION, TokenType.EXCEPT, TokenType.INTERSECT, TokenType.ALL)
        in_from = (
            around is not None
            and around.clause_at(opening) == "FROM"
            and before in (TokenType.FROM, TokenType.JOIN, TokenType.COMMA, TokenType.L_PAREN)
        )
        if not (is_cte or in_from or (around is None and starts_query)):
            raise _error(
                "a window over a moving frame in a subquery of a condition or a column; name it in WITH, and join that", call, file
            )
        opening = opening_of(tokens, opening)


def _error(message: str, call: Call, file: str) -> SpecError:
    return SpecError(message, file=file, line=call.line)
