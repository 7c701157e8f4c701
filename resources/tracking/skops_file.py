"""skops files: an archive of a schema and of numbers, as skops writes it and in no other shape, with the types that it would make.

`skops.io.load` takes more than it writes: members that nothing names, data before and after the archive, and any type of a list that it is given.
Here the list is the caller's, never the one that lies in the model (mlflow PR #25686).
"""

from __future__ import annotations

import io
import json
import re
import struct
import sys
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Any

SCHEMA = "schema.json"
MOST_SCHEMA_BYTES = 512 * 2**20
_MEMBER = re.compile(r"[0-9a-f-]{1,40}\.(npy|npz|bin)")
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_NEVER = frozenset({*sys.stdlib_module_names, "builtins"})
_HARMLESS = frozenset({"collections.OrderedDict", "collections.defaultdict", "functools.partial"})
"""Of the standard library, what fitted models consist of."""


def check_skops(path: Path) -> None:
    """Check that a file is what skops writes.

    Raises:
        ValueError: it isn't, with what was found.
    """
    with path.open("rb") as stream:
        _check_archive(stream, path.stat().st_size)
    with zipfile.ZipFile(path) as archive:
        names = {info.filename for info in archive.infolist()}
        if SCHEMA not in names:
            raise ValueError(f"wanted an archive that skops wrote, found one without {SCHEMA}")
        if archive.getinfo(SCHEMA).file_size > MOST_SCHEMA_BYTES:
            raise ValueError(f"its {SCHEMA} has more than {MOST_SCHEMA_BYTES // 2**20} MiB")
        schema = json.loads(archive.read(SCHEMA))
        if not isinstance(schema, dict) or not {"__class__", "__module__", "protocol"} <= schema.keys():
            raise ValueError(f"its {SCHEMA} isn't one of skops")
        cited = set(_cited(schema))
        if cited != names - {SCHEMA}:
            raise ValueError(
                f"it holds what its {SCHEMA} doesn't name, or lacks what it names: {', '.join(sorted(cited ^ (names - {SCHEMA})))}"
            )
        for name in sorted(cited):
            if not _MEMBER.fullmatch(name):
                raise ValueError(f"a member named {name!r}: wanted numbers or bytes as skops names them")
            with archive.open(name) as member:
                _check_member(member, name)


def untrusted_types(path: Path, trusted: Collection[str]) -> list[str]:
    """The types in a skops file that neither skops nor a list trusts, in order.

    Args:
        path: the file, checked.
        trusted: names of types; `module.*` trusts what a module defines.

    Raises:
        ValueError: skops can't read it.
    """
    import skops.io

    try:
        types = skops.io.get_untrusted_types(file=str(path))
    except Exception as error:  # skops has no error of its own for a schema that makes no sense
        raise ValueError(f"skops can't read it: {type(error).__name__}: {str(error)[:200]}") from error
    modules = tuple(name[:-1] for name in trusted if name.endswith(".*"))
    return sorted(name for name in types if name not in trusted and not (modules and name.startswith(modules)))


def without_standard_library(listed: Collection[str]) -> list[str]:
    """Of a list of types that nobody of ours checked, those that a model may consist of: none of the standard library, which opens files and runs commands.

    >>> without_standard_library(["os.system", "sklearn.tree._tree.Tree", "collections.OrderedDict", "builtins.eval"])
    ['sklearn.tree._tree.Tree', 'collections.OrderedDict']
    """
    return [name for name in listed if name in _HARMLESS or name.partition(".")[0] not in _NEVER]


def _check_archive(stream: IO[bytes], size: int) -> None:
    """Check that an archive begins where the file does, has nothing between its members, and ends where the file ends."""
    if stream.read(4) != b"PK\x03\x04":
        raise ValueError("it doesn't begin as an archive")
    with zipfile.ZipFile(stream) as archive:
        members = sorted(archive.infolist(), key=lambda info: info.header_offset)
        end, start_of_directory = 0, archive.start_dir
        if archive.comment:
            raise ValueError("its archive has a comment")
        for info in members:
            if info.flag_bits & 0x1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.is_dir():
                raise ValueError(f"its member {info.filename!r} is encrypted, a folder, or packed as skops doesn't")
            stream.seek(info.header_offset)
            signature, name_length, extra_length = _LOCAL_HEADER.unpack(stream.read(_LOCAL_HEADER.size))
            if info.header_offset != end or signature != b"PK\x03\x04":
                raise ValueError("there is something beside the members of its archive")
            end = info.header_offset + _LOCAL_HEADER.size + name_length + extra_length + info.compress_size
        if len({info.filename for info in members}) != len(members):
            raise ValueError("two members of its archive have the same name")
    if end != start_of_directory:
        raise ValueError("there is something beside the members of its archive")
    stream.seek(max(0, size - 22))
    if stream.read(4) != b"PK\x05\x06":
        raise ValueError("there is something after its archive")


def _cited(schema: Any) -> Iterator[str]:
    """The members that a schema names."""
    waiting = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if isinstance(node.get("file"), str) and "__loader__" in node:
                yield node["file"]
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def _check_member(member: IO[bytes], name: str) -> None:
    if name.endswith(".npy"):
        _check_numbers(member, name)
    elif name.endswith(".npz"):
        with zipfile.ZipFile(io.BytesIO(member.read())) as inner:
            for each in inner.namelist():
                if not re.fullmatch(r"\w+\.npy", each):
                    raise ValueError(f"its member {name} holds {each!r}: wanted arrays of numbers")
                with inner.open(each) as array:
                    _check_numbers(array, f"{name}/{each}")
    elif re.match(rb"\x80[\x00-\x08]", member.read(2)):
        raise ValueError(f"its member {name} is a pickle")


def _check_numbers(stream: IO[bytes], name: str) -> None:
    """Check that a member is an array of NumPy's format whose values are no objects, which would be pickled."""
    import numpy as np

    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
    except (ValueError, EOFError) as error:
        raise ValueError(f"its member {name} is no array of numbers: {str(error)[:100]}") from error
    if dtype.hasobject or any(length < 0 for length in shape):
        raise ValueError(f"its member {name} holds objects: wanted numbers")
