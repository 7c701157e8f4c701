"""Which queries have values that the embedded engine used to get wrong: windows by subtraction or over dates, whole numbers, NaN, decimals, zeros in arrays.

What it computed right anyway, such as sums of whole numbers or the latest of a time, is told apart by the types of the columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from lakeloop.errors import SpecError
from lakeloop.sql.decimals import guard_decimal_sums, guard_mixtures
from lakeloop.sql.moving_windows import Split, splits
from lakeloop.sql.nan_signs import guard_nan
from lakeloop.sql.overflow import find_overflows
from lakeloop.sql.query import DIALECT, parse_query, qualify_columns
from lakeloop.sql.typed import TypedQuery
from lakeloop.sql.window_calls import EXACT, LISTS
from lakeloop.sql.zeros import guard_zeros
from lakeloop.windows.frame import Offset, WindowCall

_WHOLE = frozenset(["TINYINT", "SMALLINT", "INT", "BIGINT"])
_ADDED = frozenset(["sum", "avg", "mean"])
"""Over whole numbers these were exact."""
_TRUTH = frozenset(["bool_and", "every", "bool_or", "some", "any"])
Schemas = tuple[tuple[tuple[str, ...], tuple[tuple[str, str], ...]], ...]


def has_moved_values(text: str, schemas: Mapping[tuple[str, ...], Mapping[str, str]]) -> bool:
    """Whether a query has a window over a moving frame that the embedded engine may have computed wrongly before 0.4.0.

    Args:
        text: a query.
        schemas: for each table as the query names it, column name -> type.
    """
    return _has_moved_values(text, _hashable(schemas))


@lru_cache(maxsize=1000)
def _has_moved_values(text: str, schemas: Schemas) -> bool:
    tables = {parts: dict(columns) for parts, columns in schemas}
    try:
        return any(
            _may_differ(call, types) for split in splits(text, with_exact=True) for types in [_types(split, tables)] for call in split.calls
        )
    except SpecError:
        return True


def _types(split: Split, tables: Mapping[tuple[str, ...], Mapping[str, str]]) -> dict[str, str]:
    """The types of the columns that windows are over, in capitals; `UNKNOWN` where it can't be told."""
    from sqlglot import exp
    from sqlglot.optimizer.annotate_types import annotate_types

    tree, schema = qualify_columns(parse_query(split.inner, "query"), tables)
    tree = annotate_types(tree, schema=schema, dialect=DIALECT)
    kinds: dict[str, str] = {}
    for projection in tree.selects:  # type: ignore[attr-defined]
        kind = projection.type.this if projection.type is not None else exp.DataType.Type.UNKNOWN
        kinds[projection.alias_or_name] = kind.name
    return kinds


def _may_differ(call: WindowCall, types: Mapping[str, Any]) -> bool:
    if call.function in LISTS:
        return True
    if call.function in _ADDED:
        is_right = all(types.get(name) in _WHOLE for name in call.arguments)
    else:
        is_right = call.function in EXACT or call.function in _TRUTH
    return not is_right or (_is_measured(call.frame.start, call.frame.end) and call.frame.unit == "range" and _is_over_date(call, types))


def _is_measured(*bounds: Offset | None) -> bool:
    return any(bound is not None and not bound.is_current for bound in bounds)


def _is_over_date(call: WindowCall, types: Mapping[str, Any]) -> bool:
    return all(types.get(each.column) in ("DATE", "UNKNOWN") for each in call.order)


def has_mixed_numbers(text: str, schemas: Mapping[tuple[str, ...], Mapping[str, str]]) -> bool:
    """Whether a query compares doubles with decimals, or has doubles in arrays, which the embedded engine may have computed wrongly before 0.5.0.

    Args:
        text: a query.
        schemas: for each table as the query names it, column name -> type.
    """
    return _has_mixed_numbers(text, _hashable(schemas))


@lru_cache(maxsize=1000)
def _has_mixed_numbers(text: str, schemas: Schemas) -> bool:
    query = _typed(text, schemas)
    return bool([*guard_mixtures(query), *guard_zeros(query)])


def has_guarded_numbers(text: str, schemas: Mapping[tuple[str, ...], Mapping[str, str]], *, has_nan: bool) -> bool:
    """Whether a query has whole numbers or sums of decimals that may leave their type, or NaN that are compared, which may have been wrong before 0.4.0.

    Args:
        text: a query.
        schemas: for each table as the query names it, column name -> type.
        has_nan: whether a table that is read may hold NaN or infinity.
    """
    return _has_guarded_numbers(text, _hashable(schemas), has_nan)


@lru_cache(maxsize=1000)
def _has_guarded_numbers(text: str, schemas: Schemas, has_nan: bool) -> bool:
    query = _typed(text, schemas)
    try:
        if find_overflows(query).sites:
            return True
    except SpecError:
        return True
    return bool([*guard_nan(query, is_read=has_nan), *guard_decimal_sums(query)])


def _hashable(schemas: Mapping[tuple[str, ...], Mapping[str, str]]) -> Schemas:
    return tuple((parts, tuple(columns.items())) for parts, columns in schemas.items())


def _typed(text: str, schemas: Schemas) -> TypedQuery:
    # A whole number of the lake has 64 bits, and the type that a definition names has 32 in SQL.
    kinds = {".".join(parts): {name: "bigint" if kind == "integer" else kind for name, kind in columns} for parts, columns in schemas}
    return TypedQuery(text, kinds)
