"""The campaign: `python -m benchmarks.engines --seed N --seeds M` compares the cases of the seeds N to N + M - 1 and counts what came of them.

With `--spark sc://…` a Spark that runs already is the other engine; without, one is started on this machine's Java. `--docs` writes the table to
docs/engines.md, `--record` the values of the fixed cases for the tests.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path

from benchmarks.engines.compare import Engines, Outcome, tally
from benchmarks.engines.queries import FAMILIES, make_cases
from benchmarks.engines.recorded import RECORDED, SEED, fixed_cases, record, save
from benchmarks.engines.rows import SCHEMA, make_rows
from benchmarks.engines.spellings import AGGREGATES, SCALARS
from tests.worlds.places import ROOT

CASES_OF_A_SEED = 60
DOCS = ROOT / "docs" / "engines.md"
_FEW_ROWS = {
    "spark.sql.shuffle.partitions": "1",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
}
"""For tables of a few rows: what Spark takes to compile a query is most of its time."""
KINDS = ("equal", "refused by check", "refused by both", "only Spark takes it", "only the embedded engine takes it", "differs")


def main() -> int:
    """Print each case that differs, and the table; 1 if there is one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--spark", default="")
    parser.add_argument("--all", action="store_true", help="print every case that isn't equal")
    parser.add_argument("--docs", action="store_true", help="write the table to docs/engines.md")
    parser.add_argument("--record", action="store_true", help="record what Spark gives for the fixed cases, and compare nothing else")
    asked = parser.parse_args()
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)  # each error of Spark with its whole stack
    counts: Counter[tuple[str, str]] = Counter()
    started = time.monotonic()
    with ExitStack() as stack:
        engines = open_engines(asked.spark, stack)
        if asked.record:
            return _record(engines)
        for seed in range(asked.seed, asked.seed + asked.seeds):
            outcomes = run_seed(engines, seed)
            counts.update(tally([(family, outcome) for family, _, outcome in outcomes]))
            for family, expression, outcome in outcomes:
                if outcome.kind == "differs" or (asked.all and outcome.kind != "equal"):
                    print(f"{outcome.kind}: seed {seed}, {family}: {expression}\n    {outcome.told}", flush=True)
        print(f"{asked.seeds} seeds from {asked.seed} in {time.monotonic() - started:.0f} s")
        print(table_of(counts))
        if asked.docs:
            _write_docs(engines, asked.seeds, asked.seed, counts)
    sys.stdout.flush()
    os._exit(1 if any(kind == "differs" for _, kind in counts) else 0)  # a client of a server that has ended says goodbye for minutes


def _record(engines: Engines) -> int:
    show_rows(engines, SEED)
    recorded = record(engines, fixed_cases())
    save(RECORDED, recorded)
    refused = {expression for expression, *_ in [*SCALARS, *AGGREGATES]}
    wrong = [each for each in recorded if not each.is_alike and each.case.expression not in refused]
    for each in wrong:
        print(f"differs: {each.case.expression}")
    sys.stdout.flush()
    os._exit(1 if wrong else 0)


def _write_docs(engines: Engines, seeds: int, first: int, counts: Counter[tuple[str, str]]) -> None:
    """Put the table between its marks in docs/engines.md."""
    begin, end = "<!-- written by python -m benchmarks.engines --docs -->\n", "<!-- end -->"
    text = DOCS.read_text()
    before, _, rest = text.partition(begin)
    said = f"Sail {metadata.version('pysail')} against Spark {engines.jvm.version}: {sum(counts.values()):,} cases of {seeds} seeds from {first} on.\n\n"
    DOCS.write_text(f"{before}{begin}\n{said}{table_of(counts)}\n\n{end}{rest.partition(end)[2]}")


def show_rows(engines: Engines, seed: int) -> None:
    """Show both engines the table of a seed."""
    rows = make_rows(seed)
    for spark in (engines.embedded, engines.jvm):
        spark.createDataFrame(rows).createOrReplaceTempView("t")


def open_engines(address: str, stack: ExitStack) -> Engines:
    """Sessions of both engines."""
    from resources.spark.sessions import SparkResource
    from tests.worlds.servers.jvm_spark import connect_server

    if not address:
        address = stack.enter_context(connect_server(Path(stack.enter_context(tempfile.TemporaryDirectory()))))
    jvm = SparkResource(remote=address).session("engines")
    for name, value in _FEW_ROWS.items():
        jvm.conf.set(name, value)
    return Engines(SparkResource().session("engines"), jvm, SCHEMA)


def run_seed(engines: Engines, seed: int, cases: int = CASES_OF_A_SEED) -> list[tuple[str, str, Outcome]]:
    """Compare the cases of a seed: family, expression, outcome."""
    show_rows(engines, seed)
    differences = []
    for group in make_cases(seed, cases):
        outcomes = engines.outcomes(group)
        differences += [(case.family, case.expression, _judge(case.family, outcome)) for case, outcome in zip(group, outcomes, strict=True)]
    return differences


def _judge(family: str, outcome: Outcome) -> Outcome:
    """Where overflow is what is looked for, an error on one engine alone is a difference."""
    return Outcome("differs", f"{outcome.kind}: {outcome.told}") if family == "overflow" and outcome.kind.startswith("only") else outcome


def table_of(counts: Counter[tuple[str, str]]) -> str:
    """The counts as a table in Markdown."""
    lines = [f"| | {' | '.join(KINDS)} |", "|---|" + "---:|" * len(KINDS)]
    for family in FAMILIES:
        lines.append(f"| {family} | {' | '.join(str(counts[family, kind]) for kind in KINDS)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
