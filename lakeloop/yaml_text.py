"""YAML as a person would write it: flow mappings on one line, comments at the end of the line that they explain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

_WIDTH = 1 << 20
_LINE_BREAKS = frozenset("\n\r\x85\u2028\u2029")


class _Dumper(yaml.SafeDumper):
    """Flow style, keys in their order, never `~` for null."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # Single-quoted text that has a line break would take several lines.
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if _LINE_BREAKS.intersection(text) else None)


_Dumper.add_representer(tuple, lambda dumper, value: dumper.represent_list(list(value)))
_Dumper.add_representer(str, _represent_text)


def to_flow(value: Any) -> str:
    """Write a value on one line.

    >>> to_flow({"type": "double", "unit": "%", "source": ["Share (%)"]})
    "{type: double, unit: '%', source: [Share (%)]}"
    >>> to_flow("NO"), to_flow(3.0), to_flow("a: b")
    ("'NO'", '3.0', "'a: b'")
    """
    text = yaml.dump(value, Dumper=_Dumper, default_flow_style=True, width=_WIDTH, sort_keys=False, allow_unicode=True)
    return str(text).removesuffix("\n").removesuffix("\n...")


def to_line(indent: int, key: str, value: Any, comment: str = "") -> str:
    """Write `key: value  # comment`, indented by two spaces per level; mappings and lists in flow style.

    >>> to_line(1, "keys", ["id"], "unique in all 3 rows")
    '  keys: [id]  # unique in all 3 rows'
    """
    shown = f"{'  ' * indent}{to_flow(key)}: {to_flow(value)}"
    return f"{shown}  # {to_one_line(comment)}" if comment else shown


def to_comment(indent: int, text: str) -> str:
    """Write a comment line."""
    return f"{'  ' * indent}# {to_one_line(text)}"


def to_one_line(text: str) -> str:
    """Join a text into one line that can't end a comment early, whatever a source calls its columns."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def column_fields(column: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a column in reading order, without defaults."""
    order = ("type", "unit", "nullable", "personal", "source", "path", "format", "timezone", "null_values", "non_finite", "description")
    fields = {
        name: column[name]
        for name in order
        if column.get(name) not in (None, "", False) or (name == "nullable" and column.get(name) is False)
    }
    if fields.get("nullable") is True:
        del fields["nullable"]
    for name in ("source", "path"):
        if isinstance(fields.get(name), list) and len(fields[name]) == 1:
            fields[name] = fields[name][0]
    return fields
