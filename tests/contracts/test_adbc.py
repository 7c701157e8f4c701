"""Databases read through ADBC: the same values as through SQLAlchemy, and the same silence about passwords."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from lakeloop.errors import DataError, ServiceUnavailable
from lakeloop.spec.tables import DatabaseSource
from resources.sources.database import DatabaseReader
from tests.worlds.servers.ports import free_port
from tests.worlds.servers.postgres import PASSWORD, run

pytest.importorskip("adbc_driver_postgresql")
pytest.importorskip("adbc_driver_sqlite")

TYPES = """CREATE TABLE things (i2 smallint, i4 integer, i8 bigint, f8 double precision, yes boolean, price numeric(10,2), free numeric,
    day date, at timestamp, moment timestamptz, raw bytea, words text, name varchar(20))"""
ROWS = (
    "INSERT INTO things VALUES (1, -2, 9007199254740993, 0.1, true, -0.05, 1e-20, '1969-12-31', '2024-02-29 23:59:59.999999', "
    "'1901-01-01 00:00+01', '\\x00ff', 'it''s \u00e9 % : \\ ', '')",
    "INSERT INTO things VALUES (null, null, null, '-Infinity', null, null, 'NaN', null, null, null, null, null, null)",
    "INSERT INTO things VALUES (32767, 0, -1, 1e300, false, 99999999.99, 12345678901234567890123456789.123456789, '9999-12-31', "
    "'0001-01-01 00:00', '2024-07-01 12:00+02', '', ' ', 'b')",
)


def both(database: sa.Engine, **options: Any) -> tuple[DatabaseReader, DatabaseReader]:
    """A reader through SQLAlchemy alone and one through ADBC."""
    url = database.url.set(drivername=database.url.get_backend_name()).render_as_string(hide_password=False)
    spec = DatabaseSource(database="SALES_DB", **options)
    return DatabaseReader(spec, Path(), url=url), DatabaseReader(spec, Path(), url="adbc+" + url)


def test_every_value_and_type_is_the_same_by_either_driver(engine: sa.Engine) -> None:
    run(engine, TYPES, *ROWS)
    plain, adbc = both(engine, table="things")
    (one, position), (two, other) = plain.read(None), adbc.read(None)
    assert two.schema.equals(one.schema, check_metadata=True)
    assert repr(two.to_pylist()) == repr(one.to_pylist())
    assert other == position


@pytest.mark.parametrize(
    ("kind", "values", "overlap", "expected"),
    [
        ("timestamptz", ["2024-03-01 10:00+01", "2024-03-02 10:00+01", "2024-03-03 10:00+01"], "1d", 2),
        ("date", ["2024-03-01", "2024-03-02", "2024-03-05"], "1d", 1),
        ("bigint", ["1", "2", "9007199254740993"], 1, 1),
        ("numeric(10,2)", ["1.10", "2.20", "3.30"], None, 1),
        ("text", ["a", "b", "it's 100% :x"], None, 1),
    ],
)
def test_a_position_is_read_on_from_alike(engine: sa.Engine, kind: str, values: list[str], overlap: Any, expected: int) -> None:
    run(engine, f"CREATE TABLE log (c {kind})", *[f"INSERT INTO log VALUES ('{value.replace(chr(39), chr(39) * 2)}')" for value in values])
    plain, adbc = both(engine, table="log", cursor="c", **({"overlap": overlap} if overlap else {}))
    _, position = adbc.read(None)
    assert position == plain.read(None)[1]
    again, after = adbc.read(position)
    assert again.to_pylist() == plain.read(position)[0].to_pylist()
    assert (again.num_rows, after) == (expected, position)


def test_a_type_that_the_driver_gives_another_way_comes_as_before(engine: sa.Engine) -> None:
    run(engine, "CREATE TABLE odd (f real, u uuid, j jsonb, s interval, a int[])")
    run(engine, """INSERT INTO odd VALUES (0.1, '0e37df36-f698-11e6-8dd4-cb9ced3df976', '{"a": 1}', '1 day', '{1,2}')""")
    plain, adbc = both(engine, table="odd")
    assert adbc.read(None)[0].equals(plain.read(None)[0])


def test_a_query_with_colons_and_percents_is_read_as_written(engine: sa.Engine, tmp_path: Path) -> None:
    run(engine, "CREATE TABLE log (c bigint)", "INSERT INTO log VALUES (1), (2)")
    (tmp_path / "q.sql").write_text("SELECT c, c::text || ' :since 50%' AS shown FROM log WHERE c % 2 = 0")
    _, adbc = both(engine, query="q.sql", cursor="c")
    reader = DatabaseReader(adbc.spec, tmp_path, url=adbc.url)
    rows, position = reader.read(None)
    assert rows.to_pylist() == [{"c": 2, "shown": "2 :since 50%"}]
    assert reader.read(position)[0].num_rows == 1


def test_the_query_of_a_source_cannot_write(engine: sa.Engine, tmp_path: Path) -> None:
    run(engine, "CREATE TABLE log (c bigint)", "INSERT INTO log VALUES (1)")
    run(engine, "CREATE FUNCTION sly() RETURNS bigint LANGUAGE sql AS 'DELETE FROM log RETURNING c'")
    (tmp_path / "q.sql").write_text("SELECT sly() AS c")
    _, adbc = both(engine, query="q.sql")
    with pytest.raises((DataError, ServiceUnavailable), match="read-only"):
        DatabaseReader(adbc.spec, tmp_path, url=adbc.url).read(None)
    assert both(engine, table="log")[0].read(None)[0].num_rows == 1


def test_no_message_holds_a_password(engine: sa.Engine) -> None:
    wrong = engine.url.set(drivername="adbc+postgresql", port=free_port()).render_as_string(hide_password=False)
    with pytest.raises(ServiceUnavailable) as refused:
        DatabaseReader(DatabaseSource(database="SALES_DB", table="t"), Path(), url=wrong).read(None)
    with pytest.raises(DataError, match="nearest|no column|not exist") as missing:
        both(engine, table="absent")[1].read(None)
    assert PASSWORD not in str(refused.value) + str(missing.value)


def test_a_sqlite_file_is_read_alike(tmp_path: Path) -> None:
    file = sa.create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    run(file, "CREATE TABLE t (n integer, x real, s text, b blob, empty text)")
    run(file, "INSERT INTO t VALUES (1, 0.5, 'a', x'00ff', null), (null, null, null, null, null), (9007199254740993, 2.0, 'é', x'', null)")
    plain, adbc = both(file, table="t", cursor="n")
    (one, position), (two, other) = plain.read(None), adbc.read(None)
    assert two.equals(one)
    assert other == position
    assert adbc.read(position)[0].equals(plain.read(position)[0])


def test_a_database_without_an_adbc_driver_is_refused_with_those_that_have_one() -> None:
    with pytest.raises(DataError, match=r"no ADBC driver for mysql.*adbc\+postgresql"):
        DatabaseReader(DatabaseSource(database="SALES_DB", table="t"), Path(), url="adbc+mysql://u:p@h/d").read(None)


def test_the_first_rows_are_enough_for_a_draft(engine: sa.Engine) -> None:
    run(engine, "CREATE TABLE many AS SELECT n FROM generate_series(1, 50000) AS n")
    head = both(engine, table="many")[1].head(10)
    assert head.num_rows == 10
    assert head.schema.field("n").type == pa.int64()
