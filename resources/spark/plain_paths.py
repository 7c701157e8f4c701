"""Local paths that an engine on this machine can open.

Sail 0.7 finds no Delta table below a folder whose name has a space, `%`, `#` or a letter beyond ASCII, however the path is written, and reads `*`,
`?` and braces as a pattern. It follows symbolic links, so that a link with a plain name stands for such a folder.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from lakeloop.errors import LakeloopError

_OTHER = re.compile(r"[^A-Za-z0-9._~/-]")
_TEMPORARY = ("/tmp", "/var/tmp")
"""Where links stand if the path of the temporary folder that the environment names isn't plain itself."""


def is_plain(path: str) -> bool:
    """Whether a path has only characters that every engine takes literally.

    >>> is_plain("/home/me/lake/validated"), is_plain("/home/Jürgen/lake")
    (True, False)
    """
    return _OTHER.search(path) is None


def plain_path(path: str) -> str:
    """A plain path to the same folder: itself, or one in which a link stands for its beginning, up to the last part with other characters.

    Raises:
        LakeloopError: there is no private folder for the link.
    """
    parts = path.split("/")
    others = [place for place, part in enumerate(parts) if not is_plain(part)]
    if not others:
        return path
    end = others[-1] + 1
    return "/".join([_link_to("/".join(parts[:end])), *parts[end:]])


def _link_to(target: str) -> str:
    """The link of a folder, named by the folder's path, so that every process of a user has the same and a moved lake gets another."""
    folder = _private_folder()
    link = folder / hashlib.sha256(os.fsencode(target)).hexdigest()[:32]
    if not link.is_symlink() or str(link.readlink()) != target:
        # Another process may do the same now; the later of two equal links replaces the other in one go.
        draft = folder / uuid4().hex
        draft.symlink_to(target)
        draft.replace(link)
    return str(link)


def _private_folder() -> Path:
    """A folder with a plain path that nobody else can enter, so that nobody else can turn a link to other data."""
    base = next((base for base in (tempfile.gettempdir(), *_TEMPORARY) if is_plain(base) and os.access(base, os.W_OK | os.X_OK)), None)
    if base is None:
        raise LakeloopError(
            "the embedded Spark engine opens a lake at such a path through a link in a temporary folder: wanted one that can be written to "
            f"and has a path of ASCII letters, digits and . _ ~ - only, found {tempfile.gettempdir()!r}; set TMPDIR"
        )
    folder = Path(base, f"lakeloop-paths-{os.getuid()}")
    with suppress(FileExistsError):
        folder.mkdir(0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise LakeloopError(
            f"{folder}: wanted a folder of this user that nobody else can enter, found {stat.filemode(status.st_mode)} of user "
            f"{status.st_uid}; remove it, or set TMPDIR to another folder"
        )
    return folder
