"""A real PostgreSQL as a source, by either driver: types, positions, and the same silence about passwords."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from lakeloop.errors import DataError, ServiceUnavailable
from lakeloop.spec.tables import DatabaseSource
from resources.sources.database import DatabaseReader
from tests.worlds.servers.ports import free_port
from tests.worlds.servers.postgres import ORDERS_TABLE, PASSWORD, order, run

TYPES = """CREATE TABLE things (i2 smallint, i4 integer, i8 bigint, f8 double precision, yes boolean, price numeric(10,2), free numeric,
    day date, at timestamp, moment timestamptz, raw bytea, words text, name varchar(20))"""
ROWS = (
    "INSERT INTO things VALUES (1, -2, 9007199254740993, 0.1, true, -0.05, 1e-20, '1969-12-31', '2024-02-29 23:59:59.999999', "
    "'1901-01-01 00:00+01', '\\x00ff', 'it''s \u00e9 % : \\ ', '')",
    "INSERT INTO things VALUES (null, null, null, '-Infinity', null, null, 'NaN', null, null, null, null, null, null)",
    "INSERT INTO things VALUES (32767, 0, -1, 1e300, false, 99999999.99, 12345678901234567890123456789.123456789, '9999-12-31', "
    "'0001-01-01 00:00', '2024-07-01 12:00+02', '', ' ', 'b')",
)


def reader(**options: Any) -> DatabaseReader:
    return DatabaseReader(DatabaseSource(database="SALES_DB", **options), Path())


def test_every_type_comes_as_it_is(engine: sa.Engine) -> None:
    run(
        engine,
        """CREATE TABLE kinds (big bigint, small smallint, real4 real, real8 double precision, exact numeric(38,10), loose numeric, yes boolean,
        day date, local timestamp, moment timestamptz, words text, code varchar(5), doc jsonb, id uuid, list int[], raw bytea, span interval)""",
        """INSERT INTO kinds VALUES (9007199254740993, -7, 0.1, 0.1, 12345678901234567890.0123456789, 0.1000000000000000055511151231257827, true,
        '2024-02-29', '2024-02-29 23:59:59.999999', '2024-03-31 03:30:00+02', 'Grüße: 100%', '00042', '{"a": [1, null]}',
        '00000000-0000-0000-0000-00000000002a', '{1,2}', '\\x00ff', '1 day')""",
        "INSERT INTO kinds (big) VALUES (NULL)",
    )
    rows, _ = reader(table="kinds").read(None)
    one, empty = rows.to_pylist()
    assert set(empty.values()) == {None}
    assert one["big"] == 9007199254740993 and one["small"] == -7 and one["yes"] is True
    assert str(one["exact"]) == "12345678901234567890.0123456789" and one["loose"] == "0.1000000000000000055511151231257827"
    assert one["local"].isoformat() == "2024-02-29T23:59:59.999999" and one["moment"].isoformat() == "2024-03-31T01:30:00+00:00"
    assert one["day"].isoformat() == "2024-02-29" and one["words"] == "Grüße: 100%" and one["code"] == "00042"
    assert json.loads(one["doc"]) == {"a": [1, None]} and json.loads(one["list"]) == [1, 2]
    assert one["id"] == "00000000-0000-0000-0000-00000000002a" and one["raw"] == b"\x00\xff" and one["span"] == "P1D"
    assert one["real8"] == 0.1
    kinds = {field.name: field.type for field in rows.schema}
    assert (
        kinds["exact"] == pa.decimal128(38, 10) and kinds["moment"] == pa.timestamp("us", tz="UTC") and kinds["local"] == pa.timestamp("us")
    )
    run(engine, "DELETE FROM kinds WHERE big IS NOT NULL")
    assert reader(table="kinds").read(None)[0].schema == rows.schema


def test_a_read_goes_on_from_its_position_with_its_overlap(engine: sa.Engine) -> None:
    run(engine, ORDERS_TABLE, order(1, 1), order(2, 2), order(3, 3))
    source = reader(table="orders", cursor="updated_at", overlap="25h")
    rows, position = source.read(None)
    assert rows.num_rows == 3
    again, same = source.read(position)
    assert sorted(again["order_id"].to_pylist()) == [2, 3] and same == position
    run(engine, order(4, 4), "INSERT INTO orders VALUES (5, now(), 1, NULL)")
    later, moved = source.read(position)
    assert sorted(later["order_id"].to_pylist()) == [2, 3, 4, 5] and moved != position
    run(engine, "DELETE FROM orders")
    assert source.read(moved)[1] == moved


def test_a_position_may_be_a_number_and_its_overlap_too(engine: sa.Engine) -> None:
    run(engine, ORDERS_TABLE, *[order(n, 1) for n in range(1, 11)])
    source = reader(table="orders", cursor="order_id", overlap=3)
    _, position = source.read(None)
    assert sorted(source.read(position)[0]["order_id"].to_pylist()) == [7, 8, 9, 10]
    with pytest.raises(DataError, match="1h can't be subtracted from a cursor of numbers"):
        reader(table="orders", cursor="order_id", overlap="1h").read(None)


def test_a_query_may_hold_colons_and_percent_signs(engine: sa.Engine, tmp_path: Path) -> None:
    run(engine, ORDERS_TABLE, order(1, 1), order(2, 2))
    (tmp_path / "q.sql").write_text("SELECT order_id::text AS id, '100%:x' AS note, updated_at FROM orders WHERE amount > 1;\n")
    spec = DatabaseSource(database="SALES_DB", query="q.sql", cursor="updated_at")
    rows, position = DatabaseReader(spec, tmp_path).read(None)
    assert rows["id"].to_pylist() == ["1", "2"] and rows["note"][0].as_py() == "100%:x"
    assert DatabaseReader(spec, tmp_path).read(position)[0]["id"].to_pylist() == ["2"]


def test_rows_are_held_in_chunks(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    from resources.sources import database

    monkeypatch.setattr(database, "CHUNK_ROWS", 7)
    run(engine, "CREATE TABLE many AS SELECT g AS id, CASE WHEN g > 90 THEN 'x' END AS late FROM generate_series(1, 100) g")
    rows, _ = reader(table="many").read(None)
    assert rows["id"].to_pylist() == list(range(1, 101)) and rows["late"].null_count == 90
    assert rows["id"].num_chunks == 15


@pytest.mark.parametrize(
    ("url", "error", "told"),
    [
        (None, DataError, "the environment variable SALES_DB isn't set"),
        ("no url at all", DataError, "SALES_DB holds no URL"),
        ("nosuchdb://u:PASS@h/d", DataError, "no driver"),
        (
            "postgresql+psycopg://u:PASS@h/d",
            DataError,
            r"SALES_DB: wanted postgresql:// or adbc\+postgresql://, found the driver psycopg, which reads values otherwise",
        ),
        ("postgresql+pg8000://u:PASS@h/d", DataError, "found the driver pg8000"),
        ("adbc+postgresql+asyncpg://u:PASS@h/d", DataError, "found the driver asyncpg"),
        ("postgresql+psycopg2://nobody:PASS@127.0.0.1:PORT/shop?application_name=PASS", ServiceUnavailable, "127.0.0.1:PORT/shop"),
        ("REAL", ServiceUnavailable, "does not answer"),
    ],
)
def test_no_error_shows_what_the_url_keeps_to_itself(
    postgres: str, monkeypatch: pytest.MonkeyPatch, url: str | None, error: type[Exception], told: str
) -> None:
    import traceback

    port = str(free_port())
    if url is None:
        monkeypatch.delenv("SALES_DB", raising=False)
    else:
        real = sa.make_url(postgres).set(password="wr0ng-pass").render_as_string(hide_password=False)
        monkeypatch.setenv("SALES_DB", real if url == "REAL" else url.replace("PASS", "wr0ng-pass").replace("PORT", port))
    with pytest.raises(error, match=told.replace("PORT", port)) as found:
        reader(table="orders").read(None)
    text = "".join(traceback.format_exception(found.value))
    assert "wr0ng-pass" not in text and PASSWORD not in text


def test_a_wrong_table_column_or_cursor_is_told_with_the_nearest(engine: sa.Engine) -> None:
    run(engine, ORDERS_TABLE, order(1, 1))
    with pytest.raises(DataError, match="did you mean 'orders'"):
        reader(table="order").read(None)
    with pytest.raises(DataError, match="did you mean 'updated_at'"):
        reader(table="orders", cursor="update_at").read(None)
    with pytest.raises(ValueError, match="kept out of this message") as found:
        DatabaseSource(database="postgresql://u:secret@h/d", table="x")
    assert "secret" not in str(found.value).split("input_value")[0]


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


def test_intervals_and_json_come_as_postgresql_writes_them(engine: sa.Engine) -> None:
    run(
        engine,
        "CREATE TABLE spans (s interval, j jsonb, k json)",
        """INSERT INTO spans VALUES ('1 month 30 days 00:00:00.5', '{"a": 1.10, "b": 12345678901234567890}', '{"a":1.10}')""",
    )
    for source in both(engine, table="spans"):
        (row,) = source.read(None)[0].to_pylist()
        assert row == {"s": "P1M30DT0.5S", "j": '{"a": 1.10, "b": 12345678901234567890}', "k": '{"a":1.10}'}


@pytest.mark.parametrize("value", ["date 'infinity'", "timestamp '-infinity'", "timestamptz 'infinity'", "date '0044-03-15 BC'"])
def test_times_that_python_has_not_are_refused_by_either_driver(engine: sa.Engine, value: str) -> None:
    run(engine, f"CREATE TABLE far AS SELECT {value} AS v")
    for source in both(engine, table="far"):
        with pytest.raises(DataError, match="far: a date or time is infinite, or not within the years 1 to 9999"):
            source.read(None)


def test_whole_numbers_beside_fractions_of_sqlite_are_exact_or_refused(tmp_path: Path) -> None:
    file = sa.create_engine(f"sqlite:///{tmp_path / 'n.db'}")
    run(file, "CREATE TABLE t (n)", "INSERT INTO t VALUES (9007199254740993)", "INSERT INTO t VALUES (1.5)")
    for source in both(file, table="t"):
        with pytest.raises(DataError, match="t: "):
            source.read(None)


def test_a_query_may_end_in_a_comment(tmp_path: Path) -> None:
    file = sa.create_engine(f"sqlite:///{tmp_path / 'n.db'}")
    run(file, "CREATE TABLE t (n)", "INSERT INTO t VALUES (1)")
    for text in ("SELECT n FROM t -- all", "SELECT n FROM t; -- all\n", "SELECT n FROM t;"):
        (tmp_path / "q.sql").write_text(text)
        for source in both(file, query="q.sql"):
            rows, _ = DatabaseReader(source.spec, tmp_path, url=source.url).read(None)
            assert rows["n"].to_pylist() == [1]


def test_a_database_without_an_adbc_driver_is_refused_with_those_that_have_one() -> None:
    with pytest.raises(DataError, match=r"no ADBC driver for mysql.*adbc\+postgresql"):
        DatabaseReader(DatabaseSource(database="SALES_DB", table="t"), Path(), url="adbc+mysql://u:p@h/d").read(None)


def test_the_first_rows_are_enough_for_a_draft(engine: sa.Engine) -> None:
    run(engine, "CREATE TABLE many AS SELECT n FROM generate_series(1, 50000) AS n")
    head = both(engine, table="many")[1].head(10)
    assert head.num_rows == 10
    assert head.schema.field("n").type == pa.int64()


@pytest.mark.parametrize("prefix", ["", "adbc+"])
def test_a_backend_that_ends_during_a_read_is_an_outage(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    """The server ends the connection itself once it has given some rows; what is retried is a service, not a query."""
    run(
        engine,
        "CREATE TABLE many AS SELECT n, repeat('x', 200) AS words FROM generate_series(1, 60000) n",
        "CREATE FUNCTION ends(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN IF n = 40000 THEN PERFORM pg_terminate_backend(pg_backend_pid()); "
        "END IF; RETURN n; END $$",
        "CREATE VIEW ending AS SELECT ends(n) AS n, words FROM many",
    )
    url = engine.url.render_as_string(hide_password=False)
    with pytest.raises(ServiceUnavailable, match="ending: postgresql") as caught:
        DatabaseReader(DatabaseSource(database="SALES_DB", table="ending"), Path(), url=prefix + url).read(None)
    assert PASSWORD not in str(caught.value)
