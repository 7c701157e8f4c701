"""Changes from one model version to the next: data, features, parameters, score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Change:
    """One fact that differs; empty where it was or is absent."""

    what: str
    before: str
    after: str


def compare_facts(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """List the differences between the facts of two versions, in the order of the facts.

    Args:
        before: the facts of the earlier version: plain values, lists or mappings by name.
        now: the facts of the later version.

    >>> compare_facts({"rows": 10, "features": ["a"]}, {"rows": 12, "features": ["a", "b"]})
    [Change(what='rows', before='10', after='12'), Change(what='features', before='', after='b')]
    """
    changes = []
    for name in dict.fromkeys([*now, *before]):
        a, b = before.get(name), now.get(name)
        if a == b:
            continue
        if isinstance(a or b, list):
            removed = ", ".join(str(v) for v in a or [] if v not in (b or []))
            added = ", ".join(str(v) for v in b or [] if v not in (a or []))
            if removed or added:
                changes.append(Change(name, removed, added))
        elif isinstance(a or b, Mapping):
            inner = compare_facts(a or {}, b or {})
            changes += [Change(f"{name}: {change.what}", change.before, change.after) for change in inner]
        else:
            changes.append(Change(name, _text(a), _text(b)))
    return changes


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
