"""Claims of speed that need no platform around them: joins on made rows, a suite of expectations, a step's own process."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.page import Tell

if TYPE_CHECKING:
    import pyarrow as pa

FEATURES = 5
ROWS_PER_ENTITY = 100
YEAR_US = 365 * 86_400 * 10**6
START_US = 1_356_998_400 * 10**6
DELAY_US = 3_600 * 10**6
SIZES = ((200_000, 1_000_000), (1_000_000, 5_000_000))
"""Rows of the spine, rows of the features."""

Alternate = Callable[[Callable[[], Any], Callable[[], Any], int], tuple[float, float]]


def made_rows(asked: int, rows: int, seed: int = 0) -> tuple[pa.Table, pa.Table]:
    """A spine in no order, and features in the order in which views are written: by key and event time."""
    import pyarrow as pa

    rng, moment = np.random.default_rng(seed), pa.timestamp("us", tz="UTC")
    names = pa.array([f"entity-{n:07d}" for n in range(rows // ROWS_PER_ENTITY)])
    code, event = rng.integers(0, len(names), rows), rng.integers(0, YEAR_US, rows) + START_US
    order = np.lexsort((event, code))
    features = {
        "entity": names.take(pa.array(code[order])),
        "event": pa.array(event[order]).cast(moment),
        "known_at": pa.array(event[order] + DELAY_US).cast(moment),
        **{f"f{n}": pa.array(rng.random(rows)) for n in range(FEATURES)},
    }
    spine = {
        "n": pa.array(np.arange(asked)),
        "entity": names.take(pa.array(rng.integers(0, len(names), asked))),
        "at": pa.array(rng.integers(0, YEAR_US, asked) + START_US).cast(moment),
    }
    return pa.table(spine), pa.table(features)


def ours(spine: pa.Table, features: pa.Table) -> pa.Table:
    """The join of the platform."""
    from lakeloop.rows.asof import FeatureRows, point_in_time_join

    columns = {f"f{n}": f"f{n}" for n in range(FEATURES)}
    return point_in_time_join(spine, [FeatureRows("features", features, ("entity",), columns, "event", "known_at")], at="at")


def duckdb_asof(spine: pa.Table, features: pa.Table) -> pa.Table:
    """DuckDB's, by known time; that is the same rule here, because the delay is constant."""
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.register("spine", spine)
    connection.register("features", features)
    columns = ", ".join(f"f.f{n}" for n in range(FEATURES))
    query = f"SELECT s.*, {columns} FROM spine s ASOF LEFT JOIN features f ON s.entity = f.entity AND s.at >= f.known_at"
    return connection.sql(query).to_arrow_table()


def joins(alternate: Alternate, tell: Tell) -> None:
    """Both sizes, in memory and from Delta to Delta; the results are compared cell by cell first."""
    import deltalake

    from resources.lake.column_encoding import writer_properties
    from resources.lake.tables import read_table

    for asked, rows in SIZES:
        spine, features = made_rows(asked, rows)
        one, two = (join(spine, features).sort_by("n") for join in (ours, duckdb_asof))
        for name in one.column_names:
            if one[name].combine_chunks().cast(two[name].type) != two[name].combine_chunks():
                raise SystemExit(f"the two joins of {asked} x {rows} differ in {name}")
        size = f"{asked:,} x {rows:,}"
        tell(
            f"join {size}",
            *alternate(partial(ours, spine, features), partial(duckdb_asof, spine, features), 5),
            0.5,
            "in memory, against DuckDB's as-of join",
        )
        with tempfile.TemporaryDirectory() as folder:
            deltalake.write_deltalake(f"{folder}/spine", spine)
            deltalake.write_deltalake(f"{folder}/features", features)

            def write(path: str, rows: Any) -> None:
                deltalake.write_deltalake(path, rows, mode="overwrite", writer_properties=writer_properties(rows))

            def platform() -> None:
                spine, features = (read_table(deltalake.DeltaTable(f"{folder}/{name}"), coded=["entity"]) for name in ("spine", "features"))
                write(f"{folder}/ours", ours(spine, features))

            def plain() -> None:
                spine, features = (deltalake.DeltaTable(f"{folder}/{name}").to_pyarrow_table() for name in ("spine", "features"))
                write(f"{folder}/theirs", duckdb_asof(spine, features))

            both = alternate(platform, plain, 5)
            tell(
                f"Delta join {size}",
                *both,
                0.5,
                "from Delta to Delta, against reading with deltalake, DuckDB's as-of join, and the same writing",
            )


def suites(alternate: Alternate, tell: Tell) -> None:
    """Twenty expectations on a million rows: ours, the same suite in bare Great Expectations, and one scan of all by DuckDB."""
    import duckdb
    import great_expectations as gx
    import pyarrow as pa

    from lakeloop.spec.tables import Expectation
    from resources.quality import run_suite

    rng, rows = np.random.default_rng(0), 1_000_000
    table = pa.table({f"c{n}": rng.random(rows) for n in range(10)})
    kinds: list[tuple[str, dict[str, Any]]] = []
    for name in table.column_names:
        kinds.append(("expect_column_values_to_be_between", {"column": name, "min_value": 0, "max_value": 1}))
        kinds.append(("expect_column_values_to_not_be_null", {"column": name}))
    suite = [Expectation(type=kind, kwargs=kwargs) for kind, kwargs in kinds]

    def platform() -> None:
        assert run_suite(table, suite).passed

    def bare() -> None:
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}  # type: ignore[assignment]
        asset = context.data_sources.add_pandas("rows").add_dataframe_asset("rows")
        batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": table.to_pandas()})
        made = [gx.expectations.registry.get_expectation_impl(kind)(**kwargs) for kind, kwargs in kinds]
        assert batch.validate(gx.ExpectationSuite(name="suite", expectations=made), result_format="BASIC").success

    def fused() -> None:
        connection = duckdb.connect()
        connection.register("rows", table)
        sums = ", ".join(f"count(*) FILTER ({name} NOT BETWEEN 0 AND 1), count(*) FILTER ({name} IS NULL)" for name in table.column_names)
        (nulls,) = connection.sql(f"SELECT {sums} FROM rows").fetchall()
        assert not any(nulls)

    tell("suite", *alternate(platform, bare, 3), 1.1, "20 expectations on 1,000,000 rows, against bare Great Expectations")
    tell("suite, one scan", *alternate(platform, fused, 3), None, "the same against one scan in DuckDB")


def steps(tell: Tell, python: Callable[..., str], root: Path) -> None:
    """What a process of its own adds to a step without work; what starting the fork server costs a run is left out as it is paid once."""
    seconds_of: dict[str, list[float]] = {"multiprocess": [], "in_process": []}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "dagster.yaml").write_text((root / "dagster.yaml").read_text())
        for _ in range(2):
            for executor, seconds in seconds_of.items():
                seconds.append(float(python("-m", "benchmarks.steps", executor, DAGSTER_HOME=folder, STEPS="12")))
    own, together = (statistics.mean(seconds_of[executor]) for executor in ("multiprocess", "in_process"))
    tell("step process, s", own - together, 1.0, 0.3, f"seconds that its own process adds to a step: {own:.2f} instead of {together:.2f}")
