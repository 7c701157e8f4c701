"""`lakeloop sql`: SQL over all that is published, by the names of definitions, without personal values; the reports that docs/reports.md describes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from lakeloop.cli.main import main
from platform_assets.queries import report_schemas
from tests.worlds.personal_shop import PERSONAL_ORDERS, PROFILE, PROFILE_SQL, people, write
from tests.worlds.places import ROOT
from tests.worlds.shop import write_orders
from tests.worlds.shop_project import Shop

PAGE = (ROOT / "docs" / "reports.md").read_text()
QUESTIONS = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
Ask = Callable[..., Any]


@pytest.fixture
def sql(shop: Shop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Asks the shop, and gives the rows; what is refused comes as its message."""
    monkeypatch.setenv("LAKELOOP_LAKE", shop.lake_url)
    monkeypatch.setenv("LAKELOOP_DEFS", str(shop.defs))
    monkeypatch.setenv("LAKELOOP_HOME", str(shop.defs.parents[1] / "home"))

    def ask(query: str) -> Any:
        capsys.readouterr()
        code = main(["sql", query, "--json"])
        said = capsys.readouterr()
        return json.loads(said.out) if code == 0 else said.err

    return ask


@pytest.mark.filled
def test_the_questions_of_the_page_have_answers(shop: Shop, sql: Ask) -> None:
    assert shop.materialize("models", "evaluations", "releases").success
    assert len(QUESTIONS) == 5
    answers = [sql(query) for query in QUESTIONS]
    assert not [answer for answer in answers if isinstance(answer, str)]
    released, better, _, _, failed = (answer["rows"] for answer in answers)
    assert sql("SELECT * FROM reports.classes")["rows"] == []
    assert {(row["workflow"], row["version"]) for row in released} == {("returns", "1")}
    assert "roc_auc" in {row["metric"] for row in released} and all(
        row["low"] <= row["value"] <= row["high"] for row in released if row["low"]
    )
    assert better and failed == []
    for name in ("metrics", "decisions", "checks", "verdicts"):
        described = columns_of_page(name)
        assert {**columns_of_page(None), **described}.keys() >= set(sql(f"SELECT * FROM reports.{name} LIMIT 1")["columns"]), name


@pytest.mark.filled
def test_tables_views_and_other_stages_have_the_names_of_definitions(sql: Ask) -> None:
    count = "SELECT count(*) AS n FROM {}"
    for name in ("orders", "shop.orders", "validated.shop.orders", "raw.shop.orders"):
        assert sql(count.format(name))["rows"] == [{"n": 1200}], name
    assert sql(count.format("shop.history"))["rows"][0]["n"] > 0
    assert sql(count.format("training_sets.shop.returns"))["rows"][0]["n"] > 0
    assert sql("WITH o AS (SELECT customer FROM orders) SELECT count(DISTINCT customer) AS n FROM o")["rows"][0]["n"] > 1
    assert sql("SELECT CAST('NaN' AS DOUBLE) AS a, CAST(NULL AS DOUBLE) AS b FROM orders LIMIT 1")["rows"] == [{"a": "NaN", "b": None}]


@pytest.mark.filled
@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("DROP TABLE shop.orders", "wanted a SELECT or WITH query, found DROP"),
        ("INSERT INTO shop.orders SELECT * FROM shop.orders", "wanted a SELECT or WITH query, found INSERT"),
        ("SELECT 1; SELECT 2", "wanted one query, found 2 statements"),
        ("SELECT * FROM ordres", "no table or view 'ordres'; did you mean 'orders'?"),
        ("SELECT * FROM shop.ordres", "no table or view 'shop.ordres'; did you mean 'shop.orders'?"),
        ("SELECT * FROM reports.metrcs", "did you mean 'metrics'?"),
        ("SELECT amuont_eur FROM orders", "amuont_eur"),
        ("SELECT 1 AS a FROM orders QUALIFY row_number() OVER (ORDER BY amount_eur) = 1", "QUALIFY"),
        ("SELECT * FROM models.shop.returns", "models has no rows that a query could read"),
        ("SELECT * FROM delta.`/etc`", "no table or view 'delta./etc'"),
    ],
)
def test_what_cannot_be_answered_is_told(query: str, told: str, sql: Ask) -> None:
    said = sql(query)
    assert isinstance(said, str) and told in said, said


def test_values_of_personal_columns_are_masked(shop: Shop, sql: Ask) -> None:
    write(shop, "orders", PERSONAL_ORDERS)
    write(shop, "profile", PROFILE, PROFILE_SQL)
    write_orders(shop.data, people())
    assert shop.materialize("raw", "validated", "features").success
    plain = sql("SELECT order_id, email, salary_eur * 2 AS twice, upper(customer) AS c, amount_eur FROM orders ORDER BY order_id LIMIT 2")
    assert plain["masked"] == ["email", "twice", "c"]
    for row in plain["rows"]:
        assert {row["email"], row["twice"], row["c"]} <= {"***", None} and row["amount_eur"] > 0
    assert sql("SELECT email_length FROM shop.profile LIMIT 1")["masked"] == []
    assert "salary_eur" in sql("WITH a AS (SELECT * FROM shop.profile) SELECT * FROM a LIMIT 1")["masked"]
    assert sql("SELECT count(*) AS n FROM orders")["masked"] == []


def columns_of_page(table: str | None) -> dict[str, str]:
    """The columns that the page lists for a table; of no table those that evaluations share."""
    part = PAGE.partition("## The tables")[2].partition("\n### ")[0]
    if table is not None:
        part = PAGE.partition(f"### reports.{table}\n")[2].partition("\n### ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", part, re.M))


def test_the_page_lists_the_tables_with_their_columns() -> None:
    shared = columns_of_page(None)
    for name, schema in report_schemas().items():
        own = columns_of_page(name)
        assert own and {**(shared if "workflow" not in own and "domain" not in own else {}), **own}.items() >= {
            (field.name, _kind(field.type)) for field in schema
        }, name
        assert own.keys() <= set(schema.names), name
    assert sorted(re.findall(r"^### reports\.(\w+)$", PAGE, re.M)) == list(report_schemas())


def _kind(kind: pa.DataType) -> str:
    return "time" if pa.types.is_timestamp(kind) else {"string": "text", "int64": "count", "double": "number", "bool": "flag"}[str(kind)]
