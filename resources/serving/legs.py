"""Which version answers a row while a canary is tried: by a hash of the row's keys, so that a key stays with its leg.

The server doesn't ask this yet; it serves one version of each name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from hashlib import blake2b
from typing import Any, Literal

from lakeloop.errors import DataError

Role = Literal["champion", "canary"]
_HASHES = 2**64


@dataclass(frozen=True)
class Leg:
    """A version and the part of all keys that it answers, from 0 to 1."""

    version: str
    share: float
    role: Role


@dataclass(frozen=True)
class Rollout:
    """The versions that answer under a name: a champion, and beside it at most one canary.

    Attributes:
        name: of the model.
        legs: the shares add up to 1.
        sticky: the keys by which rows are shared out; none means all keys that the row has.

    Raises:
        DataError: of legs that aren't so.
    """

    name: str
    legs: tuple[Leg, ...]
    sticky: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the legs, since they may come from a file."""
        roles = sorted(leg.role for leg in self.legs)
        if roles not in (["champion"], ["canary", "champion"]):
            raise DataError(f"{self.name}: wanted a champion and at most one canary, found {', '.join(roles) or 'no leg'}")
        if len({leg.version for leg in self.legs}) < len(self.legs):
            raise DataError(f"{self.name}: wanted a canary of another version than the champion, found {self.legs[0].version} twice")
        shares = [leg.share for leg in self.legs]
        if not all(0 <= share <= 1 for share in shares) or not math.isclose(sum(shares), 1, abs_tol=1e-9):
            raise DataError(f"{self.name}: wanted shares from 0 to 1 that add up to 1, found {', '.join(f'{share:g}' for share in shares)}")

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Rollout:
        """Read what `record` made."""
        legs = tuple(Leg(leg["version"], leg["share"], leg["role"]) for leg in record["legs"])
        return cls(record["name"], legs, tuple(record.get("sticky", ())))

    def record(self) -> dict[str, Any]:
        """Make a record that JSON can hold."""
        return asdict(self)

    def leg_of(self, keys: Mapping[str, Any], request_id: str) -> Leg:
        """Choose the leg of a row.

        Over n distinct keys a share s is met with a deviation of sqrt(s(1 - s) / n): 0.3 points for 10% of 10,000, 0.5 points for a half.

        Args:
            keys: of the row; those among them that `sticky` names count. An unknown key is None, as is one that the caller left out.
            request_id: counts where the row has no key that is known.
        """
        names: Sequence[str] = self.sticky or sorted(keys)
        values = [keys.get(name) for name in names]
        if all(value is None for value in values):
            names, values = ["request"], [request_id]
        champion = next(leg for leg in self.legs if leg.role == "champion")
        canary = next((leg for leg in self.legs if leg.role == "canary"), None)
        if canary is None:
            return champion
        # The canary's keys are those with the smallest hashes, so that a larger share keeps all keys of a smaller one. The version is hashed too: otherwise the
        # same customers would meet each new version first.
        place = _hash_of([self.name, canary.version, *(part for pair in zip(names, values, strict=True) for part in pair)])
        return canary if place < canary.share * _HASHES else champion


def _hash_of(parts: Sequence[Any]) -> int:
    """Hash values, each with its length before it, so that ("ab", "c") isn't ("a", "bc")."""
    digest = blake2b(digest_size=8)
    for part in parts:
        text = _text_of(part).encode("utf-8", "surrogatepass")
        digest.update(len(text).to_bytes(8, "big") + text)
    return int.from_bytes(digest.digest(), "big")


def _text_of(value: Any) -> str:
    """Spell a value the same whichever protocol it came by: JSON writes 7, a double's tensor has 7.0."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return f"text {value}"
    if isinstance(value, date):  # times too
        return f"time {value.isoformat()}"
    number = value.item() if hasattr(value, "item") else value
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    return f"value {number!r}"
