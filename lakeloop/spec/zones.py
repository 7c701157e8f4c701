"""Time zones by their IANA names."""

from __future__ import annotations

import difflib
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BeforeValidator, WithJsonSchema


def check_zone(value: Any) -> Any:
    """A zone's name as it was given; None stays None.

    Raises:
        ValueError: no zone has this name.

    >>> check_zone("Europe/Zurich")
    'Europe/Zurich'
    """
    if value is None:
        return None
    try:
        ZoneInfo(value)
    except (ValueError, KeyError, TypeError, OSError):
        near = difflib.get_close_matches(str(value), sorted(available_timezones()), n=3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ValueError(f"wanted the name of a time zone such as Europe/Zurich or America/New_York, found {value!r}{hint}") from None
    return value


Zone = Annotated[str, BeforeValidator(check_zone), WithJsonSchema({"type": "string"})]
"""The name of a time zone of the IANA database, such as Europe/Zurich."""
