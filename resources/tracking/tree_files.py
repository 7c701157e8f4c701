"""Files of the tree libraries, read before their library does: LightGBM's text, XGBoost's JSON and UBJSON, CatBoost's JSON and head.

The libraries' readers are C++ that trusts its input. So the shape is checked here: every tree is as large as it says, and no child or
feature is out of range.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

MOST_DEPTH = 64
_NUMBERS = {"i": "b", "U": "B", "I": "h", "l": "i", "L": "q", "d": "f", "D": "d"}
"""UBJSON's types of numbers as `struct` names them; big-endian (ubjson.org, type reference)."""
_WORDS = {"Z": None, "T": True, "F": False, "N": None}


def check_lightgbm(path: Path) -> None:
    """Check that a file is a LightGBM model as text.

    Raises:
        ValueError: it isn't, with what was found.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    if lines[:1] != ["tree"] or "end of trees" not in lines:
        raise ValueError("wanted LightGBM's text, from 'tree' to 'end of trees'")
    end = lines.index("end of trees")
    starts = [number for number, line in enumerate(lines[:end]) if line.startswith("Tree=")]
    head = _settings(lines[1 : starts[0] if starts else end], {"average_output", "linear_tree"})
    features = _whole(head, "max_feature_idx") + 1
    if len(head.get("tree_sizes", "").split()) != len(starts):
        raise ValueError(f"it says {len(head.get('tree_sizes', '').split())} trees and has {len(starts)}")
    for place, (start, stop) in enumerate(zip(starts, [*starts[1:], end], strict=True)):
        if lines[start] != f"Tree={place}":
            raise ValueError(f"line {start + 1}: wanted Tree={place}, found {lines[start][:40]!r}")
        _check_tree(_settings(lines[start + 1 : stop], set()), place, features)
    for line in lines[end:]:
        if not all(character.isprintable() or character == "\t" for character in line):
            raise ValueError("what follows its trees isn't text")


def _settings(lines: list[str], flags: set[str]) -> dict[str, str]:
    """`name=value` by name; nothing else may stand there but blank lines and flags."""
    settings: dict[str, str] = {}
    for line in lines:
        name, equals, value = line.partition("=")
        if line and line not in flags:
            if not equals or not name.replace("_", "").isalnum() or name in settings:
                raise ValueError(f"wanted a line name=value, found {line[:40]!r}")
            settings[name] = value
    return settings


def _whole(settings: Mapping[str, str], name: str) -> int:
    value = settings.get(name, "")
    if not value.isdecimal():
        raise ValueError(f"{name}: wanted a whole number, found {value[:40]!r}")
    return int(value)


def _check_tree(tree: Mapping[str, str], place: int, features: int) -> None:
    leaves = _whole(tree, "num_leaves")
    splits = leaves - 1
    wanted = {
        "split_feature": (splits, 0, features - 1),
        "left_child": (splits, -leaves, splits - 1),
        "right_child": (splits, -leaves, splits - 1),
    }
    for name, (count, least, most) in wanted.items():
        values = [int(value) for value in tree.get(name, "").split()]
        if len(values) != count or any(not least <= value <= most for value in values):
            raise ValueError(f"tree {place}: {name} isn't {count} numbers from {least} to {most}")
    for name, count in (("threshold", splits), ("decision_type", splits), ("leaf_value", leaves)):
        if len([float(value) for value in tree.get(name, "").split()]) != count:
            raise ValueError(f"tree {place}: {name} isn't {count} numbers")


def check_xgboost(path: Path) -> None:
    """Check that a file is an XGBoost model as JSON or UBJSON; the binary formats of before are none.

    Raises:
        ValueError: it isn't, with what was found.
    """
    data = path.read_bytes()
    model = json.loads(data) if data[:1] == b"{" and data[1:2] in (b'"', b"\n", b" ", b"\r", b"\t") else read_ubjson(data)
    learner = model.get("learner") if isinstance(model, dict) else None
    if not isinstance(learner, dict) or not {"gradient_booster", "learner_model_param", "objective"} <= learner.keys():
        raise ValueError("it is no XGBoost model: wanted learner with gradient_booster, learner_model_param and objective")
    _check_children(learner["gradient_booster"])


def _check_children(booster: Any) -> None:
    """Check that no tree of a booster leads outside itself."""
    for tree in _trees(booster):
        size = len(tree.get("split_conditions", ()))
        for name in ("left_children", "right_children"):
            children = tree.get(name, ())
            if len(children) != size or any(not -1 <= child < size for child in children):
                raise ValueError(f"a tree's {name} aren't {size} numbers from -1 to {size - 1}")


def _trees(booster: Any) -> Iterator[Mapping[str, Any]]:
    waiting = [booster]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if "left_children" in node:
                yield node
            waiting.extend(value for value in node.values() if isinstance(value, (dict, list)))
        elif isinstance(node, list):
            waiting.extend(item for item in node if isinstance(item, (dict, list)))


def check_catboost_json(path: Path) -> None:
    """Check that a file is a CatBoost model as JSON.

    Raises:
        ValueError: it isn't.
    """
    model = json.loads(path.read_bytes())
    if not isinstance(model, dict) or "features_info" not in model or not {"oblivious_trees", "trees"} & model.keys():
        raise ValueError("it is no CatBoost model: wanted features_info and trees")


def check_catboost_binary(path: Path) -> None:
    """Check that a file begins as CatBoost's own format, and is as long as it says; what is in it only CatBoost reads.

    Raises:
        ValueError: it isn't.
    """
    data = path.read_bytes()
    if data[:4] != b"CBM1" or len(data) < 8 or struct.unpack("<I", data[4:8])[0] > len(data) - 8:
        raise ValueError("it is no CatBoost model: wanted CBM1 and as many bytes as it says")


def read_ubjson(data: bytes) -> Any:
    r"""The value of a UBJSON document.

    >>> read_ubjson(b"{i\x01a[$i#i\x02\x05\x06i\x01bSi\x02hi}")
    {'a': [5, 6], 'b': 'hi'}

    Raises:
        ValueError: it is none, is nested too deeply, or something follows it.
    """
    try:
        value, end = _value(data, 0, 0)
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise ValueError(f"it is neither JSON nor UBJSON: {error}") from error
    if end != len(data):
        raise ValueError(f"{len(data) - end} bytes follow its UBJSON")
    return value


def _value(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    """A value with its marker at a place, and the place after it."""
    return _marked(data, chr(data[at]), at + 1, depth)


def _marked(data: bytes, marker: str, at: int, depth: int) -> tuple[Any, int]:
    if depth > MOST_DEPTH:
        raise ValueError(f"it is nested more than {MOST_DEPTH} deep")
    if marker in _NUMBERS:
        code = f">{_NUMBERS[marker]}"
        return struct.unpack_from(code, data, at)[0], at + struct.calcsize(code)
    if marker in _WORDS:
        return _WORDS[marker], at
    if marker == "C":
        return chr(data[at]), at + 1
    if marker == "S":
        return _text(data, at)
    if marker in "[{":
        return _container(data, at, depth, is_object=marker == "{")
    raise ValueError(f"it is neither JSON nor UBJSON: {marker!r} at byte {at - 1}")


def _length(data: bytes, at: int) -> tuple[int, int]:
    length, after = _value(data, at, MOST_DEPTH)
    if not isinstance(length, int) or isinstance(length, bool) or not 0 <= length <= len(data):
        raise ValueError(f"a length of {length} at byte {at}")
    return length, after


def _text(data: bytes, at: int) -> tuple[str, int]:
    length, at = _length(data, at)
    if at + length > len(data):
        raise ValueError("its text ends beyond the file")
    return data[at : at + length].decode(), at + length


def _container(data: bytes, at: int, depth: int, *, is_object: bool) -> tuple[Any, int]:
    kind, count = None, None
    if data[at : at + 1] == b"$":
        kind, at = chr(data[at + 1]), at + 2
        if data[at : at + 1] != b"#":
            raise ValueError(f"a type without a count at byte {at}")
    if data[at : at + 1] == b"#":
        count, at = _length(data, at + 1)
    if kind in _NUMBERS and count is not None and not is_object:
        code = f">{count}{_NUMBERS[kind]}"
        return list(struct.unpack_from(code, data, at)), at + struct.calcsize(code)
    items: list[Any] = []
    members: dict[str, Any] = {}
    closing = "}" if is_object else "]"
    while (len(members) + len(items) < count) if count is not None else chr(data[at]) != closing:
        if is_object:
            name, at = _text(data, at)
            if name in members:
                raise ValueError(f"the name {name[:40]!r} comes twice")
        value, at = _marked(data, kind, at, depth + 1) if kind else _value(data, at, depth + 1)
        if is_object:
            members[name] = value
        else:
            items.append(value)
    return (members if is_object else items), at if count is not None else at + 1
