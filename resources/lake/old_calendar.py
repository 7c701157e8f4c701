"""Dates and times that Spark wrote by the calendar that it had until version 3, the Julian one before 1582-10-15 and local mean time before 1900.

Spark moves them when it reads such a file, by what the file's footer says of its writer; pyarrow and the embedded engine don't.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from lakeloop.errors import DataError

FIRST_DAY, FIRST_TIME = date(1582, 10, 15), datetime(1900, 1, 1)  # compared with times in UTC
"""From these on both calendars agree, in every zone."""
_VERSION, _LEGACY, _LEGACY_INT96 = b"org.apache.spark.version", b"org.apache.spark.legacyDateTime", b"org.apache.spark.legacyINT96"


def check_calendar(footer: Mapping[bytes, bytes] | None, rows: Any, where: str) -> None:
    """Refuse dates and times of a file that are by another calendar.

    Args:
        footer: the key-value metadata of a Parquet file.
        rows: an Arrow table of it.
        where: the file, for the message.

    Raises:
        DataError: a column has one.
    """
    if not footer or _VERSION not in footer:
        return  # of another writer: as it stands, for Spark too
    import pyarrow as pa
    import pyarrow.compute as pc

    version = tuple(int(part) for part in footer[_VERSION].decode().split(".")[:2] if part.isdigit())
    is_of_days = version < (3, 0) or _LEGACY in footer
    is_of_times = is_of_days or version < (3, 1) or _LEGACY_INT96 in footer
    for name, values in zip(rows.column_names, rows.columns, strict=True):
        if is_of_days and pa.types.is_date(values.type):
            least, first = pc.min(values.cast(pa.date32())), FIRST_DAY
        elif is_of_times and pa.types.is_timestamp(values.type):
            least, first = pc.min(values.cast(pa.timestamp("us"))), FIRST_TIME
        else:
            continue
        if least.is_valid and least.as_py() < first:
            raise DataError(
                f"{where}: column {name}: wanted dates from {FIRST_DAY} and times from {FIRST_TIME.date()} on, found {least.as_py()} as Spark "
                f"{footer[_VERSION].decode()} wrote it, by the calendar before version 3; write the file again with Spark 3.1 or newer"
            )
