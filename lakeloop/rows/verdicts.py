"""Verdicts: the results of a suite of expectations on a batch. Three outcomes: passed, failed, could not run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from lakeloop.fingerprint import fingerprint
from lakeloop.spec.tables import Expectation

Outcome = Literal["passed", "failed", "could_not_run"]
GOOD_OUTCOMES = ("passed", "clean", "not_applicable")
"""The outcomes that pass: of an expectation or gate, and of a model check."""
MOST_EXAMPLES = 20
MANY = 250
"""A suite with more expectations than this is that of a wide table: Dagster shows them as one check for all that block and one for all that warn,
since it writes an event for each before a run starts (3,647 took over 400 s)."""


@dataclass(frozen=True)
class ExpectationResult:
    """The result of one expectation.

    Attributes:
        name: the check's name, unique and stable within its suite.
        expectation_type: the library's own name.
        severity: `blocking` stops publication, `warning` doesn't.
        outcome: a crash is `could_not_run`, which stops publication as a failure does.
        observed: the observed value, plain JSON.
        wanted: the expectation in words, one sentence.
        unexpected_count, unexpected_share: failing rows, and their share of the checked values.
        unexpected_examples: some failing rows (keys and value), personal values masked.
        message: the reason; empty when passed.
    """

    name: str
    expectation_type: str
    severity: Literal["blocking", "warning"]
    outcome: Outcome
    observed: Any = None
    wanted: str = ""
    column: str | None = None
    unexpected_count: int = 0
    unexpected_share: float = 0.0
    unexpected_examples: Sequence[Mapping[str, Any]] = ()
    message: str = ""

    @property
    def blocks(self) -> bool:
        """Whether this result stops the publication of the batch."""
        return self.outcome != "passed" and self.severity == "blocking"


@dataclass(frozen=True)
class Verdict:
    """The results of a suite on a batch."""

    passed: bool
    results: Sequence[ExpectationResult] = field(default_factory=tuple)


def check_names(expectations: Sequence[Expectation]) -> list[str]:
    """Name each expectation: its type without the common prefix, and its column; a repeated name is numbered.

    >>> check_names([Expectation(type="expect_column_values_to_be_between", kwargs={"column": "seats"})] * 2)
    ['between__seats', 'between__seats_2']
    """
    names: dict[str, None] = {}
    for expectation in expectations:
        short = re.sub(r"^expect_(column_values_to_be_|column_values_to_|compound_columns_to_be_|column_|table_)?", "", expectation.type)
        column = expectation.kwargs.get("column")
        base = re.sub(r"\W", "_", short + (f"__{column}" if column else ""), flags=re.ASCII)
        name, number = base, 2
        while name in names:
            name, number = f"{base}_{number}", number + 1
        names[name] = None
    return list(names)


def suite_hash(expectations: Sequence[Expectation]) -> str:
    """A fingerprint of a suite."""
    return fingerprint([expectation.model_dump(mode="json") for expectation in expectations])


def allow_empty_beside(expectations: Sequence[Expectation], other_rows: int) -> list[Expectation]:
    """Let a batch be empty if other partitions of its table have rows: a partition alone may be empty, a table may not.

    Args:
        expectations: those of the table, with the row count of `generate_expectations` first.
        other_rows: rows of the partitions that the batch doesn't replace.
    """
    count, *rest = expectations
    return [count.model_copy(update={"kwargs": {**count.kwargs, "min_value": 0}}) if other_rows else count, *rest]


def generate_expectations(
    columns: Iterable[str], keys: Sequence[str], *, min_rows: int | None = 1, unique: Literal["blocking", "warning"] = "blocking"
) -> list[Expectation]:
    """Generate what every table must meet: it has rows, exactly its columns, and unique keys without nulls.

    The row count comes first: zero rows pass most other expectations.

    Args:
        columns: the columns of the table, no more and no less.
        keys: the columns that identify a row; none of a table without a key.
        min_rows: the least number of rows; None where an empty batch may be legitimate and is accounted for otherwise.
        unique: `blocking` if keys must be present and unique; with `warning` they may be null, and duplicates are reported.
    """
    expectations = [] if min_rows is None else [Expectation(type="expect_table_row_count_to_be_between", kwargs={"min_value": min_rows})]
    expectations.append(Expectation(type="expect_table_columns_to_match_set", kwargs={"column_set": list(columns), "exact_match": True}))
    if unique == "blocking":
        expectations += [Expectation(type="expect_column_values_to_not_be_null", kwargs={"column": key}) for key in keys]
    if len(keys) == 1:
        expectations.append(Expectation(type="expect_column_values_to_be_unique", kwargs={"column": keys[0]}, severity=unique))
    elif keys:
        expectations.append(Expectation(type="expect_compound_columns_to_be_unique", kwargs={"column_list": list(keys)}, severity=unique))
    return expectations


def describe_expectation(expectation: Expectation) -> str:
    """Describe an expectation in words.

    >>> describe_expectation(Expectation(type="expect_column_values_to_be_between", kwargs={"column": "seats", "min_value": 1}))
    'column values to be between (column: seats, min_value: 1)'
    """
    sentence = expectation.type.removeprefix("expect_").replace("_", " ")
    details = ", ".join(f"{name}: {value}" for name, value in expectation.kwargs.items())
    return f"{sentence} ({details})" if details else sentence
