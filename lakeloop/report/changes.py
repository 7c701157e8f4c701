"""What changed from one model version to another: data, features, parameters, score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Change:
    """One thing that is not as it was; empty where there was nothing."""

    what: str
    before: str
    after: str


def what_changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """Compare the facts of two versions, in the order that they are told.

    Args:
        before: the facts of the earlier version: plain values, lists or mappings by name.
        now: of the later one.

    >>> what_changed({"rows": 10, "features": ["a"]}, {"rows": 12, "features": ["a", "b"]})
    [Change(what='rows', before='10', after='12'), Change(what='features', before='', after='b')]
    """
    found = []
    for name in dict.fromkeys([*now, *before]):
        a, b = before.get(name), now.get(name)
        if a == b:
            continue
        if isinstance(a or b, list):
            gone = ", ".join(str(v) for v in a or [] if v not in (b or []))
            new = ", ".join(str(v) for v in b or [] if v not in (a or []))
            if gone or new:
                found.append(Change(name, gone, new))
        elif isinstance(a or b, Mapping):
            inner = what_changed(a or {}, b or {})
            found += [Change(f"{name}: {change.what}", change.before, change.after) for change in inner]
        else:
            found.append(Change(name, _shown(a), _shown(b)))
    return found


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
