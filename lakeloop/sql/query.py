"""SQL as data: which tables a query reads, which columns it gives, and the same query over other table names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakeloop.errors import SpecError

if TYPE_CHECKING:
    from sqlglot import Token, exp
    from sqlglot.optimizer.scope import Scope

DIALECT = "spark"


@dataclass(frozen=True)
class TableName:
    """A table as a query names it: `parts` from the left, `line` (1-based) where it does so first."""

    parts: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class Query:
    """One parsed SELECT, its text, and the tables it reads (common table expressions left out)."""

    tree: exp.Expression
    text: str
    file: str
    tables: tuple[TableName, ...]


def parse_query(text: str, file: str) -> Query:
    """Parse one SELECT or WITH query, in Spark's dialect.

    Args:
        text: the SQL.
        file: named in errors.

    Raises:
        SpecError: the text can't be parsed, isn't exactly one query, or does anything but read.
    """
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    try:
        statements = [s for s in sqlglot.parse(text, read=DIALECT) if s is not None]
    except SqlglotError as error:
        details = (getattr(error, "errors", None) or [{}])[0]
        line = details.get("line")
        what = re.sub(r"<Token .*?text: (.*?), line: .*?>", r"'\1'", details.get("description") or str(error).splitlines()[0])
        near = details.get("highlight")
        raise SpecError(f"can't parse the SQL: {what}" + (f", near {near!r}" if near else ""), file=file, line=line) from error
    if len(statements) != 1:
        raise SpecError(f"wanted one query, found {len(statements)} statements", file=file, line=1)
    tree = statements[0]
    if not isinstance(tree, exp.Query):
        raise SpecError(f"wanted a SELECT or WITH query, found {tree.key.upper()}", file=file, line=1)
    for call in tree.find_all(exp.Anonymous):
        if call.name.upper() == "IDENTIFIER":
            raise SpecError(f"wanted the name itself, found {call.sql(DIALECT)}", file=file, line=_line_of(text, (call.name,)))
    found: dict[tuple[str, ...], int] = {}
    try:
        tables = _tables(tree)  # type: ignore[arg-type]
    except SqlglotError as error:
        raise SpecError(f"can't make sense of the query: {str(error).splitlines()[0]}", file=file, line=1) from error
    for parts, table in tables:
        found.setdefault(parts, _line_of(text, parts))
        if table.args.get("version"):
            raise SpecError(
                f"wanted {'.'.join(parts)} as it is, found a {table.args['version'].sql(DIALECT)}: a query reads what is published now",
                file=file,
                line=_line_of(text, parts),
            )
    return Query(
        tree,  # type: ignore[arg-type]
        text,
        file,
        tuple(TableName(parts, line) for parts, line in found.items()),
    )


def rewrite_tables(query: Query, names: Mapping[tuple[str, ...], str]) -> str:
    """The query's own text over other table names; columns keep the old name as their qualifier through an alias.

    Everything else stays as it was written, for SQL that sqlglot writes again may compute something else (it makes `percentile_cont` approximate).
    Only what the embedded engine has differently is changed too, see `_averages` and `_logarithms`.

    >>> rewrite_tables(parse_query("SELECT t.a  FROM d.t", "x.sql"), {("d", "t"): "d__t"})
    'SELECT t.a  FROM d__t AS t'
    """
    import sqlglot

    tokens = sqlglot.tokenize(query.text, read=DIALECT)
    edits = [*_renamings(query, names, tokens), *_averages(query, tokens), *_logarithms(tokens)]
    text, done = [], 0
    for start, end, new in sorted(edits):
        text += [query.text[done:start], new]
        done = end
    return "".join([*text, query.text[done:]])


def normalize_sql(text: str) -> str:
    """A query without comments, spaces and letter case outside of strings: what it asks, not how it is laid out.

    >>> normalize_sql("SELECT 'It' AS a /* so */ FROM D.t;") == normalize_sql("select 'It'  as A from d.t")
    True
    """
    import sqlglot
    from sqlglot import TokenType

    tokens = [token for token in sqlglot.tokenize(text, read=DIALECT) if token.token_type != TokenType.SEMICOLON]
    return " ".join(repr(token.text) if token.token_type == TokenType.STRING else token.text.lower() for token in tokens)


Edit = tuple[int, int, str]
"""From, to (exclusive), and what stands there instead."""


def _renamings(query: Query, names: Mapping[tuple[str, ...], str], tokens: Sequence[Token]) -> Iterator[Edit]:
    """New names of tables, and an alias behind each that had none: behind a sample, as Spark wants it, and none before a PIVOT."""
    from sqlglot import TokenType, exp

    ends = {token.end: place for place, token in enumerate(tokens)}
    for parts, table in _tables(query.tree):
        if parts not in names:
            continue
        first, last = table.parts[0].meta["start"], table.parts[-1].meta["end"]
        yield first, last + 1, names[parts]
        place = ends[last]
        if table.args.get("sample") and tokens[place + 1].token_type == TokenType.TABLE_SAMPLE:
            place = _closing(tokens, place + 2)
            if [token.text.upper() for token in tokens[place + 1 : place + 3]] == ["REPEATABLE", "("]:
                place = _closing(tokens, place + 2)
        if not table.alias and not table.args.get("pivots"):
            yield tokens[place].end + 1, tokens[place].end + 1, f" AS {table.parts[-1].sql(DIALECT)}"
    for column in query.tree.find_all(exp.Column):
        *qualifiers, _ = column.parts
        if len(qualifiers) > 1 and tuple(part.name for part in qualifiers) in names:
            # `domain.table.column`: the alias has no domain.
            yield qualifiers[0].meta["start"], qualifiers[-1].meta["start"], ""


def _averages(query: Query, tokens: Sequence[Token]) -> Iterator[Edit]:
    """Averages are taken of doubles: of a decimal average the embedded engine cuts the last digit off where the JVM's rounds it.

    No column of a lake is a decimal, so a query without a decimal in its text has none; its averages stay as they are.
    """
    from sqlglot import TokenType, exp

    cast = any(kind.this == exp.DataType.Type.DECIMAL for kind in query.tree.find_all(exp.DataType))
    if not cast and all(number.is_string or "." not in number.this for number in query.tree.find_all(exp.Literal)):
        return
    for first, last in _calls(tokens, "avg", "mean"):
        if tokens[first + 1].token_type in (TokenType.DISTINCT, TokenType.ALL):
            first += 1
        yield tokens[first].end + 1, tokens[first].end + 1, " CAST("
        yield tokens[last].start, tokens[last].start, " AS DOUBLE)"


def _logarithms(tokens: Sequence[Token]) -> Iterator[Edit]:
    """`log(x)` as `ln(x)`: the embedded engine only knows the one with a base."""
    from sqlglot import TokenType

    for first, last in _calls(tokens, "log"):
        depth, commas = 0, 0
        for token in tokens[first + 1 : last]:
            depth += (token.token_type == TokenType.L_PAREN) - (token.token_type == TokenType.R_PAREN)
            commas += depth == 0 and token.token_type == TokenType.COMMA
        if not commas:
            yield tokens[first - 1].start, tokens[first - 1].end + 1, "ln"


def _calls(tokens: Sequence[Token], *functions: str) -> Iterator[tuple[int, int]]:
    """Where the arguments of calls of some functions stand: the places of their parentheses."""
    from sqlglot import TokenType

    for place, token in enumerate(tokens[:-1]):
        named = token.token_type == TokenType.VAR and token.text.lower() in functions
        if named and tokens[place + 1].token_type == TokenType.L_PAREN:
            yield place + 1, _closing(tokens, place + 1)


def _closing(tokens: Sequence[Token], opening: int) -> int:
    """The place of the parenthesis that closes the one at a place."""
    from sqlglot import TokenType

    depth = 0
    for place in range(opening, len(tokens)):
        depth += (tokens[place].token_type == TokenType.L_PAREN) - (tokens[place].token_type == TokenType.R_PAREN)
        if depth == 0:
            return place
    raise AssertionError("the query was parsed, so its parentheses are in pairs")


def _tables(tree: exp.Expression) -> list[tuple[tuple[str, ...], exp.Table]]:
    """The tables that a query names with the parts of their names, each place once; common table expressions are none."""
    from sqlglot import exp
    from sqlglot.optimizer.scope import traverse_scope

    sources = (source for scope in traverse_scope(tree) for source in scope.sources.values())
    tables = {id(source): source for source in sources if isinstance(source, exp.Table) and source.name}
    return [(tuple(part.name for part in table.parts), table) for table in tables.values()]


def column_sources(
    query: Query, schemas: Mapping[tuple[str, ...], Mapping[str, str]]
) -> dict[str, tuple[tuple[tuple[str, ...], str], ...]]:
    """For each column of the query's result, the (table, column) pairs whose values it is computed from.

    Followed through common table expressions, subqueries, `*`, unions and joins. A column counts where its value goes into the
    expression, conditions of a CASE included. What only chooses, groups or orders rows doesn't: WHERE, JOIN ON, GROUP BY, and a window's
    PARTITION BY and ORDER BY. So a constant and `count(*)` come from no column. Where it can't be told which column it is, all count: those
    of a table whose columns the query names anew (`AS t(a, b)`), or of every table.

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
    from sqlglot import exp
    from sqlglot.lineage import lineage
    from sqlglot.optimizer.scope import build_scope

    tree, schema = qualify_columns(query, schemas)
    for window in tree.find_all(exp.Window):
        window.set("partition_by", None)
        window.set("order", None)
    for query_ in tree.find_all(exp.Select):
        query_.set("expressions", [single for projection in query_.expressions for single in _named_singly(projection)])
    for lateral in tree.find_all(exp.Lateral):
        if isinstance(lateral.this, exp.Subquery):
            for select, name in zip(lateral.this.selects, lateral.alias_column_names, strict=False):
                select.set("alias", exp.to_identifier(name))
    scope = build_scope(tree)
    assert scope is not None, "a query has a scope"
    for part in scope.traverse():
        _expand_stars(part, schema)
    scope = build_scope(tree)
    assert scope is not None
    _see_around(scope)
    named = {"__".join(parts): parts for parts in schemas}
    every = {(parts, name) for parts, columns in schemas.items() for name in columns}
    found = {}
    nodes = lineage(None, tree, schema, dialect=DIALECT, scope=scope, trim_selects=False, copy=False)
    for column, node in nodes.items():
        pairs: set[tuple[tuple[str, ...], str]] = set()
        for leaf in node.walk():
            table = leaf.expression
            if isinstance(table, exp.Placeholder):
                pairs |= every
            elif isinstance(table, exp.Table) and table.name in named:
                parts = named[table.name]
                # A name in backticks comes in quotes.
                one = leaf.name.rpartition(".")[2].strip('"')
                told = one in schemas[parts] and not table.alias_column_names
                pairs |= {(parts, name) for name in ([one] if told else schemas[parts])}
        found[column] = tuple(sorted(pairs))
    return found


def _named_singly(projection: Any) -> list[Any]:
    """A projection that gives several columns, `posexplode(x) AS (a, b)`, as one for each: all are computed from the same."""
    from sqlglot import exp

    if not isinstance(projection, exp.Aliases):
        return [projection]
    return [exp.alias_(projection.this.copy(), name.name) for name in projection.aliases]


def _expand_stars(scope: Scope, schema: Mapping[str, Any]) -> None:
    """`*` among the arguments of a call, as in `struct(*)`, as the columns that it stands for; that of `count(*)` stands for none."""
    from sqlglot import exp

    for star in [star for projection in getattr(scope.expression, "selects", []) for star in projection.find_all(exp.Star)]:
        is_qualified = isinstance(star.parent, exp.Column)
        place = star.parent if is_qualified else star
        if isinstance(place.parent, exp.Select) or (isinstance(place.parent, exp.Count) and not is_qualified):
            continue
        of = [star.parent.table] if is_qualified else list(scope.selected_sources)
        columns = [exp.column(name, table=table) for table in of for name in _names_of(scope.sources.get(table), schema)]
        place.replace(exp.Tuple(expressions=columns))


def _names_of(source: exp.Table | Scope | None, schema: Mapping[str, Any]) -> Iterable[str]:
    """The columns that a table, or a query in its place, has."""
    from sqlglot import exp

    if isinstance(source, exp.Table):
        return source.alias_column_names or schema.get(source.name, ())
    return getattr(source.expression, "named_selects", ()) if source is not None else ()


def _see_around(scope: Scope) -> None:
    """Let subqueries see the tables around them, as SQL does, and a LATERAL subquery be what its query gives."""
    from sqlglot.optimizer.scope import Scope

    for name, source in scope.sources.items():
        if isinstance(source, Scope) and source.is_udtf and source.subquery_scopes:
            scope.sources[name] = source.subquery_scopes[0]
    for inner in (*scope.subquery_scopes, *scope.udtf_scopes, *scope.set_operation_scopes):
        inner.sources = {**scope.sources, **inner.sources}
    for inner in (*scope.cte_scopes, *scope.set_operation_scopes, *scope.table_scopes, *scope.subquery_scopes):
        _see_around(inner)


def qualify_columns(
    query: Query, schemas: Mapping[tuple[str, ...], Mapping[str, str]], *, expand_alias_refs: bool = True
) -> tuple[exp.Expression, dict[str, object]]:
    """A copy of the query with every column under its table's name and `*` expanded, and the schema that it was read by.

    Raises:
        SpecError: a column that no table has; the message names it and its line. Without `expand_alias_refs` also a name that a SELECT gives
            and uses as a column.
    """
    from sqlglot import exp
    from sqlglot.errors import SqlglotError
    from sqlglot.optimizer.qualify import qualify

    # One flat name per table, so that a table and a view of other depths can stand in one schema.
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
        raise SpecError(_tidy(message), file=query.file, line=_line_of_column(query.text, message)) from error
    return qualified, schema


def _tidy(message: str) -> str:
    return message.replace('"', "'").rstrip(".")


def line_of(node: Any) -> int:
    """The first line on which a part of the query has a name."""
    return min((part.meta["line"] for part in node.walk() if "line" in part.meta), default=1)


def _line_of(text: str, parts: tuple[str, ...]) -> int:
    wanted = ".".join(parts)
    for number, line in enumerate(text.splitlines(), 1):
        if wanted in line.partition("--")[0].replace("`", ""):
            return number
    return 1


def _line_of_column(text: str, message: str) -> int:
    for name in re.findall(r"[\"'`]?([A-Za-z_][A-Za-z0-9_]*)[\"'`]?", message)[::-1]:
        for number, line in enumerate(text.splitlines(), 1):
            if re.search(rf"\b{re.escape(name)}\b", line.partition("--")[0]):
                return number
    return 1
