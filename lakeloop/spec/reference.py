"""The reference of definitions, read off the specs: what each key means, its type, its default, an example, and the rule that `check` holds it to.

`python -m lakeloop.spec.reference docs` writes its pages.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from lakeloop.errors import SpecError, nearest
from lakeloop.spec.key_texts import about, key_texts
from lakeloop.spec.search import Parameter
from lakeloop.spec.tables import Expectation, TableSpec, ViewSpec, render_duration
from lakeloop.spec.workflow import WorkflowSpec

NOUNS: Mapping[str, type[BaseModel]] = {"table": TableSpec, "view": ViewSpec, "workflow": WorkflowSpec}
COMPONENTS = {"table": "LakeTable", "view": "FeatureView", "workflow": "MLWorkflow"}
_PLAIN = {
    str: "text", bool: "true or false", int: "integer", float: "number", timedelta: "duration",
    date: "date", datetime: "time", type(None): "null", Any: "any value",
}  # fmt: skip


@dataclass(frozen=True)
class Key:
    """One key of a definition.

    Attributes:
        path: from the noun on, such as `table.source.files`; what people name themselves is in angle brackets.
        text: what it means.
        takes: what it may hold, in words.
        default: as in YAML; empty where the key is required.
        example: as in YAML.
        rule: what `lakeloop check` holds it to beside its type; empty where that is all.
        models: the specs that stand under it.
    """

    path: str
    text: str
    takes: str
    default: str
    example: str
    rule: str
    models: tuple[type[BaseModel], ...]

    @property
    def name(self) -> str:
        """Its last part."""
        return self.path.rpartition(".")[2]


def keys_of(model: type[BaseModel], path: str) -> list[Key]:
    """The keys of a spec that stands at a path."""
    texts = key_texts()[model.__name__]
    return [_key(path, name, field, texts[name]) for name, field in model.model_fields.items()]


def find(path: str) -> tuple[Key | None, list[Key]]:
    """The key at a path, None for a noun itself, and the keys under it.

    Names that people choose (of a column, a gate, a feature) may stand in a path or be left out.

    Raises:
        SpecError: nothing has this path; with the nearest key.
    """
    noun, *parts = path.strip().split(".")
    if noun not in NOUNS:
        raise SpecError(f"wanted a path that begins with {', '.join(NOUNS)}, found {path!r}; {nearest(noun, NOUNS)}")
    current, under = None, keys_of(NOUNS[noun], noun)
    for position, part in enumerate(parts):
        matches = [key for key in under if key.name == part]
        if matches:
            current = matches[0]
            under = [key for model in current.models for key in keys_of(model, _below(current))]
        elif not (current and "<" in _below(current) and position and parts[position - 1] == current.name):
            raise SpecError(f"no key {part!r} in {current.path if current else noun}; {nearest(part, [key.name for key in under])}")
    return current, under


def _below(key: Key) -> str:
    return f"{key.path}.<name>" if key.takes.startswith("mapping of names") and key.models else key.path


def walk(noun: str) -> Iterator[tuple[str, type[BaseModel], list[Key]]]:
    """Each spec of a noun with the path where it first stands and its keys, from the outside in."""
    waiting, seen = [(noun, NOUNS[noun])], set()
    while waiting:
        path, model = waiting.pop(0)
        if model in seen:
            continue
        seen.add(model)
        keys = keys_of(model, path)
        yield path, model, keys
        waiting += [(_below(key), each) for key in keys for each in key.models]


def _key(path: str, name: str, field: FieldInfo, text: Mapping[str, str]) -> Key:
    models = tuple(dict.fromkeys(_models(field.annotation)))
    limits = [f"{words} {getattr(each, bound):g}" for each in field.metadata for bound, words in _BOUNDS.items() if hasattr(each, bound)]
    kind = ", ".join([_words(field.annotation), *limits])
    default = "" if field.is_required() else _shown(field.get_default(call_default_factory=True))
    return Key(f"{path}.{name}", text["is"], kind, default, text["example"], text.get("rule", ""), models)


_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _words(annotation: Any) -> str:
    """What a field may hold, in words."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _words(parts[0])
    if origin is Literal:
        return " or ".join(map(str, parts))
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_words(part) for part in parts if part is not type(None)))
    if origin is list:
        return f"list of {_plural(_words(parts[0]))}" if parts[0] is not str else "name, or list of names"
    if origin is dict:
        return f"mapping of names to {_plural(_words(parts[1]))}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {Expectation: "expectation", Parameter: "range or choices"}.get(annotation, "mapping")
    return _PLAIN.get(annotation, str(annotation))


def _plural(words: str) -> str:
    return {"text": "texts", "mapping": "mappings", "expectation": "expectations", "number": "numbers", "any value": "values"}.get(
        words, words
    )


def _shown(value: Any) -> str:
    """A default as in YAML."""
    if isinstance(value, BaseModel):
        return str(getattr(value, "name", value))
    if isinstance(value, timedelta):
        return render_duration(value) if value else "0d"
    if value in (None, "", [], {}):
        return "none" if value in (None, [], {}) else '""'
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{', '.join(repr(each) for each in value)}]" if isinstance(value, list) else str(value)


def render_page(noun: str) -> str:
    """The page of a noun, in Markdown."""
    lines = [
        f"# Reference: {COMPONENTS[noun]}",
        "",
        "<!-- Written by `python -m lakeloop.spec.reference docs`. -->",
        "",
        f"{about()[NOUNS[noun].__name__]} Its keys stand under `attributes` in `defs.yaml`; `lakeloop reference {noun}.<key>` prints one.",
    ]
    for path, model, keys in walk(noun):
        if path != noun:
            lines += ["", f"## {_heading(path, model)}", "", about()[model.__name__]]
        if keys:
            lines += ["", "| key | what it is | type | default | example |", "|---|---|---|---|---|"]
        for key in keys:
            rule = f" *{key.rule[0].upper()}{key.rule[1:]}.*" if key.rule else ""
            cells = (f"`{key.name}`", key.text + rule, key.takes, key.default or "**required**", f"`{key.example}`")
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _heading(path: str, model: type[BaseModel]) -> str:
    """The path without its noun; of a source, which may be one of several, with the key that tells it."""
    place = path.partition(".")[2]
    return f"`{place}` with `{next(iter(model.model_fields))}`" if place == "source" else f"`{place}`"


def main() -> None:
    """Write the page of each noun into a folder."""
    for noun in NOUNS:
        (Path(sys.argv[1]) / f"reference_{noun}.md").write_text(render_page(noun), encoding="utf-8")


if __name__ == "__main__":
    main()
