"""A share of the campaign: queries over hostile values give on the embedded engine what Spark on a JVM gave, or gives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from benchmarks.engines.__main__ import open_engines, run_seed, show_rows
from benchmarks.engines.compare import Engines
from benchmarks.engines.recorded import RECORDED, SEED, Recorded, fixed_cases, is_equal, load
from benchmarks.engines.rows import SCHEMA, make_rows
from benchmarks.engines.spellings import AGGREGATES, SCALARS
from resources.spark.sessions import SparkResource

CASES = load(RECORDED)
REFUSED = {expression for expression, *_ in [*SCALARS, *AGGREGATES]}
LIVE_SEEDS = (0, 1)


@pytest.fixture(scope="module")
def embedded() -> Iterator[Engines]:
    """The embedded engine with the table of the recorded cases; the other one isn't asked."""
    session = SparkResource().session("engines_alike")
    session.createDataFrame(make_rows(SEED)).createOrReplaceTempView("t")
    yield Engines(session, session, SCHEMA)


def test_each_fixed_case_is_recorded() -> None:
    assert [each.case for each in CASES] == fixed_cases(), "run python -m benchmarks.engines --record"


def test_what_is_not_refused_gives_what_spark_gave(embedded: Engines) -> None:
    asked = [each for each in CASES if each.case.expression not in REFUSED]
    assert len(asked) > 150 and all(each.is_alike for each in asked)
    assert [each.case.expression for each in asked if not _gives_the_same(embedded, each)] == []


def test_what_is_refused_still_differs(embedded: Engines) -> None:
    """Once an engine gives the same, it needn't be refused any more."""
    asked = [each for each in CASES if each.case.expression in REFUSED and not each.is_alike]
    assert len(asked) > 25
    assert [each.case.expression for each in asked if _gives_the_same(embedded, each)] == []


def _gives_the_same(engines: Engines, recorded: Recorded) -> bool:
    return is_equal(engines.values(recorded.case, is_embedded=True), recorded.values)


def test_what_is_recorded_and_random_cases_are_what_spark_gives(jvm_remote: str) -> None:
    with ExitStack() as stack:
        engines = open_engines(jvm_remote, stack)
        for seed in LIVE_SEEDS:
            assert [(expression, found.told) for _, expression, found in run_seed(engines, seed) if found.kind == "differs"] == []
        show_rows(engines, SEED)
        for each in CASES[::8]:
            values = engines.values(each.case, is_embedded=False)
            assert isinstance(values, str) == isinstance(each.values, str), each.case.expression
            assert isinstance(values, str) or is_equal(each.values, values), each.case.expression
