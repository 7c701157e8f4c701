"""Every type of PostgreSQL and SQLite, by either driver: the same rows of the same types, or the same sentence."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from benchmarks.bringing import bring
from lakeloop.errors import LakeloopError
from lakeloop.spec.tables import DatabaseSource
from resources.sources.database import DatabaseReader

POSTGRES: dict[str, tuple[str, ...]] = {
    "boolean": ("true", "false"),
    "smallint": ("32767", "-32768"),
    "integer": ("2147483647", "-1"),
    "bigint": ("9223372036854775807", "-9223372036854775808"),
    "oid": ("4294967295",),
    "real": ("'0.1'", "'NaN'", "'Infinity'", "'3.4e38'"),
    "double precision": ("'0.1'", "'NaN'", "'-Infinity'", "'5e-324'"),
    "numeric(10,2)": ("1.10", "-99999999.99"),
    "numeric(38,0)": ("99999999999999999999999999999999999999",),
    "numeric(10,-2)": ("12300",),
    "numeric(3,5)": ("0.00123",),
    "numeric": ("1.10", "'NaN'", "12345678901234567890.123456789", "1e-20"),
    "money": ("'$1,234.50'", "'-0.01'"),
    "text": ("'a'", "''", "'ä\n'"),
    "varchar(5)": ("'abc'",),
    "char(5)": ("'ab'",),
    "name": ("'n'",),
    '"char"': ("'c'",),
    "bytea": (r"'\x00ff'", "''"),
    "date": ("'2024-02-29'", "'0001-01-01'", "'9999-12-31'"),
    "time": ("'09:30'", "'24:00'", "'23:59:59.999999'"),
    "timetz": ("'09:30+02'",),
    "timestamp": ("'2024-02-29 09:30:00.000001'", "'0001-01-01'"),
    "timestamp(3)": ("'2024-02-29 09:30:00.123'",),
    "timestamptz": ("'2024-02-29 09:30+02'",),
    "interval": ("'1 month 2 days 03:04:05.5'", "'-1 day'"),
    "uuid": ("'123e4567-e89b-12d3-a456-426614174000'",),
    "json": ("'{\"a\": 1.10}'",),
    "jsonb": ("'{\"a\": 12345678901234567890.10}'", "'[1, null]'"),
    "xml": ("'<a>1</a>'",),
    "inet": ("'10.0.0.1/8'", "'::1'"),
    "cidr": ("'10.0.0.0/8'",),
    "macaddr": ("'08:00:2b:01:02:03'",),
    "macaddr8": ("'08:00:2b:01:02:03:04:05'",),
    "bit(3)": ("B'101'",),
    "varbit": ("B'10'",),
    "integer[]": ("'{1,2,NULL}'", "'{}'", "'{{1,2},{3,4}}'"),
    "text[]": ("'{a,\"b,c\"}'",),
    "numeric[]": ("'{1.10,NaN}'",),
    "timestamptz[]": ("'{2024-02-29 09:30+00}'",),
    "bytea[]": (r"array['\x00ff'::bytea]",),
    "uuid[]": ("'{123e4567-e89b-12d3-a456-426614174000}'",),
    "interval[]": ("'{1 mon}'",),
    "jsonb[]": ("array['{\"a\": 1.10}'::jsonb]",),
    "mood": ("'sad'", "'ok'"),
    "mood[]": ("'{sad,ok}'",),
    "positive": ("1",),
    "price": ("1.10",),
    "pair": ("row(1,'x')",),
    "int4range": ("'[1,5)'", "'empty'"),
    "numrange": ("'[1.10,)'",),
    "tstzrange": ("'[2024-01-01 00:00+00,)'",),
    "daterange": ("'[2024-01-01,2024-02-01)'",),
    "int4multirange": ("'{[1,3),[5,6)}'",),
    "point": ("'(1,2)'",),
    "line": ("'{1,2,3}'",),
    "box": ("'(1,2),(3,4)'",),
    "path": ("'((1,2),(3,4))'",),
    "polygon": ("'((1,2),(3,4),(5,6))'",),
    "circle": ("'<(1,2),3>'",),
    "lseg": ("'((1,2),(3,4))'",),
    "tsvector": ("'a b'",),
    "tsquery": ("'a & b'",),
    "pg_lsn": ("'16/B374D848'",),
    "regclass": ("'pg_class'",),
    "jsonpath": ("'$.a'",),
    "xid": ("'1'",),
    "tid": ("'(0,1)'",),
}
LANDED = {
    "time": "['09:30:00', '24:00:00', '23:59:59.999999', None]",
    "jsonb[]": "['[{\"a\": 1.10}]', None]",
    "jsonb": "['{\"a\": 12345678901234567890.10}', '[1, null]', None]",
    "bytea[]": "['[\"00ff\"]', None]",
    "interval[]": "['{P1M}', None]",
    "numeric[]": '[\'["1.10", "NaN"]\', None]',
    "numeric": "['1.10', 'NaN', '12345678901234567890.123456789', '0.00000000000000000001', None]",
    "uuid": "['123e4567-e89b-12d3-a456-426614174000', None]",
    "int4range": "['[1, 5)', 'empty', None]",
    "pair": "['(1,x)', None]",
    "positive": "[1, None]",
    "price": "[Decimal('1.10'), None]",
}
"""What some of them land as, by PostgreSQL's documentation and ours."""
REFUSED = {
    "NaN of a numeric with digits": ("numeric(10,3)", "'NaN'"),
    "infinite range of dates": ("daterange", "'[2024-01-01,infinity)'"),
    "infinite date": ("date", "'infinity'"),
    "infinite timestamp": ("timestamp", "'-infinity'"),
    "infinite timestamptz": ("timestamptz", "'infinity'"),
    "date before Christ": ("date", "'0044-03-15 BC'"),
    "timestamp after 9999": ("timestamp", "'10000-01-01'"),
}
SQLITE: dict[str, tuple[Any, ...]] = {
    "integers": (1, -(2**63), 2**63 - 1),
    "numbers": (1, 0.5),
    "large numbers beside fractions": (2**53 + 1, 0.5),
    "doubles": (0.1, 1e300, float("inf")),
    "texts": ("a", "", "ä"),
    "bytes": (b"", b"\x00\xff"),
    "numbers beside texts": (1, "a"),
    "texts beside bytes": ("a", b"b"),
    "fractions beside texts": (0.5, "a"),
    "texts that aren't UTF-8": ("a", "\udcc4", "ä"),
    "nothing": (None,),
}


def told(url: str, table: str) -> tuple[str, Any]:
    """The rows and types of a table, or the sentence that refuses it."""
    try:
        rows = DatabaseReader(DatabaseSource(database="X", table=table), Path(), url=url).read(None)[0]
    except LakeloopError as error:
        return "refused", error.message
    rows.validate(full=True)
    return str(rows.schema.field("v").type), repr(rows.sort_by("id")["v"].to_pylist())


@pytest.fixture(scope="module")
def types(postgres: str) -> sa.Engine:
    """A database with types of its own."""
    admin = sa.create_engine(postgres, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with admin.connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE every_type")
    engine = sa.create_engine(sa.make_url(postgres).set(database="every_type"), poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TYPE mood AS ENUM ('sad', 'ok')")
        connection.exec_driver_sql("CREATE DOMAIN positive AS integer CHECK (VALUE > 0)")
        connection.exec_driver_sql("CREATE DOMAIN price AS numeric(10,2)")
        connection.exec_driver_sql("CREATE TYPE pair AS (a integer, b text)")
    return engine


def written(engine: sa.Engine, kind: str, values: tuple[str, ...]) -> str:
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE IF EXISTS one_type")
        connection.exec_driver_sql(f"CREATE TABLE one_type (id integer, v {kind})")
        for number, value in enumerate((*values, "NULL")):
            connection.exec_driver_sql(f"INSERT INTO one_type VALUES ({number}, {value.replace('%', '%%')})")
    return engine.url.render_as_string(hide_password=False)


@pytest.mark.parametrize("kind", POSTGRES)
def test_a_type_of_postgresql_comes_alike_by_either_driver(types: sa.Engine, kind: str) -> None:
    url = written(types, kind, POSTGRES[kind])
    ours = told(url, "one_type")
    assert ours[0] != "refused"
    assert told(f"adbc+{url}", "one_type") == ours
    assert ours[1] == LANDED.get(kind, ours[1])


@pytest.mark.parametrize("case", REFUSED)
def test_values_that_nothing_holds_are_refused_alike(types: sa.Engine, case: str) -> None:
    kind, value = REFUSED[case]
    url = written(types, kind, (value,))
    ours = told(url, "one_type")
    assert ours[0] == "refused"
    assert told(f"adbc+{url}", "one_type") == ours


@pytest.mark.parametrize("name", SQLITE)
def test_values_of_sqlite_come_alike_by_either_driver(tmp_path: Path, name: str) -> None:
    with sqlite3.connect(tmp_path / "t.db") as connection:
        connection.execute("CREATE TABLE one_type (id INTEGER, v)")
        # SQLite keeps the bytes that a text is given as.
        for number, value in enumerate((*SQLITE[name], None)):
            is_other = isinstance(value, str) and not value.isprintable()
            connection.execute(
                f"INSERT INTO one_type VALUES (?, {'CAST(? AS TEXT)' if is_other else '?'})", (number, b"\xc4" if is_other else value)
            )
    connection.close()
    url = f"sqlite:///{tmp_path / 't.db'}"
    assert told(f"adbc+{url}", "one_type") == told(url, "one_type")


def bad_text(kind: str, postgres: str, folder: Path) -> str:
    """A database in which the second of three names isn't UTF-8; its URL."""
    if kind == "sqlite":
        with sqlite3.connect(folder / "t.db") as connection:
            connection.execute("CREATE TABLE people (id INTEGER, name TEXT)")
            connection.execute("INSERT INTO people VALUES (1, 'Ä'), (2, CAST(x'C4' AS TEXT)), (3, NULL)")
        connection.close()
        return f"sqlite:///{folder / 't.db'}"
    admin = sa.create_engine(postgres, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with admin.connect() as connection:
        connection.exec_driver_sql("DROP DATABASE IF EXISTS bytes_of_any_kind")
        connection.exec_driver_sql("CREATE DATABASE bytes_of_any_kind ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
    url = sa.make_url(postgres).set(database="bytes_of_any_kind")
    with sa.create_engine(url, poolclass=sa.NullPool).begin() as connection:
        connection.exec_driver_sql("CREATE TABLE people (id integer, name text)")
        connection.exec_driver_sql(r"INSERT INTO people VALUES (1, E'\303\204'), (2, E'\304'), (3, NULL)")
    return url.render_as_string(hide_password=False)


@pytest.mark.parametrize("prefix", ["", "adbc+"])
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_text_that_is_not_utf8_costs_its_row(
    postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, prefix: str
) -> None:
    monkeypatch.setenv("PEOPLE_DB", prefix + bad_text(kind, postgres, tmp_path))
    brought = bring({"database": "PEOPLE_DB", "table": "people", "keys": ["id"]}, tmp_path / "place")
    assert brought.conformed is not None and brought.landed is not None
    assert {row["id"]: row["name"] for row in brought.conformed.valid.to_pylist()} == {1: "Ä", 3: None}
    (bad,) = brought.conformed.quarantined.to_pylist()
    assert (bad["rule"], bad["reason"]) == ("type:name", "name: wanted text in UTF-8, found the bytes c4")
    assert brought.landed["name"].to_pylist() == ["Ä", "\0bytes:c4", None]
