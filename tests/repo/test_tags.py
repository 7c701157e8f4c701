"""MLflow's tags are named in one place, so that a reader of a registry finds what each one means."""

import ast
import re

from resources.tracking import tags
from tests.worlds.places import ROOT

NAMED = {value for name, value in vars(tags).items() if name.endswith("_TAG")}


def test_no_other_module_spells_a_tag_of_ours() -> None:
    """Of the tags that begin with `lakeloop.`; the others are words that metadata uses too."""
    spelt = {
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for ring in ("lakeloop", "resources", "platform_assets", "sensors")
        for path in (ROOT / ring).rglob("*.py")
        if path.name != "tags.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in NAMED and re.match(r"lakeloop\.", node.value)
    }
    assert spelt == set()


def test_a_tag_has_one_name() -> None:
    names = [name for name in vars(tags) if name.endswith("_TAG")]
    assert len(names) == len(NAMED) > 10
