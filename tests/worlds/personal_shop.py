"""The shop with a person behind each order: what is planted in its rows, and definitions that mark it as personal."""

from __future__ import annotations

import pyarrow as pa

from tests.worlds.shop import ORDERS, WORKFLOW, orders
from tests.worlds.shop_project import Shop

PLANTED_ROWS = 12
"""The first rows carry planted values; the others are of the same kind, and plain."""
PERSONAL_ORDERS = (
    ORDERS.replace("customer: {type: string, nullable: false", "customer: {type: string, nullable: false, personal: true")
    .replace(
        "  rules:\n",
        """\
    email: {type: string, personal: true, description: Address.}
    phone: {type: integer, personal: true, source: tel, description: Telephone.}
    salary_eur: {type: double, unit: EUR, personal: true, description: Income.}
  rules:
    salary_is_positive: salary_eur > 0
""",
    )
    .rstrip("\n")
    + """
    - expect_column_values_to_match_regex: {column: email, regex: "@shop.example$"}
      quarantine: true
    - expect_column_values_to_be_between: {column: salary_eur, max_value: 5000}
      severity: warning
    - expect_column_max_to_be_between: {column: salary_eur, max_value: 5000}
      severity: warning
    - expect_column_values_to_match_json_schema: {column: email, json_schema: {type: string}}
      severity: warning
    - expect_column_values_to_be_between: {column: amount_eur, max_value: 1}
      severity: warning
    - expect_column_pair_values_a_to_be_greater_than_b: {column_A: salary_eur, column_B: amount_eur}
      severity: warning
    - expect_compound_columns_to_be_unique: {column_list: [customer, phone]}
      severity: warning
"""
)
PROFILE = """\
type: platform_assets.components.FeatureView
attributes:
  name: profile
  description: Of the person who orders.
  sql: view.sql
  keys: [order_id]
  columns:
    salary_eur: {type: double, description: Income.}
    email: {type: string, description: Address.}
    email_length: {type: integer, personal: false, description: A length tells nobody.}
"""
PROFILE_SQL = "SELECT order_id, max(salary_eur) AS salary_eur, max(email) AS email, max(length(email)) AS email_length FROM shop.orders GROUP BY order_id\n"
PERSONAL_WORKFLOW = (
    WORKFLOW.replace("MINIMUM", "0.5")
    .replace("    basket: [items, amount_eur]\n", "    basket: [items, amount_eur]\n    profile: {columns: [salary_eur, email_length], allow_personal: true}\n")
    .replace('  batch: {schedule: "0 2 * * *"}', "  expectations:\n    training_set:\n      - expect_column_values_to_be_between: {column: basket__items, max_value: 0}\n        severity: warning\n    predictions:\n      - expect_column_values_to_be_between: {column: prediction, max_value: 0}\n        severity: warning\n  batch: {}\n  online: {}")
)  # fmt: skip


def people() -> list[dict[str, object]]:
    """Orders with the person behind each, and a column that nobody declared."""
    rows = orders()
    for index, row in enumerate(rows):
        planted = index < PLANTED_ROWS
        row["customer"] = f"PLANTEDcustomer{index % 5}x" if planted else row["customer"]
        row["email"] = f"PLANTEDmail{index}@shop.example" if planted else f"{row['customer']}@shop.example"
        row["tel"] = 7_600_000_123_400 + index if planted else 100 + index % 50
        row["salary_eur"] = 987_654.0625 + index if planted else 1000 + index % 300
        row["ssn"] = f"PLANTEDssn{index}" if planted else "none"
    rows[0]["tel"] = "PLANTEDphone"  # not of its type
    rows[1]["salary_eur"] = -987_655.0625  # breaks a rule
    rows[2]["email"] = "PLANTEDmail2@elsewhere"  # fails an expectation that quarantines
    rows[3]["order_id"] = ""  # has no key
    rows[4]["returned"] = "perhaps"  # something that isn't personal isn't of its type
    return rows


def planted(rows: list[dict[str, object]]) -> list[str | float]:
    planted: list[str | float] = ["PLANTED"]
    for row in rows[:PLANTED_ROWS]:
        planted += [abs(float(row[name])) for name in ("tel", "salary_eur") if not isinstance(row[name], str)]  # type: ignore[arg-type]
    return planted


def write(shop: Shop, name: str, text: str, sql: str = "") -> None:
    folder = shop.defs / "shop" / name
    folder.mkdir(exist_ok=True)
    (folder / "defs.yaml").write_text(text)
    if sql:
        (folder / "view.sql").write_text(sql)


def source_that_fails() -> pa.Table:
    raise ValueError(f"no such customer: {people()[5]['email']}")
