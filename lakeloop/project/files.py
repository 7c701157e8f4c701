"""Definition files (`defs.yaml`): read with the line of every key, and validation errors told by file, line and key."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from lakeloop.errors import SpecError, nearest
from lakeloop.spec.tables import TableSpec, ViewSpec
from lakeloop.spec.workflow import WorkflowSpec

SPECS: dict[str, type[TableSpec] | type[ViewSpec] | type[WorkflowSpec]] = {
    "platform_assets.components.LakeTable": TableSpec,
    "platform_assets.components.FeatureView": ViewSpec,
    "platform_assets.components.MLWorkflow": WorkflowSpec,
}


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML's safe subset, in which only true and false are booleans: `on:` is a key and NO a country, as in YAML 1.2."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool" or first in "tTfF"]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}
Path_ = tuple[str | int, ...]


@dataclass(frozen=True)
class Definition:
    """One definition as written: its component type, its attributes, and where each key stands."""

    file: str
    type: str
    attributes: Mapping[str, Any]
    lines: Mapping[Path_, int] = field(default_factory=dict, repr=False)

    def line_of(self, path: Path_) -> int | None:
        """The line (1-based) of a key below `attributes`, or of its nearest parent that is there."""
        for size in range(len(path), -1, -1):
            line = self.lines.get(("attributes", *path[:size]))
            if line is not None:
                return line
        return None

    def error(self, message: str, *path: str | int) -> SpecError:
        """A SpecError at a key below `attributes`."""
        return SpecError(message, file=self.file, line=self.line_of(path), key=".".join(map(str, path)))


def read_definitions(path: Path, shown: str) -> tuple[list[Definition], list[SpecError]]:
    """Read a definition file; several definitions may stand in it, parted by `---`.

    Args:
        path: the file.
        shown: its name in messages.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        return [], [SpecError(f"wanted UTF-8 text, found byte {error.object[error.start]:#04x} at offset {error.start}", file=shown)]
    found: list[Definition] = []
    errors: list[SpecError] = []
    try:
        loader = _Loader(text)
        try:
            while loader.check_node():
                node = loader.get_node()
                lines: dict[Path_, int] = {}
                errors += _collect(node, (), lines, shown)
                value = loader.construct_document(node)
                definition = _definition(value, lines, shown)
                (errors if isinstance(definition, SpecError) else found).append(definition)  # type: ignore[arg-type]
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = ": ".join(part for part in (error.context, error.problem) if part)
        return [], [SpecError(f"can't read the YAML: {what}", file=shown, line=mark.line + 1 if mark else None)]
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        return [], [SpecError(f"can't read the YAML: {error}", file=shown)]
    if not found and not errors:
        errors.append(SpecError("wanted `type` and `attributes`, found an empty file", file=shown))
    return found, errors


def to_spec(definition: Definition) -> tuple[BaseModel | None, list[SpecError]]:
    """Validate a definition's attributes; errors name file, line, key, what was wanted and the nearest match."""
    model = SPECS[definition.type]
    try:
        return model.model_validate(definition.attributes), []
    except ValidationError as error:
        return None, spec_errors(error, model, definition)


def spec_errors(error: ValidationError, model: type[BaseModel], definition: Definition) -> list[SpecError]:
    """Turn pydantic's errors into ours, one per offending key."""
    found: dict[tuple[Any, ...], SpecError] = {}
    for item in error.errors(include_url=False):
        path = tuple(
            part for part in item["loc"] if isinstance(part, int) or part in _written(definition, item["loc"]) or part == item["loc"][-1]
        )
        message = item["msg"].removeprefix("Value error, ")
        key, _, rest = message.partition(": ")
        if rest and (*path, key) != path and key in _fields_at(model, path):
            # A validator of the whole spec names the key that it means.
            path, message = (*path, key), rest
        if item["type"] == "extra_forbidden":
            message = _unknown_key(model, definition, path)
        elif item["type"] == "missing":
            message = f"wanted the key {str(path[-1])!r}, it is missing"
        elif item["type"] == "literal_error":
            wanted = str(item["ctx"]["expected"]).replace(" or ", ", ").replace("'", "").split(", ")
            message = f"found {item['input']!r}; {nearest(str(item['input']), wanted)}"
        elif not item["type"].startswith(("value_error", "assertion")):
            message = f"{message[0].lower()}{message[1:]}, found {_short(item['input'])}"
        found.setdefault(path, definition.error(message, *path))
    return list(found.values())


def _definition(value: Any, lines: Mapping[Path_, int], shown: str) -> Definition | SpecError:
    if not isinstance(value, dict):
        return SpecError(f"wanted `type` and `attributes`, found a {type(value).__name__}", file=shown, line=1)
    for key in value:
        if key not in ("type", "attributes", "requirements", "template_vars_module", "post_processing"):
            return SpecError(
                f"unknown key {str(key)!r}; {nearest(str(key), ['type', 'attributes'])}", file=shown, line=lines.get((key,)), key=str(key)
            )
    kind = value.get("type")
    if kind not in SPECS:
        what = "`type` is missing" if kind is None else f"unknown type {kind!r}"
        return SpecError(f"{what}; {nearest(str(kind), SPECS)}", file=shown, line=lines.get(("type",), 1), key="type")
    attributes = value.get("attributes")
    if not isinstance(attributes, dict):
        return SpecError(
            f"wanted a mapping under `attributes`, found {_short(attributes)}",
            file=shown,
            line=lines.get(("attributes",), 1),
            key="attributes",
        )
    return Definition(shown, kind, attributes, lines)


def _collect(node: Any, path: Path_, lines: dict[Path_, int], shown: str) -> list[SpecError]:
    lines.setdefault(path, node.start_mark.line + 1)
    errors: list[SpecError] = []
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in seen:
                errors.append(
                    SpecError(f"the key {name!r} is here a second time; the first is on line {seen[name]}", file=shown, line=line, key=name)
                )
            seen[name] = line
            lines[(*path, name)] = line
            errors += _collect(value, (*path, name), lines, shown)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            errors += _collect(value, (*path, index), lines, shown)
    return errors


def _written(definition: Definition, path: tuple[Any, ...]) -> set[Any]:
    """Those parts of a pydantic location that are keys in the file; the others name union members."""
    value: Any = definition.attributes
    found: set[Any] = set()
    for part in path:
        if isinstance(value, Mapping) and part in value:
            value = value[part]
            found.add(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
    return found


def _unknown_key(model: type[BaseModel], definition: Definition, path: tuple[Any, ...]) -> str:
    """What to say of a key that isn't allowed; where there is a choice of kinds, of the kind that the keys beside it say."""
    key = str(path[-1])
    value: Any = definition.attributes
    beside: set[Any] = set()
    with suppress(LookupError, TypeError):  # what a definition in Python or a short form doesn't hold like that
        for part in path[:-1]:
            value = value[part]
        beside = set(value)
    kinds = [kind for kind in _kinds_at(model, path[:-1]) if "properties" in kind]
    meant = [kind for kind in kinds if set(kind.get("required", ())) <= beside] or kinds
    told = f"unknown key {key!r}"
    if len(meant) < len(kinds) and meant[0].get("required"):
        told += f" beside {', '.join(meant[0]['required'])}"
        others = [required for kind in kinds if key in kind["properties"] for required in kind.get("required", ())]
        told += f" (it goes with {', '.join(others)})" if others else ""
    return f"{told}; {nearest(key, [name for kind in meant for name in kind['properties']])}"


def _fields_at(model: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    """The keys that are allowed at a path, of every kind that can stand there."""
    return sorted({name for kind in _kinds_at(model, path) for name in kind.get("properties", {})})


def _kinds_at(model: type[BaseModel], path: tuple[Any, ...]) -> list[dict[str, Any]]:
    """The schemas of what can stand at a path, found by walking the JSON schema."""
    schema = model.model_json_schema()
    definitions = schema.get("$defs", {})

    def resolve(node: dict[str, Any]) -> list[dict[str, Any]]:
        if "$ref" in node:
            return resolve(definitions[node["$ref"].split("/")[-1]])
        options = node.get("anyOf") or node.get("oneOf")
        return [hit for option in options for hit in resolve(option)] if options else [node]

    nodes = [schema]
    for part in path:
        step: list[dict[str, Any]] = []
        for found in (hit for node in nodes for hit in resolve(node)):
            if part in found.get("properties", {}):
                step.append(found["properties"][part])
            elif isinstance(found.get("additionalProperties"), dict):
                step.append(found["additionalProperties"])
            elif isinstance(found.get("items"), dict):
                step.append(found["items"])
        nodes = step
    return [hit for node in nodes for hit in resolve(node)]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
