"""SQL databases as a source: a table or a query, all of it or what is new since a position, as Arrow without changing a value.

The URL comes from the environment and goes no further: messages name host and database, never a user, a password or an option.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakeloop.errors import DataError, ServiceUnavailable, nearest
from lakeloop.spec.tables import DatabaseSource, render_duration
from resources.sources import adbc
from resources.sources.files import nulls_as_text

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy import Connection, CursorResult, Engine

CHUNK_ROWS = 20_000
"""Rows held as Python objects at a time; the rest of a delivery is Arrow."""
CONNECT_S = 5
PROBE_S = 5
"""A probe runs inside a sensor's tick: what takes longer is no cheap question."""
NUMBER_TEXT = {b"lakeloop": b"number"}
"""Field metadata of a number that lands as text, because no Arrow type holds every value of it."""
_POSTGRES = {16: "bool", 20: "int", 21: "int", 23: "int", 26: "int", 700: "float", 701: "float", 1700: "numeric", 1082: "date", 1114: "timestamp", 1184: "timestamptz", 17: "bytes"}  # fmt: skip
"""PostgreSQL's type numbers (pg_type.dat); every other type lands as its text."""
_TIME_TEXT = re.compile(r"(\d{4}-\d\d-\d\d)(?:([ T])(\d\d:\d\d)(:\d\d)?(?:\.\d+)?(?:Z|\+00:00)?)?")
"""Texts in whose order times follow each other, as SQLite keeps them."""


@dataclass(frozen=True)
class DatabaseReader:
    """Reads a database as a source: `read(since)` gives a batch and the position after it.

    Attributes:
        spec: what to read.
        folder: of the definition; a query's file stands there.
        watch: a column whose greatest value tells of new rows, where there is no cursor.
        url: of the database; from the environment unless given.
    """

    spec: DatabaseSource
    folder: Path
    watch: str | None = None
    url: str | None = None

    @property
    def label(self) -> str:
        """What it is called in the lake and in messages."""
        return self.spec.table or str(self.spec.query)

    @property
    def appends(self) -> bool:
        """Whether a batch adds to the ones before; otherwise it replaces them."""
        return self.spec.cursor is not None

    def text(self) -> str:
        """The query, for the fingerprint; empty for a table."""
        if self.spec.query is None:
            return ""
        try:
            return (self.folder / self.spec.query).read_text(encoding="utf-8").strip().rstrip(";")
        except OSError as error:
            raise DataError(f"source: no file {self.spec.query!r} beside the definition") from error

    def read(self, since: str | None) -> tuple[pa.Table, str]:
        """Read what is new since a position, its overlap included; everything without one, or without a cursor.

        Returns:
            The rows (none is possible with a position), and the position after them: the greatest cursor, or a hash of all rows. A column
            without any value is of type null where the database doesn't say its type.

        Raises:
            DataError: table, column or query are wrong, the cursor fits no position or has no value, or a first read has no rows.
            ServiceUnavailable: the database doesn't answer.
        """
        from lakeloop.fingerprint import content_hash

        start = self._start(since) if self.appends and since else None
        with self._connection() as connection:
            where, values = "", {}
            if start is not None:
                cursor = self._quoted(connection, str(self.spec.cursor))
                # Rows without a cursor are asked for every time: they would never be found again.
                where, values = f" WHERE {cursor} >= :since OR {cursor} IS NULL", {"since": start}
            rows = self._arrow(connection, f"SELECT * FROM {self._what(connection)}{where}", values)
        if rows.num_rows == 0 and since is None:
            raise DataError(f"{self.label}: wanted at least one row, found none")
        return rows, self._position(rows, since) if self.appends else content_hash(rows)

    def head(self, count: int) -> pa.Table:
        """The first rows, in whole chunks, `count` or a few more if there are so many; text where no type is known; errors as for `read`."""
        with self._connection() as connection:
            rows = self._arrow(connection, f"SELECT * FROM {self._what(connection)}", {}, enough=count)
        if rows.num_rows == 0:
            raise DataError(f"{self.label}: wanted at least one row, found none")
        if self.appends:
            self._position(rows, None)
        return nulls_as_text(rows)

    def since(self, position: str) -> Any:
        """The cursor from which a read after a position begins, as an Arrow scalar; None for a position of no cursor."""
        import pyarrow as pa

        start = self._start(position)
        return None if start is None else pa.scalar(start)

    def probe(self) -> str:
        """What a change shows in, cheaply: the greatest cursor; without one the number of rows and the greatest value of `watch`.

        A value changed in place shows in neither; it is found by the next read, which a schedule or a person asks for.

        Raises:
            DataError, ServiceUnavailable: as for `read`; also after `PROBE_S` seconds.
        """
        with self._connection() as connection:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql(f"SET LOCAL statement_timeout = {PROBE_S * 1000}")
            newest = [f"max({self._quoted(connection, name)})" for name in (self.spec.cursor or self.watch,) if name]
            asked = ", ".join(newest if self.spec.cursor else ["count(*)", *newest])
            found = self._run(connection, f"SELECT {asked} FROM {self._what(connection)}", {}).one()
        return " ".join(str(v.astimezone(UTC).isoformat() if isinstance(v, datetime) and v.tzinfo else v) for v in found)

    @cached_property
    def _engine(self) -> Engine:
        import sqlalchemy as sa
        from sqlalchemy.exc import ArgumentError, NoSuchModuleError

        url = self.url or os.environ.get(self.spec.database)
        if not url:
            raise DataError(f"source: the environment variable {self.spec.database} isn't set; wanted the URL of a database in it")
        try:
            parsed = sa.make_url(adbc.split_url(url)[0])
            if parsed.drivername == "postgresql":
                # SQLAlchemy's own choice of a driver has changed between its versions; either does.
                parsed = parsed.set(drivername="postgresql+psycopg" if importlib.util.find_spec("psycopg") else "postgresql+psycopg2")
            if self._by_arrow:
                adbc.check_driver(parsed.get_backend_name())
            options = {"connect_timeout": CONNECT_S} if parsed.get_backend_name() == "postgresql" else {}
            return sa.create_engine(parsed, poolclass=sa.NullPool, connect_args=options)
        except (NoSuchModuleError, ModuleNotFoundError) as error:
            driver = getattr(error, "name", None) or url.partition(":")[0]
            raise DataError(f"source: no driver for the database of {self.spec.database} is installed ({driver})") from None
        except ArgumentError:
            raise DataError(f"source: {self.spec.database} holds no URL such as postgresql://user:password@host/database") from None

    @property
    def _by_arrow(self) -> bool:
        return adbc.split_url(self.url or os.environ.get(self.spec.database) or "")[1]

    def _where(self) -> str:
        """Host and database, which may be shown."""
        url = self._engine.url
        place = f"{url.host or 'localhost'}{f':{url.port}' if url.port else ''}" if url.host or url.port else ""
        return f"{url.get_backend_name()} {'/'.join(part for part in (place, url.database or '') if part)}"

    def _clean(self, error: BaseException) -> str:
        """An error's first line without anything that the URL keeps to itself."""
        text = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        url = self._engine.url
        secrets = [url.password, url.username, *(v for value in url.query.values() for v in ([value] if isinstance(value, str) else value))]
        for secret in sorted((str(s) for s in secrets if s), key=len, reverse=True):
            text = text.replace(secret, "***")
        return text

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

        engine = self._engine
        try:
            # One transaction that only reads, so that what is seen belongs together.
            with engine.connect() as connection:
                if connection.dialect.name == "postgresql":
                    connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
                yield connection
        # Without their cause: a driver's error holds the URL it was given.
        except (OperationalError, InterfaceError) as error:
            if str(error.orig).startswith("no such "):  # SQLite's for a table or column, which another try won't bring
                raise DataError(f"{self.label}: {self._where()} refused the query", detail=self._clean(error)) from None
            raise ServiceUnavailable(f"{self.label}: {self._where()} does not answer: {self._clean(error)}") from None
        except DBAPIError as error:
            raise DataError(f"{self.label}: {self._where()} refused the query", detail=self._clean(error)) from None

    def _run(self, connection: Connection, sql: str, values: Mapping[str, Any]) -> CursorResult[Any]:
        import sqlalchemy as sa
        from sqlalchemy.exc import ProgrammingError

        try:
            return connection.execution_options(stream_results=True, max_row_buffer=CHUNK_ROWS).execute(sa.text(self._escaped(sql)), values)
        except ProgrammingError as error:
            raise DataError(f"{self.label}: {self._where()} refused the query", detail=f"{self._clean(error)}{self._hint()}") from None

    def _hint(self) -> str:
        import sqlalchemy as sa

        if self.spec.table is None:
            return ""
        *schema, name = self.spec.table.split(".")
        with self._engine.connect() as connection:
            names = sa.inspect(connection).get_table_names(schema=schema[0] if schema else None)
        return "" if name in names else f"; {nearest(name, names)}"

    def _quoted(self, connection: Connection, name: str) -> str:
        return connection.dialect.identifier_preparer.quote(name)

    def _what(self, connection: Connection) -> str:
        if self.spec.table is None:
            return f"({self.text()}) AS asked"
        return ".".join(self._quoted(connection, part) for part in self.spec.table.split("."))

    def _arrow(self, connection: Connection, sql: str, values: Mapping[str, Any], *, enough: int | None = None) -> pa.Table:
        import pyarrow as pa

        if self._by_arrow:
            found = self._through_adbc(connection, sql, values, enough)
            if found is not None:
                return found
        result = self._run(connection, sql, values)
        names = list(result.keys())
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise DataError(f"{self.label}: two columns are called {twice[0]!r}; name them apart in a query")
        fields = self._fields(connection, names, result)
        batches = []
        for part in result.partitions(CHUNK_ROWS):
            columns = [list(column) for column in zip(*part, strict=True)]
            batches.append(
                pa.table([_array(values, field, self.label) for values, field in zip(columns, fields, strict=True)], names=names)
            )
            if enough is not None and sum(batch.num_rows for batch in batches) >= enough:
                break
        if not batches:
            return pa.schema(fields).empty_table()
        try:
            rows = pa.concat_tables(batches, promote_options="default")
        except (pa.ArrowTypeError, pa.ArrowInvalid) as error:
            raise DataError(f"{self.label}: a column has values of several types; cast it in a query", detail=error) from error
        return rows.replace_schema_metadata(None).cast(
            pa.schema([found.with_metadata(field.metadata or {}) for found, field in zip(rows.schema, fields, strict=True)])
        )

    def _through_adbc(self, connection: Connection, sql: str, values: Mapping[str, Any], enough: int | None) -> pa.Table | None:
        """The same by ADBC; None where a column is of a type that it gives another way, or two have one name."""
        import sqlalchemy as sa

        result = self._run(connection, f"SELECT * FROM ({sql}) AS asked WHERE 1 = 0", values)
        names, described = list(result.keys()), list(result.cursor.description or ()) if result.cursor else []
        postgres = connection.dialect.name == "postgresql"
        if len(set(names)) < len(names) or (postgres and {column[1] for column in described} - adbc.SAME):
            return None
        fields = self._fields(connection, names, result)
        result.close()
        # Positions are ours; written into the text by the dialect's rules, as the two drivers want parameters each its own way.
        body = sa.text(self._escaped(sql)).bindparams(**values)
        dialect = type(connection.dialect)(paramstyle="named")  # type: ignore[call-arg]  # the protocol leaves out what every dialect takes
        text = str(body.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
        try:
            return adbc.read(self._engine.url, text, fields, connect_s=CONNECT_S, enough=enough)
        except DataError as error:
            raise DataError(f"{self.label}: {error.message}", detail=error.detail) from None

    def _escaped(self, sql: str) -> str:
        """A colon in the query is no parameter of ours."""
        return sql if self.spec.query is None else sql.replace(self.text(), self.text().replace(":", "\\:"))

    def _fields(self, connection: Connection, names: Sequence[str], result: CursorResult[Any]) -> list[pa.Field]:
        """The Arrow types: of the server's description where there is one that never varies, else (null) of the values."""
        import pyarrow as pa

        described: list[Any] = list(result.cursor.description or ()) if result.cursor and connection.dialect.name == "postgresql" else []
        if not described:
            return [pa.field(name, pa.null()) for name in names]
        kinds = {
            "bool": pa.bool_(), "int": pa.int64(), "float": pa.float64(), "date": pa.date32(), "timestamp": pa.timestamp("us"),
            "timestamptz": pa.timestamp("us", tz="UTC"), "bytes": pa.binary(),
        }  # fmt: skip
        found = []
        for name, column in zip(names, described, strict=True):
            kind = _POSTGRES.get(column.type_code, "text")
            if kind == "numeric":
                # Digits are declared (numeric(10,2)) or may be any number of them; as text every value is itself.
                digits, scale = column.precision, column.scale
                exact = digits is not None and scale is not None and 0 < digits <= 38 and 0 <= scale <= digits
                found.append(pa.field(name, pa.decimal128(digits, scale)) if exact else pa.field(name, pa.string(), metadata=NUMBER_TEXT))
            else:
                found.append(pa.field(name, kinds.get(kind, pa.string())))
        return found

    def _position(self, rows: pa.Table, since: str | None) -> str:
        import pyarrow.compute as pc

        if self.spec.cursor not in rows.column_names:
            raise DataError(f"{self.label}: cursor: no column {self.spec.cursor!r}; {nearest(str(self.spec.cursor), rows.column_names)}")
        newest = pc.max(rows[str(self.spec.cursor)]).as_py()
        if newest is None:
            if rows.num_rows and (since is None or _cursor(since) is None):
                raise DataError(
                    f"{self.label}: cursor: {self.spec.cursor} has no value in any row, so there is no position to read on from; "
                    "wanted a column that grows, or no cursor"
                )
            return since or json.dumps({})
        kinds = {datetime: "time", date: "date", int: "number", str: "text", Decimal: "decimal"}
        kind = kinds.get(type(newest))
        if kind is None:
            raise DataError(
                f"{self.label}: cursor: wanted a time, a number or a text, {self.spec.cursor} is {rows.schema.field(str(self.spec.cursor)).type}"
            )
        if isinstance(newest, datetime) and newest.tzinfo:
            newest = newest.astimezone(UTC)
        position = json.dumps({kind: newest if kind in ("number", "text") else str(newest) if kind == "decimal" else newest.isoformat()})
        self._start(position)
        # Rows that have vanished since don't move it back.
        return since if since is not None and _cursor(since) is not None and _cursor(since) >= newest else position

    def _start(self, position: str) -> Any:
        """The cursor from which to read, its overlap taken off."""
        last, overlap = _cursor(position), self.spec.overlap
        if last is None or not overlap:
            return last
        if isinstance(last, str) and isinstance(overlap, timedelta) and (earlier := _earlier(last, overlap)):
            return earlier
        if isinstance(last, date):  # a datetime is one, too
            if isinstance(overlap, int):
                raise DataError(f"{self.label}: overlap: wanted a duration such as 1h for a cursor of times, found {overlap}")
            return last - (overlap if isinstance(last, datetime) else timedelta(days=-(-overlap // timedelta(days=1))))
        if isinstance(last, str) or isinstance(overlap, timedelta):
            shown = render_duration(overlap) if isinstance(overlap, timedelta) else overlap
            found = "texts that are no times as 2024-01-31 10:00:00 is" if isinstance(last, str) else "numbers"
            raise DataError(f"{self.label}: overlap: {shown} can't be taken off a cursor of {found}")
        return last - overlap


def _cursor(position: str) -> Any:
    """The cursor that a position holds; None where no row had one yet."""
    written = json.loads(position)
    read = {"time": datetime.fromisoformat, "date": date.fromisoformat, "number": int, "text": str, "decimal": Decimal}
    return next((read[kind](value) for kind, value in written.items()), None)  # type: ignore[operator]


def _earlier(last: str, overlap: timedelta) -> str | None:
    """A time held as text, an overlap before it; None for other texts.

    To the second at most: in the order of texts it then comes before every time that is later, with a fraction or `Z` behind it or not.
    """
    written = _TIME_TEXT.fullmatch(last)
    if written is None:
        return None
    day, between, minutes, seconds = written.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{minutes or '00:00'}{seconds or ''}")
    except ValueError:  # there is no such day
        return None
    if minutes is None:
        return (moment - timedelta(days=-(-overlap // timedelta(days=1)))).date().isoformat()
    return (moment - overlap).isoformat(sep=between, timespec="seconds" if seconds else "minutes")


def _array(values: list[Any], field: pa.Field, where: str) -> pa.Array:
    import pyarrow as pa

    kind = field.type
    if pa.types.is_string(kind) or pa.types.is_null(kind):
        values = [_plain(value, text=pa.types.is_string(kind)) for value in values]
    if pa.types.is_binary(kind):
        values = [None if value is None else bytes(value) for value in values]
    try:
        return pa.array(values) if pa.types.is_null(kind) else pa.array(values, kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise DataError(f"{where}: column {field.name}: a value is no {kind}; cast it in a query", detail=error) from None


def _plain(value: Any, *, text: bool) -> Any:
    """A value as Arrow takes it: what has no type of its own there as its text, structures as JSON."""
    if value is None or isinstance(value, str) or (not text and isinstance(value, (bool, int, float, datetime, date, bytes))):
        return value
    if isinstance(value, (dict, list)):
        return json.dumps(value, default=str, ensure_ascii=False)
    if isinstance(value, Decimal):
        return format(value, "f") if value.is_finite() else str(value)
    return str(value)
