"""Hiding values: in rows, in messages of libraries, in tracebacks; and the parts of a URL that nobody may see.

Which columns are personal is decided in `lakeloop.spec.personal` and `lakeloop.project.personal`.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, unquote_plus

MASK = "***"
KEPT_BACK = "its message is kept back, for it may hold values of personal columns"
_AUTHORITY = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*://(?:(?P<user>[^/?#\s]*)@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[\w.-]*)(?::(?P<port>[^/?#]*))?(?P<rest>[/?#].*)?",
    re.ASCII | re.DOTALL,
)
_ESCAPES = "percent-encoded: @ is %40, / is %2F, : is %3A, # is %23, ? is %3F, % is %25, a space is %20"


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


def url_problem(url: str) -> str:
    """Why a database's URL can't be taken apart for certain, in words that hold no part of it; empty where it can.

    A password with `@`, `/`, `?` or `#` in it makes other parts of itself a host or a database, which drivers then show in their messages.

    >>> url_problem("postgresql://user:p%40ss@host:5432/shop")
    ''
    >>> url_problem("postgresql://user:p@ss@host/shop").partition(";")[0]
    'its user and password have an @ too many'
    >>> url_problem("postgresql://user:pass@host:99999/shop")
    'its port is no number from 1 to 65535'
    """
    parts = _AUTHORITY.fullmatch(url)
    if parts is None:
        return f"it isn't of the form scheme://user:password@host:port/database; characters of user and password are {_ESCAPES}"
    if not parts["host"] and not parts["user"] and parts["port"] is None:
        return ""  # a file's: what follows is its path
    if any(character.isspace() or not character.isprintable() for character in url):
        return f"it has a space or a control character; characters of user and password are {_ESCAPES}"
    if "@" in (parts["user"] or ""):
        return f"its user and password have an @ too many; characters of user and password are {_ESCAPES}"
    if "@" in (parts["rest"] or "") or "#" in (parts["rest"] or ""):
        return f"there is an @ or a # behind its host; characters of user and password are {_ESCAPES}"
    port = parts["port"]
    if port is not None and not (port.isdecimal() and 0 < int(port[:6]) <= 65535):
        return "its port is no number from 1 to 65535" + ("" if parts["user"] else f"; characters of user and password are {_ESCAPES}")
    return ""


def without_secrets(text: str, url: str) -> str:
    """A message without any part of a URL's user, password and options: drivers show them, whole or in pieces.

    >>> without_secrets('could not translate host name "ss" of user "anna"', "postgresql://anna:p@ss@host/shop")
    'could not translate host name "***" of user "***"'
    """
    _, _, rest = url.partition("://")
    user, _, place = rest.rpartition("@")
    options = parse_qsl(place.partition("?")[2].partition("#")[0], keep_blank_values=False)
    whole = {user, *user.split(":", 1), *(value for _, value in options)}
    whole |= {unquote(piece) for piece in whole} | {unquote_plus(piece) for piece in whole}
    pieces = whole | {part for piece in whole for part in re.split(r"[:@/?#&=]", piece)}
    for piece in sorted((piece for piece in pieces if piece), key=len, reverse=True):
        text = text.replace(piece, MASK) if len(piece) > 1 else re.sub(rf"(?<!\w){re.escape(piece)}(?!\w)", MASK, text)
    return text
