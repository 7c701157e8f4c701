"""Definition files (`defs.yaml`): read with the line of every key; validation errors name file, line and key."""

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
    """YAML's safe subset, in which only true and false are booleans: `on:` is a key and NO a string, as in YAML 1.2."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool" or first in "tTfF"]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}
KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Definition:
    """One definition as written: its component type, its attributes, and the line of each key."""

    file: str
    type: str
    attributes: Mapping[str, Any]
    lines: Mapping[KeyPath, int] = field(default_factory=dict, repr=False)

    def line_of(self, path: KeyPath) -> int | None:
        """The line (1-based) of a key below `attributes`, or of its nearest existing parent."""
        for size in range(len(path), -1, -1):
            line = self.lines.get(("attributes", *path[:size]))
            if line is not None:
                return line
        return None

    def error(self, message: str, *path: str | int) -> SpecError:
        """A SpecError at a key below `attributes`."""
        return SpecError(message, file=self.file, line=self.line_of(path), key=".".join(map(str, path)))


def read_definitions(path: Path, file: str) -> tuple[list[Definition], list[SpecError]]:
    """Read a definition file; it may hold several definitions, separated by `---`.

    Args:
        path: the file.
        file: its name in messages.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        return [], [SpecError(f"wanted UTF-8 text, found byte {error.object[error.start]:#04x} at offset {error.start}", file=file)]
    definitions: list[Definition] = []
    errors: list[SpecError] = []
    try:
        loader = _Loader(text)
        try:
            while loader.check_node():
                node = loader.get_node()
                lines: dict[KeyPath, int] = {}
                errors += _collect_lines(node, (), lines, file)
                value = loader.construct_document(node)
                definition = _parse_definition(value, lines, file)
                (errors if isinstance(definition, SpecError) else definitions).append(definition)  # type: ignore[arg-type]
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = ": ".join(part for part in (error.context, error.problem) if part)
        return [], [SpecError(f"can't read the YAML: {problem}", file=file, line=mark.line + 1 if mark else None)]
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        return [], [SpecError(f"can't read the YAML: {error}", file=file)]
    if not definitions and not errors:
        errors.append(SpecError("wanted `type` and `attributes`, found an empty file", file=file))
    return definitions, errors


def to_spec(definition: Definition) -> tuple[BaseModel | None, list[SpecError]]:
    """Validate a definition's attributes; errors name file, line, key, the wanted value and the nearest match."""
    model = SPECS[definition.type]
    try:
        return model.model_validate(definition.attributes), []
    except ValidationError as error:
        return None, spec_errors(error, model, definition)


def spec_errors(error: ValidationError, model: type[BaseModel], definition: Definition) -> list[SpecError]:
    """Turn pydantic's errors into ours, one per offending key."""
    errors: dict[tuple[Any, ...], SpecError] = {}
    for item in error.errors(include_url=False):
        path = tuple(
            part
            for part in item["loc"]
            if isinstance(part, int) or part in _keys_in_file(definition, item["loc"]) or part == item["loc"][-1]
        )
        message = item["msg"].removeprefix("Value error, ")
        key, _, rest = message.partition(": ")
        if rest and (*path, key) != path and key in _fields_at(model, path):
            # A validator of the whole spec names the offending key.
            path, message = (*path, key), rest
        if item["type"] == "extra_forbidden":
            message = _describe_unknown_key(model, definition, path)
        elif item["type"] == "missing":
            message = f"wanted the key {str(path[-1])!r}, it is missing"
        elif item["type"] == "literal_error":
            choices = str(item["ctx"]["expected"]).replace(" or ", ", ").replace("'", "").split(", ")
            message = f"found {item['input']!r}; {nearest(str(item['input']), choices)}"
        elif not item["type"].startswith(("value_error", "assertion")):
            message = f"{message[0].lower()}{message[1:]}, found {_shorten(item['input'])}"
        errors.setdefault(path, definition.error(message, *path))
    return list(errors.values())


def _parse_definition(value: Any, lines: Mapping[KeyPath, int], file: str) -> Definition | SpecError:
    if not isinstance(value, dict):
        return SpecError(f"wanted `type` and `attributes`, found a {type(value).__name__}", file=file, line=1)
    for key in value:
        if key not in ("type", "attributes", "requirements", "template_vars_module", "post_processing"):
            return SpecError(
                f"unknown key {str(key)!r}; {nearest(str(key), ['type', 'attributes'])}", file=file, line=lines.get((key,)), key=str(key)
            )
    kind = value.get("type")
    if kind not in SPECS:
        problem = "`type` is missing" if kind is None else f"unknown type {kind!r}"
        return SpecError(f"{problem}; {nearest(str(kind), SPECS)}", file=file, line=lines.get(("type",), 1), key="type")
    attributes = value.get("attributes")
    if not isinstance(attributes, dict):
        return SpecError(
            f"wanted a mapping under `attributes`, found {_shorten(attributes)}",
            file=file,
            line=lines.get(("attributes",), 1),
            key="attributes",
        )
    return Definition(file, kind, attributes, lines)


def _collect_lines(node: Any, path: KeyPath, lines: dict[KeyPath, int], file: str) -> list[SpecError]:
    """Fill in the line of every key and item below a node; keys that are repeated are errors."""
    lines.setdefault(path, node.start_mark.line + 1)
    errors: list[SpecError] = []
    if isinstance(node, yaml.MappingNode):
        first_lines: dict[str, int] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in first_lines:
                errors.append(
                    SpecError(
                        f"the key {name!r} is here a second time; the first is on line {first_lines[name]}",
                        file=file,
                        line=line,
                        key=".".join(map(str, [*(path[1:] if path[:1] == ("attributes",) else path), name])),
                    )
                )
            first_lines[name] = line
            lines[(*path, name)] = line
            errors += _collect_lines(value, (*path, name), lines, file)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            errors += _collect_lines(value, (*path, index), lines, file)
    return errors


def _keys_in_file(definition: Definition, path: tuple[Any, ...]) -> set[Any]:
    """The parts of a pydantic location that are keys in the file; the others name union members."""
    value: Any = definition.attributes
    keys: set[Any] = set()
    for part in path:
        if isinstance(value, Mapping) and part in value:
            value = value[part]
            keys.add(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
    return keys


def _describe_unknown_key(model: type[BaseModel], definition: Definition, path: tuple[Any, ...]) -> str:
    """Describe a key that isn't allowed; where several kinds can stand, by the kind that the neighbouring keys suggest."""
    key = str(path[-1])
    value: Any = definition.attributes
    neighbours: set[Any] = set()
    with suppress(LookupError, TypeError):  # a definition in Python or a short form has another structure
        for part in path[:-1]:
            value = value[part]
        neighbours = set(value)
    kinds = [kind for kind in _kinds_at(model, path[:-1]) if "properties" in kind]
    likely = [kind for kind in kinds if set(kind.get("required", ())) <= neighbours] or kinds
    message = f"unknown key {key!r}"
    if len(likely) < len(kinds) and likely[0].get("required"):
        message += f" beside {', '.join(likely[0]['required'])}"
        others = [required for kind in kinds if key in kind["properties"] for required in kind.get("required", ())]
        message += f" (it goes with {', '.join(others)})" if others else ""
    return f"{message}; {nearest(key, [name for kind in likely for name in kind['properties']])}"


def _fields_at(model: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    """The keys that are allowed at a path, of every kind that is allowed there."""
    return sorted({name for kind in _kinds_at(model, path) for name in kind.get("properties", {})})


def _kinds_at(model: type[BaseModel], path: tuple[Any, ...]) -> list[dict[str, Any]]:
    """The schemas that are allowed at a path, by walking the JSON schema."""
    schema = model.model_json_schema()
    definitions = schema.get("$defs", {})

    def resolve(node: dict[str, Any]) -> list[dict[str, Any]]:
        if "$ref" in node:
            return resolve(definitions[node["$ref"].split("/")[-1]])
        options = node.get("anyOf") or node.get("oneOf")
        return [schema for option in options for schema in resolve(option)] if options else [node]

    nodes = [schema]
    for part in path:
        children: list[dict[str, Any]] = []
        for kind in (kind for node in nodes for kind in resolve(node)):
            if part in kind.get("properties", {}):
                children.append(kind["properties"][part])
            elif isinstance(kind.get("additionalProperties"), dict):
                children.append(kind["additionalProperties"])
            elif isinstance(kind.get("items"), dict):
                children.append(kind["items"])
        nodes = children
    return [kind for node in nodes for kind in resolve(node)]


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
