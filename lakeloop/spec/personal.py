"""The personal columns of one table by its own definition; `lakeloop.project.personal` adds those that inherit the flag."""

from __future__ import annotations

from collections.abc import Collection

from lakeloop.spec.tables import TableSpec


def hidden_sources(spec: TableSpec) -> frozenset[str]:
    """The landed columns that personal columns are read from."""
    return frozenset(part for name, column in spec.columns.items() if column.personal for part in (column.source or [name]))


def personal_of_table(spec: TableSpec) -> frozenset[str]:
    """The personal columns of a table: those that are marked, and unmarked ones that are read from the same landed columns."""
    hidden = hidden_sources(spec)
    return frozenset(
        name
        for name, column in spec.columns.items()
        if (column.personal if column.personal is not None else hidden & set(column.source or [name]))
    )


def hidden_landed(spec: TableSpec, landed: Collection[str]) -> frozenset[str]:
    """The landed columns whose values are hidden: those that personal columns are read from, and undeclared ones beside them.

    An undeclared column may hold anything; in a table without personal columns it is shown.
    """
    hidden = hidden_sources(spec)
    if not hidden:
        return hidden
    declared = {part for name, column in spec.columns.items() for part in (column.source or [name])}
    return hidden | (frozenset(landed) - declared)
