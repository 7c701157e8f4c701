"""One resolver of names: what each spelling finds, and what a message says of a name that is unknown, or not the only one."""

from __future__ import annotations

from pathlib import Path
from textwrap import indent

import pytest

from lakeloop.errors import DataError, SpecError, SpecErrors
from lakeloop.project.names import KINDS, Kind, find_named, full_name, kind_of
from lakeloop.project.project import Project, load_project

TABLE = """\
type: platform_assets.components.LakeTable
attributes:
  name: {name}
  description: A row.
  source: {{files: "*.csv"}}
  keys: [id]
  columns: {{id: {{type: string, nullable: false, description: Key.}}}}
"""
VIEW = """\
type: platform_assets.components.FeatureView
attributes:
  name: {name}
  description: A value.
  sql: view.sql
  keys: [id]
  columns: {{value: {{type: double, description: Value.}}}}
"""
WORKFLOW = """\
type: platform_assets.components.MLWorkflow
attributes:
  name: {name}
  description: A prediction.
  task: regression
  spine: spine.sql
  keys: [id]
  label: {{view: value, column: value}}
  features: {{sums: "*"}}
  model: {{pipeline: linear}}
  split: {{train: 10d, test: 5d}}
  evaluation: {{primary: mean_absolute_error}}
  partitions: {{start: 2024-01-01}}
"""
DEFINITIONS = {
    "shop/orders": TABLE, "shop/sums": VIEW, "shop/returns": WORKFLOW, "toys/orders": TABLE, "toys/returns": TABLE, "toys/delays": WORKFLOW,
}  # fmt: skip
"""`orders` is a table twice, `returns` a workflow and a table; the others are unique."""
ALL = "delays, shop.orders, shop.returns, sums, toys.orders, toys.returns"
"""The shortest names that are unique."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    defs = tmp_path_factory.mktemp("project") / "platform_assets" / "defs"
    for place, text in DEFINITIONS.items():
        (defs / place).mkdir(parents=True)
        (defs / place / "defs.yaml").write_text(text.format(name=Path(place).name))
    loaded, errors = load_project(defs)
    assert errors == [], indent("\n".join(map(str, errors)), "  ")
    return loaded


@pytest.mark.parametrize(
    ("text", "kinds", "domain", "expected"),
    [
        ("shop.orders", KINDS, None, "table shop.orders"),
        ("shop/orders", KINDS, None, "table shop.orders"),
        (" toys.orders ", KINDS, None, "table toys.orders"),
        ("sums", KINDS, None, "view shop.sums"),
        ("returns", ("workflow",), None, "workflow shop.returns"),
        ("returns", ("table", "view"), None, "table toys.returns"),
        ("orders", KINDS, "toys", "table toys.orders"),
        ("sums", KINDS, "toys", "view shop.sums"),
        ("returns", ("workflow",), "toys", "workflow shop.returns"),
    ],
)
def test_each_spelling_finds_its_definition(
    project: Project, text: str, kinds: tuple[Kind, ...], domain: str | None, expected: str
) -> None:
    located = find_named(project, text, kinds=kinds, domain=domain)
    assert f"{kind_of(located)} {full_name(located)}" == expected


@pytest.mark.parametrize(
    ("text", "kinds", "message"),
    [
        ("orders", KINDS, "'orders' names several: table shop.orders or table toys.orders; wanted one of them, as <domain>.<name>"),
        ("returns", KINDS, "'returns' names several: table toys.returns or workflow shop.returns; wanted one of them, as <domain>.<name>"),
        ("ordres", KINDS, f"no table, view or workflow 'ordres'; did you mean 'toys.orders'? Available: {ALL}"),
        ("sum", KINDS, f"no table, view or workflow 'sum'; did you mean 'sums'? Available: {ALL}"),
        ("shop/sum", ("view",), "no view 'shop/sum'; did you mean 'shop.sums'? Available: shop.sums"),
        ("toy.delays", ("workflow",), "no workflow 'toy.delays'; did you mean 'toys.delays'? Available: shop.returns, toys.delays"),
        ("shop.orders", ("workflow",), "wanted a workflow, and shop.orders is a table; Available: shop.returns, toys.delays"),
        ("validated.shop.orders", ("table",), "no table 'validated.shop.orders'; did you mean 'shop.orders'? Available: shop.orders, toys.orders, toys.returns"),
        ("", ("view",), "no view ''; Available: sums"),
    ],
)  # fmt: skip
def test_a_message_says_what_could_have_been_meant(project: Project, text: str, kinds: tuple[Kind, ...], message: str) -> None:
    with pytest.raises(DataError) as error:
        find_named(project, text, kinds=kinds)
    assert str(error.value) == message


@pytest.mark.parametrize(("text", "is_raised"), [("broken", True), ("shop/broken", True), ("toys.broken", False), ("orders.broken", False)])
def test_the_errors_of_a_definition_that_could_not_be_read_are_raised(project: Project, text: str, *, is_raised: bool) -> None:
    error = SpecError("wanted `type`", file="platform_assets/defs/shop/broken/defs.yaml", line=1)
    with pytest.raises(
        SpecErrors if is_raised else DataError, match="shop/broken/defs.yaml:1: wanted" if is_raised else "no table, view or workflow"
    ):
        find_named(project, text, errors=[error])
