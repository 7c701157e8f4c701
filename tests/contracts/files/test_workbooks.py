"""Workbooks as others write them: what a draft's look finds, and what a landing then reads; another reader is the judge of values."""

from __future__ import annotations

import io
import random
import re
import zipfile
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import python_calamine
import xlsxwriter

from benchmarks.bringing import bring
from lakeloop.errors import DataError
from lakeloop.spec.tables import Files
from resources.sources.files import read_file, resolve_files
from resources.sources.peek import look_at_source


def write(path: Path, *sheets: list[list[Any]], change: Callable[[openpyxl.Workbook], None] = lambda book: None) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for number, rows in enumerate(sheets, 1):
        sheet = book.create_sheet(f"S{number}")
        for row in rows:
            sheet.append(row)
    change(book)
    book.save(path)
    return path


def look_and_read(path: Path, **options: Any) -> tuple[dict[str, Any], list[str], dict[str, list[str | None]]]:
    given = Files(files=[path.name], **options)
    drafted, notes = look_at_source(given, path.parent)
    spec = Files(files=[path.name], **{**options, **drafted})
    return drafted, notes, read_file(resolve_files(spec, path.parent)[0], spec, {}).drop_columns(["_row"]).to_pydict()


CASES: dict[str, tuple[list[list[Any]], dict[str, Any], dict[str, list[str | None]]]] = {
    "plain": ([["id", "v"], [1, "x"], [2, "y"]], {}, {"id": ["1", "2"], "v": ["x", "y"]}),
    "text that looks like numbers": ([["id", "v"], ["007", "1e5"], ["12", "1.0"]], {}, {"id": ["007", "12"], "v": ["1e5", "1.0"]}),
    "whole and other numbers": ([["v", "w"], [1.0, 0.1], [2.5, 1e300]], {}, {"v": ["1", "2.5"], "w": ["0.1", "1e+300"]}),
    "booleans": ([["id", "v"], [1, True], [2, False]], {}, {"id": ["1", "2"], "v": ["true", "false"]}),
    "days, moments, times, durations": (
        [["a", "b", "c", "d"], [date(2024, 2, 29), datetime(2024, 2, 29, 9, 30, 1), time(9, 30), timedelta(hours=30)]],
        {},
        {"a": ["2024-02-29"], "b": ["2024-02-29T09:30:01"], "c": ["09:30:00"], "d": ["P1DT6H"]},
    ),
    "titles above the header": (
        [["Sales 2024"], [], ["as of", date(2024, 12, 31)], ["region", "month", "EUR"], ["N", 1, 2.5], ["S", 2, 4]],
        {"header_row": 4},
        {"region": ["N", "S"], "month": ["1", "2"], "EUR": ["2.5", "4"]},
    ),
    "not at the corner": ([[], [None, "id", "v"], [None, 1, "x"], [], [None, 2, "y"]], {}, {"id": ["1", "2"], "v": ["x", "y"]}),
    "index of pandas": ([[None, "v"], [0, "x"], [1, "y"]], {}, {"row_name": ["0", "1"], "v": ["x", "y"]}),
    "empty rows and columns at the end": (
        [["id", "v", None], [1, "x", None], [2, None, ""], [None, None, None]],
        {},
        {"id": ["1", "2"], "v": ["x", None]},
    ),
    "no header": ([[5.1, "setosa"], [4.9, "setosa"]], {"header": False}, {"column_1": ["5.1", "4.9"], "column_2": ["setosa", "setosa"]}),
    "years as header": ([["country", 2010, 2011], ["DE", 1, 2]], {}, {"country": ["DE"], "2010": ["1"], "2011": ["2"]}),
    "a column without a name": (
        [["id", None, "v"], [1, "a", "x"], [2, "b", "y"]],
        {},
        {"id": ["1", "2"], "column_2": ["a", "b"], "v": ["x", "y"]},
    ),
    "one column": ([["v"], ["x"], ["y"]], {}, {"v": ["x", "y"]}),
    "many empty cells": (
        [["a", "b", "c", "d"], [1, None, None, None], [None, 2, None, None], [3, None, None, None]],
        {},
        {"a": ["1", None, "3"], "b": [None, "2", None], "c": [None] * 3, "d": [None] * 3},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_sheet_is_read_as_its_writer_meant_it(tmp_path: Path, name: str) -> None:
    rows, options, expected = CASES[name]
    drafted, notes, columns = look_and_read(write(tmp_path / "a.xlsx", rows))
    assert drafted == options
    assert columns == expected
    assert len(notes) == len(options)


def test_a_date_counts_from_1904_where_the_workbook_says_so(tmp_path: Path) -> None:
    with xlsxwriter.Workbook(str(tmp_path / "a.xlsx"), {"date_1904": True, "default_date_format": "d.m.yyyy"}) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["day", "v"])
        sheet.write_row(1, 0, [datetime(2024, 2, 29), 1])
    assert look_and_read(tmp_path / "a.xlsx")[2]["day"] == ["2024-02-29"]


def test_several_sheets_are_tables_of_their_own(tmp_path: Path) -> None:
    def hide(book: openpyxl.Workbook) -> None:
        book["S3"].sheet_state = "hidden"

    path = write(tmp_path / "a.xlsx", [["id", "v"], [1, "x"]], [["k", "w"], [2, "y"]], [["h"], ["z"]], [], change=hide)
    drafted, notes, columns = look_and_read(path)
    assert (drafted, columns) == ({"sheet": "S1"}, {"id": ["1"], "v": ["x"]})
    assert notes == [
        "of the sheets, S1 is read; S2: each is a table of its own, drafted with --sheet",
        "hidden sheets: S3 (not read)",
    ]
    assert look_and_read(path, sheet="S2")[2] == {"k": ["2"], "w": ["y"]}
    assert look_and_read(path, sheet="S3")[2] == {"h": ["z"]}
    for options, told in (
        ({}, r"a\.xlsx: wanted one sheet, found S1, S2; .* name one by sheet:"),
        ({"sheet": "s1"}, r"a\.xlsx: no sheet 's1'; .*S1"),
    ):
        spec = Files(files=[path.name], **options)
        with pytest.raises(DataError, match=told):
            read_file(resolve_files(spec, tmp_path)[0], spec, {})


def test_merged_cells_have_their_value_in_each_row_and_hidden_rows_are_told(tmp_path: Path) -> None:
    def change(book: openpyxl.Workbook) -> None:
        book["S1"].merge_cells("A3:A4")
        book["S1"].merge_cells("A1:B1")
        book["S1"].row_dimensions[4].hidden = True

    path = write(tmp_path / "a.xlsx", [["Sales", None], ["region", "v"], ["N", 1], [None, 2], [None, 3]], change=change)
    options, notes, columns = look_and_read(path)
    assert options == {"header_row": 2}
    assert columns == {"region": ["N", "N", None], "v": ["1", "2", "3"]}
    assert [note for note in notes if "hidden" in note] == ["1 rows are hidden (row 4 first), and are read like the others"]
    assert any("merged cells (row 3 first)" in note for note in notes)


LAYOUTS: dict[str, tuple[list[list[Any]], str]] = {
    "units below the names": (
        [["region", "weight", "since"], [None, "kg", "date"], ["N", 1, date(2024, 1, 1)], ["S", 2, None]],
        "row 2 (kg, date) has only texts above numbers, and is read as a row: if it belongs to the header, delete it in the workbook, or set "
        "header_row: 2 to take its names",
    ),
    "a table beside": (
        [["id", "v", None, "key", "w"], [1, "x", None, 7, "z"], [2, "y", None, None, None]],
        "column C is empty between v and key: both sides are read as one table; if they are two, put each on a sheet of its own",
    ),
    "a table below": (
        [["id", "v"], [1, 2], [3, 4], [], ["name", "city"], ["A", "B"]],
        "row 5 (name, city) stands below an empty row and looks like a header, and is read as a row: if another table begins there, put it on a sheet "
        "of its own",
    ),
    "the header again": ([["id", "v"], [1, 2], ["id", "v"], [3, 4]], "row 3 (id, v) is the header again, and is read as a row"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_what_one_header_cannot_say_of_a_sheet_is_told(tmp_path: Path, name: str) -> None:
    rows, told = LAYOUTS[name]
    notes = look_and_read(write(tmp_path / "a.xlsx", rows))[1]
    assert [note.startswith(told) for note in notes] == [True]


def test_rows_of_text_and_empty_rows_alone_are_no_second_table(tmp_path: Path) -> None:
    plain = [["name", "city"], ["A", "B"], [], ["C", "D"], [], ["E", None]]
    mixed = [["id", "note"], [1, "x"], [], [2, "y"], [None, "only a note"]]
    for number, rows in enumerate((plain, mixed)):
        assert look_and_read(write(tmp_path / f"{number}.xlsx", rows))[1] == []


@pytest.mark.parametrize("engine", ["openpyxl", "xlsxwriter"])
def test_a_formula_that_nothing_has_computed_is_refused(tmp_path: Path, engine: str) -> None:
    path = tmp_path / "a.xlsx"
    if engine == "openpyxl":
        write(path, [["id", "v"], [1, "=A2*2"]])
    else:
        with xlsxwriter.Workbook(str(path)) as book:
            sheet = book.add_worksheet()
            sheet.write_row(0, 0, ["id", "v"])
            sheet.write_row(1, 0, [1, "=A2*2"])
    spec = Files(files=["a.xlsx"])
    with pytest.raises(DataError, match=r"a\.xlsx, sheet S\w*1: the formula in B2 has no computed value.*open it .* and save it"):
        read_file(resolve_files(spec, tmp_path)[0], spec, {})


def test_the_value_of_a_computed_formula_is_read(tmp_path: Path) -> None:
    with xlsxwriter.Workbook(str(tmp_path / "a.xlsx")) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["id", "v", "w"])
        sheet.write_row(1, 0, [1])
        sheet.write_formula(1, 1, "=A2*2", None, 2)
        sheet.write_formula(1, 2, '="0"&1', None, "01")
    assert look_and_read(tmp_path / "a.xlsx")[2] == {"id": ["1"], "v": ["2"], "w": ["01"]}


def test_errors_cost_their_row_unless_they_are_declared_as_null(tmp_path: Path) -> None:
    def errors(book: openpyxl.Workbook) -> None:
        for place, text in (("B3", "#DIV/0!"), ("C4", "#N/A"), ("C5", "#REF!")):
            book["S1"][place] = text
            book["S1"][place].data_type = "e"

    rows = [["id", "amount", "note"], *[[f"k{number}", number * 1.5, f"n{number}"] for number in range(1, 6)]]
    path = write(tmp_path / "a.xlsx", rows, change=errors)
    brought = bring({"source": str(path)}, tmp_path / "place")
    assert brought.conformed is not None
    assert {name: column.type for name, column in brought.spec.columns.items()} == {"id": "string", "amount": "double", "note": "string"}
    assert brought.spec.columns["note"].null_values == ["#N/A"]
    assert any(
        "amount: an error (#DIV/0!) in 1 rows, which go to quarantine; null_values: ['#DIV/0!'] makes it null" in told
        for told in brought.told
    )
    assert {row["id"]: row["note"] for row in brought.conformed.valid.to_pylist()} == {"k1": "n1", "k3": None, "k5": "n5"}
    reasons = {row["_row"]: row["reason"] for row in brought.conformed.quarantined.to_pylist()}
    assert reasons == {2: "amount: wanted a finite number, found #DIV/0!", 4: "note: wanted text, found #REF!"}


def test_digits_in_text_cells_stay_text_and_numbers_are_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "a.xlsx", [["id", "size", "size as text", "share"], *[[f"k{n}", n, str(n), 1.204] for n in range(1, 9)]])
    brought = bring({"source": str(path)}, tmp_path / "place")
    assert [column.type for column in brought.spec.columns.values()] == ["string", "integer", "string", "double"]
    assert not any("decimal point" in told for told in brought.told)


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.xls", b"\xd0\xcf\x11\xe0 old", r"a\.xls: a workbook of Excel 97 to 2003 isn't read; .* save it as Excel workbook \(\.xlsx\)"),
        ("a.xlsb", b"PK", r"a\.xlsb: a binary workbook isn't read"),
        ("a.ods", b"PK", r"a\.ods: an OpenDocument spreadsheet isn't read"),
        ("a.xlsx", b"\xd0\xcf\x11\xe0 encrypted", r"a\.xlsx: it is encrypted, or a workbook of Excel 97 to 2003; save it as \.xlsx"),
        ("a.xlsx", b"id,v\n1,2\n", r"a\.xlsx can't be read as xlsx: it is broken, or another format"),
        ("a.xlsx", b"PK\x03\x04 cut", r"a\.xlsx can't be read as xlsx"),
    ],
)
def test_other_spreadsheets_are_refused_with_what_to_do(tmp_path: Path, name: str, data: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(data)
    spec = Files(files=[name])
    with pytest.raises(DataError, match=told):
        read_file(resolve_files(spec, tmp_path)[0], spec, {})


def test_a_broken_sheet_is_a_sentence_whatever_is_missing(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.xlsx", [["id", "v"], [1, "x"]]).read_bytes()
    spec = Files(files=["a.xlsx"])
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    for missing in parts:
        with zipfile.ZipFile(tmp_path / "a.xlsx", "w") as archive:
            for name, data in parts.items():
                archive.writestr(name, data[: len(data) // 2] if name == missing else data)
        try:
            rows = read_file(resolve_files(spec, tmp_path)[0], spec, {}).drop_columns(["_row"]).to_pydict()
        except DataError:
            continue
        assert rows == {"id": ["1"], "v": ["x"]}, missing


def test_options_of_workbooks_are_refused_for_other_files() -> None:
    for option in ({"sheet": "S"}, {"header_row": 2}):
        with pytest.raises(ValueError, match="is for workbooks"):
            Files(files=["a.csv"], **option)


def test_a_twice_named_column_and_a_sheet_without_values_are_refused(tmp_path: Path) -> None:
    for rows, told in (([["a", "a"], [1, 2]], "the header names 'a' more than once"), ([], "wanted a sheet with values")):
        write(tmp_path / "a.xlsx", rows)
        spec = Files(files=["a.xlsx"])
        with pytest.raises(DataError, match=told):
            read_file(resolve_files(spec, tmp_path)[0], spec, {})


def test_folders_of_workbooks_are_one_table_and_others_are_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for month in (1, 2):
        write(tmp_path / "in" / f"{month}.xlsx", [["id", "v"], *[[f"{month}-{n}", n + (0.5 if month == 2 else 0)] for n in range(3)]])
    brought = bring({"source": str(tmp_path / "in")}, tmp_path / "place")
    assert brought.conformed is not None and brought.conformed.valid.num_rows == 6
    write(tmp_path / "in" / "3.xlsx", [["Report"], ["id", "v"], ["a", 1], ["b", 2]])
    with pytest.raises(DataError, match=r"3\.xlsx reads by header_row: 2, .*1\.xlsx by header_row: None"):
        bring({"source": str(tmp_path / "in")}, tmp_path / "other")


def test_escapes_of_control_characters_are_decoded(tmp_path: Path) -> None:
    texts = ["a\x01b", "_x0041_", "fax005F_x", "c\rd", "_x005F_"]
    with xlsxwriter.Workbook(str(tmp_path / "a.xlsx")) as book:
        sheet = book.add_worksheet()
        sheet.write_column(0, 0, ["v", *texts])
    assert look_and_read(tmp_path / "a.xlsx")[2]["v"] == texts


def test_rows_beyond_a_wrongly_stated_extent_are_read(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.xlsx", [["id", "v"], [1, "x"], [2, "y"]]).read_bytes()
    with zipfile.ZipFile(io.BytesIO(whole)) as archive, zipfile.ZipFile(tmp_path / "a.xlsx", "w") as changed:
        for name in archive.namelist():
            data = archive.read(name)
            changed.writestr(name, re.sub(rb'<dimension ref="[^"]*"', b'<dimension ref="A1"', data))
    assert look_and_read(tmp_path / "a.xlsx")[2] == {"id": ["1", "2"], "v": ["x", "y"]}


@pytest.mark.parametrize("seed", range(20))
def test_values_are_those_that_another_reader_sees(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    moments = [
        datetime(1900, 1, 2),
        datetime(1900, 2, 28),
        datetime(1900, 3, 1),
        datetime(1969, 12, 31, 23, 59, 59),
        datetime(2024, 2, 29, 9, 30),
    ]
    values: list[Any] = [0, -1, 2**31, 2**53, 0.1, 1 / 3, -2.25, 1e-300, True, False, "x", "007", " ", "ä\n", "=", *moments]
    rows = [[rng.choice(values) for _ in range(4)] for _ in range(12)]
    with xlsxwriter.Workbook(str(tmp_path / "a.xlsx"), {"default_date_format": "yyyy-mm-dd hh:mm"}) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate([["a", "b", "c", "d"], *rows]):
            for column, value in enumerate(row):
                (sheet.write_string if isinstance(value, str) else sheet.write)(number, column, value)
    read = look_and_read(tmp_path / "a.xlsx", header_row=1)[2]
    judge = python_calamine.CalamineWorkbook.from_path(str(tmp_path / "a.xlsx")).get_sheet_by_index(0).to_python()[1:]
    assert len(judge) == len(rows)
    for number, row in enumerate(judge):
        for name, value in zip("abcd", row, strict=True):
            text = read[name][number]
            if isinstance(value, bool):
                assert text == str(value).lower()
            elif isinstance(value, float):
                assert text is not None and float(text) == value
            elif isinstance(value, (date, datetime)):
                moment = value if isinstance(value, datetime) else datetime.combine(value, time(0))
                assert text is not None
                assert datetime.fromisoformat(text) == moment
            else:
                assert text == value
