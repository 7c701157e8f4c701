"""SQL that sqlglot parses and the embedded engine refuses: reported by line, with what to write instead, before anything runs.

Which tables and columns a query has is in `lakeloop.sql.query`. Functions that the engine lacks are reported when the query runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from lakeloop.errors import SpecError
from lakeloop.sql.decimals import find_decimals
from lakeloop.sql.differences import find_differences
from lakeloop.sql.moving_windows import splits
from lakeloop.sql.nan_signs import find_percentiles
from lakeloop.sql.query import DIALECT, Query, line_of, qualify_columns
from lakeloop.sql.slips.find import find_slips
from lakeloop.sql.typed import TypedQuery

NUMBERED = "number the rows in a subquery (row_number() OVER (…) AS n) and choose them around it (WHERE n = 1)"
SELECT_FIRST = "SELECT first, and FROM behind it"
_OPENERS = {"UNION", "ALL", "EXCEPT", "MINUS", "INTERSECT"}


def find_refusals(
    query: Query, schemas: Mapping[tuple[str, ...], Mapping[str, str]], tree: Any, *, has_nan: bool = False
) -> list[SpecError]:
    """Find what the embedded engine would refuse in a query, or compute otherwise than Spark, in the order of its lines.

    Args:
        query: a parsed query whose columns are known to exist.
        schemas: for each table as the query names it, column name -> type.
        tree: the query with its columns qualified, from `qualify_columns`.
        has_nan: whether a table that is read may hold NaN.
    """
    findings = [*_check_word_order(query), *find_slips(query), *_check_selects(query), *_check_expressions(query)]
    if not findings:
        flat: dict[str, object] = {"__".join(parts): dict(columns) for parts, columns in schemas.items()}
        typed = TypedQuery(query.text, {".".join(parts): columns for parts, columns in schemas.items()})
        findings = [
            *_check_column_counts(tree),
            *_check_early_aliases(query, schemas),
            *_check_windows(query),
            *find_differences(tree, flat),
            *find_decimals(typed),
            *find_percentiles(typed, is_read=has_nan),
        ]
    return [SpecError(message, file=query.file, line=line) for line, message in sorted(set(findings))]


Finding = tuple[int, str]
"""A line and its message."""


def _check_word_order(query: Query) -> Iterator[Finding]:
    """Find what only the order of the words shows: FROM before SELECT, and pipes."""
    import sqlglot
    from sqlglot import TokenType

    tokens = sqlglot.tokenize(query.text, read=DIALECT)
    open_parentheses: list[int] = []
    closes_cte = False
    for position, token in enumerate(tokens):
        before = tokens[position - 1] if position else None
        if token.token_type == TokenType.L_PAREN:
            open_parentheses.append(position)
        elif token.token_type == TokenType.PIPE_GT:
            yield token.line, "the embedded engine has no |>; write the query with SELECT, FROM and WHERE"
        elif token.token_type == TokenType.FROM:
            # In `trim(FROM x)` it belongs to an argument.
            is_argument = (
                before is not None
                and before.token_type == TokenType.L_PAREN
                and position > 1
                and tokens[position - 2].token_type == TokenType.VAR
            )
            begins_query = before is None or before.token_type == TokenType.L_PAREN or before.text.upper() in _OPENERS or closes_cte
            if begins_query and not is_argument:
                yield token.line, f"the embedded engine has no query that begins with FROM; write {SELECT_FIRST}"
        closes_cte = False
        if token.token_type == TokenType.R_PAREN:
            opening = open_parentheses.pop()
            is_query = tokens[opening + 1].token_type in (TokenType.SELECT, TokenType.WITH, TokenType.FROM, TokenType.VALUES)
            closes_cte = is_query and opening > 0 and tokens[opening - 1].token_type == TokenType.ALIAS


def _check_selects(query: Query) -> Iterator[Finding]:
    """Find clauses of a SELECT that the engine lacks, and what it refuses within the others."""
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
            for option in ("except_", "replace"):
                if isinstance(star, exp.Star) and star.args.get(option):
                    yield line, f"the embedded engine has no * {option.strip('_').upper()}; name the columns"
        for inner in _walk_own(select.args.get("where"), exp.AggFunc, exp.Window):
            if not isinstance(inner, exp.Window) and isinstance(inner.parent, exp.Window):
                continue
            remedy = NUMBERED if isinstance(inner, exp.Window) else "use HAVING behind GROUP BY"
            yield line_of(inner) or line, f"{inner.sql(DIALECT)} can't stand in WHERE; {remedy}"
        yield from _check_using(select)


def _check_windows(query: Query) -> Iterator[Finding]:
    """Find windows over moving frames that can't be taken out of the query, so that the engine would compute them by subtraction."""
    try:
        for _ in splits(query.text, query.file):
            pass
    except SpecError as error:
        yield error.line or 1, error.message


def _check_using(select: Any) -> Iterator[Finding]:
    """Find columns of USING under a table's name: after the join they belong to no table, except in WHERE and ORDER BY."""
    from sqlglot import exp

    joins = select.args.get("joins") or ()
    using = {name.name.lower() for join in joins for name in join.args.get("using") or ()}
    other_tables = {join.this.alias_or_name for join in joins if not join.args.get("using")}
    for part in [*select.expressions, select.args.get("group"), select.args.get("having")]:
        for column in _walk_own(part, exp.Column):
            name = column.name.lower()
            if column.table and column.table not in other_tables and name in using:
                yield (
                    line_of(column),
                    f"{column.sql(DIALECT)} is joined by USING, behind which it has no table; write {column.name}, or join with ON",
                )


def _check_expressions(query: Query) -> Iterator[Finding]:
    """Find set operations, clauses and operators that the engine lacks, anywhere in a query."""
    from sqlglot import exp

    for operation in query.tree.find_all(exp.SetOperation):
        if operation.args.get("by_name"):
            yield line_of(operation), f"the embedded engine has no {operation.key.upper()} BY NAME; name the columns of both in one order"
    for ctes in query.tree.find_all(exp.With):
        if ctes.args.get("recursive"):
            yield line_of(ctes), "the embedded engine has no WITH RECURSIVE; unroll it, or write a view by function"
    for fetch in query.tree.find_all(exp.Fetch):
        yield line_of(fetch.parent), "the embedded engine has no FETCH; write LIMIT"
    for quantifier in query.tree.find_all(exp.Any, exp.All):
        if isinstance(quantifier.parent, (exp.Like, exp.ILike)):
            yield line_of(quantifier.parent), f"the embedded engine has no LIKE {quantifier.key.upper()}; write a LIKE for each"
        elif isinstance(quantifier.this, (exp.Subquery, exp.Select)):
            yield (
                line_of(quantifier.parent),
                f"the embedded engine has no {quantifier.key.upper()} of a subquery; write IN (SELECT …), or compare with its min or max",
            )
    for membership in query.tree.find_all(exp.In):
        if membership.args.get("query") and not _is_in_condition(membership):
            yield (
                line_of(membership),
                "the embedded engine has no IN (SELECT …) among the columns; join the subquery (LEFT JOIN … ON), or write EXISTS (SELECT … WHERE …)",
            )


def _check_column_counts(tree: Any) -> Iterator[Finding]:
    """Find a UNION, EXCEPT or INTERSECT of queries with different numbers of columns, and a `*` that can't be expanded."""
    from sqlglot import exp

    for select in tree.find_all(exp.Select):
        if "*" in select.named_selects:
            yield line_of(select), "a * behind a structure tells no columns; name its fields"
    for operation in tree.find_all(exp.SetOperation):
        left, right = len(operation.left.named_selects), len(operation.right.named_selects)
        if left != right:
            yield line_of(operation.right), f"wanted as many columns on both sides of {operation.key.upper()}, found {left} and {right}"


def _check_early_aliases(query: Query, schemas: Mapping[tuple[str, ...], Mapping[str, str]]) -> Iterator[Finding]:
    """Find an alias that its own SELECT uses as a column: there only GROUP BY, HAVING and ORDER BY know it."""
    from sqlglot import exp

    tree = query.tree.copy()
    names = {alias.alias.lower() for alias in tree.find_all(exp.Alias)}
    for select in tree.find_all(exp.Select):
        for clause in ("group", "having", "order", "sort"):
            select.set(clause, None)
    if not any(_has_ambiguous_alias(select) for select in tree.find_all(exp.Select)):
        return
    try:
        qualify_columns(replace(query, tree=tree), schemas, expand_alias_refs=False)
    except SpecError as error:
        name = next((word for word in error.message.split("'")[1::2] if word.lower() in names), None)
        if name is not None:
            uses = [column for column in query.tree.find_all(exp.Column) if column.name.lower() == name.lower() and not column.table]
            line = line_of(uses[-1]) if uses else error.line or 1
            yield (
                line,
                f"{name} is named in the same SELECT, where it is no column yet; write its expression again, or name it in a subquery",
            )


def _has_ambiguous_alias(select: Any) -> bool:
    """Whether a SELECT has a column without a table and an alias of the same name; only then it matters which of the two is meant."""
    from sqlglot import exp

    aliases = {projection.alias.lower() for projection in select.expressions if isinstance(projection, exp.Alias)}
    parts = [part for name, part in select.args.items() if name not in ("from", "from_", "with", "with_")]
    nodes = [node for part in parts for node in (part if isinstance(part, list) else [part]) if isinstance(node, exp.Expression)]
    return any(not column.table and column.name.lower() in aliases for node in nodes for column in node.find_all(exp.Column))


def _walk_own(part: Any, *kinds: Any) -> Iterator[Any]:
    """Walk the expressions of some kinds in a part of a SELECT, without those of its subqueries."""
    from sqlglot import exp

    if part is not None:
        for node in part.walk(prune=lambda node: isinstance(node, exp.Query)):
            if isinstance(node, kinds):
                yield node


def _is_in_condition(node: Any) -> bool:
    """Whether an expression stands in a condition that selects rows: WHERE, HAVING or ON."""
    from sqlglot import exp

    while node is not None and not isinstance(node, exp.Query):
        if isinstance(node, (exp.Where, exp.Having, exp.Join)):
            return True
        node = node.parent
    return False
