"""Verdicts: what a suite of expectations said of a batch. Three outcomes: passed, failed, could not run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from lakeloop.fingerprint import fingerprint
from lakeloop.spec.tables import Expectation

Outcome = Literal["passed", "failed", "could_not_run"]
GOOD_OUTCOMES = ("passed", "clean", "not_applicable")
"""Outcomes that pass a check: of an expectation or gate, and of a model check."""
MOST_EXAMPLES = 20


@dataclass(frozen=True)
class ExpectationResult:
    """The result of one expectation.

    Attributes:
        name: the check's name, unique and stable within its suite.
        expectation_type: the library's own name.
        severity: `blocking` stops publication, `warning` doesn't.
        outcome: a crash is `could_not_run`, which stops publication as a failure does.
        observed: what was seen, plain JSON.
        wanted: what was asked for, one sentence.
        unexpected_count, unexpected_share: failing rows, and their share of the values judged.
        unexpected_examples: some failing rows (keys and value), personal values masked.
        message: what to say of it; empty when passed.
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
        """Whether this result keeps the batch from being published."""
        return self.outcome != "passed" and self.severity == "blocking"


@dataclass(frozen=True)
class Verdict:
    """What a suite said of a batch."""

    passed: bool
    results: Sequence[ExpectationResult] = field(default_factory=tuple)


def check_names(expectations: Sequence[Expectation]) -> list[str]:
    """A name for each expectation: its type without the common beginning, and its column; a number after a repeated one.

    >>> check_names([Expectation(type="expect_column_values_to_be_between", kwargs={"column": "seats"})] * 2)
    ['between__seats', 'between__seats_2']
    """
    names: list[str] = []
    for expectation in expectations:
        short = re.sub(r"^expect_(column_values_to_be_|column_values_to_|compound_columns_to_be_|column_|table_)?", "", expectation.type)
        column = expectation.kwargs.get("column")
        base = re.sub(r"\W", "_", short + (f"__{column}" if column else ""), flags=re.ASCII)
        name, number = base, 2
        while name in names:
            name, number = f"{base}_{number}", number + 1
        names.append(name)
    return names


def suite_hash(expectations: Sequence[Expectation]) -> str:
    """A fingerprint of a suite."""
    return fingerprint([expectation.model_dump(mode="json") for expectation in expectations])


def allow_empty_beside(expectations: Sequence[Expectation], standing: int) -> list[Expectation]:
    """A table's expectations for a batch beside which so many of its rows stay: a partition alone may be empty, a table may not.

    Args:
        expectations: as `generate_expectations` begins them, with the row count first.
        standing: rows of the partitions that the batch doesn't replace.
    """
    count, *others = expectations
    return [count.model_copy(update={"kwargs": {**count.kwargs, "min_value": 0}}) if standing else count, *others]


def generate_expectations(
    columns: Iterable[str], keys: Sequence[str], *, min_rows: int | None = 1, unique: Literal["blocking", "warning"] = "blocking"
) -> list[Expectation]:
    """What every table must meet without being told: it has rows, exactly its columns, and keys that are there and unique.

    The row count comes first: zero rows pass most other expectations.

    Args:
        columns: the columns that there must be, no more and no less.
        keys: the columns that identify a row.
        min_rows: the least number of rows; None where an empty batch may be legitimate and is accounted for otherwise.
        unique: whether keys must be there and unique (`blocking`), or may be null, and one that stands twice is pointed out (`warning`).
    """
    found = [] if min_rows is None else [Expectation(type="expect_table_row_count_to_be_between", kwargs={"min_value": min_rows})]
    found.append(Expectation(type="expect_table_columns_to_match_set", kwargs={"column_set": list(columns), "exact_match": True}))
    if unique == "blocking":
        found += [Expectation(type="expect_column_values_to_not_be_null", kwargs={"column": key}) for key in keys]
    if len(keys) == 1:
        found.append(Expectation(type="expect_column_values_to_be_unique", kwargs={"column": keys[0]}, severity=unique))
    else:
        found.append(Expectation(type="expect_compound_columns_to_be_unique", kwargs={"column_list": list(keys)}, severity=unique))
    return found


def describe_expectation(expectation: Expectation) -> str:
    """What an expectation asks for, in words.

    >>> describe_expectation(Expectation(type="expect_column_values_to_be_between", kwargs={"column": "seats", "min_value": 1}))
    'column values to be between (column: seats, min_value: 1)'
    """
    what = expectation.type.removeprefix("expect_").replace("_", " ")
    details = ", ".join(f"{name}: {value}" for name, value in expectation.kwargs.items())
    return f"{what} ({details})" if details else what
