"""The page of types, `docs/types.md`, written from the rules of landing."""

from __future__ import annotations

import sys
from pathlib import Path

from lakeloop.rows.landing_types import EXTENSION, LANDINGS


def documentation() -> str:
    """The page of types, `docs/types.md`."""
    rows = [f"| {rule.types} | {rule.lands} | {rule.declared} |" for rule in (*LANDINGS, EXTENSION)]
    return "\n".join([_HEAD, "| Arrow type | lands as | drafted as |", "|---|---|---|", *rows, _TAIL])


_HEAD = """\
# Types

A value lands as the source has it, or the step refuses the source with a sentence; nothing is rounded or cut. The first table holds for
Parquet files, Python functions and whatever else comes as Arrow. CSV, the cells of workbooks and the texts of JSON land as text, and are read as their declared
types; numbers in JSON keep all their digits. Each cell of a workbook lands as what it is in the sheet:

| cell | lands as | drafted as |
|---|---|---|
| number | its shortest digits | `integer`, `double` |
| text | itself | `string`, or the time that it is; digits stay text |
| boolean | `true`, `false` | `boolean` |
| number with a format of dates | `2024-02-29`, or `2024-02-29T09:30:00` where it has a time of day | `date`, `timestamp` |
| number with a format of times | `09:30:00`; a duration as `P1DT6H` | `string` |
| error | its name, such as `#REF!` | null or quarantine, see [Excel](your_own_data.md#excel) |
| column of several of these | each as above | as text says |
"""
_TAIL = """
## Declared types

| type | Delta | values that can't be held | to a model |
|---|---|---|---|
| `string` | string | binary values that aren't UTF-8, unless `format: hex` or `format: base64` is declared | category |
| `integer` | long | beyond 64 bits, or with decimals | double; refused beyond 2**53 |
| `double` | double | whole numbers beyond 2**53 that aren't exactly a double, decimals that come back with other digits, NaN and infinity unless `non_finite: keep` | double |
| `decimal(p,s)` | decimal(p,s), at most 38 digits | more than `s` decimals, or more than `p` digits | the nearest double |
| `boolean` | boolean | other than true, false, t, f, 1, 0 | 0 and 1 |
| `date`, `timestamp` | date, timestamp in UTC | another format; times that don't exist or come twice in their zone | not an input |

A value that can't be held puts its row into quarantine, with the reason.

Numbers in text are read as code writes them (`-1234.5`), unless `format:` states how the column writes 1234.5: `1.234,5`, `1 234,5`, `1'234.5`,
`$1,234.5`, `1.234,5 €` or `1,234.5 %`. A value may do without the marks between thousands and without the sign; other values can't be held. `12 %`
is 12.

Times in text are read by ISO 8601, unless `format:` states another way:

| text | read as |
|---|---|
| `2024-11-05T12:30:00Z`, `2024-11-05 14:30+02:00`, `… +0200`, `…+02`, `… UTC`, `… GMT` | a moment |
| `2024-11-05 12:30:00`, `2024-11-05` | a moment in the zone of `timezone:`, of the column or the table |
| `12:30:00,25` | as `12:30:00.25`, by formats with `%.f` too |
| `2024-11-05 24:00` | the beginning of the next day, by other formats too |
| `%y` of a format: two digits of a year | 1969 to 2068 |
| `format: epoch_s`, `epoch_ms`, `epoch_us` | numbers since 1970 in UTC, of at most microseconds |

`timezone: Europe/Zurich` beside `source:` is the zone of all timestamps of a table that name none; a column may have its own. Twice a year the
clocks of many zones are changed:

| time without a zone | with `timezone:` of the table |
|---|---|
| comes twice (in autumn), the rows beside it are in the order of time | of the first pass until the times of that hour fall, of the second from then on; newest first, the other way round. Rows of one series (equal in all keys but the times) are compared, or else all rows of the file |
| comes twice, and the order doesn't tell: one of both is missing, or the rows aren't sorted | quarantine, with the reason |
| never was (in spring) | quarantine, with the reason |
| midnight that never was, as in São Paulo | the beginning of that day |

A row that stands twice in a file, in the hour that comes twice, is read as one of each pass if the other is missing. With `timezone:` of a column alone, all times that
come twice or never go to quarantine. Types `date` have no zone: a day is a day, and begins at midnight in UTC where a moment is needed.

## Databases

| PostgreSQL | lands as |
|---|---|
| boolean | boolean |
| smallint, integer, bigint, oid | int64 |
| real, double precision | double |
| numeric(p,s) up to 38 digits | decimal(p,s) |
| numeric without digits, or with more | digits in text |
| date, timestamp, timestamp with time zone | date, timestamp |
| bytea | binary |
| interval, arrays of it | text by ISO 8601 such as `P1M2DT3H` |
| json, jsonb | the text that PostgreSQL writes |
| char, varchar, text, name, xml | text |
| time, money, bit, varbit | text as PostgreSQL writes it |
| timetz | text such as `09:30:00+02:00` |
| uuid, inet, cidr, macaddr, enums, composites, geometric types, multiranges | text as PostgreSQL writes it |
| arrays | JSON text; those of bytea as hexadecimal digits, of dates and times such as `["2024-02-29 09:30:00+00:00"]` |
| ranges | text such as `[1, 5)`, or `[1, None)` without a bound |
| a domain | as the type that it is made of |

A date or time that is infinite, or not within the years 1 to 9999, is refused; so are a range with such a bound, and NaN in a numeric with digits. A text that
isn't UTF-8 lands as its bytes in hexadecimal digits, and its row goes to quarantine.

SQLite has no types of columns: values decide. Whole numbers beside decimals become doubles where each is exactly one;
numbers beside texts, and texts beside bytes, are refused: cast them in a query.

Both drivers, SQLAlchemy's and ADBC's, give the same rows: `tests/contracts/test_database_types.py` compares each type above.
"""

if __name__ == "__main__":
    Path(sys.argv[1]).write_text(documentation(), encoding="utf-8")
