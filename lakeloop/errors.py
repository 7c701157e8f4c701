"""Every error that users meet. A message says what was wanted, what was found, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LakeloopError(Exception):
    """Base of every error that Lakeloop raises on purpose."""


class SpecError(LakeloopError):
    """A definition file can't be built as it is written.

    Args:
        message: what was wanted and what was found, one sentence.
        file: path of the file, relative to the project where possible.
        line: 1-based line of the offending key or value; None for an error of the whole file.
        key: dotted path of the key inside the file, such as `features.route_delays`.
    """

    def __init__(self, message: str, *, file: str = "", line: int | None = None, key: str = "") -> None:
        self.message, self.file, self.line, self.key = message, file, line, key
        place = ":".join(str(part) for part in (file, line) if part)
        super().__init__(": ".join(part for part in (place, key, message) if part))


class SpecErrors(SpecError):
    """Several errors, one per line; `errors` holds each with its place."""

    def __init__(self, errors: Iterable[SpecError], heading: str = "", closing: str = "") -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(part for part in (heading, *map(str, self.errors), closing) if part))


class DataError(LakeloopError):
    """Data that can't be accepted; nothing was written.

    Args:
        message: what was wanted, what was found, and where, without a value of a personal column.
        detail: the message of a library or a database, which may show any value; it is left out where personal columns are at hand.
    """

    def __init__(self, message: str, *, detail: object = "") -> None:
        self.message, self.detail = message, str(detail)
        super().__init__(": ".join(part for part in (message, self.detail) if part))


class NotPublished(LakeloopError):
    """A table version without a passing verdict was requested."""


class FormatError(LakeloopError):
    """A lake of another format than this version of Lakeloop reads."""


class Conflict(LakeloopError):
    """Another writer changed the table between reading and committing."""


class ServiceUnavailable(LakeloopError):
    """A server that a step needs did not answer; the message has its address."""


def nearest(name: str, available: Iterable[str]) -> str:
    """Suggest the nearest of the available names.

    >>> nearest("late_shar", ["late_share", "mean_delay"])
    "did you mean 'late_share'? Available: late_share, mean_delay"
    >>> nearest("c", ["C", "tol"])
    "did you mean 'C'? Available: C, tol"
    >>> nearest("x", [])
    'nothing is available'
    """
    names = sorted(set(available))
    if not names:
        return "nothing is available"
    same = [other for other in names if other.lower() == name.lower()]
    close = same or difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean '{close[0]}'? " if close else ""
    shown = ", ".join(names[:20]) + (f", … ({len(names)} in all)" if len(names) > 20 else "")
    return f"{hint}Available: {shown}"
