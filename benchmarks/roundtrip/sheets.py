"""Who writes a table to a workbook."""

from __future__ import annotations

from datetime import time, timedelta
from pathlib import Path

import polars as pl

from benchmarks.roundtrip.values import SHEET_KINDS, Values
from benchmarks.roundtrip.writers import Writer, arrow_table, pandas_frame


def _write_openpyxl(table: dict[str, Values], path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Data")
    sheet.append(list(table))
    for row in zip(*table.values(), strict=True):
        sheet.append(row)
    book.save(path)


def _write_xlsxwriter(table: dict[str, Values], path: Path) -> None:
    import xlsxwriter

    with xlsxwriter.Workbook(str(path), {"default_date_format": "yyyy-mm-dd hh:mm:ss", "remove_timezone": False}) as book:
        sheet, span, clock_format = (
            book.add_worksheet(),
            book.add_format({"num_format": "[h]:mm:ss"}),
            book.add_format({"num_format": "hh:mm:ss"}),
        )
        for column, (name, values) in enumerate(table.items()):
            sheet.write_string(0, column, name)
            for row, value in enumerate(values, 1):
                form = span if isinstance(value, timedelta) else clock_format if isinstance(value, time) else None
                sheet.write(row, column, value, form)


SHEETS_FROM = 200_000
"""The first seed that workbooks are written for: what those below stand for stays as it was."""
SHEET_WRITERS = {
    "openpyxl": Writer("t.xlsx", _write_openpyxl, (*SHEET_KINDS, "clock", "spans"), True),
    "xlsxwriter": Writer("t.xlsx", _write_xlsxwriter, (*SHEET_KINDS, "clock", "spans"), True),
    "pandas, openpyxl": Writer("t.xlsx", lambda table, path: pandas_frame(table).to_excel(path, engine="openpyxl"), SHEET_KINDS, True),
    "pandas, xlsxwriter": Writer(
        "t.xlsx", lambda table, path: pandas_frame(table).to_excel(path, index=False, engine="xlsxwriter"), SHEET_KINDS, True
    ),
    "polars xlsx": Writer("t.xlsx", lambda table, path: pl.from_arrow(arrow_table(table)).write_excel(path), SHEET_KINDS, True),  # type: ignore[union-attr]
}
