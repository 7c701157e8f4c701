"""Tables of the documentation that measurements write."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.page import DOCS, write_between, write_rows
from benchmarks.run import table

PLACES = [
    ("intervals", "coverage"), ("intervals", "promotion"), ("speed", "bench"),
    *(("crashes", part) for part in ("points", "passings", "writers", "disturbances", "endings")),
]  # fmt: skip


@pytest.mark.parametrize(("page", "name"), PLACES)
def test_every_page_has_its_place_and_nothing_else_changes(page: str, name: str, tmp_path: Path) -> None:
    copy = tmp_path / "page.md"
    shutil.copy(DOCS / f"{page}.md", copy)
    before = copy.read_text()
    write_between(copy, name, r"| \1 |")
    head, _, rest = before.partition(f"<!-- {name}: ")
    first, _, rest = rest.partition("\n")
    assert (
        copy.read_text()
        == f"{head}<!-- {name}: {first}\n" + r"| \1 |" + f"\n<!-- end of {name} -->" + rest.split(f"<!-- end of {name} -->")[1]
    )


def test_a_page_without_the_place_is_left_as_it_is(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("words")
    with pytest.raises(ValueError, match="wanted one place for `bench` in .*page.md, found 0"):
        write_between(page, "bench", "rows")
    assert page.read_text() == "words"


def test_the_table_of_speed_names_the_machine_and_leaves_a_missing_limit_empty() -> None:
    entry = {"name": "load", "ratio": 1.234, "limit": 3.0, "what": "words"}
    results = {"at": "2026-01-02T03:04", "python": "3.11.7", "cpus": 2, "pace_s": [1.1, 2.5], "results": [entry, {**entry, "limit": None}]}
    lines = table(results).splitlines()
    assert lines[0] == "On 2026-01-02, 2 cores, Python 3.11.7; 20,000,000 additions in plain Python took 1.1 s before and 2.5 s after."
    assert lines[-2:] == ["| load | 1.23 | 3.0 | words |", "| load | 1.23 |  | words |"]


def test_a_part_that_is_measured_alone_replaces_its_own_rows(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("words\n<!-- bench: here -->\n| claim | measured |\n|---|--:|\n| a | 1 |\n| b, x | 2 |\n<!-- end of bench -->\nmore\n")
    write_rows(page, "bench", {"b, x": "| b, x | 3 |", "c": "| c | 4 |"})
    rows = "| claim | measured |\n|---|--:|\n| a | 1 |\n| b, x | 3 |\n| c | 4 |\n"
    assert page.read_text() == f"words\n<!-- bench: here -->\n{rows}<!-- end of bench -->\nmore\n"
