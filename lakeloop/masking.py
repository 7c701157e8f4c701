"""Hiding values: in rows, in messages of libraries, in tracebacks.

Which columns are personal is decided in `lakeloop.spec.personal` and `lakeloop.project.personal`.
"""

from __future__ import annotations

import traceback
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

MASK = "***"
KEPT_BACK = "its message is kept back, for it may hold values of personal columns"


def mask_row(values: Mapping[str, Any], personal: Collection[str]) -> dict[str, Any]:
    """Mask the values of personal columns in a row; a null stays visible.

    >>> mask_row({"id": 1, "email": "a@b.c", "phone": None}, {"email", "phone"})
    {'id': 1, 'email': '***', 'phone': None}
    """
    return {name: MASK if name in personal and value is not None else value for name, value in values.items()}


def message_of(error: BaseException, hide: bool) -> str:
    """The first line of an error's message; where personal columns are present, only the type of the error.

    Libraries show the value that they fail on. Their message can't be masked reliably, so it is left out.

    >>> message_of(ValueError("can't convert 'Jane'"), hide=True)
    'a ValueError; its message is kept back, for it may hold values of personal columns'
    """
    if hide:
        return f"a {type(error).__name__}; {KEPT_BACK}"
    return (str(error).splitlines() or [type(error).__name__])[0]


def format_frames(error: BaseException) -> str:
    """Format the places that an error came through, outermost first, without any values."""
    frames = traceback.extract_tb(error.__traceback__)
    return "\n".join(f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}" for frame in frames)
