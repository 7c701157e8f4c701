"""The parts of a fingerprint by name, which a state keeps beside it: by them `lakeloop plan --why` tells what changed.

They decide nothing. Names are `code`, `definition.<key>`, `file.<name>`, `input.<asset>` and `value.<name>`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from lakeloop.fingerprint import short_hash
from resources.lake.published import States, TableKey


def code(version: str) -> dict[str, str]:
    """The code version of a stage."""
    return {"code": f"={version}"}


def keys(spec: BaseModel, include: Collection[str] | None = None) -> dict[str, str]:
    """The keys of a definition that aren't at their default, all that count in a fingerprint or some of them."""
    values = spec.model_dump(mode="json", exclude_defaults=True, exclude={"description", "owners"})
    return {f"definition.{key}": short_hash(value) for key, value in values.items() if include is None or key in include}


def file(name: str, text: Any) -> dict[str, str]:
    """A file beside the definition."""
    return {f"file.{name}": short_hash(text)}


def value(name: str, said: Any) -> dict[str, str]:
    """Something that is short enough to be told as it is."""
    return {f"value.{name}": f"={'none' if said is None else said}"}


def inputs(states: States, fingerprints: Mapping[str, Any]) -> dict[str, str]:
    """What is read of other assets, by path, with the version that is published."""
    return {f"input.{path}": f"{short_hash(content)}@{_version(states, path)}" for path, content in fingerprints.items()}


def upstream(states: States, key: TableKey, version: Any = None) -> dict[str, str]:
    """All of another asset, with its Delta version, or another version of it."""
    content = {name: str(state.fingerprint) for name, state in states.of(key).items()}
    return {f"input.{key}": f"{short_hash(content)}@{_version(states, str(key)) if version is None else version}"}


def published(states: States, keys: Iterable[TableKey]) -> dict[str, str]:
    """All of some other assets."""
    return {name: part for key in keys for name, part in upstream(states, key).items()}


def _version(states: States, path: str) -> str:
    """The newest Delta version; empty for what has none."""
    version = max((state.version for state in states.of(TableKey(*path.split("/"))).values()), default=-1)
    return str(version) if version >= 0 else ""
