"""Writers that are programs of their own: PostgreSQL's COPY, Spark on a JVM, R. Each is started for a campaign, on loopback, and ended with it."""

from __future__ import annotations

import math
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from benchmarks.roundtrip.values import EVERY, PLAIN, Values
from benchmarks.roundtrip.writers import Writer, arrow_table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Writers = Mapping[str, Writer]
_POSTGRES_TYPES: tuple[tuple[type, str], ...] = (
    (bool, "boolean"), (int, "bigint"), (float, "double precision"), (str, "text"), (datetime, "timestamp"), (date, "date"), (time, "time"),
    (Decimal, "numeric(20,2)"), (timedelta, "interval"), (bytes, "bytea"), (list, "bigint[]"), (dict, "jsonb"),
)  # fmt: skip
_SPARK_TEXT = ("moments" if kind == "times" else kind for kind in PLAIN if kind != "unsigned")
"""Spark writes milliseconds to text, and has no unsigned numbers."""
SPARK_TEXT_KINDS = tuple(_SPARK_TEXT)
SPARK_PARQUET_KINDS = tuple(kind for kind in EVERY if kind not in ("unsigned", "clock times", "durations", "nothing"))
"""Durations are plain numbers in Spark's Parquet."""
R_KINDS = ("small integers", "short floats", "odd short floats", "booleans", "texts", "words", "codes", "digits", "days", "nothing")
"""R has no whole numbers beyond 32 bits, and writes 15 digits of a double."""
R_TEXT_FREE_KINDS = ("small integers", "short floats", "booleans", "words", "codes", "days")


@contextmanager
def postgresql() -> Iterator[Writers]:
    """What `COPY … TO` of a server writes."""
    from tests.worlds.servers.postgres import server

    with server() as url:
        yield postgres_writers(url)


def postgres_writers(url: str) -> Writers:
    """What `COPY … TO` of a server writes, by the server's URL."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    kinds = (*PLAIN, "clock times", "lists", "structs", "bytes")
    return {
        "COPY, csv": Writer("t.csv", _copy(engine, "FORMAT csv, HEADER"), kinds, True),
        "COPY, csv, all quoted": Writer("t.csv", _copy(engine, "FORMAT csv, HEADER, FORCE_QUOTE *"), kinds, True),
        "COPY, csv, semicolons": Writer("t.csv", _copy(engine, "FORMAT csv, HEADER, DELIMITER ';', NULL 'NULL'"), kinds, True),
        "COPY, text": Writer("t.tsv", _copy(engine, "FORMAT text, HEADER"), kinds, True),
    }


def _copy(engine: sa.Engine, options: str) -> Callable[[dict[str, Values], Path], None]:
    def write(table: dict[str, Values], path: Path) -> None:
        from psycopg2.extras import Json

        quote = engine.dialect.identifier_preparer.quote_identifier
        columns = ", ".join(f"{quote(name)} {_postgres_type(values)}" for name, values in table.items())
        with engine.begin() as connection, path.open("wb") as stream:
            cursor = connection.connection.cursor()
            cursor.execute(f"CREATE TEMPORARY TABLE t ({columns}) ON COMMIT DROP".replace("%", "%%"), ())
            for row in zip(*table.values(), strict=True):
                values = [Json(value) if isinstance(value, dict) else value for value in row]
                cursor.execute(f"INSERT INTO t VALUES ({', '.join(['%s'] * len(row))})", values)
            cursor.copy_expert(f"COPY t TO STDOUT ({options})", stream)

    return write


def _postgres_type(values: Values) -> str:
    first = next((value for value in values if value is not None), "")
    kind = next(name for python, name in _POSTGRES_TYPES if isinstance(first, python))
    if isinstance(first, datetime) and first.tzinfo is not None:
        return "timestamptz"
    return "numeric(20)" if kind == "bigint" and any(value is not None and value >= 2**63 for value in values) else kind


@contextmanager
def spark() -> Iterator[Writers]:
    """What a Spark on this machine's Java writes, as a folder of files."""
    from pyspark.sql import SparkSession

    from tests.worlds.servers import jvm_spark

    if jvm_spark.missing():
        raise SystemExit(jvm_spark.missing())
    with tempfile.TemporaryDirectory() as folder, jvm_spark.connect_server(Path(folder)) as remote:
        session = SparkSession.builder.remote(remote).getOrCreate()
        session.conf.set("spark.sql.session.timeZone", "UTC")
        yield spark_writers(session)


def spark_writers(session: SparkSession) -> Writers:
    """What a Spark writes, which keeps spaces at the ends of texts only where it is told to."""

    def write(kind: str, **options: Any) -> Callable[[dict[str, Values], Path], None]:
        def save(table: dict[str, Values], path: Path) -> None:
            rows = arrow_table(table)
            for place, field in enumerate(rows.schema):
                if str(field.type) == "null":
                    rows = rows.set_column(place, field.name, rows.column(place).cast("string"))
            session.createDataFrame(rows).coalesce(1).write.format(kind).options(**options).save(str(path))

        return save

    whole = {"header": True, "ignoreLeadingWhiteSpace": False, "ignoreTrailingWhiteSpace": False}
    nested = (*SPARK_TEXT_KINDS, "lists", "structs")
    return {
        "Spark csv": Writer("t", write("csv", **whole), SPARK_TEXT_KINDS, True),
        "Spark csv, tabs": Writer("t", write("csv", **whole, sep="\t"), SPARK_TEXT_KINDS, True),
        "Spark csv, quoted": Writer("t", write("csv", **whole, quoteAll=True), SPARK_TEXT_KINDS, True),
        "Spark csv, doubled quotes": Writer("t", write("csv", **whole, escape='"', compression="gzip"), SPARK_TEXT_KINDS, True),
        "Spark json": Writer("t", write("json"), nested),
        "Spark json, nulls": Writer("t", write("json", ignoreNullFields=False), nested),
        "Spark parquet": Writer("t", write("parquet"), SPARK_PARQUET_KINDS),
    }


@contextmanager
def r() -> Iterator[Writers]:
    """What R writes by its defaults."""
    if shutil.which("Rscript") is None:
        raise SystemExit("no `Rscript` on the path: what R writes is left out")
    yield {
        "R write.csv": Writer("t.csv", _r("write.csv(t, path)"), R_KINDS, True),
        "R write.csv, no names, no NA": Writer("t.csv", _r('write.csv(t, path, row.names = FALSE, na = "")'), R_KINDS, True),
        "R write.csv2": Writer("t.csv", _r("write.csv2(t, path)"), R_KINDS, True, point=","),
        "R write.table": Writer("t.txt", _r("write.table(t, path)"), R_KINDS, True),
        "R write.table, tabs": Writer("t.tsv", _r('write.table(t, path, sep = "\\t")'), R_KINDS, True),
        "R write.table, no quotes": Writer(
            "t.tsv", _r('write.table(t, path, sep = "\\t", quote = FALSE, row.names = FALSE)'), R_TEXT_FREE_KINDS, True, nothing="NA"
        ),
    }


def _r(call: str) -> Callable[[dict[str, Values], Path], None]:
    def write(table: dict[str, Values], path: Path) -> None:
        columns = ", ".join(f"{_r_text(name)} = {_r_vector(values)}" for name, values in table.items())
        script = path.parent.parent / "write.R"
        script.write_text(f"t <- data.frame({columns}, check.names = FALSE)\npath <- {_r_text(str(path))}\n{call}\n", encoding="utf-8")
        subprocess.run(
            ["Rscript", "--vanilla", str(script)], check=True, capture_output=True, env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"}
        )

    return write


def _r_vector(values: Values) -> str:
    first = next((value for value in values if value is not None), True)
    items = ", ".join("NA" if value is None else _r_value(value) for value in values)
    if isinstance(first, date):
        return f"as.Date(c({items}))"
    return f"as.character(c({items}))" if isinstance(first, str) else f"c({items})"


def _r_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int):
        return f"{value}L"
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else "NaN" if math.isnan(value) else "Inf" if value > 0 else "-Inf"
    return _r_text(str(value))


def _r_text(text: str) -> str:
    escaped = "".join(char if char.isalnum() and char.isascii() else f"\\U{{{ord(char):x}}}" for char in text)
    return f'"{escaped}"'


PROGRAMS: Mapping[str, Callable[[], AbstractContextManager[Writers]]] = {"postgresql": postgresql, "spark": spark, "r": r}
