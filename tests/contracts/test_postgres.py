"""Dagster, MLflow and Optuna on a real PostgreSQL: the shop's walk, sixteen steps at once, and what SQLite refuses instead."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from lakeloop.errors import LakeloopError
from resources.host.dagster_home import make_home
from resources.lake.published import WHOLE, TableKey
from resources.settings import SQLITE_STEPS, Settings
from tests.worlds.servers.mlflow_server import server
from tests.worlds.servers.postgres import PASSWORD
from tests.worlds.servers.postgres import server as postgres
from tests.worlds.shared_study import search
from tests.worlds.shop_project import Shop, failures, fresh, make

STEPS = 16
PARALLEL = """\
import os, time
from pathlib import Path

import dagster as dg

from platform_assets.definitions import PRELOADED
from tests.worlds.places import ROOT

STEPS, MEETING = int(os.environ["LAKELOOP_STEPS"]), Path(os.environ["MEETING"])


def step(number):
    @dg.asset(name=f"step_{number}", check_specs=[dg.AssetCheckSpec(f"check_{n}", asset=f"step_{number}") for n in range(10)])
    def body(context):
        (MEETING / str(number)).touch()
        deadline = time.monotonic() + 120
        while len(list(MEETING.iterdir())) < STEPS:
            assert time.monotonic() < deadline, "the others did not come"
            time.sleep(0.05)
        for n in range(10):
            yield dg.AssetCheckResult(check_name=f"check_{n}", passed=True, metadata={"note": "x" * 500})
        yield dg.MaterializeResult(metadata={"note": "x" * 500})

    return body


AT_ONCE = {"max_concurrent": STEPS, "start_method": {"forkserver": {"preload_modules": [name for name in PRELOADED if name.startswith("dagster.")] + ["dagster_postgres"]}}}
defs = dg.Definitions([step(n) for n in range(STEPS)], executor=dg.multiprocess_executor.configured(AT_ONCE))
"""


@pytest.fixture(scope="module")
def databases() -> Iterator[dict[str, str]]:
    """One database each, by the variable that names it, in the environment."""
    with postgres() as url, pytest.MonkeyPatch.context() as patch:
        admin = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        addresses = {}
        with admin.connect() as connection:
            for name in ("dagster", "mlflow", "studies"):
                connection.execute(sa.text(f"CREATE DATABASE {name}"))
                addresses[f"LAKELOOP_{name.upper()}_DB"] = sa.make_url(url).set(database=name).render_as_string(hide_password=False)
        for name, value in addresses.items():
            patch.setenv(name, value)
        yield addresses


def test_the_walk_with_dagster_and_mlflow_on_postgresql(
    databases: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    settings = Settings.from_environment()
    monkeypatch.setenv("LAKELOOP_ENV", "postgres")
    with server(tmp_path / "mlflow", database=settings.mlflow_db) as (uri, process):
        assert PASSWORD not in " ".join(map(str, process.args)) + repr(settings)
        shop = make(tmp_path, uri)
        dagster_home = make_home(tmp_path / "dagster", settings.dagster_db)
        with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
            first = shop.materialize(instance=instance)
            assert first.success, failures(first)
            second = shop.materialize(instance=instance)
            assert second.success and fresh(second) == {True}
            assert len(instance.get_runs()) == 2
    assert shop.lake.states()[TableKey("releases", "shop", "returns")][WHOLE].value["champion"] == "1"
    for name, table in (("DAGSTER", "event_logs"), ("MLFLOW", "model_versions")):
        engine = sa.create_engine(databases[f"LAKELOOP_{name}_DB"], poolclass=sa.NullPool)
        with engine.connect() as connection:
            assert connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar_one() >= 1
    assert not list(tmp_path.rglob("*.db")) and not (home / "postgres" / "mlflow.db").exists()
    stored = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in stored if PASSWORD.encode() in path.read_bytes()] == []


def test_sixteen_steps_at_once_meet_no_lock(databases: dict[str, str], tmp_path: Path) -> None:
    done = _run_together(tmp_path, STEPS, databases["LAKELOOP_DAGSTER_DB"])
    assert "lock" not in done.lower()


def test_sqlite_holds_the_steps_that_it_is_said_to_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAKELOOP_DAGSTER_DB", raising=False)
    done = _run_together(tmp_path, SQLITE_STEPS, None)
    assert "locked" not in done.lower()


def test_more_steps_than_sqlite_holds_are_refused_and_told_what_to_do() -> None:
    with pytest.raises(
        LakeloopError, match="9 steps at once are more than Dagster's embedded SQLite supports .at most 8.; name a PostgreSQL"
    ):
        Settings.from_environment({"LAKELOOP_STEPS": "9"})
    url = "postgresql+psycopg2://user:secret@host/database"
    assert Settings.from_environment({"LAKELOOP_STEPS": "16", "LAKELOOP_DAGSTER_DB": url}).steps == 16
    with pytest.raises(LakeloopError, match="LAKELOOP_MLFLOW_DB: wanted postgresql") as told:
        Settings.from_environment({"LAKELOOP_MLFLOW_DB": url.replace("postgresql+psycopg2", "mysql")})
    assert "secret" not in str(told.value)


def test_the_executor_runs_as_many_steps_as_the_setting_says(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKELOOP_STEPS", "3")
    job = shop.definitions().resolve_implicit_global_asset_job_def()
    assert job.executor_def.apply_config_mapping({}).value["config"]["max_concurrent"] == 3


@pytest.mark.parametrize("where", ["postgresql", "sqlite"])
def test_processes_share_a_study(where: str, databases: dict[str, str], tmp_path: Path) -> None:
    import optuna

    from resources.search.storage import study_storage

    settings = replace(
        Settings.from_environment(), home=tmp_path, studies_db=databases["LAKELOOP_STUDIES_DB"] if where == "postgresql" else None
    )
    optuna.create_study(storage=study_storage(settings), study_name="shop.returns", direction="maximize")
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(search, [settings] * 4))
    study = optuna.load_study(study_name="shop.returns", storage=study_storage(settings))
    assert [t.state.name for t in study.trials] == ["COMPLETE"] * 20
    assert sorted(t.number for t in study.trials) == list(range(20))


def _run_together(folder: Path, steps: int, database: str | None) -> str:
    """Run steps that wait for each other, each in a process of its own; gives what Dagster told."""
    home, meeting = make_home(folder / "dagster", database), folder / "meeting"
    meeting.mkdir()
    (folder / "parallel.py").write_text(PARALLEL)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.event_log_storage.get_asset_records([])
    env = {**os.environ, "DAGSTER_HOME": str(home), "LAKELOOP_STEPS": str(steps), "MEETING": str(meeting)}
    command = [sys.executable, "-m", "dagster", "asset", "materialize", "-f", str(folder / "parallel.py"), "--select", "*"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=500)
    told = done.stdout + done.stderr
    with dg.DagsterInstance.from_config(str(home)) as instance:
        (run,) = instance.get_runs(limit=1)  # the newest: the database is shared with other tests
        kinds = [record.dagster_event.event_type_value for record in instance.all_logs(run.run_id) if record.dagster_event]
    assert run.is_success, told[-3000:]
    assert (kinds.count("STEP_SUCCESS"), kinds.count("ASSET_CHECK_EVALUATION")) == (steps, 10 * steps)
    return told
