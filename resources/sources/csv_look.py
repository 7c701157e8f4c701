"""What the first lines of a CSV file say of its delimiter, quotes, escapes, comments and header; a definition states what was found."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Sequence
from typing import Any

from lakeloop.errors import DataError
from lakeloop.spec.tables import Files
from resources.sources.csv_escapes import NOTHING, is_text_format, unescape
from resources.sources.csv_rows import lacks_first_name, prepare_lines, reader_options, records_of
from resources.sources.text import first_foreign, guess_encoding, to_utf8

DELIMITERS = ",;\t|"
LOOK_BYTES = 1 << 18
LOOK_RECORDS = 200
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|\d{4}-\d\d-\d\d.*")
"""Numbers and dates, as a header seldom has them and data often do."""
TEXT_FORMAT: dict[str, Any] = {"quote": "none", "escape": "\\"}
"""The options of the text format of PostgreSQL's COPY and MySQL's OUTFILE."""
_QUOTINGS: tuple[dict[str, Any], ...] = ({}, {"escape": "\\"}, {"quote": "none"}, TEXT_FORMAT)
_QUOTED_NAMES = re.compile(rb'"[^"\r\n]*"( "[^"\r\n]*")*\r?\n')
"""A header of R's `write.table`, which separates by spaces."""
_TYPED = re.compile(r"(?:[+-]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][+-]?\d+)?|[+-]?Inf|NaN|NA|TRUE|FALSE|\d{1,4}-\d\d-\d\d.*|)")
"""What R writes without quotes."""


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
    if quoting == TEXT_FORMAT:
        options["null_values"] = [NOTHING]
        notes.append("a backslash stands before tabs, line ends and backslashes that are text, and \\N is null, as COPY and MySQL write it")
    elif quoting.get("quote") == "none":
        notes.append("quotes within fields aren't doubled, or begin a field and don't end it, so all quotes are read as text")
    elif quoting.get("escape"):
        notes.append("a backslash stands before quotes; before anything else it is text")
    if quoting.get("quote") is None and has_bare_na(sample, delimiter):
        options["null_values"] = ["", "NA"]
        notes.append("NA is null, and quoted it is text, as R writes them")
    if lacks_first_name(records, delimiter, sample):
        notes.append("the header has one name less than the rows have fields: the first is their name, as R writes it")
    if is_data(records):
        options["header"] = False
        notes.append(
            f"the first line ({', '.join(records[0][:4])}) looks like data, so the columns are numbered; header: true takes it for names"
        )
    return options, notes


def _best_reading(sample: bytes, where: str, is_cut: bool) -> tuple[str, dict[str, Any], list[list[str]]]:
    """The delimiter and the quoting under which most records have as many fields as the first, and the records so read."""
    default = reader_options(Files(files=["x"]), where)["delimiter"]
    candidates = dict.fromkeys((default, *DELIMITERS, *([" "] if _QUOTED_NAMES.match(sample) else [])))
    readings = []
    for order, (quoting, delimiter) in enumerate(itertools.product(_QUOTINGS, candidates)):
        records, is_whole = _records(sample, Files(files=["x"], delimiter=delimiter, **quoting), where, is_cut)
        width = len(records[0]) if records else 0
        if records and lacks_first_name(records, delimiter, sample):
            width += 1
        share = (sum(len(record) == width for record in records[1:]) + 1) / max(len(records), 1)
        is_sure = is_whole and width > 1 and share == 1
        if (quoting == TEXT_FORMAT and not is_sure) or (delimiter == " " and quoting.get("quote") == "none"):
            continue  # spaces separate where names are quoted, and then quotes aren't text
        is_meant = (
            is_sure
            and delimiter == "\t"
            and (is_text_format(sample) if quoting == TEXT_FORMAT else quoting == {"quote": "none"} and has_quotes_as_text(sample))
        )
        order_of = (
            is_meant,
            is_whole,
            width > 1 and share == 1,
            width > 1,
            share if width > 1 else 0,
            -_QUOTINGS.index(quoting),
            width,
            -order,
        )
        readings.append((order_of, delimiter, quoting, records))
    _, delimiter, quoting, records = max(readings, key=lambda reading: reading[0])
    return delimiter, quoting, records


def _records(sample: bytes, spec: Files, where: str, is_cut: bool) -> tuple[list[list[str]], bool]:
    """The first records, and whether the options explain all of them; the last of a cut sample may end anywhere."""
    records: list[list[str]] = []
    options = {**reader_options(spec, where), "delimiter": spec.delimiter}
    sample = unescape(sample, spec, spec.delimiter)
    try:
        for record in itertools.islice(records_of(sample, options), LOOK_RECORDS):
            records.append(record)
    except csv.Error as error:
        return records, is_cut and "unexpected end" in str(error)
    return records, True


def has_bare_na(sample: bytes, delimiter: str) -> bool:
    r"""Whether all texts are quoted, names too, and `NA` stands without quotes, as R writes that there is no value.

    >>> has_bare_na(b'"v","w"\n"NA",1\n"x",NA\n', ","), has_bare_na(b"v,w\nx,NA\n", ","), has_bare_na(b'"v"\n"NA"\n', ",")
    (True, False, False)
    """
    if not sample.startswith(b'"'):
        return False
    mark = re.escape(delimiter)
    fields = re.compile(rf'(?:^|(?<={mark})|(?<=\n))(?:"(?:[^"\\]|\\.|"")*"|([^{mark}"\r\n]*))(?={mark}|\r?\n|$)', re.DOTALL)
    bare = [match[1] for match in fields.finditer(sample.decode("utf-8", "replace")) if match[1] is not None]
    return "NA" in bare and all(_TYPED.fullmatch(text) for text in bare)


def has_quotes_as_text(sample: bytes) -> bool:
    r"""Whether quotes stand within fields of lines of tabs, where a writer that quotes would double them, and no pair of quotes is of any use.

    >>> has_quotes_as_text(b'v\n"a"\nsay "b"\n'), has_quotes_as_text(b'v\n"a"\n"b ""c"" d"\n'), has_quotes_as_text(b'v\n"a"\nb\n')
    (True, False, False)
    """
    fields = re.split(rb"[\t\r\n]+", sample)
    begun = [field for field in fields if field.startswith(b'"')]
    is_of_use = any(not field.endswith(b'"') or len(field) < 2 or b'"' in field[1:-1] for field in begun)
    is_within = any(b'"' in field for field in fields if not field.startswith(b'"'))
    return bool(begun) and is_within and not is_of_use and b'"' not in sample.partition(b"\n")[0]


def is_data(records: Sequence[Sequence[str]]) -> bool:
    """Whether the first record is data like those below, and no header.

    >>> is_data([["5.1", "setosa"], ["4.9", "setosa"], ["4.7", "virginica"]])
    True
    >>> is_data([["country", "2010", "2011"], ["DE", "1", "2"]]), is_data([["x", "y"], ["1", "2"]])
    (False, False)
    """
    if len(records) < 2 or not records[0] or not records[0][0].strip():
        return False  # row names of pandas and R stand first, under an empty header
    below = [record for record in records[1:] if len(record) == len(records[0])]
    named = [place for place, name in enumerate(records[0]) if name.strip()]
    first, below = [records[0][place] for place in named], [[record[place] for place in named] for record in below]
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
