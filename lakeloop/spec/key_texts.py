"""What the keys of definitions mean, in the words of `keys.yaml`: by the name of a spec's class, then by key."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

ABOUT = "about"


@cache
def key_texts() -> Mapping[str, Mapping[str, Mapping[str, str]]]:
    """The texts of each key: `is`, an `example`, and the `rule` of some."""
    return {name: {key: text for key, text in keys.items() if key != ABOUT} for name, keys in _read().items()}


@cache
def about() -> Mapping[str, str]:
    """One sentence on each class."""
    return {name: str(keys[ABOUT]) for name, keys in _read().items()}


@cache
def _read() -> Mapping[str, Mapping[str, Mapping[str, str]]]:
    import yaml

    content: Mapping[str, Mapping[str, Mapping[str, str]]] = yaml.safe_load(
        Path(__file__).with_name("keys.yaml").read_text(encoding="utf-8")
    )
    return content
