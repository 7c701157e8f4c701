"""Definition files: what they hold, the line of every key, and what is wrong with one, with the nearest match."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from lakeloop.errors import SpecError
from lakeloop.project.files import SPECS, Definition, read_definitions, to_spec
from lakeloop.spec.tables import TableSpec

TABLE = """\
type: platform_assets.components.LakeTable
attributes:
  name: orders
  description: One row per order.
  source: {files: data/*.csv}
  keys: [order_id]
  columns:
    order_id: {type: string, description: Order.}
    amount:
      type: double
      description: Amount.
"""


def read(tmp_path: Path, text: str | bytes) -> tuple[list[Definition], list[SpecError]]:
    path = tmp_path / "defs.yaml"
    path.write_bytes(text if isinstance(text, bytes) else dedent(text).encode())
    return read_definitions(path, "orders/defs.yaml")


def errors_of(tmp_path: Path, text: str) -> list[tuple[int | None, str, str]]:
    """Line, key and message of each error, of reading and of validating."""
    definitions, errors = read(tmp_path, text)
    errors = [*errors, *(error for definition in definitions for error in to_spec(definition)[1])]
    assert {error.file for error in errors} <= {"orders/defs.yaml"}
    return [(error.line, error.key, error.message) for error in errors]


def test_a_definition_has_its_type_its_attributes_and_the_line_of_every_key(tmp_path: Path) -> None:
    (definition,), errors = read(tmp_path, TABLE)
    assert not errors and (definition.file, definition.type) == ("orders/defs.yaml", "platform_assets.components.LakeTable")
    spec, problems = to_spec(definition)
    assert not problems and isinstance(spec, TableSpec) and list(spec.columns) == ["order_id", "amount"]
    paths: list[tuple[tuple[Any, ...], int]] = [
        ((), 2), (("name",), 3), (("keys", 0), 6), (("keys", 9), 6), (("columns", "order_id", "type"), 8), (("columns", "amount"), 9),
        (("columns", "amount", "type"), 10), (("columns", "amount", "unit"), 9), (("columns", "other", "type"), 7), (("other",), 2),
    ]  # fmt: skip
    assert [(path, definition.line_of(path)) for path, _ in paths] == paths
    error = definition.error("no", "columns", "amount", "unit")
    assert str(error) == "orders/defs.yaml:9: columns.amount.unit: no"
    assert Definition("defs.py", "t", {}).line_of(("name",)) is None


def test_a_file_may_hold_several_definitions_each_with_its_own_lines(tmp_path: Path) -> None:
    definitions, errors = read(tmp_path, f"{TABLE}---\n{TABLE.replace('orders', 'items')}")
    assert not errors and [definition.attributes["name"] for definition in definitions] == ["orders", "items"]
    assert [definition.line_of(("name",)) for definition in definitions] == [3, 15]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("true", True), ("False", False), ("yes", "yes"), ("NO", "NO"), ("on", "on"), ("'true'", "true"), ("1", 1), ("1.5", 1.5), ("~", None),
        ("2024-01-01", "date"),
    ],
)  # fmt: skip
def test_only_true_and_false_are_booleans(tmp_path: Path, written: str, value: object) -> None:
    (definition,), _ = read(tmp_path, f"type: platform_assets.components.LakeTable\nattributes: {{on: {written}}}\n")
    ((key, held),) = definition.attributes.items()
    assert key == "on" and (type(held).__name__ == value if value == "date" else held == value and type(held) is type(value))


SOME = "Available: platform_assets.components.FeatureView, platform_assets.components.LakeTable, platform_assets.components.MLWorkflow"


@pytest.mark.parametrize(
    ("text", "line", "key", "message"),
    [
        ("", None, "", "wanted `type` and `attributes`, found an empty file"),
        ("# nothing\n", None, "", "wanted `type` and `attributes`, found an empty file"),
        ("- a\n- b\n", 1, "", "wanted `type` and `attributes`, found a list"),
        ("text\n", 1, "", "wanted `type` and `attributes`, found a str"),
        ("attributes: {}\n", 1, "type", f"`type` is missing; {SOME}"),
        ("\n\ntype: platform_assets.components.LakeTabel\nattributes: {}\n", 3, "type", f"unknown type 'platform_assets.components.LakeTabel'; did you mean 'platform_assets.components.LakeTable'? {SOME}"),
        ("type: platform_assets.components.LakeTable\natributes: {}\n", 2, "atributes", "unknown key 'atributes'; did you mean 'attributes'? Available: attributes, type"),
        ("type: platform_assets.components.LakeTable\n", 1, "attributes", "wanted a mapping under `attributes`, found None"),
        ("type: platform_assets.components.LakeTable\nattributes: [a]\n", 2, "attributes", "wanted a mapping under `attributes`, found ['a']"),
        (f"type: platform_assets.components.LakeTable\nattributes: [{'a' * 80}]\n", 2, "attributes", f"wanted a mapping under `attributes`, found ['{'a' * 55}…"),
        ("type: [\n", 2, "", "can't read the YAML: while parsing a flow node: did not find expected node content"),
        ("a: 1\n b: 2\n", 2, "", "can't read the YAML: mapping values are not allowed in this context"),
        ("a: !!python/object:os.system x\n", 1, "", "can't read the YAML: could not determine a constructor for the tag 'tag:yaml.org,2002:python/object:os.system'"),
        ("a: 2024-13-01\n", None, "", "can't read the YAML: month must be in 1..12"),
        (TABLE + "  name: again\n", 12, "name", "the key 'name' is here a second time; the first is on line 3"),
    ],
)  # fmt: skip
def test_a_file_that_holds_no_definition_says_what_it_holds(tmp_path: Path, text: str, line: int | None, key: str, message: str) -> None:
    assert errors_of(tmp_path, text) == [(line, key, message)]


def test_a_file_that_is_no_utf8_says_where(tmp_path: Path) -> None:
    definitions, (error,) = read(tmp_path, b"name: \xfc\n")
    assert not definitions and error.message == "wanted UTF-8 text, found byte 0xfc at offset 6" and error.line is None


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "message"),
    [
        ("  name: orders\n", "", 2, "name", "wanted the key 'name', it is missing"),
        ("  columns:\n", "  event_tme: amount\n  columns:\n", 7, "event_tme", "unknown key 'event_tme'; did you mean 'event_time'?"),
        ("type: double\n", "type: doubel\n", 10, "columns.amount.type", "found 'doubel'; did you mean 'double'? Available: boolean, date, decimal(p,s), double, integer, string, timestamp"),
        ("      type: double\n", "", 9, "columns.amount.type", "wanted the key 'type', it is missing"),
        ("type: double\n", "type: double\n      unti: EUR\n", 11, "columns.amount.unti", "unknown key 'unti'; did you mean 'unit'?"),
        ("type: double\n", "type: double\n      nullable: perhaps\n", 11, "columns.amount.nullable", "input should be a valid boolean, unable to interpret input, found 'perhaps'"),
        ("name: orders", "name: [orders]", 3, "name", "wanted a name of lower-case letters, digits and _, starting with a letter, found ['orders']"),
    ],
)  # fmt: skip
def test_a_wrong_attribute_is_told_by_its_line_its_key_and_what_was_wanted(
    tmp_path: Path, old: str, new: str, line: int, key: str, message: str
) -> None:
    assert old in TABLE
    ((told_line, told_key, told),) = errors_of(tmp_path, TABLE.replace(old, new, 1))
    assert (told_line, told_key) == (line, key) and told.startswith(message), told


def test_two_wrong_keys_are_two_errors_and_a_kind_is_told_by_its_neighbours(tmp_path: Path) -> None:
    text = TABLE.replace("{files: data/*.csv}", "{files: data/*.csv, delimitr: ;}").replace("type: double", "type: double\n      unti: x")
    (first, second) = errors_of(tmp_path, text)
    assert (first[0], first[1]) == (5, "source.files.delimitr") or (first[0], first[1]) == (5, "source.delimitr"), first
    assert first[2].startswith("unknown key 'delimitr'") and "did you mean 'delimiter'" in first[2]
    assert second[:2] == (11, "columns.amount.unti")
    assert set(SPECS) == {f"platform_assets.components.{name}" for name in ("LakeTable", "FeatureView", "MLWorkflow")}
