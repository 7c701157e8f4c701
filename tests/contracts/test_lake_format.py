"""The format of a lake: an unknown one is refused by a sentence and left alone, an older one is converted step by step."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lakeloop.cli.main import main
from lakeloop.errors import FormatError
from resources.lake import format as lake_format
from resources.lake.format import FILE, FORMAT, Migration, check_format, mark_format, read_format, steps_to, upgrade
from resources.lake.lake import Lake

ROWS = pa.table({"x": [1]})


@pytest.fixture(params=["folder", "object store"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty lake, in a folder whose name needs quoting or in an object store."""
    if request.param == "folder":
        yield str(tmp_path / "ein läke")
    else:
        store = request.getfixturevalue("object_store_environment")
        yield f"{store.url}/{tmp_path.name}"


def test_a_new_lake_says_its_format_from_the_first_write_on(url: str) -> None:
    assert read_format(url) is None
    lake = Lake(url)
    assert lake.states() == {} and read_format(url) is None, "reading writes nothing"
    lake.append("reports/things", ROWS)
    assert read_format(url) == FORMAT
    assert Lake(url).open("reports/things") is not None
    assert steps_to(url) == []


def test_a_newer_lake_is_refused_and_left_alone(url: str) -> None:
    Lake(url).append("reports/things", ROWS)
    mark_format(url, FORMAT + 1)
    for use in (lambda lake: lake.states(), lambda lake: lake.append("reports/things", ROWS), lambda lake: lake.open("reports/things")):
        with pytest.raises(FormatError, match=rf"has format {FORMAT + 1}, and Lakeloop .* reads formats up to {FORMAT}.*nothing was read"):
            use(Lake(url))
    with pytest.raises(FormatError, match="newer"):
        steps_to(url)
    with pytest.raises(FormatError, match="newer"):
        mark_format(url)
    assert read_format(url) == FORMAT + 1


def test_a_lake_of_0_1_0_has_no_file_and_gets_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    lake = Lake(str(tmp_path / "lake"))
    lake.append("reports/verdicts", ROWS)
    (tmp_path / "lake" / FILE).unlink()
    monkeypatch.setenv("LAKELOOP_LAKE", lake.url)
    assert main(["upgrade", "--dry-run"]) == 0
    assert f"{FILE} is written" in capsys.readouterr().out and read_format(lake.url) is None
    assert main(["upgrade"]) == 0
    assert f"has format {FORMAT} now" in capsys.readouterr().out and read_format(lake.url) == FORMAT
    assert main(["upgrade"]) == 0
    assert "nothing to change" in capsys.readouterr().out


def test_an_older_lake_is_converted_step_by_step_and_a_crash_repeats_one_step(tmp_path: Path) -> None:
    lake, applied = Lake(str(tmp_path / "lake")), []
    lake.append("reports/verdicts", ROWS)

    def fail(url: str) -> None:
        applied.append(3)
        if applied.count(3) == 1:
            raise OSError("no space")

    steps = (Migration(2, "renames a column", lambda _: applied.append(2)), Migration(3, "splits a table", fail))
    with pytest.raises(FormatError, match=r"`lakeloop upgrade` converts it"):
        check_format(lake.url, 3)
    with pytest.raises(OSError, match="no space"):
        upgrade(lake.url, steps_to(lake.url, steps))
    assert read_format(lake.url) == 2
    upgrade(lake.url, steps_to(lake.url, steps))
    assert applied == [2, 3, 3] and read_format(lake.url) == 3
    check_format(lake.url, 3)


@pytest.mark.parametrize("says_so", [True, False])
def test_a_write_does_not_call_an_older_lake_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says_so: bool) -> None:
    lake = Lake(str(tmp_path / "lake"))
    lake.append("reports/verdicts", ROWS)
    if not says_so:
        (tmp_path / "lake" / FILE).unlink()
    monkeypatch.setattr("resources.lake.lake.check_format", partial(check_format, newest=FORMAT + 1))
    monkeypatch.setattr("resources.lake.lake.mark_format", partial(mark_format, number=FORMAT + 1))
    with pytest.raises(FormatError, match="`lakeloop upgrade` converts it"):
        Lake(lake.url).append("reports/things", ROWS)
    assert read_format(lake.url) == (FORMAT if says_so else None)


def test_an_empty_lake_is_never_too_old(tmp_path: Path) -> None:
    check_format(str(tmp_path / "nothing"), 3)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": "1"}', '{"format": true}', '{"format": 0}', "\x00"])
def test_a_file_that_is_not_ours_is_refused_by_name(text: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(FormatError, match=FILE):
        Lake(str(tmp_path)).states()
    assert (tmp_path / FILE).read_text() == text


def test_the_file_says_who_wrote_it(tmp_path: Path) -> None:
    mark_format(str(tmp_path))
    assert json.loads((tmp_path / FILE).read_text()) == {"format": FORMAT, "written_by": f"lakeloop {lake_format.version()}"}


def test_the_command_line_says_it_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    (tmp_path / FILE).write_text(json.dumps({"format": FORMAT + 1}))
    monkeypatch.setenv("LAKELOOP_LAKE", str(tmp_path))
    assert main(["plan"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("lakeloop: the lake at ") and "newer" in line
