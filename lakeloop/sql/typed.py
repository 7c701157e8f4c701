"""A query with the types of its expressions, and where its columns come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlglot import exp
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.scope import Scope, traverse_scope

from lakeloop.sql.query import DIALECT, parse_query, qualify_columns


class TypedQuery:
    """A query whose columns are qualified and whose types are known as far as its text tells them.

    Attributes:
        text: the query.
        schemas: for each table that it reads, column name -> type.
        tree: its expressions, each with the place where it stands, see `lakeloop.sql.spans`.
    """

    def __init__(self, text: str, schemas: Mapping[str, Mapping[str, str]]) -> None:
        """Read a query; `schemas` has for each table column name -> type.

        Raises:
            SpecError: as `parse_query` and `qualify_columns`.
        """
        tree, schema = qualify_columns(parse_query(text, "query"), {tuple(name.split(".")): columns for name, columns in schemas.items()})
        self.text, self.schemas = text, schemas
        for number in [
            each for each in tree.find_all(exp.Literal) if not each.is_string and each.name.isdigit() and int(each.name) >= 1 << 31
        ]:
            number.replace(exp.cast(number.copy(), "BIGINT"))  # sqlglot takes it for an INT
        self.tree = annotate_types(tree, schema=schema, dialect=DIALECT)
        self._scopes: dict[int, Scope] = {}
        for scope in traverse_scope(self.tree):
            for node in scope.walk():
                self._scopes.setdefault(id(node), scope)

    def scope_of(self, node: Any) -> Scope | None:
        """The SELECT that an expression stands in."""
        return self._scopes.get(id(node))

    def source_of(self, column: Any) -> Any:
        """The table or the query that a column is of; None where that can't be told."""
        scope = self.scope_of(column)
        return scope.sources.get(column.table) if scope is not None else None


def outputs_of(scope: Scope, name: str) -> list[Any]:
    """The expressions of a column of a query: one, or one of each part of a UNION. Empty if it has none of this name."""
    names = [str(each).lower() for each in scope.outer_columns or scope.expression.named_selects]  # type: ignore[attr-defined]
    return _outputs_at(scope, names.index(name.lower())) if name.lower() in names else []


def _outputs_at(scope: Scope, place: int) -> list[Any]:
    tree = scope.expression
    if isinstance(tree, exp.SetOperation):
        return [each for part in scope.set_operation_scopes for each in _outputs_at(part, place)]
    return [tree.selects[place]] if isinstance(tree, exp.Select) and place < len(tree.selects) else []


def kind_of(node: Any) -> str:
    """The type of an expression, in capitals; `UNKNOWN` where it can't be told."""
    kind = getattr(node, "type", None)
    return str(kind.this.name) if kind is not None else "UNKNOWN"


def added_by(node: Any) -> Any:
    """What SUM or another aggregate is of, without its DISTINCT."""
    return node.this.expressions[0] if isinstance(node.this, exp.Distinct) else node.this


def whole_call(node: Any) -> Any:
    """A call of an aggregate with its FILTER and OVER; any other expression as it is."""
    while isinstance(node.parent, (exp.Window, exp.Filter)) and node.arg_key == "this":
        node = node.parent
    return node


def values_of(node: Any) -> list[Any]:
    """What a CASE or an IF chooses from."""
    if isinstance(node, exp.Case):
        values = [branch.args["true"] for branch in node.args["ifs"]] + [node.args.get("default")]
    else:
        values = [node.args.get("true"), node.args.get("false")]
    return [each for each in values if each is not None]


def element_kind(scope: Any) -> str:
    """The type of the elements that a lambda is about, in capitals; `UNKNOWN` where it can't be told."""
    around = scope.parent
    array = around.expressions[0] if isinstance(around, exp.Anonymous) else around.this
    kind = getattr(array, "type", None)
    inner = [each for each in kind.expressions if isinstance(each, exp.DataType)] if kind is not None else []
    return str(inner[0].this.name) if inner else "UNKNOWN"


def kind_of_variable(node: Any) -> str:
    """The type of a lambda's first variable, of which its array has the elements; of another name `UNKNOWN`."""
    scope = node.find_ancestor(exp.Lambda)
    is_first = scope is not None and bool(scope.expressions) and scope.expressions[0].name.lower() == node.name.lower()
    return element_kind(scope) if is_first and not isinstance(scope.parent, exp.Reduce) else "UNKNOWN"
