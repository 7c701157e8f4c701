"""The format of a lake, kept at its root in `_lakeloop.json`: refused where it is newer than this version reads, raised by `lakeloop upgrade`.

A lake without that file was written by 0.1.0, and has format 1. What changes how a lake is laid out, what its states hold or what makes a fingerprint
raises `FORMAT` and adds a `Migration`; nothing else may.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lakeloop.errors import FormatError
from resources.lake.tables import require_usable, unavailable

if TYPE_CHECKING:
    from deltalake._internal import DeltaFileSystemHandler

FORMAT = 1
FIRST_FORMAT = 1
FILE = "_lakeloop.json"


@dataclass(frozen=True)
class Migration:
    """How a lake of one format becomes one of the next.

    Attributes:
        format: that it has afterwards.
        description: what changes, a sentence.
        apply: changes the lake at a URL; done again after a crash it changes nothing more.
    """

    format: int
    description: str
    apply: Callable[[str], None]


MIGRATIONS: tuple[Migration, ...] = ()
"""In order, one for each format after the first."""


def read_format(url: str) -> int | None:
    """The format that a lake's file says; None where it has no such file.

    Args:
        url: root of the lake.

    Raises:
        DataError: no table can be opened at such a path.
        FormatError: the file can't be read as one of ours.
        ServiceUnavailable: the store doesn't answer, or doesn't let us in.
    """
    require_usable(url)
    text = _read(url)
    if text is None:
        return None
    try:
        number = json.loads(text)["format"]
    except (ValueError, KeyError, TypeError):
        number = None
    if not isinstance(number, int) or isinstance(number, bool) or number < FIRST_FORMAT:
        raise FormatError(
            f'{url}/{FILE}: wanted {{"format": <a number from {FIRST_FORMAT} on>}}, found {text[:80]!r}; nothing was read or written'
        )
    return number


def check_format(url: str, newest: int = FORMAT) -> None:
    """Refuse a lake that this version can't read.

    Raises:
        DataError: no table can be opened at such a path.
        FormatError: its format is newer, or older and to be upgraded.
        ServiceUnavailable: the store doesn't answer, or doesn't let us in.
    """
    stored = read_format(url)
    number = FIRST_FORMAT if stored is None else stored
    if number > newest:
        raise FormatError(
            f"the lake at {url} has format {number}, and Lakeloop {version()} reads formats up to {newest}: use the version that wrote it, or a newer "
            "one; nothing was read or written"
        )
    if number < newest and not _is_empty(url):
        raise FormatError(
            f"the lake at {url} has format {number}, and Lakeloop {version()} reads format {newest}: `lakeloop upgrade` converts it, and prints first "
            "what changes; nothing was read or written"
        )


def mark_format(url: str, number: int = FORMAT) -> None:
    """Write the format of a lake into its file, unless the file says it already.

    Raises:
        FormatError: the lake has a newer format by now.
    """
    stored = read_format(url)
    if stored is not None and stored > number:
        check_format(url, number)
    if stored is None or stored < number:
        _write(url, json.dumps({"format": number, "written_by": f"lakeloop {version()}"}) + "\n")


def steps_to(url: str, migrations: Sequence[Migration] = MIGRATIONS) -> list[Migration]:
    """What `upgrade` has to do to a lake, in order; the last step is always to write down the format.

    Raises:
        FormatError: the lake is newer than this version.
    """
    newest = migrations[-1].format if migrations else FIRST_FORMAT
    stored = read_format(url)
    if stored is not None and stored > newest:
        check_format(url, newest)
    number = FIRST_FORMAT if stored is None else stored
    missing = [step for step in migrations if step.format > number]
    if stored is None and not missing:
        return [Migration(newest, f"{FILE} is written, which says that the lake has format {newest}; no table changes", lambda _: None)]
    return missing


def upgrade(url: str, steps: Sequence[Migration]) -> None:
    """Take a lake through some steps; each is written down when it is done, so that a crash repeats one at most."""
    for step in steps:
        step.apply(url)
        mark_format(url, step.format)


def version() -> str:
    """The installed version of Lakeloop."""
    return importlib.metadata.version("lakeloop")


def _is_empty(url: str) -> bool:
    """Whether nothing was written to a lake yet, so that it has no format to be upgraded from."""
    from deltalake import DeltaTable

    return not DeltaTable.is_deltatable(f"{url}/reports/verdicts")


def _read(url: str) -> str | None:
    if "://" not in url:
        path = Path(url, FILE)
        return path.read_text(encoding="utf-8") if path.is_file() else None
    try:
        store = _store(url)
        (info,) = store.get_file_info([FILE])
        return store.open_input_file(FILE).read(info.size).decode() if info.size is not None else None
    except OSError as error:
        raise unavailable(url, error) from error


def _write(url: str, text: str) -> None:
    if "://" not in url:
        path = Path(url, FILE)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{FILE}.{os.getpid()}")
        part.write_text(text, encoding="utf-8")
        part.replace(path)
        return
    try:
        stream = _store(url).open_output_stream(FILE, None)
        stream.write(text.encode())
        stream.close()  # type: ignore[attr-defined]  # deltalake's stub leaves it out
    except OSError as error:
        raise unavailable(url, error) from error


def _store(url: str) -> DeltaFileSystemHandler:
    """An object store as deltalake reaches it, with the credentials that it takes from the environment.

    Without deltalake's own wrapper for Arrow, which hands its stream a buffer that the stream refuses (deltalake 1.6).
    """
    from deltalake._internal import DeltaFileSystemHandler

    return DeltaFileSystemHandler(url)
