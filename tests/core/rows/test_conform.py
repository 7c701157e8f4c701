"""From landed rows to typed ones: each is valid, set aside with its reasons, or a duplicate."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lakeloop.errors import SpecError
from lakeloop.rows import conform as module
from lakeloop.rows.column_parsing import frame_of
from lakeloop.rows.conform import Conformed, conform, parse_column, quarantine_rows, quarantine_schema
from lakeloop.rows.row_history import CLOSES, row_versions
from lakeloop.spec.tables import Column, TableSpec

MOMENT = pa.timestamp("us", tz="UTC")
DAY = timedelta(days=1)
LANDED = datetime(2024, 1, 1, tzinfo=UTC)


def table(rules: dict[str, str] | None = None, event_time: str | None = None, **columns: Column) -> TableSpec:
    """The definition of a table by `id`."""
    return TableSpec(
        name="t", description="t", source={"files": "x.csv"}, keys=["id"], columns={"id": Column(type="string"), **columns},
        rules=rules or {}, event_time=event_time,
    )  # fmt: skip


VALUES = table(value=Column(type="integer"))
TIMED = table(event_time="at", at=Column(type="timestamp", timezone="UTC"), value=Column(type="integer"))


def landing(*, order: int = 0, current: bool = True, file: str = "x.csv", **values: list[Any]) -> pa.Table:
    """Rows of one landing, a day after the landing before; each has an `id` of its own unless that is given."""
    count = len(next(iter(values.values())))
    system = {
        "_row": pa.array(range(1, count + 1), pa.int64()),
        "_file": pa.array([file] * count, pa.string()),
        "_landing": [str(order)] * count,
        "_landed_order": pa.array([order] * count, pa.int64()),
        "ingested_at": pa.array([LANDED + order * DAY] * count, MOMENT),
        "_current": pa.array([current] * count, pa.bool_()),
        "_partition": pa.array(["2024-01"] * count, pa.string()),
    }
    return pa.table({"id": [f"r{number}" for number in range(count)], **values, **system})


def broken(conformed: Conformed) -> list[tuple[str, str]]:
    """Rule and reason of each row that was set aside."""
    return [(row["rule"], row["reason"]) for row in conformed.quarantined.to_pylist()]


# One value.


@pytest.mark.parametrize(
    ("kind", "text", "wanted"),
    [
        ("integer", "9", 9), ("integer", "9.0", 9), ("integer", "9.7", None), ("integer", "nine", None),
        ("integer", str(2**63), None), ("integer", "-5", -5),
        ("double", "1e3", 1000.0), ("double", str(2**53 + 1), None), ("double", "0.1", 0.1),
        ("boolean", "true", True), ("boolean", "yes?", None),
        ("date", "2024-02-29", date(2024, 2, 29)), ("date", "2023-02-29", None),
    ],
)  # fmt: skip
def test_a_value_is_held_exactly_or_set_aside(kind: str, text: str, wanted: object) -> None:
    column = Column(type=kind)
    conformed = conform([landing(value=[text])], table(value=column))
    assert conformed.landed == conformed.valid.num_rows + conformed.quarantined.num_rows + conformed.duplicates == 1
    assert conformed.valid["value"].to_pylist() == ([] if wanted is None else [wanted])
    if wanted is None:
        (row,) = conformed.quarantined.to_pylist()
        assert row["rule"] == "type:value" and row["reason"].startswith("value: wanted ") and row["reason"].endswith(f", found {text}")
        assert json.loads(row["raw"]) == {"id": "r0", "value": text}
    assert parse_column(pa.table({"value": [text, None]}), "value", column).to_pylist() == [wanted, None]


@pytest.mark.parametrize(
    ("local", "utc"),
    [
        ("2013-03-10 01:59", datetime(2013, 3, 10, 6, 59, tzinfo=UTC)),
        ("2013-03-10 02:30", None),  # doesn't exist
        ("2013-03-10 03:00", datetime(2013, 3, 10, 7, 0, tzinfo=UTC)),
        ("2013-11-03 01:30", None),  # is there twice
        ("2013-11-03 02:00", datetime(2013, 11, 3, 7, 0, tzinfo=UTC)),
    ],
)
def test_daylight_saving_is_never_guessed(local: str, utc: datetime | None) -> None:
    column = Column(type="timestamp", format="%Y-%m-%d %H:%M", timezone="America/New_York")
    conformed = conform([landing(at=[local])], table(at=column))
    assert conformed.valid["at"].to_pylist() == ([utc] if utc else [])
    assert conformed.quarantined.num_rows == (0 if utc else 1)


def test_a_column_of_several_is_parsed_from_them_joined_and_one_named_twice_is_read_once() -> None:
    column = Column(type="date", source=["year", "month", "year"], format="%Y-%m-%Y")
    day = Column(type="date", source=["year", "month", "day"])
    rows = pa.table({"day": [1, None], "year": [2024, 2024], "month": [2, 2]})
    assert parse_column(rows, "at", day).to_pylist() == [date(2024, 2, 1), None]
    assert parse_column(rows, "at", column).type == pa.date32()
    assert parse_column(rows, "year", Column(type="string")).type == pa.string()
    assert parse_column(pa.table({"n": pa.array([1, 2], pa.int8())}), "n", Column(type="double")).to_pylist() == [1.0, 2.0]


# What sets a row aside.


def test_a_missing_key_time_or_value_is_told_by_its_kind_and_null_is_well_elsewhere() -> None:
    spec = table(
        event_time="at",
        at=Column(type="timestamp", timezone="UTC"),
        sure=Column(type="integer", nullable=False),
        maybe=Column(type="integer"),
    )
    rows = landing(
        id=["a", None, "c", "d", "e", None],
        at=["2024-01-01", "2024-01-01", None, "2024-01-01", "x", None],
        sure=["1", "1", "1", None, "1", None],
        maybe=[None] * 6,
    )
    conformed = conform([rows], spec)
    assert conformed.valid["id"].to_pylist() == ["a"]
    assert broken(conformed) == [
        ("key:id", "id: wanted a value, found null"),
        ("event_time:at", "at: wanted a value, found null"),
        ("not_null:sure", "sure: wanted a value, found null"),
        ("type:at", "at: wanted a timestamp as ISO 8601 that is one moment in UTC, found x"),
        ("key:id", "id: wanted a value, found null; at: wanted a value, found null; sure: wanted a value, found null"),
    ]


def test_a_rule_sets_aside_the_rows_for_which_it_is_false_and_the_first_that_is_broken_gives_its_name() -> None:
    spec = table(rules={"positive": "value > 0", "small": "value < 100", "even": "value % 2 = 0"}, value=Column(type="integer"))
    conformed = conform([landing(value=["2", "-3", "101", None, "x", "-2"])], spec)
    assert conformed.valid.to_pylist()[0] == {"id": "r0", "value": 2, "ingested_at": LANDED, "_live": False, "_partition": "2024-01"}
    assert conformed.valid["id"].to_pylist() == ["r0", "r3"]
    assert broken(conformed) == [
        ("positive", "wanted value > 0; wanted value % 2 = 0"),
        ("small", "wanted value < 100; wanted value % 2 = 0"),
        ("type:value", "value: wanted an integer, found x"),
        ("positive", "wanted value > 0"),
    ]
    assert conformed.valid.column_names == ["id", "value", "ingested_at", "_live", "_partition"]


@pytest.mark.parametrize("personal", [None, True])
def test_a_rule_that_cannot_be_evaluated_is_refused_by_its_key(personal: bool | None) -> None:
    spec = table(rules={"odd": "valu > 0"}, value=Column(type="integer", personal=personal))
    with pytest.raises(SpecError, match=r"can't evaluate the rule 'valu > 0': ") as refused:
        conform([landing(value=["1"])], spec)
    assert refused.value.key == "rules.odd"
    assert ("kept back" in str(refused.value)) == bool(personal)


@pytest.mark.parametrize("values", [["1", "2"], ["-1", "x"], []])
def test_a_rule_of_all_rows_together_is_refused_since_it_blames_no_row(values: list[str]) -> None:
    rows = landing(value=pa.array(values, pa.string()))
    with pytest.raises(SpecError) as refused:
        conform([rows], table(rules={"some": "max(value) > 0"}, value=Column(type="integer")))
    message = "wanted a condition of each row, found one of all rows together, 'max(value) > 0'; an expectation can check that"
    assert (refused.value.message, refused.value.key) == (message, "rules.some")


def test_what_was_set_aside_is_kept_as_it_landed_with_its_place() -> None:
    spec = table(event_time="at", at=Column(type="date"), value=Column(type="integer"))
    rows = landing(at=["2024-01-01", "2024-01-02", "2024-01-03"], value=["1", "x", "y"], extra=[1.5, None, 2.5])
    conformed = conform([rows], spec)
    assert conformed.quarantined.schema == quarantine_schema()
    assert conformed.quarantined.to_pylist() == [
        {
            "rule": "type:value",
            "reason": f"value: wanted an integer, found {text}",
            "raw": json.dumps({"id": f"r{row - 1}", "at": f"2024-01-0{row}", "value": text, "extra": extra}),
            "event_time": datetime(2024, 1, row, tzinfo=UTC),
            "_file": "x.csv",
            "_row": row,
            "ingested_at": LANDED,
            "_partition": "2024-01",
        }
        for row, text, extra in ((2, "x", None), (3, "y", 2.5))
    ]
    untimed = conform([landing(value=["x"], when=[date(2024, 1, 1)])], VALUES).quarantined.to_pylist()
    assert untimed[0]["event_time"] is None and json.loads(untimed[0]["raw"])["when"] == "2024-01-01"
    assert conform([rows.slice(0, 1)], spec).quarantined.schema == quarantine_schema()


def test_a_personal_value_never_shows_in_quarantine() -> None:
    spec = table(email=Column(type="string", personal=True), value=Column(type="integer"))
    (row,) = conform([landing(email=["ann@example.com"], value=["x"], undeclared=["Ann"])], spec).quarantined.to_pylist()
    assert json.loads(row["raw"]) == {"id": "r0", "email": "***", "value": "x", "undeclared": "***"}
    hidden = table(value=Column(type="integer", personal=True))
    assert broken(conform([landing(value=["Ann"])], hidden)) == [("type:value", "value: wanted an integer, found ***")]


# A part at a time.


@pytest.mark.parametrize("at_once", [1, 2, 7, 100])
@pytest.mark.parametrize(
    ("rule", "needs_all"),
    [
        ("value > 0", False),
        ("value >= -5 AND id IS NOT NULL", False),
        ("value <= 2 * avg(value)", True),
        ("value < max(value) over (order by id)", True),
        ("value < quantile_cont(value, 0.9)", True),  # an aggregate of Polars that the parser of SQL doesn't know
        ("value // 2 < avg(value)", True),  # which the parser can't read
    ],
)
def test_rows_read_a_part_at_a_time_are_judged_as_they_are_together(
    rule: str, needs_all: bool, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = landing(value=["1", "x", "2", "-3", "50", "1", "4"])
    second = landing(order=1, id=[f"s{n}" for n in range(4)], value=["9", "-9", "z", "60"])
    spec = table(rules={"named": "id <> 'nobody'", "rule": rule}, value=Column(type="integer"))
    together = conform([pa.concat_tables([first, second])], spec)
    monkeypatch.setattr(module, "ROWS_AT_ONCE", at_once)
    sizes = []

    def counted(rows: pa.Table) -> pl.DataFrame:
        sizes.append(rows.num_rows)
        return frame_of(rows)

    monkeypatch.setattr(module, "frame_of", counted)
    conformed = conform(iter([first, second]), spec)
    assert conformed.valid.equals(together.valid) and conformed.quarantined.equals(together.quarantined)
    assert (conformed.landed, conformed.duplicates) == (together.landed, together.duplicates)
    assert {row["rule"] for row in conformed.quarantined.to_pylist()} == {"type:value", "rule"}
    assert sum(sizes) == 11 and max(sizes) == (11 if needs_all else min(at_once, 7))


def test_of_each_part_what_its_versions_need_is_kept_and_names_of_files_and_partitions_as_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = []

    def versions(rows: pl.DataFrame, *arguments: Any) -> pl.DataFrame:
        kept.append(rows.schema)
        return row_versions(rows, *arguments)

    monkeypatch.setattr(module, "row_versions", versions)
    conform([landing(value=["1", "x", "-1"], extra=[1, 2, 3])], table(rules={"positive": "value > 0"}, value=Column(type="integer")))
    (schema,) = kept
    assert schema.names() == ["id", "value", "_landed_order", "_row", "ingested_at", "_current", "_file", "_partition"]
    assert schema["_file"] == schema["_partition"] == pl.Categorical()


def test_no_rows_are_a_batch_of_none_with_its_columns() -> None:
    ruled = table(rules={"positive": "value > 0"}, value=Column(type="integer"))
    for spec, names in ((VALUES, ["id", "value"]), (ruled, ["id", "value"]), (TIMED, ["id", "at", "value", "known_at"])):
        empty = landing(value=["1"], at=["2024-01-01"]).slice(0, 0)
        for rows in ([empty], [empty, landing(value=["1"], at=["2024-01-01"])]):
            conformed = conform(rows, spec)
            assert conformed.valid.column_names == [*names, "ingested_at", "_live", "_partition"]
            assert conformed.landed == conformed.valid.num_rows == len(rows) - 1
            assert conformed.quarantined.schema == quarantine_schema() and conformed.quarantined.num_rows == 0
            assert (
                conformed.superseded.schema == conformed.valid.schema.append(pa.field(CLOSES, pa.bool_()))
                and conformed.superseded.num_rows == 0
            )


def test_rows_without_landings_or_partitions_are_all_current_and_of_the_whole() -> None:
    conformed = conform([landing(value=["1", "x"]).drop_columns(["_current", "_partition"])], VALUES)
    assert (conformed.landed, conformed.valid.num_rows, conformed.duplicates) == (2, 1, 0)
    assert conformed.valid["_partition"].to_pylist() == conformed.quarantined["_partition"].to_pylist() == ["whole"]


# Several rows of a key, and several landings.

rows_of_a_key = st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.sampled_from(["1", "2", "x", None])), max_size=5)
landings = st.lists(st.tuples(rows_of_a_key, st.booleans()), min_size=1, max_size=4)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(landings)
@example([([("a", "1"), ("a", "2"), ("a", "x")], True)])
@example([([("a", "1")], False), ([("a", "x")], True)])
@example([([("a", "2")], True), ([("a", "1")], False)])
def test_every_row_is_valid_set_aside_or_a_duplicate_and_the_one_landed_last_stays(parts) -> None:
    tables = [
        landing(
            order=order, current=current, id=pa.array([k for k, _ in rows], pa.string()), value=pa.array([v for _, v in rows], pa.string())
        )
        for order, (rows, current) in enumerate(parts)
    ]
    conformed = conform(tables, VALUES)
    current = [(order, k, v) for order, (rows, is_current) in enumerate(parts) if is_current for k, v in rows]
    readable = [(order, k, v) for order, k, v in current if k is not None and v != "x"]
    last = {k: (order, v) for order, k, v in readable}
    expected = sorted((k, None if v is None else int(v)) for k, (_, v) in last.items())
    assert sorted((row["id"], row["value"]) for row in conformed.valid.to_pylist()) == expected
    assert conformed.landed == len(current)
    assert conformed.quarantined.num_rows == len(current) - len(readable)
    assert conformed.duplicates == len(readable) - len(last)
    older = {k for (rows, is_current) in parts for k, v in rows if not is_current and k is not None and v != "x"}
    assert {row["id"] for row in conformed.superseded.to_pylist()} >= older - set(last)
    again = conform(tables[::-1], VALUES)
    assert again.valid.equals(conformed.valid) and (again.landed, again.duplicates) == (conformed.landed, conformed.duplicates)
    assert sorted(map(str, again.superseded.to_pylist())) == sorted(map(str, conformed.superseded.to_pylist()))


def test_valid_rows_come_in_the_order_in_which_they_landed() -> None:
    late, early = landing(order=2, id=["c", "a"], value=["3", "4"]), landing(order=1, id=["d", "b"], value=["1", "2"])
    assert conform([late, early], VALUES).valid["id"].to_pylist() == ["d", "b", "c", "a"]
    assert conform([late.take([1, 0]), early.take([1, 0])], VALUES).valid["id"].to_pylist() == ["d", "b", "c", "a"]
    assert conform([late.take([1, 0])], VALUES).valid["id"].to_pylist() == ["c", "a"]


def test_a_corrected_row_keeps_what_it_was_and_since_when() -> None:
    first = landing(order=0, current=False, at=["2023-12-01", "2023-12-01"], value=["1", "1"])
    second = landing(order=1, at=["2023-12-01", "2023-12-01"], value=["1", "2"])
    conformed = conform([first, second], TIMED, bulk_until=LANDED)
    event = datetime(2023, 12, 1, tzinfo=UTC)
    assert conformed.valid.to_pylist() == [
        {"id": "r0", "at": event, "value": 1, "known_at": event, "ingested_at": LANDED, "_live": False, "_partition": "2024-01"},
        {
            "id": "r1",
            "at": event,
            "value": 2,
            "known_at": LANDED + DAY,
            "ingested_at": LANDED + DAY,
            "_live": True,
            "_partition": "2024-01",
        },
    ]
    assert conformed.superseded.to_pylist() == [
        {
            "id": "r1",
            "at": event,
            "value": 1,
            "known_at": event,
            "ingested_at": LANDED,
            "_live": False,
            "_partition": "2024-01",
            CLOSES: False,
        },
    ]
    assert (conformed.landed, conformed.duplicates) == (2, 0)
    unbounded = conform([first, second], TIMED)
    assert unbounded.valid["known_at"].to_pylist() == [LANDED, LANDED + DAY] and unbounded.superseded["known_at"].to_pylist() == [LANDED]


@pytest.mark.parametrize(
    ("options", "since"),
    [
        ({}, LANDED + DAY),
        ({"last": LANDED + 2 * DAY}, LANDED + 2 * DAY),
        ({"last": LANDED + 2 * DAY, "vanished": {("gone.csv", "2024-01"): LANDED + 3 * DAY}}, LANDED + 3 * DAY),
        ({"last": LANDED + 2 * DAY, "vanished": {("other.csv", "2024-01"): LANDED + 3 * DAY}}, LANDED + 2 * DAY),
    ],
)  # fmt: skip
def test_a_row_that_vanished_ends_when_its_file_lost_it_or_with_the_last_landing(options: dict[str, Any], since: datetime) -> None:
    gone = landing(order=0, current=False, file="gone.csv", id=["g"], at=["2023-12-01"], value=["1"])
    kept = landing(order=1, id=["k"], at=["2023-12-01"], value=["1"])
    conformed = conform([gone, kept], TIMED, **options)
    assert conformed.valid["id"].to_pylist() == ["k"]
    event = datetime(2023, 12, 1, tzinfo=UTC)
    was, end = conformed.superseded.to_pylist()
    assert (was["value"], was["known_at"], was[CLOSES]) == (1, LANDED, False)
    assert end == {
        "id": "g",
        "at": event,
        "value": None,
        "known_at": since,
        "ingested_at": since,
        "_live": True,
        "_partition": "2024-01",
        CLOSES: True,
    }


# A check of the whole table that blames rows.


def test_valid_rows_under_a_mask_move_to_quarantine() -> None:
    spec = table(event_time="at", at=Column(type="date"), email=Column(type="string", personal=True))
    conformed = conform([landing(at=["2024-01-01", "2024-01-02", "x"], email=["a@b.c", None, "d@e.f"])], spec)
    moved = quarantine_rows(conformed, np.array([True, False]), "later", "wanted it later", spec)
    assert moved.valid["id"].to_pylist() == ["r1"]
    assert (moved.landed, moved.duplicates) == (3, 0) and moved.superseded is conformed.superseded
    kept, row = moved.quarantined.to_pylist()
    assert kept == conformed.quarantined.to_pylist()[0]
    assert row == {
        "rule": "later",
        "reason": "wanted it later",
        "raw": json.dumps({"id": "r0", "at": "2024-01-01", "email": "***"}),
        "event_time": datetime(2024, 1, 1, tzinfo=UTC),
        "_file": None,
        "_row": None,
        "ingested_at": LANDED,
        "_partition": "2024-01",
    }
    assert moved.quarantined.schema == quarantine_schema()


def test_a_table_without_times_has_none_in_quarantine_and_an_empty_mask_changes_nothing() -> None:
    conformed = conform([landing(value=["1", "2", "3"])], VALUES)
    assert quarantine_rows(conformed, np.zeros(3, bool), "r", "why", VALUES) is conformed
    moved = quarantine_rows(conformed, np.array([False, True, True]), "r", "why", VALUES)
    assert moved.valid["id"].to_pylist() == ["r0"]
    assert [(row["event_time"], row["raw"]) for row in moved.quarantined.to_pylist()] == [
        (None, json.dumps({"id": f"r{number}", "value": number + 1})) for number in (1, 2)
    ]


MARKS = [
    ("", ",", ".", ""),
    ("", ".", ",", ""),
    ("", " ", ",", ""),
    ("", "'", ".", ""),
    ("$", ",", ".", ""),
    ("", ".", ",", " €"),
    ("CHF ", "’", ".", ""),
]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=6), st.integers(0, 3), st.sampled_from(MARKS), st.booleans())
def test_numbers_in_a_format_are_those_that_were_written(
    numbers: list[int], decimals: int, marks: tuple[str, str, str, str], is_grouped: bool
) -> None:
    before, group, point, after = marks
    scaled = [Decimal(number).scaleb(-decimals) for number in numbers]
    plain = [f"{abs(number):{',' if is_grouped else ''}f}".replace(",", "g").replace(".", point).replace("g", group) for number in scaled]
    texts = [f"{'-' if number < 0 else ''}{before}{text}{after}" for number, text in zip(scaled, plain, strict=True)]
    column = Column(type=f"decimal(20,{decimals})", format=f"{before}1{group}234{point}5{after}")
    assert parse_column(pa.table({"v": texts}), "v", column).to_pylist() == scaled


@pytest.mark.parametrize("text", ["1.5", "1,23.4", "12.34,5", "1,2,3", "5 $", "", "1.234,", ",5", "1e3", "0x1"])
def test_a_number_that_is_not_of_its_format_goes_to_quarantine(text: str) -> None:
    column = Column(type="double", format="1.234,5 €")
    assert parse_column(pa.table({"v": [text, "7"]}), "v", column).to_pylist() == [None, 7.0]


@pytest.mark.parametrize("form", ["1234", "1.234.5", "0,0", "%d", "1,2345", "2.345,6", "1-234.5"])
def test_a_format_of_a_number_is_one_number_as_it_is_written(form: str) -> None:
    with pytest.raises(ValueError, match=r"format of a number is 1234\.5 as the column writes it, .*found"):
        Column(type="integer", format=form)
