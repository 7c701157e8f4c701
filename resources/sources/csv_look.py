"""What the first lines of a CSV file say of its delimiter, quotes, escapes, comments and header; a definition states what was found."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Sequence
from typing import Any

from lakeloop.errors import DataError
from lakeloop.spec.tables import Files
from resources.sources.csv_rows import prepare_lines, reader_options, records_of, unescape_quotes
from resources.sources.text import first_foreign, guess_encoding, to_utf8

DELIMITERS = ",;\t|"
LOOK_BYTES = 1 << 18
LOOK_RECORDS = 200
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|\d{4}-\d\d-\d\d.*")
"""Numbers and dates, as a header seldom has them and data often do."""


def look_at_lines(data: bytes, where: str) -> tuple[dict[str, Any], list[str]]:
    """The options that read a CSV file's first lines, where they aren't the usual ones; and what to tell of them."""
    options: dict[str, Any] = {}
    notes: list[str] = []
    if encoding := guess_encoding(data):
        options["encoding"] = encoding
        notes.append(f"not UTF-8, so read as {encoding}; another encoding if {first_foreign(data, encoding)} is wrong")
        data = to_utf8(data, encoding, where)
    is_cut = len(data) > LOOK_BYTES
    sample = data[: data.rfind(b"\n", 0, LOOK_BYTES) + 1 or LOOK_BYTES] if is_cut else data
    if re.match(rb"(\xef\xbb\xbf)?(#[^\n]*\n)+[^#\n]", sample):
        options["comment"] = "#"
        notes.append("lines that begin with # are comments")
    try:
        whole = sample.decode("utf-8", "ignore").encode() if is_cut else sample
        sample = prepare_lines(whole, Files(files=["x"], comment=options.get("comment")), where)
    except DataError:
        return {}, []  # reading says what is wrong
    delimiter, quoting, records = _best_reading(sample, where, is_cut)
    if delimiter != reader_options(Files(files=["x"]), where)["delimiter"]:
        options["delimiter"] = delimiter
    options.update(quoting)
    if quoting.get("quote") == "none":
        notes.append("a quote begins a field and doesn't end it, so quotes are read as text")
    if quoting.get("escape"):
        notes.append("a backslash stands before quotes; before anything else it is text")
    if is_data(records):
        options["header"] = False
        notes.append(
            f"the first line ({', '.join(records[0][:4])}) looks like data, so the columns are numbered; header: true takes it for names"
        )
    return options, notes


def _best_reading(sample: bytes, where: str, is_cut: bool) -> tuple[str, dict[str, Any], list[list[str]]]:
    """The delimiter and the quoting under which most records have as many fields as the first, and the records so read."""
    quotings: tuple[dict[str, Any], ...] = ({}, {"escape": "\\"}, {"quote": "none"})
    default = reader_options(Files(files=["x"]), where)["delimiter"]
    candidates = dict.fromkeys((default, *DELIMITERS))
    readings = []
    for order, (quoting, delimiter) in enumerate(itertools.product(quotings, candidates)):
        records, is_whole = _records(sample, Files(files=["x"], delimiter=delimiter, **quoting), where, is_cut)
        width = len(records[0]) if records else 0
        share = sum(len(record) == width for record in records) / max(len(records), 1)
        readings.append(
            (
                (is_whole, width > 1 and share == 1, width > 1, share if width > 1 else 0, -quotings.index(quoting), width, -order),
                delimiter,
                quoting,
                records,
            )
        )
    _, delimiter, quoting, records = max(readings, key=lambda reading: reading[0])
    return delimiter, quoting, records


def _records(sample: bytes, spec: Files, where: str, is_cut: bool) -> tuple[list[list[str]], bool]:
    """The first records, and whether the options explain all of them; the last of a cut sample may end anywhere."""
    records: list[list[str]] = []
    options = {**reader_options(spec, where), "delimiter": spec.delimiter}
    if spec.escape is not None:
        sample = unescape_quotes(sample, spec.delimiter)
    try:
        for record in itertools.islice(records_of(sample, options), LOOK_RECORDS):
            records.append(record)
    except csv.Error as error:
        return records, is_cut and "unexpected end" in str(error)
    return records, True


def is_data(records: Sequence[Sequence[str]]) -> bool:
    """Whether the first record is data like those below, and no header.

    >>> is_data([["5.1", "setosa"], ["4.9", "setosa"], ["4.7", "virginica"]])
    True
    >>> is_data([["country", "2010", "2011"], ["DE", "1", "2"]]), is_data([["x", "y"], ["1", "2"]])
    (False, False)
    """
    if len(records) < 2 or any(not name.strip() for name in records[0]):
        return False
    first, below = records[0], [record for record in records[1:] if len(record) == len(records[0])]
    if not below:
        return False
    columns = [[record[place].strip() for record in below if record[place].strip()] for place in range(len(first))]
    numbers = [
        name.strip()
        for name, values in zip(first, columns, strict=True)
        if _NUMBER.fullmatch(name.strip()) and values and all(_NUMBER.fullmatch(value) for value in values)
    ]
    if numbers:
        return not _are_labels(numbers)
    come_again = [name.strip() in values for name, values in zip(first, columns, strict=True)]
    return sum(come_again) * 2 > len(first)


def _are_labels(numbers: Sequence[str]) -> bool:
    """Whether numbers at the top are names of columns: years, or whole numbers that count."""
    if not all(re.fullmatch(r"\d{1,4}", number) for number in numbers):
        return False
    whole = [int(number) for number in numbers]
    are_years = all(1900 <= number <= 2100 for number in whole)
    return len(set(whole)) == len(whole) and (are_years or (len(whole) > 1 and whole == list(range(whole[0], whole[0] + len(whole)))))
