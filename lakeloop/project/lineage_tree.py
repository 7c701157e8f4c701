"""Column lineage for people (a tree, then the raw columns) and for programs (plain records)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lakeloop.project.lineage import ColumnRef, Lineage, reachable_columns


def render(lineage: Lineage, ref: ColumnRef, *, downstream: bool = False) -> str:
    """Render a tree of the columns that a column comes from, and the raw columns by table; or, downstream, of those that come from it.

    A column that is in the tree already is repeated without its branches.
    """
    lines = [str(ref), *_render_branches(lineage, ref, downstream, "", {ref})]
    ends = lineage.reach(ref) if downstream else lineage.roots(ref)
    ends = tuple(column for column in ends if column != ref)
    lines.append("")
    if not ends:
        lines.append("nothing comes from it" if downstream else "it comes from no column" if not lineage.columns[ref] else "")
        return "\n".join(lines).rstrip()
    by_asset: dict[str, list[ColumnRef]] = {}
    for column in ends:
        by_asset.setdefault(column.asset, []).append(column)
    lines.append(f"{_format_count(len(ends), 'column')} {'come from it' if downstream else 'it came from'}:")
    for asset, columns in by_asset.items():
        origin = "" if downstream else f"  ({lineage.origin(columns[0])})" if len({lineage.origin(c) for c in columns}) == 1 else ""
        lines.append(f"  {asset}: {', '.join(column.column for column in columns)}{origin}")
    return "\n".join(lines)


def as_record(lineage: Lineage, ref: ColumnRef, *, downstream: bool = False) -> dict[str, Any]:
    """The same as plain JSON: every column on the path with its direct neighbours, and the raw columns (or all that come from it)."""
    edges = lineage.users if downstream else lineage.columns
    path = sorted(reachable_columns(edges, ref))
    ends = lineage.reach(ref) if downstream else lineage.roots(ref)
    return {
        "column": str(ref),
        "direction": "downstream" if downstream else "upstream",
        "edges": {str(column): [str(other) for other in edges[column]] for column in path},
        "columns" if downstream else "raw": [str(column) for column in ends],
    }


def _render_branches(lineage: Lineage, ref: ColumnRef, downstream: bool, indent: str, seen: set[ColumnRef]) -> Iterator[str]:
    children = (lineage.users if downstream else lineage.columns)[ref]
    for index, child in enumerate(children):
        is_last = index == len(children) - 1
        is_repeated = child in seen and bool((lineage.users if downstream else lineage.columns)[child])
        yield f"{indent}{'└─ ' if is_last else '├─ '}{child}{' (see above)' if is_repeated else ''}"
        if child not in seen:
            seen.add(child)
            yield from _render_branches(lineage, child, downstream, indent + ("   " if is_last else "│  "), seen)


def _format_count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
