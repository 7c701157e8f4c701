"""Rows through segments to the lake: equal to the last bit, each once, all accounted for."""

from __future__ import annotations

import os
import random
import resource
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeloop.errors import Conflict, DataError
from lakeloop.online.log_accounts import Account, account
from resources.lake.lake import Lake
from resources.serving.log.committer import LEDGER, Committer
from resources.serving.log.record import LogKind, RowLayout
from resources.serving.log.segments import frame, read_segment
from resources.serving.log.writer import LogWriter

COLUMNS: tuple[tuple[str, LogKind], ...] = (
    ("request_id", "string"),
    ("received_at", "time"),
    ("amount", "double"),
    ("items", "long"),
    ("is_member", "boolean"),
    ("note", "string"),
)
FRAME_BYTES = len(frame(b"", 1, 0, 0))
NOON = 1_796_126_400_000_000
LONGS = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.text(st.characters(codec="utf-8"))
ROWS = st.lists(
    st.tuples(*(st.none() | values for values in (TEXTS, st.integers(-(10**15), 10**15), st.floats(), LONGS, st.booleans(), TEXTS))),
    min_size=1,
    max_size=8,
)
LOG = "inference_log/shop/churn"


def row(number: int, note: str | None = "n") -> tuple[Any, ...]:
    return (f"r{number}", NOON + number, number / 3, number, True, note)


def bits(value: Any) -> Any:
    return struct.pack("<d", value) if isinstance(value, float) else value


def ledger(lake: Lake) -> Account:
    table = lake.open(LEDGER)
    assert table is not None
    return account(table.to_pyarrow_table().to_pylist())


def logged(lake: Lake, path: str = LOG) -> list[dict[str, Any]]:
    table = lake.open(path)
    return [] if table is None else sorted(table.to_pyarrow_table().to_pylist(), key=lambda each: (each["boot"], each["seq"]))


def write_all(folder: Path, requests: Sequence[Sequence[Sequence[Any]]], columns: Any = COLUMNS, version: str = "1") -> None:
    writer = LogWriter(folder, "shop/churn", version, columns)
    for rows in requests:
        assert writer.write(rows)
    writer.close()


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


@given(st.lists(ROWS, min_size=1, max_size=4))
def test_rows_are_read_as_they_were_packed(requests: list[list[tuple[Any, ...]]]) -> None:
    layout = RowLayout(COLUMNS)
    table = layout.read([(len(rows), layout.pack_many(rows)) for rows in requests])
    columns = table.set_column(1, "received_at", table["received_at"].cast(pa.int64())).to_pydict()
    read = list(zip(*(map(bits, columns[name]) for name, _ in COLUMNS), strict=True))
    assert read == [tuple(map(bits, each)) for rows in requests for each in rows]


def test_the_lake_has_what_was_written(tmp_path: Path, lake: Lake) -> None:
    requests = [[row(1)], [row(2, None), row(3, "Köln")], [row(4, "")]]
    write_all(tmp_path / "log", requests)
    assert Committer(tmp_path / "log", lake).step() == 4
    rows = logged(lake)
    assert [(each["seq"], each["request_id"], bits(each["amount"]), each["note"]) for each in rows] == [
        (seq, r[0], bits(r[2]), r[5]) for seq, r in enumerate((r for rows in requests for r in rows), 1)
    ]
    assert {each["received_on"] for each in rows} == {date(2026, 12, 1)}
    assert ledger(lake) == Account(4, 0, (), ())
    assert list((tmp_path / "log" / "shop" / "churn").iterdir()) == []


@pytest.mark.parametrize("crash", ["before the rows", "after the rows", "after the ledger"])
def test_a_committer_that_dies_commits_nothing_twice(tmp_path: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch, crash: str) -> None:
    write_all(tmp_path / "log", [[row(1)], [row(2)]])
    committer, append = Committer(tmp_path / "log", lake), Committer._append

    def dies(self: Committer, path: str, *args: Any, **options: Any) -> None:
        if crash != "before the rows":
            append(self, path, *args, **options)
        if (path == LEDGER) == (crash == "after the ledger"):
            raise KeyboardInterrupt

    monkeypatch.setattr(Committer, "_append", dies)
    with pytest.raises(KeyboardInterrupt):
        committer.step()
    monkeypatch.undo()
    committer.step()
    assert [each["request_id"] for each in logged(lake)] == ["r1", "r2"]
    assert ledger(lake) == Account(2, 0, (), ())


def test_a_corrupt_segment_is_set_aside_and_the_others_are_committed(tmp_path: Path, lake: Lake) -> None:
    for number in range(3):
        write_all(tmp_path / "log", [[row(number, "secret")], [row(number + 10, "secret")]])
    broken = sorted((tmp_path / "log").glob("*/*/*/*.segment"))[1]
    content = bytearray(broken.read_bytes())
    content[-60] ^= 1
    broken.write_bytes(content)
    assert Committer(tmp_path / "log", lake).step() == 4
    assert len(list((tmp_path / "log" / "corrupt").iterdir())) == 1
    (problem,) = ledger(lake).problems
    assert "set aside" in problem and "secret" not in problem


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("closed")
    write_all(folder, [[row(1)], [row(2), row(3, None)], [row(4)]])
    return next(folder.glob("*/*/*/*.segment"))


@given(st.data())
def test_any_byte_that_changes_is_noticed(closed: Path, data: st.DataObject) -> None:
    content = bytearray(closed.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    broken = closed.with_name("00000009.segment")
    broken.write_bytes(content)
    with pytest.raises(DataError):
        read_segment(broken)


@given(st.data())
def test_a_killed_writers_file_never_gives_up_whole_records_in_silence(closed: Path, data: st.DataObject) -> None:
    """Without an end it may be torn; a change before its last record is none."""
    content = bytearray(closed.read_bytes())[:-FRAME_BYTES]
    last = len(content) - FRAME_BYTES - len(RowLayout(COLUMNS).pack(row(4)))
    content[data.draw(st.integers(0, last - 1))] ^= data.draw(st.integers(1, 255))
    broken = closed.with_name("00000009.open")
    broken.write_bytes(content)
    with pytest.raises(DataError):
        read_segment(broken)


@pytest.mark.parametrize("cut", [1, 20, 60, 100])
def test_a_torn_end_is_left_out(tmp_path: Path, cut: int) -> None:
    writer = LogWriter(tmp_path, "shop/churn", "1", COLUMNS)
    writer.write([row(1)])
    path = next(tmp_path.glob("*/*/*/*.open"))
    whole = path.stat().st_size
    writer.write([row(2)])
    torn = path.read_bytes()[: whole + min(cut, path.stat().st_size - whole - 1)]
    writer.close()
    copy = tmp_path / "00000001.open"
    copy.write_bytes(torn)
    segment = read_segment(copy)
    assert (segment.rows["request_id"].to_pylist(), segment.closed_by, segment.last_seq) == (["r1"], "recovery", 1)
    assert segment.torn_bytes == len(torn) - whole
    with pytest.raises(DataError, match="begins no whole record"):
        read_segment(copy.rename(tmp_path / "00000001.segment"))


def test_columns_are_only_added_and_a_changed_type_gets_a_name_of_its_own(tmp_path: Path, lake: Lake) -> None:
    write_all(tmp_path / "log", [[("r1", NOON, 1.5)]], (("request_id", "string"), ("received_at", "time"), ("amount", "double")))
    committer = Committer(tmp_path / "log", lake)
    committer.step()
    more = (("request_id", "string"), ("received_at", "time"), ("amount", "string"), ("city", "string"))
    write_all(tmp_path / "log", [[("r2", NOON, "much", "Köln")]], more, "2")
    committer.step()
    rows = {each["request_id"]: (each["amount"], each["amount__v2"], each["city"]) for each in logged(lake)}
    assert rows == {"r1": (1.5, None, None), "r2": (None, "much", "Köln")}


def test_days_are_deleted_whole(tmp_path: Path, lake: Lake) -> None:
    day = 86_400_000_000
    write_all(tmp_path / "log", [[("old", NOON - day, 0.0, 0, True, None)], [row(1)]])
    committer = Committer(tmp_path / "log", lake)
    committer.step()
    committer.compact("shop/churn")
    committer.drop_days("shop/churn", date(2026, 12, 1))
    assert [each["request_id"] for each in logged(lake)] == ["r1"]


def test_rows_that_a_full_disk_does_not_take_are_counted(tmp_path: Path, lake: Lake) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer = LogWriter(tmp_path / "log", "shop/churn", "1", COLUMNS)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
        written = [writer.write([row(number)]) for number in range(100)]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert writer.dropped == written.count(False) > 0
    assert writer.write([row(100)])
    writer.close()
    Committer(tmp_path / "log", lake).step()
    assert ledger(lake) == Account(written.count(True) + 1, written.count(False), (), ())


def test_rows_beyond_what_may_wait_are_counted_and_not_kept(tmp_path: Path, lake: Lake) -> None:
    writer = LogWriter(tmp_path / "log", "shop/churn", "1", COLUMNS, most_bytes=0)
    assert not writer.write([row(1), row(2)])
    writer._most_bytes = 2**20
    assert writer.write([row(3)])
    writer.close()
    Committer(tmp_path / "log", lake).step()
    assert (writer.dropped, ledger(lake)) == (2, Account(1, 2, (), ()))


def test_there_is_one_committer_and_it_leaves_a_living_writers_file_alone(tmp_path: Path, lake: Lake) -> None:
    committer = Committer(tmp_path / "log", lake)
    with pytest.raises(Conflict, match="another committer"):
        Committer(tmp_path / "log", lake)
    writer = LogWriter(tmp_path / "log", "shop/churn", "1", COLUMNS)
    writer.write([row(1)])
    assert committer.step() == 0
    writer.close()
    assert committer.step() == 1


def start(*command: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "tests.worlds.code.log_writers", *map(str, command)])


def test_kills_of_writer_and_committer_lose_nothing_and_double_nothing(tmp_path: Path, lake: Lake) -> None:
    """`LOG_KILLS` says how many kills; a few are a sample."""
    folder, answers, dice = tmp_path / "log", tmp_path / "answers", random.Random(7)
    answers.mkdir()
    processes = {"write": start("write", folder, answers), "commit": start("commit", folder, lake.url)}
    kills = int(os.environ.get("LOG_KILLS", "6"))
    for _ in range(kills):
        time.sleep(dice.uniform(0.5, 1.0))
        which = dice.choice(["write", "commit"])
        processes[which].kill()
        processes[which].wait()
        processes[which] = start(which, folder, answers if which == "write" else lake.url)
    time.sleep(1)
    for process in processes.values():
        process.send_signal(signal.SIGKILL)
        process.wait()
    Committer(folder, lake).step()
    # A line without its end was never sent whole: a kill may cut a write where a page of the file ends.
    answered = [line for path in answers.iterdir() for line in path.read_text().split("\n")[:-1]]
    ids = [each["request_id"] for each in logged(lake)]
    assert len(ids) == len(set(ids)) and set(answered) <= set(ids) and answered
    result = ledger(lake)
    assert (result.problems, result.dropped, result.rows) == ((), 0, len(ids))
    print(f"{kills} kills, {len(answered)} rows answered, {len(ids)} logged")
