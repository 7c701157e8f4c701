"""Tables drafted from a database that says little of its types and nothing of an order of its rows, on a real SQLite."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import deltalake
import pyarrow as pa
import pytest
from pydantic import ValidationError

from lakeloop.spec.tables import DatabaseSource, TableSpec
from resources.lake.published import TableKey
from resources.sources.database import DatabaseReader
from tests.worlds.scaffolded import definition, problems, scaffold
from tests.worlds.shop_project import Shop


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[sqlite3.Connection]:
    """A database of sensor readings, whose URL the environment holds."""
    file = tmp_path / "readings.db"
    monkeypatch.setenv("LAB_DB", f"sqlite:///{file}")
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE readings (id INTEGER, at TEXT, glucose REAL)")
    rows = [(i, f"2024-03-{1 + i // 24:02d} {i % 24:02d}:05:00", 90.5 + i % 40) for i in range(120)]
    connection.executemany("INSERT INTO readings VALUES (?, ?, ?)", rows)
    connection.execute("CREATE TABLE doses (at INTEGER, units REAL)")
    connection.executemany("INSERT INTO doses VALUES (?, ?)", [(i // 3, float(i % 2)) for i in range(90)])
    connection.commit()
    yield connection
    connection.close()


def draft(root: Path, name: str = "readings", **params: Any) -> str:
    """Scaffold a table from the database; its definition."""
    source = {} if "query" in params else {"table": name}
    scaffold(root, "LakeTable", f"lab/{name}", database="LAB_DB", **source, **params)
    assert problems(root) == []
    return definition(root, f"lab/{name}/defs.yaml")


@pytest.mark.usefixtures("database")
def test_a_row_number_is_no_key_of_a_table_that_is_read_onward(project: Path) -> None:
    assert "keys: [row_number]" in draft(project, "doses")
    with pytest.raises(click.ClickException, match=r"with a cursor a row has no permanent number; name the columns .* with --keys"):
        scaffold(project, "LakeTable", "lab/onward", database="LAB_DB", table="doses", cursor="at")
    assert not (project / "platform_assets" / "defs" / "lab" / "onward").exists()


@pytest.mark.usefixtures("database")
def test_the_number_of_a_row_of_a_database_is_said_to_have_no_order(project: Path) -> None:
    text = draft(project, "doses")
    assert "A database guarantees no order" in text.replace("\n  # ", " ") and "file" not in text.partition("columns:")[0]
    assert "Number of the row in the answer." in text
    scaffold(project, "MLWorkflow", "lab/amount", table="doses", label="units", task="regression")
    assert problems(project) == []
    assert "row_number" in definition(project, "lab/amount/spine.sql")


def test_an_adopted_delta_table_keeps_its_types_and_may_have_no_key(project: Path) -> None:
    days = [f"2024-03-{1 + n % 28:02d}" for n in range(60)]
    rows = {"day": days, "size": [1.5, 2.5] * 30, "seen": pa.array([None] * 60, pa.bool_()), "at": [{"x": 1}] * 60}
    deltalake.write_deltalake(str(project / "delta"), pa.table(rows))
    scaffold(project, "LakeTable", "lab/sizes", source=str(project / "delta"))
    text = definition(project, "lab/sizes/defs.yaml")
    assert "# keys: none: no column is unique, and no few columns together" in text and "left out: at: a struct" in text
    assert "day: {type: string" in text and "seen: {type: boolean" in text
    assert problems(project) == []
    with pytest.raises(click.ClickException, match="sizes has no key, which a workflow is drafted by"):
        scaffold(project, "MLWorkflow", "lab/guess", table="sizes", label="size")
    scaffold(project, "LakeTable", "lab/days", source=str(project / "delta"), keys=["day"])
    assert "keys: [day]" in definition(project, "lab/days/defs.yaml")


def test_a_definition_with_a_cursor_and_a_row_number_as_key_is_refused() -> None:
    wanted: dict[str, Any] = {
        "name": "doses",
        "description": "Doses.",
        "source": {"database": "LAB_DB", "table": "doses", "cursor": "at"},
        "keys": ["day", "number"],
        "columns": {"day": {"type": "string"}, "number": {"type": "integer", "source": "_row"}},
    }
    with pytest.raises(ValidationError, match="keys: number is read from _row, and with a cursor every read counts from 1 again"):
        TableSpec.model_validate(wanted)
    del wanted["source"]["cursor"]
    assert TableSpec.model_validate(wanted).keys == ["day", "number"]


@pytest.mark.usefixtures("database")
def test_a_time_that_sqlite_holds_as_text_is_the_event_time(project: Path) -> None:
    text = draft(project)
    assert "at: {type: timestamp" in text and "event_time: at" in text
    scaffold(project, "MLWorkflow", "lab/level", table="readings", label="glucose")
    assert problems(project) == []
    assert "hour(at)" in definition(project, "lab/level_inputs/view.sql")


@pytest.mark.parametrize(
    ("last", "overlap", "start"),
    [
        ("2024-03-01 00:30:00", "1h", "2024-02-29 23:30:00"),
        ("2024-03-01T00:30:00.250Z", "1h", "2024-02-29T23:30:00"),
        ("2024-03-01 00:30", "90s", "2024-03-01 00:28"),
        ("2024-03-01", "1h", "2024-02-29"),
    ],
)
def test_an_overlap_is_taken_off_a_time_that_is_held_as_text(last: str, overlap: str, start: str) -> None:
    source = DatabaseSource.model_validate({"database": "LAB_DB", "table": "readings", "cursor": "at", "overlap": overlap})
    assert DatabaseReader(source, Path()).since(json.dumps({"text": last})).as_py() == start


def test_a_text_cursor_with_an_overlap_reads_on_and_lands_what_came_late(
    project: Path,
    database: sqlite3.Connection,
    tmp_path: Path,
) -> None:
    draft(project, keys=["id"], cursor="at", overlap="1h")
    shop = Shop(project / "platform_assets" / "defs", str(tmp_path / "lake"), "http://127.0.0.1:9")
    assert shop.materialize().success
    late = ("2024-03-05 22:50:00", "2024-03-05 23:30:00", "2024-03-01 00:00:00")
    database.executemany("INSERT INTO readings VALUES (?, ?, 100)", [(200 + n, at) for n, at in enumerate(late)])
    database.commit()
    assert shop.materialize().success
    landed = shop.lake.read(shop.lake.current(TableKey("validated", "lab", "readings")))["id"].to_pylist()
    # An hour before 23:05 is 22:05: the first two are read, the third is too old.
    assert {200, 201} <= set(landed) and 202 not in landed and len(landed) == 122


@pytest.mark.parametrize("column", ["glucose", "name"])
def test_an_overlap_that_no_value_allows_is_refused_when_the_table_is_drafted(
    project: Path,
    database: sqlite3.Connection,
    column: str,
) -> None:
    database.execute("ALTER TABLE readings ADD COLUMN name TEXT")
    database.execute("UPDATE readings SET name = 'n' || id, glucose = id")
    database.commit()
    told = "texts that aren't times" if column == "name" else "numbers|wanted a time, a number or a text"
    with pytest.raises(click.ClickException, match=told):
        scaffold(project, "LakeTable", "lab/onward", database="LAB_DB", table="readings", cursor=column, overlap="1h")


@pytest.mark.usefixtures("database")
def test_a_query_is_sql_or_a_file_and_stands_beside_the_definition(
    project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    sql = "SELECT id, at, glucose * 18 AS level FROM readings"
    assert "query: query.sql" in draft(project, "by_text", query=sql)
    assert definition(project, "lab/by_text/query.sql") == sql + "\n"
    (tmp_path / "levels.sql").write_text(f"-- in other units\n{sql}\n")
    assert "query: levels.sql" in draft(project, "by_file", query="levels.sql")
    beside = project / "platform_assets" / "defs" / "lab" / "beside" / "own.sql"
    beside.parent.mkdir()
    beside.write_text(sql)
    assert "query: own.sql" in draft(project, "beside", query="own.sql")
    with pytest.raises(click.ClickException, match=rf"wanted SQL \(SELECT …\) or a file of it, found no file 'no.sql' in {tmp_path}"):
        scaffold(project, "LakeTable", "lab/nothing", database="LAB_DB", query="no.sql")
