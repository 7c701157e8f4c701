"""Mutants of definitions: one key, value or token of a `defs.yaml` or an SQL file changed as people change them by mistake.

A file is changed in its own text, so that every other line stays as it was. What a mutant means is for `benchmarks.truth.judging` to say.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

TEXT_KEYS = ("description", "unit", "owners")
"""Keys whose values are for people: whatever they say, nothing else comes out."""
CODE_KEYS = ("sql", "spine", "function", "estimator", "train")
_UNITS = {"s": "m", "m": "h", "h": "d", "d": "h", "w": "d"}
_LONG = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION = re.compile(r"(\d+)([smhdw])")
_DATE = re.compile(r"(\d{4})(-\d\d)(-\d\d)")
_CRON = re.compile(r"\S+( \S+){4}")
_REFERENCES = {
    "keys", "event_time", "known_at", "view", "column", "columns", "slices", "cluster", "group", "series", "target", "ahead", "naive", "source",
    "inputs", "predict_at", "cursor", "column_A", "column_B", "column_list",
}  # fmt: skip
"""Keys whose values name a column, a table or a view."""


@dataclass(frozen=True)
class Mutant:
    """One mistake.

    Attributes:
        world: the project that it is made in.
        file: relative to the project's folder of definitions.
        kind: the operator.
        where: the key path in the file, or the place in the SQL.
        line: of what is changed, in the original file.
        was: what stood there.
        now: what stands there instead.
        text: the whole file as it is now.
    """

    world: str
    file: str
    kind: str
    where: str
    line: int
    was: str
    now: str
    text: str

    @property
    def name(self) -> str:
        """What tells it from all others."""
        return f"{self.world}/{self.file}:{self.line}: {self.kind}: {self.where}: {self.was!r} -> {self.now!r}"


def mutants_of(world: str, defs: Path) -> list[Mutant]:
    """Every mutant of a project, in a fixed order."""
    files = sorted(path for path in defs.rglob("*") if path.name == "defs.yaml" or path.suffix == ".sql")
    names = _names(defs)
    made: dict[tuple[str, str], Mutant] = {}
    for path in files:
        text, file = path.read_text(encoding="utf-8"), str(path.relative_to(defs))
        for mutant in (_of_yaml if path.suffix == ".yaml" else _of_sql)(world, file, text, names):
            if mutant.text != text:
                made.setdefault((file, mutant.text), mutant)
    return list(made.values())


def _names(defs: Path) -> Mapping[str, list[str]]:
    """The columns and definitions of a project, to be taken for each other."""
    columns: dict[str, None] = {}
    definitions: dict[str, None] = {}
    for path in sorted(defs.rglob("defs.yaml")):
        attributes = yaml.safe_load(path.read_text(encoding="utf-8"))["attributes"]
        definitions[attributes["name"]] = None
        columns |= dict.fromkeys(attributes.get("columns", {}))
    return {"columns": list(columns), "definitions": list(definitions)}


def misspell(word: str, chance: random.Random) -> str:
    """A word with two letters swapped, one left out, or one doubled.

    >>> misspell("late_share", random.Random(1)) != "late_share"
    True
    """
    places = [at for at, letter in enumerate(word) if letter.isalnum()]
    if not places:
        return f"{word}x"
    at = chance.choice(places)
    how = chance.randrange(3)
    if how == 0 and at + 1 < len(word) and word[at] != word[at + 1] and word[at + 1].isalnum():
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if how == 1 and len(places) > 2:
        return word[:at] + word[at + 1 :]
    return word[:at] + word[at] + word[at:]


def _of_yaml(world: str, file: str, text: str, names: Mapping[str, list[str]]) -> Iterator[Mutant]:
    root = yaml.compose(text)
    assert isinstance(root, yaml.MappingNode)
    attributes = next(value for key, value in root.value if key.value == "attributes")
    for path, key, value, flow, before in _entries(attributes, ()):
        where = ".".join(map(str, path))
        chance = random.Random(f"{world}/{file}/{where}")
        line = (key or value).start_mark.line + 1

        def mutant(kind: str, was: str, now: str, changed: str, where: str = where, line: int = line) -> Mutant:
            return Mutant(world, file, kind, where, line, was, now, changed)

        start = (key or value).start_mark.index
        end = _end(text, value)
        whole = text[start:end]
        yield mutant("deleted", _short(whole), "", _without(text, start, end, flow, is_item=key is None))
        if key is not None and len(path) > 1 and path[-2] in ("columns", "gates", "rules", "features", "params", "space", "lineage"):
            kind = "misspelled name"
        else:
            kind = "misspelled key"
        if key is not None:
            wrong = misspell(key.value, chance)
            yield mutant(kind, key.value, wrong, _put(text, key.start_mark.index, key.end_mark.index, wrong))
            yield mutant("listed twice", _short(whole), "twice", _twice(text, start, end, flow, is_item=False))
        else:
            yield mutant("listed twice", _short(whole), "twice", _twice(text, start, end, flow, is_item=True))
        for kind, now in _values(path, value, chance, names):
            yield mutant(kind, _short(text[value.start_mark.index : end]), now, _put(text, value.start_mark.index, end, now))
        if before is not None and isinstance(value, yaml.ScalarNode) and isinstance(before, yaml.ScalarNode):
            one, other = _raw(text, before), _raw(text, value)
            if one != other:
                changed = _put(text, value.start_mark.index, end, one)
                yield mutant("a neighbour's value", other, one, changed)
                swapped = changed[: before.start_mark.index] + other + changed[_end(text, before) :]
                yield mutant("swapped values", f"{one}, {other}", f"{other}, {one}", swapped)


def _entries(node: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any, Any, bool, Any]]:
    """Every key and item below a node: its path, key node (None for an item), value node, whether in flow style, and the value before it."""
    before: Any = None
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (*path, key.value), key, value, bool(node.flow_style), before
            yield from _entries(value, (*path, key.value))
            before = value
    elif isinstance(node, yaml.SequenceNode):
        for place, value in enumerate(node.value):
            yield (*path, place), None, value, bool(node.flow_style), before
            yield from _entries(value, (*path, place))
            before = value


def _values(path: tuple[Any, ...], node: Any, chance: random.Random, names: Mapping[str, list[str]]) -> Iterator[tuple[str, str]]:
    """What a person could write instead of a value, by kind."""
    key = next((part for part in reversed(path) if isinstance(part, str)), "")
    if isinstance(node, yaml.MappingNode):
        yield "wrong type", "7"
        yield "wrong type", "some_text"
        return
    if isinstance(node, yaml.SequenceNode):
        yield "wrong type", "7"
        yield "wrong type", "{some: thing}"
        return
    value, kind = node.value, node.tag.rpartition(":")[2]
    yield "wrong type", f"{{some: {node.value if node.value.isalnum() else 1}}}"
    if kind in ("int", "float"):
        yield from _numbers(key, float(value), kind)
        return
    if kind == "bool":
        yield "wrong type", "maybe"
        return
    if kind == "timestamp" or _DATE.fullmatch(value):
        year, month, day = _DATE.match(value).groups()  # type: ignore[union-attr]
        yield "out of range", f"{year}-13{day}"
        yield "out of range", f"{year}{month}-32"
        yield "out of range", f"{int(year) + 100}{month}{day}"
        yield "out of range", f"{int(year) - 100}{month}{day}"
        yield "wrong type", "7"
        # Partitions begin on the first of a month.
        later = int(month[1:]) % 12 + 1
        yield "another setting", f"{int(year) + (later == 1)}-{later:02d}{day}"
        return
    if duration := _DURATION.fullmatch(value):
        number, unit = int(duration[1]), duration[2]
        yield "wrong unit", str(number)
        yield "wrong unit", f"{number} {_LONG[unit]}"
        yield "wrong unit", f"{number}{_UNITS[unit]}"
        yield "out of range", f"-{number or 1}{unit}"
        yield "out of range", f"{number or 1}0000{unit}"
        if number:
            yield "out of range", f"0{unit}"
            yield "another setting", f"{number + max(number // 8, 1)}{unit}"
        return
    yield "wrong type", "7"
    if _CRON.fullmatch(value) and "schedule" in key:
        yield "out of range", f'"61 {value.partition(" ")[2]}"'
        yield "out of range", f'"{value.partition(" ")[0]} 25 {" ".join(value.split()[2:])}"'
        yield "misspelled value", f'"{value.rpartition(" ")[0]}"'
        return
    if key in TEXT_KEYS:
        yield "another text", "Something else."
        return
    if value:
        wrong = misspell(value, chance)
        yield "misspelled value", _quoted(wrong) if node.style or not re.fullmatch(r"[\w./-]+", wrong) else wrong
    if key in _REFERENCES or (len(path) > 1 and path[-2] in _REFERENCES):
        kinds = "definitions" if key in ("view", "inputs") else "columns"
        others = [name for name in names[kinds] if name != value]
        if others:
            yield "wrong reference", chance.choice(others)


def _numbers(key: str, value: float, kind: str) -> Iterator[tuple[str, str]]:
    def show(number: float) -> str:
        return f"{number:.0f}" if kind == "int" else f"{number:g}"

    yield "wrong type", "many"
    yield "out of range", show(-value - 1)
    yield "out of range", show(value * 1_000_000 + 1_000_000)
    if 0 < abs(value) < 1:
        yield "wrong unit", f"{value * 100:g}"
        yield "another setting", f"{value * 0.95:g}"
    elif kind == "int":
        yield "wrong type", f"{value + 0.5:g}"
        yield "another setting", show(value + max(abs(value) // 8, 1))


def _raw(text: str, node: Any) -> str:
    return text[node.start_mark.index : _end(text, node)]


def _end(text: str, node: Any) -> int:
    """Where a node ends, without the white space, comments and lines after it."""
    end = int(node.end_mark.index)
    if isinstance(node, yaml.ScalarNode) or node.flow_style:
        return end
    last = node
    while not isinstance(last, yaml.ScalarNode) and not last.flow_style and last.value:
        last = last.value[-1][1] if isinstance(last, yaml.MappingNode) else last.value[-1]
    return int(last.end_mark.index)


def _put(text: str, start: int, end: int, now: str) -> str:
    return text[:start] + now + text[end:]


def _without(text: str, start: int, end: int, flow: bool, *, is_item: bool) -> str:
    """The text without a key or an item, and without its comma or its line."""
    if not flow:
        first = text.rfind("\n", 0, start) + 1
        last = text.find("\n", end) + 1 or len(text)
        marks = text[first:start]
        if is_item or not marks.strip():
            return text[:first] + text[last:]
        # The first key of an item: `- key: value`, with the others under it.
        rest = text[last:]
        indent = " " * len(marks)
        return text[:first] + marks + rest.removeprefix(indent) if rest.startswith(indent) else text[:first] + marks.rstrip("- ") + rest
    after = re.match(r"\s*,\s*", text[end:])
    if after:
        return text[:start] + text[end + after.end() :]
    return re.sub(r",\s*$", "", text[:start]) + text[end:]


def _twice(text: str, start: int, end: int, flow: bool, *, is_item: bool) -> str:
    whole = text[start:end]
    if flow:
        return text[:end] + ", " + whole + text[end:]
    first = text.rfind("\n", 0, start) + 1
    marks = text[first:start]
    marks = marks if is_item else re.sub(r"\S", " ", marks)
    last = text.find("\n", end)
    last = len(text) if last < 0 else last
    return text[:last] + "\n" + marks + whole + text[last:]


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "…"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _of_sql(world: str, file: str, text: str, names: Mapping[str, list[str]]) -> Iterator[Mutant]:
    from sqlglot import TokenType
    from sqlglot.dialects.spark import Spark

    tokens = Spark().tokenize(text)
    ends = ("FROM", "WHERE", "GROUP", "HAVING", "ORDER", "WINDOW", ")")
    in_join = False
    counts: dict[str, int] = {}
    for place, token in enumerate(tokens):
        word, upper = text[token.start : token.end + 1], token.text.upper()
        after = tokens[place + 1] if place + 1 < len(tokens) else None
        before = tokens[place - 1] if place else None
        chance = random.Random(f"{world}/{file}/{place}")
        counts[word] = counts.get(word, 0) + 1

        def mutant(
            kind: str, now: str, start: int = token.start, end: int = token.end + 1, word: str = word, line: int = token.line
        ) -> Mutant:
            return Mutant(world, file, kind, f"{word}#{counts[word]}", line, _short(text[start:end]), now, _put(text, start, end, now))

        in_join = upper == "ON" or (in_join and upper not in ("WHERE", "GROUP", "JOIN", "LEFT", ")", "WINDOW", "SELECT"))
        if token.token_type == TokenType.COMMA:
            yield mutant("SQL: comma missing", "")
            yield mutant("SQL: comma too many", ",,")
            continue
        if after is not None and after.text.upper() in ends and token.token_type in (TokenType.VAR, TokenType.R_PAREN, TokenType.NUMBER):
            yield mutant("SQL: comma before nothing", f"{word},")
        if token.token_type in (TokenType.L_PAREN, TokenType.R_PAREN):
            yield mutant("SQL: bracket missing", "")
            continue
        if token.token_type == TokenType.STRING:
            yield mutant("SQL: quote missing", word[:-1])
            continue
        if token.token_type in (TokenType.NUMBER, TokenType.PARAMETER) or not word.isidentifier():
            continue
        is_name = token.token_type == TokenType.VAR
        is_call = (
            after is not None
            and after.token_type == TokenType.L_PAREN
            and upper not in ("IN", "AS", "OVER", "FROM", "JOIN", "AND", "SELECT")
        )
        is_alias = before is not None and before.text.upper() == "AS"
        kind = "function" if is_call else "alias" if is_alias else "name" if is_name else "keyword"
        if not (kind == "keyword" and len(word) < 3):
            yield mutant(f"SQL: misspelled {kind}", misspell(word, chance))
        if is_alias and before is not None:
            yield mutant("SQL: alias missing", "", before.start, token.end + 1)
        if is_name and not is_call and not is_alias and (after is None or after.text != "."):
            others = [name for name in names["columns"] if name != word]
            if others and word in names["columns"]:
                yield mutant("SQL: wrong join key" if in_join else "SQL: another column", chance.choice(others))
        if upper == "INTERVAL" and after is not None:
            unit = tokens[place + 2]
            yield mutant("SQL: unit missing", "", unit.start - 1, unit.end + 1)
