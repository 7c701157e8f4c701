"""SQL as data: which tables a query reads, which columns it returns, and the same query over other table names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakeloop.errors import SpecError

if TYPE_CHECKING:
    from sqlglot import Token, exp
    from sqlglot.lineage import Node
    from sqlglot.optimizer.scope import Scope

DIALECT = "spark"


@dataclass(frozen=True)
class TableName:
    """A table as a query names it: `parts` from the left; `line` (1-based) is the first that names it."""

    parts: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class Query:
    """One parsed SELECT, its text, and the tables that it reads (without common table expressions)."""

    tree: exp.Expression
    text: str
    file: str
    tables: tuple[TableName, ...]

    @property
    def columns(self) -> frozenset[str] | None:
        """The names of all columns that the query mentions, in lower case; None where a `*` stands for some."""
        from sqlglot import exp

        if any(not isinstance(star.parent, exp.Count) for star in self.tree.find_all(exp.Star)):
            return None
        return frozenset(column.name.lower() for column in self.tree.find_all(exp.Column, exp.Identifier))

    @property
    def aliases(self) -> frozenset[str]:
        """The names that the query itself gives to columns."""
        from sqlglot import exp

        return frozenset(alias.alias for alias in self.tree.find_all(exp.Alias))


def parse_query(text: str, file: str) -> Query:
    """Parse one SELECT or WITH query, in Spark's dialect.

    Args:
        text: the SQL.
        file: its name in errors.

    Raises:
        SpecError: the text can't be parsed, isn't exactly one query, or does more than read.
    """
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    tree = _parse_statement(text, file)
    for call in tree.find_all(exp.Anonymous):
        if call.name.upper() == "IDENTIFIER":
            raise SpecError(f"wanted the name itself, found {call.sql(DIALECT)}", file=file, line=_line_of(text, (call.name,)))
    try:
        tables = _find_tables(tree)
    except SqlglotError as error:
        raise SpecError(f"can't make sense of the query: {str(error).splitlines()[0]}", file=file, line=1) from error
    lines: dict[tuple[str, ...], int] = {}
    for parts, table in tables:
        lines.setdefault(parts, _line_of(text, parts))
        if table.args.get("version"):
            raise SpecError(
                f"wanted {'.'.join(parts)} as it is, found a {table.args['version'].sql(DIALECT)}: a query reads what is published now",
                file=file,
                line=_line_of(text, parts),
            )
    return Query(tree, text, file, tuple(TableName(parts, line) for parts, line in lines.items()))


def _parse_statement(text: str, file: str) -> exp.Expression:
    """Parse a text that must be one query."""
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    from lakeloop.sql.spans import parse_with_spans

    try:
        statements = [s for s in parse_with_spans(text) if s is not None]
    except SqlglotError as error:
        details = (getattr(error, "errors", None) or [{}])[0]
        problem = re.sub(r"<Token .*?text: (.*?), line: .*?>", r"'\1'", details.get("description") or str(error).splitlines()[0])
        near = details.get("highlight")
        message = f"can't parse the SQL: {problem}" + (f", near {near!r}" if near else "")
        raise SpecError(message, file=file, line=details.get("line")) from error
    _refuse_loose_ends(text, file)
    if len(statements) != 1:
        raise SpecError(f"wanted one query, found {len(statements)} statements", file=file, line=1)
    tree = statements[0]
    if not isinstance(tree, exp.Query):
        raise SpecError(f"wanted a SELECT or WITH query, found {tree.key.upper()}", file=file, line=1)
    return tree  # type: ignore[return-value]


def _refuse_loose_ends(text: str, file: str) -> None:
    """Refuse a comma with nothing before or after it, and a bracket that isn't closed: sqlglot takes some of them, Spark doesn't."""
    from sqlglot import TokenType
    from sqlglot.dialects.spark import Spark

    ends = (TokenType.FROM, TokenType.WHERE, TokenType.GROUP_BY, TokenType.HAVING, TokenType.ORDER_BY, TokenType.LIMIT, TokenType.R_PAREN)
    begins = (TokenType.SELECT, TokenType.DISTINCT, TokenType.GROUP_BY, TokenType.ORDER_BY, TokenType.PARTITION_BY, TokenType.L_PAREN)
    tokens = Spark().tokenize(text)
    opened = []
    for token in tokens:
        if token.token_type == TokenType.L_PAREN:
            opened.append(token)
        elif token.token_type == TokenType.R_PAREN and opened:
            opened.pop()
    if opened:
        raise SpecError("this bracket isn't closed", file=file, line=opened[-1].line)
    for before, token, after in zip([None, *tokens[:-1]], tokens, [*tokens[1:], None], strict=True):
        if token.token_type != TokenType.COMMA:
            continue
        if after is None or after.token_type in ends:
            raise SpecError(
                f"wanted something after the comma, found {after.text.upper() if after else 'the end'}", file=file, line=token.line
            )
        if before is None or before.token_type in (*begins, TokenType.COMMA):
            what_stands = "another one" if before and before.token_type == TokenType.COMMA else before.text.upper() if before else "nothing"
            raise SpecError(f"wanted something before the comma, found {what_stands}", file=file, line=token.line)


def rewrite_tables(query: Query, names: Mapping[tuple[str, ...], str]) -> str:
    """Rewrite the query's own text over other table names; an alias keeps the old name as the qualifier of columns.

    Everything else stays as written, since SQL generated by sqlglot may compute something else (it makes `percentile_cont` approximate).
    Only functions that differ in the embedded engine are changed too, see `_average_edits` and `_logarithm_edits`.

    >>> rewrite_tables(parse_query("SELECT t.a  FROM d.t", "x.sql"), {("d", "t"): "d__t"})
    'SELECT t.a  FROM d__t AS t'
    """
    import sqlglot

    tokens = sqlglot.tokenize(query.text, read=DIALECT)
    edits = [*_rename_edits(query, names, tokens), *_average_edits(tokens), *_logarithm_edits(tokens)]
    pieces, position = [], 0
    for start, end, replacement in sorted(edits):
        pieces += [query.text[position:start], replacement]
        position = end
    return "".join([*pieces, query.text[position:]])


def normalize_sql(text: str) -> str:
    """Normalize a query for comparison: no comments, single spaces, lower case outside of strings.

    >>> normalize_sql("SELECT 'It' AS a /* so */ FROM D.t;") == normalize_sql("select 'It'  as A from d.t")
    True
    """
    import sqlglot
    from sqlglot import TokenType

    tokens = [token for token in sqlglot.tokenize(text, read=DIALECT) if token.token_type != TokenType.SEMICOLON]
    return " ".join(repr(token.text) if token.token_type == TokenType.STRING else token.text.lower() for token in tokens)


Edit = tuple[int, int, str]
"""Start, end (exclusive), and the replacement."""


def _rename_edits(query: Query, names: Mapping[tuple[str, ...], str], tokens: Sequence[Token]) -> Iterator[Edit]:
    """Edits that rename tables and add an alias to each that has none: after a sample, as Spark requires, and never before a PIVOT."""
    from sqlglot import TokenType, exp

    ends = {token.end: position for position, token in enumerate(tokens)}
    for parts, table in _find_tables(query.tree):
        if parts not in names:
            continue
        first, last = table.parts[0].meta["start"], table.parts[-1].meta["end"]
        yield first, last + 1, names[parts]
        position = ends[last]
        if table.args.get("sample") and tokens[position + 1].token_type == TokenType.TABLE_SAMPLE:
            position = _find_closing(tokens, position + 2)
            if [token.text.upper() for token in tokens[position + 1 : position + 3]] == ["REPEATABLE", "("]:
                position = _find_closing(tokens, position + 2)
        if not table.alias and not table.args.get("pivots"):
            yield tokens[position].end + 1, tokens[position].end + 1, f" AS {table.parts[-1].sql(DIALECT)}"
    for column in query.tree.find_all(exp.Column):
        *qualifiers, _ = column.parts
        if len(qualifiers) > 1 and tuple(part.name for part in qualifiers) in names:
            # `domain.table.column`: the alias has no domain.
            yield qualifiers[0].meta["start"], qualifiers[-1].meta["start"], ""


def _average_edits(tokens: Sequence[Token]) -> Iterator[Edit]:
    """Edits that cast the arguments of averages to double: the embedded engine truncates a decimal average where Spark on the JVM rounds it."""
    from sqlglot import TokenType

    for first, last in _find_calls(tokens, "avg", "mean"):
        if tokens[first + 1].token_type in (TokenType.DISTINCT, TokenType.ALL):
            first += 1
        yield tokens[first].end + 1, tokens[first].end + 1, " CAST("
        yield tokens[last].start, tokens[last].start, " AS DOUBLE)"


def _logarithm_edits(tokens: Sequence[Token]) -> Iterator[Edit]:
    """Edits that write `log(x)` as `ln(x)`: the embedded engine has only the logarithm with a base."""
    from sqlglot import TokenType

    for first, last in _find_calls(tokens, "log"):
        depth, commas = 0, 0
        for token in tokens[first + 1 : last]:
            depth += (token.token_type == TokenType.L_PAREN) - (token.token_type == TokenType.R_PAREN)
            commas += depth == 0 and token.token_type == TokenType.COMMA
        if not commas:
            yield tokens[first - 1].start, tokens[first - 1].end + 1, "ln"


def _find_calls(tokens: Sequence[Token], *functions: str) -> Iterator[tuple[int, int]]:
    """Find the calls of some functions: the positions of their parentheses."""
    from sqlglot import TokenType

    for position, token in enumerate(tokens[:-1]):
        is_function = token.token_type == TokenType.VAR and token.text.lower() in functions
        if is_function and tokens[position + 1].token_type == TokenType.L_PAREN:
            yield position + 1, _find_closing(tokens, position + 1)


def _find_closing(tokens: Sequence[Token], opening: int) -> int:
    """Find the parenthesis that closes the one at a position."""
    from sqlglot import TokenType

    depth = 0
    for position in range(opening, len(tokens)):
        depth += (tokens[position].token_type == TokenType.L_PAREN) - (tokens[position].token_type == TokenType.R_PAREN)
        if depth == 0:
            return position
    raise AssertionError("a parsed query has its parentheses in pairs")


def _find_tables(tree: exp.Expression) -> list[tuple[tuple[str, ...], exp.Table]]:
    """Find the tables of a query, each occurrence with the parts of its name; common table expressions don't count."""
    from sqlglot import exp
    from sqlglot.optimizer.scope import traverse_scope

    sources = (source for scope in traverse_scope(tree) for source in scope.sources.values())
    tables = {id(source): source for source in sources if isinstance(source, exp.Table) and source.name}
    return [(tuple(part.name for part in table.parts), table) for table in tables.values()]


def column_sources(
    query: Query, schemas: Mapping[tuple[str, ...], Mapping[str, str]]
) -> dict[str, tuple[tuple[tuple[str, ...], str], ...]]:
    """For each column of the query's result, the (table, column) pairs that it is computed from.

    They are traced through common table expressions, subqueries, `*`, unions and joins. A column counts if its value enters the expression,
    conditions of a CASE included. Columns that only select, group or order rows don't count: WHERE, JOIN ON, GROUP BY, and a window's
    PARTITION BY and ORDER BY. So a constant and `count(*)` come from no column. Where the column can't be identified, all columns count:
    those of a table whose columns the query renames (`AS t(a, b)`), or those of every table.

    Args:
        query: a parsed query.
        schemas: for each table as the query names it, column name -> type.

    Raises:
        SpecError: as `qualify_columns`.

    >>> query = parse_query("SELECT k, max(a + b) OVER (PARTITION BY c) AS m, count(*) OVER (PARTITION BY c) AS n FROM d.t", "x.sql")
    >>> for column, sources in column_sources(query, {("d", "t"): dict.fromkeys("kabc", "double")}).items():
    ...     print(column, [f"{'.'.join(table)}.{name}" for table, name in sources])
    k ['d.t.k']
    m ['d.t.a', 'd.t.b']
    n []
    """
    from sqlglot.lineage import lineage

    tree, schema = qualify_columns(query, schemas)
    _simplify(tree)
    scope = _open_scope(tree, schema)
    tables = {"__".join(parts): parts for parts in schemas}
    nodes = lineage(None, tree, schema, dialect=DIALECT, scope=scope, trim_selects=False, copy=False)
    return {column: tuple(sorted(_columns_below(node, tables, schemas))) for column, node in nodes.items()}


def _simplify(tree: exp.Expression) -> None:
    """Drop what only chooses and orders the rows of a window, and give each projection and lateral column a name of its own."""
    from sqlglot import exp

    for window in tree.find_all(exp.Window):
        window.set("partition_by", None)
        window.set("order", None)
    for select in tree.find_all(exp.Select):
        select.set("expressions", [single for projection in select.expressions for single in _split_aliases(projection)])
    for lateral in tree.find_all(exp.Lateral):
        if isinstance(lateral.this, exp.Subquery):
            for projection, name in zip(lateral.this.selects, lateral.alias_column_names, strict=False):
                projection.set("alias", exp.to_identifier(name))


def _open_scope(tree: exp.Expression, schema: Mapping[str, Any]) -> Scope:
    """The scope of a query with its stars expanded, in which subqueries see the tables around them."""
    from sqlglot.optimizer.scope import build_scope

    scope = build_scope(tree)
    assert scope is not None, "a query has a scope"
    for part in scope.traverse():
        _expand_stars(part, schema)
    scope = build_scope(tree)
    assert scope is not None
    _share_outer_sources(scope)
    return scope


def _columns_below(
    node: Node, tables: Mapping[str, tuple[str, ...]], schemas: Mapping[tuple[str, ...], Mapping[str, str]]
) -> set[tuple[tuple[str, ...], str]]:
    """The (table, column) pairs at the leaves of a column's lineage."""
    from sqlglot import exp

    pairs: set[tuple[tuple[str, ...], str]] = set()
    for leaf in node.walk():
        table = leaf.expression
        if isinstance(table, exp.Placeholder):
            pairs |= {(parts, name) for parts, columns in schemas.items() for name in columns}
        elif isinstance(table, exp.Table) and table.name in tables:
            parts = tables[table.name]
            # A name in backticks comes in quotes.
            column = leaf.name.rpartition(".")[2].strip('"')
            is_known = column in schemas[parts] and not table.alias_column_names
            pairs |= {(parts, name) for name in ([column] if is_known else schemas[parts])}
    return pairs


def _split_aliases(projection: Any) -> list[Any]:
    """Split a projection of several columns, `posexplode(x) AS (a, b)`, into one for each: all have the same sources."""
    from sqlglot import exp

    if not isinstance(projection, exp.Aliases):
        return [projection]
    return [exp.alias_(projection.this.copy(), name.name) for name in projection.aliases]


def _expand_stars(scope: Scope, schema: Mapping[str, Any]) -> None:
    """Replace `*` among the arguments of a call, as in `struct(*)`, by the columns that it stands for; the one of `count(*)` stands for none."""
    from sqlglot import exp

    for star in [star for projection in getattr(scope.expression, "selects", []) for star in projection.find_all(exp.Star)]:
        is_qualified = isinstance(star.parent, exp.Column)
        node = star.parent if is_qualified else star
        if isinstance(node.parent, exp.Select) or (isinstance(node.parent, exp.Count) and not is_qualified):
            continue
        tables = [star.parent.table] if is_qualified else list(scope.selected_sources)
        columns = [exp.column(name, table=table) for table in tables for name in _column_names(scope.sources.get(table), schema)]
        node.replace(exp.Tuple(expressions=columns))


def _column_names(source: exp.Table | Scope | None, schema: Mapping[str, Any]) -> Iterable[str]:
    """The column names of a table, or of a query in its place."""
    from sqlglot import exp

    if isinstance(source, exp.Table):
        return source.alias_column_names or schema.get(source.name, ())
    return getattr(source.expression, "named_selects", ()) if source is not None else ()


def _share_outer_sources(scope: Scope) -> None:
    """Let subqueries see the tables around them, as SQL does, and replace a LATERAL subquery by its query."""
    from sqlglot.optimizer.scope import Scope

    for name, source in scope.sources.items():
        if isinstance(source, Scope) and source.is_udtf and source.subquery_scopes:
            scope.sources[name] = source.subquery_scopes[0]
    for inner in (*scope.subquery_scopes, *scope.udtf_scopes, *scope.set_operation_scopes):
        inner.sources = {**scope.sources, **inner.sources}
    for inner in (*scope.cte_scopes, *scope.set_operation_scopes, *scope.table_scopes, *scope.subquery_scopes):
        _share_outer_sources(inner)


def qualify_columns(
    query: Query, schemas: Mapping[tuple[str, ...], Mapping[str, str]], *, expand_alias_refs: bool = True
) -> tuple[exp.Expression, dict[str, object]]:
    """Qualify every column with its table and expand `*`, in a copy of the query.

    Returns:
        The copy, and the schema by which its columns were resolved.

    Raises:
        SpecError: no table has a column; the message names it and its line. Without `expand_alias_refs` also an alias that its own SELECT uses
            as a column.
    """
    from sqlglot import exp
    from sqlglot.errors import SqlglotError
    from sqlglot.optimizer.qualify import qualify

    # One flat name per table, so that names of different depths fit into one schema.
    flat = {parts: "__".join(parts) for parts in schemas}
    tree = query.tree.copy()
    for table in tree.find_all(exp.Table):
        parts = tuple(part.name for part in table.parts)
        if parts in flat:
            if not table.alias:
                table.set("alias", exp.TableAlias(this=table.parts[-1]))
            table.set("this", exp.to_identifier(flat[parts]))
            table.set("db", None)
            table.set("catalog", None)
    schema: dict[str, object] = {flat[parts]: dict(columns) for parts, columns in schemas.items()}
    try:
        qualified = qualify(
            tree,
            schema=schema,
            dialect=DIALECT,
            quote_identifiers=False,
            identify=False,
            validate_qualify_columns=True,
            expand_alias_refs=expand_alias_refs,
        )
    except SqlglotError as error:
        message = str(error).splitlines()[0]
        raise SpecError(_tidy_message(message), file=query.file, line=_line_of_column(query.text, message)) from error
    return qualified, schema


def _tidy_message(message: str) -> str:
    return re.sub(r"\.? Line: \d+, Col: \d+", "", message.replace('"', "'")).rstrip(".")


def line_of(node: Any) -> int:
    """The first line of a part of a query, by the names in it."""
    return min((part.meta["line"] for part in node.walk() if "line" in part.meta), default=1)


def _line_of(text: str, parts: tuple[str, ...]) -> int:
    name = ".".join(parts)
    for number, line in enumerate(text.splitlines(), 1):
        if name in line.partition("--")[0].replace("`", ""):
            return number
    return 1


def _line_of_column(text: str, message: str) -> int:
    if told := re.search(r"\bLine: (\d+)", message):
        return int(told[1])
    for name in re.findall(r"[\"'`]?([A-Za-z_][A-Za-z0-9_]*)[\"'`]?", message)[::-1]:
        for number, line in enumerate(text.splitlines(), 1):
            if re.search(rf"\b{re.escape(name)}\b", line.partition("--")[0]):
                return number
    return 1
