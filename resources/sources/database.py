"""SQL databases as a source: a table or a query, all of it or what is new since a position, as Arrow without changing a value.

The URL comes from the environment and is shown nowhere: messages name host and database, never a user, a password or an option.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from lakeloop.errors import DataError, ServiceUnavailable, nearest
from lakeloop.fingerprint import content_hash
from lakeloop.masking import url_problem, without_secrets
from lakeloop.rows.landing_types import NUMBER_TEXT, text_of
from lakeloop.spec.tables import DatabaseSource, render_duration
from resources.sources import adbc
from resources.sources.database_values import UNUSUAL_TIME, read_any_text, read_as_text, to_array
from resources.sources.files import cast_nulls_to_text

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy import Connection, CursorResult, Engine

Cursor: TypeAlias = datetime | date | int | str | Decimal
CHUNK_ROWS = 20_000
"""Rows held as Python objects at a time; the rest of a delivery is Arrow."""
CONNECT_S = 5
_ENDED = re.compile(
    "server closed the connection|connection already closed|terminating connection|no connection to the server|SSL SYSCALL error"
)
"""What drivers say of a connection that ended while rows were read, by errors that they don't class as an outage."""
PROBE_S = 5
"""A probe runs inside a sensor's tick, so a query that takes longer is aborted."""
_POSTGRES = {16: "bool", 20: "int", 21: "int", 23: "int", 26: "int", 700: "float", 701: "float", 1700: "numeric", 1082: "date", 1114: "timestamp", 1184: "timestamptz", 17: "bytes"}  # fmt: skip
"""PostgreSQL's type numbers (pg_type.dat); every other type lands as text."""
_TIME_TEXT = re.compile(r"(\d{4}-\d\d-\d\d)(?:([ T])(\d\d:\d\d)(:\d\d)?(?:\.\d+)?(?:Z|\+00:00)?)?")
"""Times as texts that sort like the times, which is how SQLite stores them."""


@dataclass(frozen=True)
class DatabaseReader:
    """Reads a database as a source: `read(since)` returns a batch and the position after it.

    Attributes:
        spec: what to read.
        folder: of the definition; it has the file of a query.
        watch: a column whose greatest value shows new rows, where there is no cursor.
        url: of the database; from the environment unless given.
    """

    spec: DatabaseSource
    folder: Path
    watch: str | None = None
    url: str | None = None

    @property
    def label(self) -> str:
        """Its name in the lake and in messages."""
        return self.spec.table or str(self.spec.query)

    @property
    def appends(self) -> bool:
        """Whether a batch adds to the earlier ones; otherwise it replaces them."""
        return self.spec.cursor is not None

    def text(self) -> str:
        """The query, for the fingerprint; empty for a table."""
        if self.spec.query is None:
            return ""
        try:
            text = (self.folder / self.spec.query).read_text(encoding="utf-8").strip()
            return re.sub(r";\s*(--[^\n]*\s*)*$", "", text).rstrip(";")
        except OSError as error:
            raise DataError(f"source: no file {self.spec.query!r} beside the definition") from error

    def read(self, since: str | None) -> tuple[pa.Table, str]:
        """Read what is new since a position, its overlap included; everything without one, or without a cursor.

        Returns:
            The rows (possibly none if there is a position), and the position after them: the greatest cursor, or a hash of all rows. A column
            without any value is of type null where the database doesn't tell its type.

        Raises:
            DataError: table, column or query are wrong, the cursor can't be a position or has no value, or a first read has no rows.
            ServiceUnavailable: the database doesn't answer.
        """
        start = self._start(since) if self.appends and since else None
        with self._connection() as connection:
            where, values = "", {}
            if start is not None:
                cursor = self._quoted(connection, str(self.spec.cursor))
                # Rows without a cursor are read every time, since no position would find them later.
                where, values = f" WHERE {cursor} >= :since OR {cursor} IS NULL", {"since": start}
            rows = self._read_arrow(connection, f"SELECT * FROM {self._from_clause(connection)}{where}", values)
        if rows.num_rows == 0 and since is None:
            raise DataError(f"{self.label}: wanted at least one row, found none")
        return rows, self._position(rows, since) if self.appends else content_hash(rows)

    def head(self, count: int) -> pa.Table:
        """The first rows in whole chunks, at least `count` if there are so many; text where no type is known; errors as for `read`."""
        with self._connection() as connection:
            rows = self._read_arrow(connection, f"SELECT * FROM {self._from_clause(connection)}", {}, enough=count)
        if rows.num_rows == 0:
            raise DataError(f"{self.label}: wanted at least one row, found none")
        if self.appends:
            self._position(rows, None)
        return cast_nulls_to_text(rows)

    def since(self, position: str) -> pa.Scalar | None:
        """The cursor at which a read after a position starts, as an Arrow scalar; None for a position without a cursor."""
        import pyarrow as pa

        start = self._start(position)
        return None if start is None else pa.scalar(start)

    def probe(self) -> str:
        """A cheap sign of changes: the greatest cursor; without one the number of rows and the greatest value of `watch`.

        Neither shows a value changed in place; the next read finds it, which a schedule or a person starts.

        Raises:
            DataError, ServiceUnavailable: as for `read`; also after `PROBE_S` seconds.
        """
        with self._connection() as connection:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql(f"SET LOCAL statement_timeout = {PROBE_S * 1000}")
            newest = [f"max({self._quoted(connection, name)})" for name in (self.spec.cursor or self.watch,) if name]
            columns = ", ".join(newest if self.spec.cursor else ["count(*)", *newest])
            row = self._run(connection, f"SELECT {columns} FROM {self._from_clause(connection)}", {}).one()
        return " ".join(str(v.astimezone(UTC).isoformat() if isinstance(v, datetime) and v.tzinfo else v) for v in row)

    @cached_property
    def _engine(self) -> Engine:
        import sqlalchemy as sa
        from sqlalchemy.exc import ArgumentError, NoSuchModuleError

        url = self.url or os.environ.get(self.spec.database)
        if not url:
            raise DataError(f"source: the environment variable {self.spec.database} isn't set; wanted the URL of a database in it")
        if problem := url_problem(adbc.split_url(url)[0]):
            raise DataError(f"source: {self.spec.database} holds no URL such as postgresql://user:password@host/database: {problem}")
        try:
            parsed = sa.make_url(adbc.split_url(url)[0])
            if parsed.get_backend_name() == "postgresql":
                # Only with this driver is it known, and tested, how each type is read; SQLAlchemy's own choice has changed between its versions.
                if parsed.drivername not in ("postgresql", "postgresql+psycopg2"):
                    other = parsed.drivername.partition("+")[2]
                    raise DataError(
                        f"source: {self.spec.database}: wanted postgresql:// or adbc+postgresql://, found the driver {other}, which reads values otherwise"
                    )
                parsed = parsed.set(drivername="postgresql+psycopg2")
            if self._uses_adbc:
                adbc.check_driver(parsed.get_backend_name())
            options = {"connect_timeout": CONNECT_S} if parsed.get_backend_name() == "postgresql" else {}
            engine = sa.create_engine(parsed, poolclass=sa.NullPool, connect_args=options)
            if engine.driver == "psycopg2":
                sa.event.listen(engine, "connect", read_as_text)
            if engine.dialect.name == "sqlite":
                sa.event.listen(engine, "connect", read_any_text)
            return engine
        except (NoSuchModuleError, ModuleNotFoundError) as error:
            driver = getattr(error, "name", None) or url.partition("://")[0]
            raise DataError(f"source: no driver for the database of {self.spec.database} is installed ({driver})") from None
        except ArgumentError:
            raise DataError(f"source: {self.spec.database} holds no URL such as postgresql://user:password@host/database") from None

    @property
    def _uses_adbc(self) -> bool:
        """Whether the URL asks for ADBC."""
        return adbc.split_url(self.url or os.environ.get(self.spec.database) or "")[1]

    def _place(self) -> str:
        """Host and database, which may be shown."""
        url = self._engine.url
        host = f"{url.host or 'localhost'}{f':{url.port}' if url.port else ''}" if url.host or url.port else ""
        return f"{url.get_backend_name()} {'/'.join(part for part in (host, url.database or '') if part)}"

    def _redact(self, error: BaseException) -> str:
        """An error's first line without user, password and options of the URL."""
        text = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        return without_secrets(text, self._engine.url.render_as_string(hide_password=False))

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

        engine = self._engine
        try:
            # One read-only transaction, so that all reads see the same state.
            with engine.connect() as connection:
                if connection.dialect.name == "postgresql":
                    connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
                    connection.exec_driver_sql("SET LOCAL intervalstyle = 'iso_8601'")
                yield connection
        # Without the cause, since a driver's error holds its URL.
        except (OperationalError, InterfaceError) as error:
            if str(error.orig).startswith("no such "):  # SQLite's for a table or column: no outage, so a retry won't help
                raise DataError(f"{self.label}: {self._place()} refused the query", detail=self._redact(error)) from None
            raise ServiceUnavailable(f"{self.label}: {self._place()} does not answer: {self._redact(error)}") from None
        except DBAPIError as error:
            if error.connection_invalidated or _ENDED.search(str(error.orig)):
                raise ServiceUnavailable(f"{self.label}: {self._place()} ended the connection: {self._redact(error)}") from None
            raise DataError(f"{self.label}: {self._place()} refused the query", detail=self._redact(error)) from None
        except DataError as error:
            raise (DataError(f"{self.label}: {error.message}") if error.message == UNUSUAL_TIME else error) from None

    def _run(self, connection: Connection, sql: str, values: Mapping[str, Any]) -> CursorResult[Any]:
        import sqlalchemy as sa
        from sqlalchemy.exc import ProgrammingError

        try:
            return connection.execution_options(stream_results=True, max_row_buffer=CHUNK_ROWS).execute(sa.text(self._escaped(sql)), values)
        except ProgrammingError as error:
            raise DataError(f"{self.label}: {self._place()} refused the query", detail=f"{self._redact(error)}{self._hint()}") from None

    def _hint(self) -> str:
        """The table with the nearest name, where the named one doesn't exist."""
        import sqlalchemy as sa

        if self.spec.table is None:
            return ""
        *schema, name = self.spec.table.split(".")
        with self._engine.connect() as connection:
            names = sa.inspect(connection).get_table_names(schema=schema[0] if schema else None)
        return "" if name in names else f"; {nearest(name, names)}"

    def _quoted(self, connection: Connection, name: str) -> str:
        return connection.dialect.identifier_preparer.quote(name)

    def _from_clause(self, connection: Connection) -> str:
        if self.spec.table is None:
            return f"({self.text()}\n) AS source_query"  # on its own line, as the query may end in a comment
        return ".".join(self._quoted(connection, part) for part in self.spec.table.split("."))

    def _read_arrow(self, connection: Connection, sql: str, values: Mapping[str, Any], *, enough: int | None = None) -> pa.Table:
        import pyarrow as pa

        if self._uses_adbc:
            rows = self._read_through_adbc(connection, sql, values, enough)
            if rows is not None:
                return rows
        result = self._run(connection, sql, values)
        names = list(result.keys())
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise DataError(f"{self.label}: two columns are named {twice[0]!r}; give them different names in a query")
        fields = self._fields(connection, names, result)
        batches, is_bytes = [], getattr(connection.connection.driver_connection, "encoding", "") == "LATIN1"
        for chunk in result.partitions(CHUNK_ROWS):
            columns = [list(column) for column in zip(*chunk, strict=True)]
            if is_bytes:
                columns = [[text_of(v.encode("latin-1")) if isinstance(v, str) else v for v in column] for column in columns]
            batches.append(
                pa.table([to_array(values, field, self.label) for values, field in zip(columns, fields, strict=True)], names=names)
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
            pa.schema([read.with_metadata(field.metadata or {}) for read, field in zip(rows.schema, fields, strict=True)])
        )

    def _read_through_adbc(self, connection: Connection, sql: str, values: Mapping[str, Any], enough: int | None) -> pa.Table | None:
        """The rows through ADBC; None where ADBC returns a column's type differently, or two columns have the same name."""
        import sqlalchemy as sa

        result = self._run(connection, f"SELECT * FROM ({sql}\n) AS source_query WHERE 1 = 0", values)
        names, described = list(result.keys()), list(result.cursor.description or ()) if result.cursor else []
        postgres = connection.dialect.name == "postgresql"
        if len(set(names)) < len(names) or (postgres and {column[1] for column in described} - adbc.SAME_TYPES):
            return None
        fields = self._fields(connection, names, result)
        result.close()
        if connection.dialect.name == "sqlite" and self._has_mixed_values(connection, sql, values, names):
            return None  # the driver makes texts of numbers beside texts, with fewer digits
        # The values are positions of ours. The dialect writes them into the text, since each driver has its own kind of parameters.
        body = sa.text(self._escaped(sql)).bindparams(**values)
        dialect = type(connection.dialect)(paramstyle="named")  # type: ignore[call-arg]  # the protocol leaves out what every dialect takes
        text = str(body.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
        try:
            rows = adbc.read(self._engine.url, text, fields, connect_s=CONNECT_S, enough=enough)
        except DataError as error:
            raise DataError(f"{self.label}: {error.message}", detail=error.detail) from None
        if adbc.has_unusual_times(rows):
            raise DataError(UNUSUAL_TIME)
        # The driver makes doubles of whole numbers beside fractions; SQLAlchemy reads them as they are, or they are refused.
        return None if not postgres and adbc.may_have_lost_integers(rows) else rows

    def _has_mixed_values(self, connection: Connection, sql: str, values: Mapping[str, Any], names: Sequence[str]) -> bool:
        """Whether a column of SQLite has values of several types; whole numbers and others are of one."""
        kinds = (
            f"CASE typeof({c}) WHEN 'null' THEN NULL WHEN 'real' THEN 'integer' ELSE typeof({c}) END"
            for c in (self._quoted(connection, n).replace(":", "\\:") for n in names)
        )
        counts = self._run(
            connection, f"SELECT {', '.join(f'count(DISTINCT {kind})' for kind in kinds)} FROM ({sql}\n) AS source_query", values
        ).one()
        return any(count > 1 for count in counts)

    def _escaped(self, sql: str) -> str:
        """SQL in which a colon of the query isn't taken for a parameter."""
        return sql if self.spec.query is None else sql.replace(self.text(), self.text().replace(":", "\\:"))

    def _fields(self, connection: Connection, names: Sequence[str], result: CursorResult[Any]) -> list[pa.Field]:
        """The columns with the Arrow types that the server describes; null where it doesn't, and the values decide."""
        import pyarrow as pa

        described: list[Any] = list(result.cursor.description or ()) if result.cursor and connection.dialect.name == "postgresql" else []
        if not described:
            return [pa.field(name, pa.null()) for name in names]
        kinds = {
            "bool": pa.bool_(), "int": pa.int64(), "float": pa.float64(), "date": pa.date32(), "timestamp": pa.timestamp("us"),
            "timestamptz": pa.timestamp("us", tz="UTC"), "bytes": pa.binary(),
        }  # fmt: skip
        fields = []
        for name, column in zip(names, described, strict=True):
            kind = _POSTGRES.get(column.type_code, "text")
            if kind == "numeric":
                # A number's digits are declared, as in numeric(10,2), or unlimited; as text every value is exact.
                digits, scale = column.precision, column.scale
                fits = digits is not None and scale is not None and 0 < digits <= 38 and 0 <= scale <= digits
                fields.append(pa.field(name, pa.decimal128(digits, scale)) if fits else pa.field(name, pa.string(), metadata=NUMBER_TEXT))
            else:
                fields.append(pa.field(name, kinds.get(kind, pa.string())))
        return fields

    def _position(self, rows: pa.Table, since: str | None) -> str:
        """The position after rows: their greatest cursor, unless the position before is greater."""
        import pyarrow.compute as pc

        if self.spec.cursor not in rows.column_names:
            raise DataError(f"{self.label}: cursor: no column {self.spec.cursor!r}; {nearest(str(self.spec.cursor), rows.column_names)}")
        newest = pc.max(rows[str(self.spec.cursor)]).as_py()
        if newest is None:
            if rows.num_rows and (since is None or _cursor(since) is None):
                raise DataError(
                    f"{self.label}: cursor: {self.spec.cursor} has no value in any row, so there is no position to continue from; "
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
        # Rows that were deleted since don't move it back.
        return since if since is not None and _cursor(since) is not None and _cursor(since) >= newest else position

    def _start(self, position: str) -> Cursor | None:
        """The cursor at which to start reading: that of a position, less the overlap."""
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
            values = "texts that aren't times such as 2024-01-31 10:00:00" if isinstance(last, str) else "numbers"
            raise DataError(f"{self.label}: overlap: {shown} can't be subtracted from a cursor of {values}")
        return last - overlap


def _cursor(position: str) -> Cursor | None:
    """The cursor that a position holds; None where no row had one yet."""
    parsers: dict[str, Callable[[Any], Cursor]] = {
        "time": datetime.fromisoformat, "date": date.fromisoformat, "number": int, "text": str, "decimal": Decimal,
    }  # fmt: skip
    return next((parsers[kind](value) for kind, value in json.loads(position).items()), None)


def _earlier(last: str, overlap: timedelta) -> str | None:
    """A time as text, less an overlap; None for other texts.

    It has no fraction of a second: as text it then sorts before every later time, whether that ends in a fraction, `Z` or neither.
    """
    parts = _TIME_TEXT.fullmatch(last)
    if parts is None:
        return None
    day, separator, minutes, seconds = parts.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{minutes or '00:00'}{seconds or ''}")
    except ValueError:  # no such day exists
        return None
    if minutes is None:
        return (moment - timedelta(days=-(-overlap // timedelta(days=1)))).date().isoformat()
    return (moment - overlap).isoformat(sep=separator, timespec="seconds" if seconds else "minutes")
