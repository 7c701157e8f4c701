"""Measure every claim of speed side by side; write `benchmarks/results.json` and the table of `docs/speed.md`."""

from __future__ import annotations

import json
import os
import platform as machine
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import resources.host.fewer_collections  # noqa: F401
from benchmarks import idle, pieces, stages
from benchmarks.engines import flights_views
from benchmarks.online import endpoint, predicting
from benchmarks.page import DOCS, row, show, write_between
from benchmarks.search import search

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results.json"
_LOAD = "import platform_assets.definitions as d; d.defs().get_repository_def()"


PACE = 20_000_000
"""Additions in plain Python, whose seconds say how fast the machine was."""


def main() -> int:
    """Run all benchmarks; 1 if a limit isn't kept."""
    results: list[dict[str, Any]] = []
    seconds = [pace()]

    def tell(name: str, ours: float, theirs: float, limit: float | None, what: str) -> None:
        entry = {"name": name, "ratio": round(ours / theirs, 3), "limit": limit, "ours_s": round(ours, 3), "theirs_s": round(theirs, 3)}
        results.append({**entry, "what": what})
        show(name, ours, theirs, limit, what)

    pieces.joins(alternate, tell)
    pieces.suites(alternate, tell)
    pieces.steps(tell, python, ROOT)
    predicting.measure(alternate, tell)
    both = alternate(lambda: python("-c", _LOAD), lambda: python("-c", "import dagster"), 5)
    tell("load", *both, 3.0, "the code location against `import dagster`")
    with tempfile.TemporaryDirectory() as folder:
        with mlflow_server(Path(folder) / "plain") as environment:
            started = time.perf_counter()
            python("-m", "benchmarks.plain", **environment)
            plain = time.perf_counter() - started
            lake = Path(environment["LAKELOOP_HOME"]) / "dev" / "lake"
            tell("point-in-time join", *joins(lake, 3), 1.0, "training-set join, Delta to Delta, against DuckDB as-of joins")
        with mlflow_server(Path(folder) / "search") as environment:
            search(tell, environment)
        with mlflow_server(Path(folder) / "dagster") as environment:
            home = Path(folder) / "instance"
            home.mkdir()
            (home / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())
            # An instance is made once, when the platform is set up.
            python(
                "-c",
                "import dagster as dg; i = dg.DagsterInstance.get(); i.event_log_storage.get_asset_records([])",
                DAGSTER_HOME=str(home),
            )
            command = ["-m", "dagster", "asset", "materialize", "-m", "platform_assets.definitions", "--select", "*"]
            started = time.perf_counter()
            python(*command, "--partition-range", "2013-01...2014-01", DAGSTER_HOME=str(home), OMP_NUM_THREADS="1", **environment)
            tell("workflow", time.perf_counter() - started, plain, 1.25, "`dagster asset materialize` of everything against a plain script")
    idle.measure(tell)
    stages.measure(tell)
    flights_views.measure(tell)
    endpoint.serving(tell)
    seconds.append(pace())
    outcome = {
        "at": datetime.now(UTC).isoformat(),
        "python": machine.python_version(),
        "cpus": os.cpu_count(),
        "pace_s": [round(value, 2) for value in seconds],
        "results": results,
    }
    RESULTS.write_text(json.dumps(outcome, indent=2) + "\n")
    write_between(DOCS / "speed.md", "bench", table(outcome))
    over = [entry["name"] for entry in results if entry["limit"] is not None and entry["ratio"] > entry["limit"]]
    print(f"over their limits: {', '.join(over) or 'none'}")
    return int(bool(over))


def pace() -> float:
    """Seconds that `PACE` additions take."""
    started = time.perf_counter()
    total = 0
    for number in range(PACE):
        total += number
    return time.perf_counter() - started


def table(found: dict[str, Any]) -> str:
    """As Markdown, with the machine that it was found on."""
    lines = [
        f"On {found['at'][:10]}, {found['cpus']} cores, Python {found['python']}; {PACE:,} additions in plain Python took "
        f"{' s before and '.join(map(str, found['pace_s']))} s after.",
        "",
        "| claim | measured | limit | what is measured |",
        "|---|--:|--:|---|",
    ]
    lines += [row(entry["name"], entry["ratio"], entry["limit"], entry["what"]) for entry in found["results"]]
    return "\n".join(lines)


def alternate(ours: Callable[[], Any], theirs: Callable[[], Any], times: int) -> tuple[float, float]:
    """Median seconds of both, run in turns after one unmeasured turn."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for turn in range(times + 1):
        for index, run in enumerate((ours, theirs)):
            started = time.perf_counter()
            run()
            if turn:
                seconds[index].append(time.perf_counter() - started)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def joins(lake: Path, times: int) -> tuple[float, float]:
    """Our training-set join and DuckDB's, Delta to Delta; both results are compared cell by cell."""
    import deltalake
    import duckdb
    import pyarrow as pa

    from lakeloop.records.features import FeatureLookup
    from lakeloop.rows.asof import FeatureRows, point_in_time_join
    from lakeloop.spec.tables import parse_duration
    from platform_assets.loading import read_project
    from platform_assets.stages.features.lookup import feature_spec
    from resources.lake.lake import Lake
    from resources.lake.published import TableKey
    from resources.lake.tables import read_table

    project, store = read_project(), Lake(str(lake))
    spec = feature_spec(project, project.workflows[("flights", "flight_delay")])
    states = store.states()
    spine_path = str(lake / "bench" / "spine")
    training = store.read(store.current(TableKey("training_sets", "flights", "flight_delay"), states))
    keys = [*spec.keys, spec.predict_at]
    deltalake.write_deltalake(
        spine_path, training.select(keys).append_column("n", pa.array(range(training.num_rows), pa.int64())), mode="overwrite"
    )

    def source(view: FeatureLookup) -> tuple[TableKey, bool]:
        shelf = project.tables if view.kind == "table" else project.views
        key = TableKey("validated" if view.kind == "table" else "features", view.domain, view.name)
        return key, bool(shelf[(view.domain, view.name)].spec.event_time)

    def event_time(view: FeatureLookup) -> str:
        return str((project.tables if view.kind == "table" else project.views)[(view.domain, view.name)].spec.event_time)

    def rows_of(view: FeatureLookup, *, coded: bool = False) -> pa.Table:
        key, timed = source(view)
        columns = list(dict.fromkeys([*view.keys, *view.columns, *([event_time(view), "known_at"] if timed else [])]))
        return store.read(store.current(key, states), columns=columns, coded=view.keys if coded else ())

    def ours() -> None:
        spine = read_table(deltalake.DeltaTable(spine_path))
        lookups = [
            FeatureRows(
                view.name, rows_of(view, coded=True), view.keys, view.columns,
                event_time(view) if source(view)[1] else None, "known_at" if source(view)[1] else None,
                parse_duration(view.max_age) if view.max_age else None,
            )
            for view in spec.views
        ]  # fmt: skip
        deltalake.write_deltalake(str(lake / "bench" / "ours"), point_in_time_join(spine, lookups, at=spec.predict_at), mode="overwrite")

    def theirs() -> None:
        # In every view of this workflow known_at is event time plus a constant, so that the newest known row is the as-of row by known_at.
        connection = duckdb.connect()
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("spine", read_table(deltalake.DeltaTable(spine_path)))
        columns, from_ = [f"s.{name}" for name in (*keys, "n")], "spine AS s"
        for view in spec.views:
            name = view.name
            connection.register(name, rows_of(view))
            on = " AND ".join(f"s.{key} = {name}.{key}" for key in view.keys)
            if source(view)[1]:
                from_ += f" ASOF LEFT JOIN {name} ON {on} AND s.{spec.predict_at} >= {name}.known_at"
                seconds = int(parse_duration(view.max_age).total_seconds())
                alive = f"s.{spec.predict_at} - {name}.{event_time(view)} <= to_seconds({seconds})"
                columns += [f"CASE WHEN {alive} THEN {name}.{c} END AS {o}" for c, o in view.columns.items()]
            else:
                from_ += f" LEFT JOIN {name} ON {on}"
                columns += [f"{name}.{c} AS {o}" for c, o in view.columns.items()]
        result = connection.sql(f"SELECT {', '.join(columns)} FROM {from_}").to_arrow_table()
        deltalake.write_deltalake(str(lake / "bench" / "theirs"), result, mode="overwrite")

    seconds = alternate(ours, theirs, times)
    one, two = (read_table(deltalake.DeltaTable(str(lake / "bench" / who))).sort_by("n") for who in ("ours", "theirs"))
    for name in one.column_names:
        if one[name].combine_chunks().cast(two[name].type) != two[name].combine_chunks():
            raise SystemExit(f"the two joins differ in {name}")
    return seconds


def python(*arguments: str, **environment: str) -> str:
    """Run Python in the project and return what it printed; its errors are shown only when it fails."""
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return done.stdout


class mlflow_server:
    """A server with a home of its own; gives the environment that names both."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def __enter__(self) -> dict[str, str]:
        """Start it."""
        from resources.tracking import server

        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.home.mkdir(parents=True)
        with (self.home / "log").open("wb") as log:
            self.process = subprocess.Popen(
                server.server_command(self.home / "mlflow", port),
                env=server.server_environment(self.home / "mlflow", port),
                stdout=log,
                stderr=log,
            )
        uri = f"http://127.0.0.1:{port}"
        server.wait_until_ready(uri, 90, self.process)
        return {"LAKELOOP_HOME": str(self.home), "LAKELOOP_MLFLOW": uri}

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.process.terminate()
        self.process.wait(30)


if __name__ == "__main__":
    sys.exit(main())
