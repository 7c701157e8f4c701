"""SQL that sqlglot reads and the embedded engine refuses: told by line, with what to write instead, before anything runs.

What a query means and which columns it has is in `lakeloop.sql.query`. Functions that the engine doesn't have are told when it runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lakeloop.errors import SpecError
from lakeloop.sql.query import DIALECT, Query, line_of, qualify_columns

NUMBERED = "number the rows in a subquery (row_number() OVER (…) AS n) and choose them around it (WHERE n = 1)"
SELECT_FIRST = "SELECT first, and FROM behind it"
_OPENERS = {"UNION", "ALL", "EXCEPT", "MINUS", "INTERSECT"}


def find_refusals(query: Query, schemas: Mapping[tuple[str, ...], Mapping[str, str]], tree: Any) -> list[SpecError]:
    """What the embedded engine would refuse in a query, in the order of its lines.

    Args:
        query: a parsed query whose columns are known to exist.
        schemas: for each table as the query names it, column name -> type.
        tree: what `qualify_columns` makes of the query by them.
    """
    found = [*_words(query), *_selects(query), *_elsewhere(query)]
    if not found:
        found = [*_widths(tree), *_early_names(query, schemas)]
    return [SpecError(message, file=query.file, line=line) for line, message in sorted(set(found))]


Told = tuple[int, str]
"""A line and what is told of it."""


def _words(query: Query) -> Iterator[Told]:
    """What only the order of the words shows: FROM before SELECT, and pipes."""
    import sqlglot
    from sqlglot import TokenType

    tokens = sqlglot.tokenize(query.text, read=DIALECT)
    opened: list[int] = []
    closes_with = False
    for place, token in enumerate(tokens):
        before = tokens[place - 1] if place else None
        if token.token_type == TokenType.L_PAREN:
            opened.append(place)
        elif token.token_type == TokenType.PIPE_GT:
            yield token.line, "the embedded engine has no |>; write the query with SELECT, FROM and WHERE"
        elif token.token_type == TokenType.FROM:
            # In `trim(FROM x)` it is an argument's.
            call = (
                before is not None
                and before.token_type == TokenType.L_PAREN
                and place > 1
                and tokens[place - 2].token_type == TokenType.VAR
            )
            begins = before is None or before.token_type == TokenType.L_PAREN or before.text.upper() in _OPENERS or closes_with
            if begins and not call:
                yield token.line, f"the embedded engine has no query that begins with FROM; write {SELECT_FIRST}"
        closes_with = False
        if token.token_type == TokenType.R_PAREN:
            opening = opened.pop()
            inside = tokens[opening + 1].token_type in (TokenType.SELECT, TokenType.WITH, TokenType.FROM, TokenType.VALUES)
            closes_with = inside and opening > 0 and tokens[opening - 1].token_type == TokenType.ALIAS


def _selects(query: Query) -> Iterator[Told]:
    """Clauses of a SELECT that the engine doesn't have, and what it doesn't take within others."""
    from sqlglot import exp

    for select in query.tree.find_all(exp.Select):
        line = line_of(select)
        if select.args.get("qualify"):
            yield line_of(select.args["qualify"]), f"the embedded engine has no QUALIFY; {NUMBERED}"
        if select.args.get("distinct") and select.args["distinct"].args.get("on"):
            yield line, f"the embedded engine has no DISTINCT ON; {NUMBERED}"
        for clause in ("cluster", "distribute"):
            if select.args.get(clause):
                yield (
                    line_of(select.args[clause]),
                    f"the embedded engine has no {clause.upper()} BY; leave it out, rows are stored in an order of their own",
                )
        if select.args.get("group") and select.args["group"].args.get("all"):
            yield line, "the embedded engine has no GROUP BY ALL; name the columns"
        for star in select.expressions:
            star = star.this if isinstance(star, exp.Column) else star
            for what in ("except_", "replace"):
                if isinstance(star, exp.Star) and star.args.get(what):
                    yield line, f"the embedded engine has no * {what.strip('_').upper()}; name the columns"
        for inner in _own(select.args.get("where"), exp.AggFunc, exp.Window):
            if not isinstance(inner, exp.Window) and isinstance(inner.parent, exp.Window):
                continue
            other = NUMBERED if isinstance(inner, exp.Window) else "use HAVING behind GROUP BY"
            yield line_of(inner) or line, f"{inner.sql(DIALECT)} can't stand in WHERE; {other}"
        yield from _joined(select)


def _joined(select: Any) -> Iterator[Told]:
    """A column that tables are joined by with USING has no table any more, but in WHERE and ORDER BY."""
    from sqlglot import exp

    joins = select.args.get("joins") or ()
    joined = {name.name.lower() for join in joins for name in join.args.get("using") or ()}
    others = {join.this.alias_or_name for join in joins if not join.args.get("using")}
    for part in [*select.expressions, select.args.get("group"), select.args.get("having")]:
        for column in _own(part, exp.Column):
            name = column.name.lower()
            if column.table and column.table not in others and name in joined:
                yield (
                    line_of(column),
                    f"{column.sql(DIALECT)} is joined by USING, behind which it has no table; write {column.name}, or join with ON",
                )


def _elsewhere(query: Query) -> Iterator[Told]:
    """What stands in a query as a whole or in an expression."""
    from sqlglot import exp

    for operation in query.tree.find_all(exp.SetOperation):
        if operation.args.get("by_name"):
            yield line_of(operation), f"the embedded engine has no {operation.key.upper()} BY NAME; name the columns of both in one order"
    for ctes in query.tree.find_all(exp.With):
        if ctes.args.get("recursive"):
            yield line_of(ctes), "the embedded engine has no WITH RECURSIVE; unroll it, or write a view by function"
    for fetch in query.tree.find_all(exp.Fetch):
        yield line_of(fetch.parent), "the embedded engine has no FETCH; write LIMIT"
    for some in query.tree.find_all(exp.Any, exp.All):
        if isinstance(some.parent, (exp.Like, exp.ILike)):
            yield line_of(some.parent), f"the embedded engine has no LIKE {some.key.upper()}; write a LIKE for each"
        elif isinstance(some.this, (exp.Subquery, exp.Select)):
            yield (
                line_of(some.parent),
                f"the embedded engine has no {some.key.upper()} of a subquery; write IN (SELECT …), or compare with its min or max",
            )
    for within in query.tree.find_all(exp.In):
        if within.args.get("query") and not _chooses(within):
            yield (
                line_of(within),
                "the embedded engine has no IN (SELECT …) among the columns; join the subquery (LEFT JOIN … ON), or write EXISTS (SELECT … WHERE …)",
            )


def _widths(tree: Any) -> Iterator[Told]:
    """A UNION, EXCEPT or INTERSECT of queries with different numbers of columns, and columns that nobody can count."""
    from sqlglot import exp

    for select in tree.find_all(exp.Select):
        if "*" in select.named_selects:
            yield line_of(select), "a * behind a structure tells no columns; name its fields"
    for operation in tree.find_all(exp.SetOperation):
        left, right = len(operation.left.named_selects), len(operation.right.named_selects)
        if left != right:
            yield line_of(operation.right), f"wanted as many columns on both sides of {operation.key.upper()}, found {left} and {right}"


def _early_names(query: Query, schemas: Mapping[tuple[str, ...], Mapping[str, str]]) -> Iterator[Told]:
    """A name that a SELECT gives, used in the same SELECT as a column: there only GROUP BY, HAVING and ORDER BY know it."""
    from dataclasses import replace

    from sqlglot import exp

    tree = query.tree.copy()
    names = {alias.alias.lower() for alias in tree.find_all(exp.Alias)}
    for select in tree.find_all(exp.Select):
        for clause in ("group", "having", "order", "sort"):
            select.set(clause, None)
    if not any(_uses_its_own_names(select) for select in tree.find_all(exp.Select)):
        return
    try:
        qualify_columns(replace(query, tree=tree), schemas, expand_alias_refs=False)
    except SpecError as error:
        name = next((word for word in error.message.split("'")[1::2] if word.lower() in names), None)
        if name is not None:
            found = [column for column in query.tree.find_all(exp.Column) if column.name.lower() == name.lower() and not column.table]
            line = line_of(found[-1]) if found else error.line or 1
            yield (
                line,
                f"{name} is named in the same SELECT, where it is no column yet; write its expression again, or name it in a subquery",
            )


def _uses_its_own_names(select: Any) -> bool:
    """Whether a SELECT has a column without a table that is called as one that it gives; only then it matters which of both is meant."""
    from sqlglot import exp

    given = {projection.alias.lower() for projection in select.expressions if isinstance(projection, exp.Alias)}
    parts = [part for name, part in select.args.items() if name not in ("from", "from_", "with", "with_")]
    flat = [node for part in parts for node in (part if isinstance(part, list) else [part]) if isinstance(node, exp.Expression)]
    return any(not column.table and column.name.lower() in given for node in flat for column in node.find_all(exp.Column))


def _own(part: Any, *kinds: Any) -> Iterator[Any]:
    """The expressions of some kinds in a part of a SELECT, without those of subqueries in it."""
    from sqlglot import exp

    if part is not None:
        for node in part.walk(prune=lambda node: isinstance(node, exp.Query)):
            if isinstance(node, kinds):
                yield node


def _chooses(node: Any) -> bool:
    """Whether an expression stands where rows are chosen: in WHERE, HAVING or ON."""
    from sqlglot import exp

    while node is not None and not isinstance(node, exp.Query):
        if isinstance(node, (exp.Where, exp.Having, exp.Join)):
            return True
        node = node.parent
    return False
