"""The point-in-time join of this process: every way through it gives what the rule says. Its engines are compared in `tests/contracts`."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakeloop.errors import DataError
from lakeloop.rows import asof as module
from lakeloop.rows.asof import FeatureRows, is_alive, join_exact, point_in_time_join

MOMENT = pa.timestamp("us", tz="UTC")
TICK, DAY = timedelta(microseconds=1), timedelta(days=1)
NOON = datetime(2013, 3, 10, 12, tzinfo=UTC)
SPINE = pa.schema([("k", pa.string()), ("n", pa.int64()), ("at", MOMENT)])
ROWS = pa.schema([("k", pa.string()), ("n", pa.int64()), ("value", pa.int64()), ("event", MOMENT), ("known", MOMENT)])

Record = dict[str, Any]


def by_rule(asked: Record, rows: Sequence[Record], keys: Sequence[str], max_age: timedelta | None) -> int | None:
    """The rule as it is written: of the rows of the entity that had happened and were known, the last one, unless it is too old."""
    if any(asked[name] is None for name in (*keys, "at")):
        return None
    usable = [
        (row["event"], row["known"], place, row["value"])
        for place, row in enumerate(rows)
        if all(row[key] == asked[key] for key in keys) and row["event"] and row["known"] and max(row["event"], row["known"]) <= asked["at"]
    ]
    event, *_, value = max(usable, default=(None, None))
    return value if event and (max_age is None or asked["at"] - event <= max_age) else None


def in_chunks(rows: pa.Table) -> pa.Table:
    """The same rows in chunks, as those of several files come, one of them empty."""
    batches = rows.to_batches(max_chunksize=3)
    return pa.Table.from_batches([*batches[:1], *rows.slice(0, 0).to_batches(), *batches[1:]], rows.schema)


@pytest.fixture(params=["whole", "small blocks and many threads"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """How tables go through the join: in one piece, or in blocks of two rows and by a thread for each three rows of the spine."""
    if request.param != "whole":
        monkeypatch.setattr(module, "_BLOCK", 2)
        monkeypatch.setattr(module, "_ROWS_PER_THREAD", 3)
    yield request.param


def join(way: str, spine: pa.Table, *features: FeatureRows) -> pa.Table:
    if way == "whole":
        return point_in_time_join(spine, features, at="at")
    return point_in_time_join(in_chunks(spine), [replace(source, rows=in_chunks(source.rows)) for source in features], at="at")


FIRST, LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)
moments = st.one_of(
    st.integers(-4, 4).map(lambda ticks: NOON + ticks * TICK),
    st.integers(0, 3).map(lambda days: NOON + days * DAY),
    st.sampled_from([FIRST, datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), LAST]),
)


def records(values: dict[str, st.SearchStrategy[Any]], most: int) -> st.SearchStrategy[list[Record]]:
    """Rows of some values, of which some columns may be null; a null in each list would leave out every way through the join but one."""

    def rows(nullable: frozenset[str]) -> st.SearchStrategy[list[Record]]:
        columns = {name: st.one_of(st.none(), some) if name in nullable else some for name, some in values.items()}
        return st.lists(st.fixed_dictionaries(columns), max_size=most)

    return st.frozensets(st.sampled_from(sorted(values))).flatmap(rows)


ENTITIES = {"k": st.sampled_from(["a", "b", "é"]), "n": st.integers(0, 2)}
spines = records({**ENTITIES, "at": moments}, 12)
feature_rows = records({**ENTITIES, "value": st.integers(0, 99), "event": moments, "known": moments}, 20)
ages = st.sampled_from([None, timedelta(0), 2 * TICK, DAY])
key_lists = st.sampled_from([["k"], ["n"], ["k", "n"]])
MANY = [
    {"k": f"entity {number}", "n": number, "value": number + place, "event": moment, "known": FIRST}
    for place, moment in ((0, FIRST), (100, LAST))
    for number in range(40)
]
"""So many entities over so long a time that entity and time don't fit into one number."""
of_many = st.lists(
    st.tuples(st.integers(0, 39), moments).map(lambda pair: {"k": f"entity {pair[0]}", "n": pair[0], "at": pair[1]}), max_size=5
)


def in_order(rows: Sequence[Record], *names: str) -> list[Record]:
    return sorted(rows, key=lambda row: [(row[name] is None, row[name]) for name in names])


@pytest.mark.parametrize("many", [False, True])
def test_every_value_is_the_one_of_the_rule_and_no_row_of_the_spine_is_lost(way: str, many: bool) -> None:
    @settings(max_examples=100)
    @given(st.tuples(spines, of_many if many else st.just([])), feature_rows, ages, key_lists, st.booleans())
    def holds(
        parts: tuple[list[Record], list[Record]], rows: list[Record], max_age: timedelta | None, keys: list[str], ordered: bool
    ) -> None:
        spine = [*parts[0], *parts[1]]
        rows = [*MANY, *rows] if many else rows
        if ordered:
            rows = in_order(rows, *keys, "known", "event")
        asked = pa.Table.from_pylist(spine, schema=SPINE)
        source = FeatureRows("f", pa.Table.from_pylist(rows, schema=ROWS), tuple(keys), {"value": "v"}, "event", "known", max_age)
        joined = join(way, asked, source)
        assert joined.select(SPINE.names).equals(asked) and joined.column_names == [*SPINE.names, "v"]
        assert joined["v"].to_pylist() == [by_rule(row, rows, keys, max_age) for row in spine]

    holds()


@settings(max_examples=100)
@given(spines, st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5)), min_size=1, max_size=20), st.sampled_from([1, 2, 100]))
def test_rows_in_order_of_keys_and_times_are_neither_sorted_nor_ranked_nor_copied(
    spine: list[Record], pairs: list[tuple[str, int]], block: int
) -> None:
    def refuse(*arrays: object) -> None:
        raise AssertionError("the times were joined or compared, which only what isn't in order, or known before it happens, needs")

    rows = [
        {"k": k, "n": 0, "value": place, "event": NOON + n * TICK, "known": NOON + (n + n // 3) * TICK}
        for place, (k, n) in enumerate(sorted(pairs))
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", block)
        patch.setattr(module, "_join_blocks", refuse)
        patch.setattr(np, "maximum", refuse)
        source = FeatureRows("f", pa.Table.from_pylist(rows, schema=ROWS), ("k",), {"value": "v"}, "event", "known")
        joined = point_in_time_join(pa.Table.from_pylist(spine, schema=SPINE), [source], at="at")
    assert joined["v"].to_pylist() == [by_rule(row, rows, ["k"], None) for row in spine]


def one(event: int | None, known: int | None, value: int | None, key: str | None = "a") -> Record:
    event_time, known_at = (None if hour is None else NOON + timedelta(hours=hour) for hour in (event, known))
    return {"k": key, "n": 0, "value": value, "event": event_time, "known": known_at}


def ask(*hours: int, key: str | None = "a") -> pa.Table:
    return pa.Table.from_pylist([{"k": key, "n": 0, "at": NOON + timedelta(hours=hour)} for hour in hours], schema=SPINE)


def source_of(*rows: Record, name: str = "f", output: str = "v", **options: Any) -> FeatureRows:
    options = {"event_time": "event", "known_at": "known"} | options
    return FeatureRows(name, pa.Table.from_pylist(list(rows), schema=ROWS), ("k",), {"value": output}, **options)


@pytest.mark.parametrize(
    ("rows", "hours", "values"),
    [
        ([one(1, 1, 10), one(1, 5, 11)], [0, 1, 4, 5], [None, 10, 10, 11]),  # a correction
        ([one(3, 3, 30), one(1, 9, 10)], [2, 3, 10], [None, 30, 30]),  # a late old value
        ([one(6, 2, 1)], [3, 6], [None, 1]),  # known ahead
        ([one(1, 1, 1), one(1, 4, None), one(6, 6, 2)], [1, 4, 7], [1, None, 2]),  # a retraction
        ([one(1, 1, 1), one(1, 1, 2)], [1], [2]),  # the later row of two with the same times
        ([one(2, 2, 2), one(1, 1, 1, key="b")], [0, 2], [None, 2]),
        ([one(1, 5, 1), one(3, 6, 2), one(2, 7, 3), one(4, 8, 4)], [6, 7, 8], [2, 2, 4]),  # late where a block of two begins
        ([one(9, 1, 1), one(9, 8, 2), one(9, 7, 3), one(9, 9, 4)], [8, 9], [None, 4]),
        ([one(9, 1, 1), one(9, 8, 2), one(9, 7, 3), one(9, 6, 4)], [9], [2]),
        ([one(1, 1, 1), one(2, 2, 2), one(1, 3, 3), one(2, 2, 4, key="b")], [2, 3], [2, 2]),
        ([], [1], [None]),
        ([one(1, 1, 1), one(None, 2, 2), one(3, None, 3)], [0, 1, 4], [None, 1, 1]),  # a row without a time was never known
        ([one(None, 1, 1), one(1, None, 2), one(None, None, 3)], [2], [None]),
        ([one(1, 1, 1, key="b"), one(None, 1, 2), one(1, None, 3)], [2], [None]),  # of an entity after all that have usable rows
        ([one(None, 1, 1), one(1, 1, 2, key="b")], [2], [None]),  # and before
        ([one(3, 3, 3), one(2, None, 2), one(None, 9, 9), one(1, 1, 1)], [0, 2, 4], [None, 1, 3]),
        ([one(2, 2, 1), one(1, None, 0), one(2, 2, 2), one(None, 2, 3)], [2], [2]),
        ([one(1, 1, 1, key=None), one(2, 2, 2), one(3, 3, 3, key=None)], [1, 4], [None, 2]),
        ([one(1, 1, 1, key=None)], [4], [None]),
    ],
)  # fmt: skip
def test_the_last_value_that_had_happened_and_was_known_counts(
    way: str, rows: list[Record], hours: list[int], values: list[int | None]
) -> None:
    assert join(way, ask(*hours), source_of(*rows))["v"].to_pylist() == values


@pytest.mark.parametrize(("key", "hour"), [(None, 9), ("a", None), ("z", 9), (None, None)])
def test_a_null_key_a_null_time_and_an_unknown_key_match_nothing(way: str, key: str | None, hour: int | None) -> None:
    rows = [one(1, 1, 1, key=None), one(1, 1, 2), one(1, 1, 3, key="b")]
    asked = {"k": key, "n": 0, "at": None if hour is None else NOON + timedelta(hours=hour)}
    spine = pa.Table.from_pylist([asked, {**asked, "k": "b", "at": NOON + DAY}], schema=SPINE)
    for ordered in (rows, rows[::-1], rows[1:], rows[:0:-1]):
        assert join(way, spine, source_of(*ordered))["v"].to_pylist() == [None, 3]


@pytest.mark.parametrize("event_time", ["event", None])
def test_a_key_of_a_dictionary_that_no_row_has_matches_nothing(event_time: str | None) -> None:
    keys = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int32()), pa.array(["a", "b", "c"]))
    rows = source_of(one(1, 1, 1), one(1, 1, 2, key="b"), event_time=event_time, known_at=event_time)
    source = replace(rows, rows=rows.rows.set_column(0, "k", keys))
    spine = pa.Table.from_pylist([{"k": key, "n": 0, "at": NOON + DAY} for key in ("c", "b", None, "d", "a")], schema=SPINE)
    assert point_in_time_join(spine, [source], at="at")["v"].to_pylist() == [None, 2, None, None, 1]
    moments = np.full(5, (NOON + DAY - module._EPOCH) // TICK)
    assert module._match(spine, moments, source).tolist() == [-1, 1, -1, -1, 0]
    assert module._match(spine.slice(2, 1), moments[:1], source).tolist() == [-1]


# Entity and time in one number.

HALF = 2**62


@pytest.mark.parametrize(
    ("codes", "event", "known", "asked", "moments", "numbers", "queries", "distance"),
    [
        ([0, 0, 1], [5, 7, 5], [5, 7, 6], [0, 1, 1, -1], [4, 8, 6, 5], [0, 2, 4], [-1, 5, 4, -3], 3),
        ([0, 1], [5, 5], [5, 5], [1, 0, 1], [0, 9, 4], [0, 1], [0, 0, 0], 1),
        # The largest distance at which the numbers of one entity, and of two, fit into 63 bits, and one more.
        ([0, 0], [-HALF, HALF - 2], [-HALF, HALF - 2], [0], [0], [0, 2 * HALF - 2], [HALF], 2 * HALF - 1),
        ([0, 0], [-HALF, HALF - 1], [-HALF, HALF - 1], [0], [0], [0, 1], [0], 2),
        ([0, 1], [0, HALF - 2], [0, HALF - 2], [1], [HALF], [0, 2 * HALF - 3], [2 * HALF - 3], HALF - 1),
        ([0, 1], [0, HALF - 1], [0, HALF - 1], [1], [HALF], [0, 3], [3], 2),
        ([0, 0], [0, HALF - 1], [0, HALF - 1], [1, 0], [HALF, 7], [0, 1], [3, 0], 2),  # an entity that only the spine has
    ],
)  # fmt: skip
def test_entity_and_time_of_use_are_one_number_and_times_are_ranked_where_it_would_not_fit(
    codes: list[int], event: list[int], known: list[int], asked: list[int], moments: list[int], numbers: list[int], queries: list[int],
    distance: int,
) -> None:  # fmt: skip
    blocks = [(np.array(event[:1]), np.array(known[:1])), (np.array(event[1:]), np.array(known[1:]))]
    packed = module._pack(np.array(codes), blocks, np.array(asked), np.array(moments))
    assert (packed[0].tolist(), packed[1].tolist(), packed[2]) == (numbers, queries, distance)


def test_times_without_nulls_are_not_copied() -> None:
    micros = np.arange(3)
    times = pa.array(micros).cast(pa.timestamp("us", "UTC"))
    assert np.shares_memory(module._to_micros(times, "at", "f"), times.cast(pa.int64()).to_numpy())
    assert module._to_micros(pa.array([None, 1], times.type), "at", "f").tolist() == [module.NEVER, 1]


def test_without_a_known_time_a_row_is_known_at_its_event_time(way: str) -> None:
    assert join(way, ask(0, 1, 2), source_of(one(1, 9, 1), one(2, 9, 2), known_at=None))["v"].to_pylist() == [None, 1, 2]
    assert join(way, ask(0, 9), source_of(one(1, 9, 1), event_time="known"))["v"].to_pylist() == [None, 1]


@pytest.mark.parametrize(("age", "alive"), [(None, True), (DAY, True), (DAY - TICK, False), (DAY + TICK, True), (timedelta(0), False)])
def test_a_value_of_just_the_age_that_is_allowed_is_alive(age: timedelta | None, alive: bool) -> None:
    assert join("whole", ask(25), source_of(one(1, 1, 1), max_age=age))["v"].to_pylist() == [1 if alive else None]
    micros = DAY // TICK
    assert is_alive(np.array([0]), np.array([micros]), age).tolist() == [alive]


def test_several_features_are_added_in_their_order_each_in_its_own_type(way: str) -> None:
    small = pa.table({"k": ["a"], "seats": pa.array([3], pa.int16()), "model": pa.array(["x"]).dictionary_encode()})
    joined = join(way, ask(1, 2), source_of(one(2, 2, 5)), FeatureRows("planes", small, ("k",), {"model": "m", "seats": "s"}))
    assert joined.column_names == ["k", "n", "at", "v", "m", "s"]
    assert joined.select(["v", "m", "s"]).to_pylist() == [{"v": None, "m": "x", "s": 3}, {"v": 5, "m": "x", "s": 3}]
    assert [joined.schema.field(name).type for name in "vms"] == [pa.int64(), small.schema.field("model").type, pa.int16()]


# Threads.


@pytest.fixture
def cores() -> Iterator[int]:
    """Three cores, whatever the machine has."""
    count = pa.cpu_count()
    pa.set_cpu_count(3)
    yield 3
    pa.set_cpu_count(count)


def test_a_thread_has_rows_enough_and_there_are_no_more_threads_than_cores(cores: int) -> None:
    enough = module._ROWS_PER_THREAD
    rows = [0, 1, enough, 2 * enough - 1, 2 * enough, 3 * enough, 100 * enough]
    assert [module._count_threads(count) for count in rows] == [1, 1, 1, 1, 2, 3, 3]
    assert module._ROWS_PER_THREAD == 50_000


@pytest.mark.parametrize(("rows", "threads"), [(5, False), (6, True), (12, True)])
def test_few_rows_are_joined_by_this_thread_and_many_by_several(
    rows: int, threads: bool, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = set()

    def take(rows: pa.Table, indices: pa.Array, name: str) -> pa.ChunkedArray:
        names.add(threading.current_thread().name)
        return rows[name].take(indices)

    monkeypatch.setattr(module, "_ROWS_PER_THREAD", 3)
    monkeypatch.setattr(module, "_take_column", take)
    spine = ask(*range(rows))
    joined = point_in_time_join(spine, [source_of(one(2, 2, 2), one(4, 4, 4))], at="at")
    assert joined["v"].to_pylist() == [None, None, 2, 2, *[4] * (rows - 4)]
    assert all(name.startswith("join") == threads for name in names)


# Tables without event time.


def test_a_static_table_has_one_row_per_key_and_a_null_key_matches_none(way: str) -> None:
    planes = FeatureRows("planes", pa.table({"k": ["c", None, "a", None], "seats": [3, 0, 1, 0]}), ("k",), {"seats": "s"})
    spine = pa.Table.from_pylist([{"k": k, "n": 0, "at": NOON} for k in ("a", "b", None, "c", "a")], schema=SPINE)
    assert join(way, spine, planes)["s"].to_pylist() == [1, None, None, 3, 1]
    unknown = FeatureRows("planes", pa.table({"k": pa.array([None, None], pa.string()), "seats": [1, 2]}), ("k",), {"seats": "s"})
    assert join(way, spine, unknown)["s"].to_pylist() == [None] * 5


@pytest.mark.parametrize(("personal", "key"), [((), "{'k': 'b'}"), (("k",), "{'k': '***'}")])
@pytest.mark.parametrize(("keys", "count"), [(["a", "b", None, "b", None, "c", "b"], 3), ([None, "a", "b", "b"], 2), (["b", "b"], 2)])
def test_a_key_that_a_static_table_has_twice_is_told_with_its_count(
    personal: tuple[str, ...], key: str, keys: list[str | None], count: int
) -> None:
    rows = pa.table({"k": keys, "seats": range(len(keys))})
    with pytest.raises(DataError) as refused:
        join("whole", ask(1), FeatureRows("planes", rows, ("k",), {"seats": "s"}, personal=personal))
    assert str(refused.value) == f"planes: wanted one row per key in a table without event time, found {count} for {key}"


# What doesn't fit.


@pytest.mark.parametrize(
    ("spine", "source", "message"),
    [
        (ask(1).drop_columns(["at"]), source_of(one(1, 1, 1)), "the spine: no column 'at'; Available: k, n"),
        (ask(1).drop_columns(["k"]), source_of(one(1, 1, 1)), "the spine: no column 'k'; Available: at, n"),
        (ask(1), replace(source_of(one(1, 1, 1)), columns={"valu": "v"}), "f: no column 'valu'; did you mean 'value'? Available: event, k, known, n, value"),
        (ask(1), replace(source_of(one(1, 1, 1)), event_time="when"), "f: no column 'when'; Available: event, k, known, n, value"),
        (ask(1), replace(source_of(one(1, 1, 1)), known_at="since"), "f: no column 'since'; Available: event, k, known, n, value"),
        (ask(1), replace(source_of(one(1, 1, 1)), keys=("id",)), "f: no column 'id'; Available: event, k, known, n, value"),
        (ask(1), source_of(one(1, 1, 1), output="n"), "f: the name 'n' is already taken in the result"),
        (ask(1), replace(source_of(one(1, 1, 1)), columns={"value": "v", "n": "v"}), "f: the name 'v' is already taken in the result"),
    ],
)  # fmt: skip
def test_a_column_that_is_not_there_and_a_name_that_is_are_refused(spine: pa.Table, source: FeatureRows, message: str) -> None:
    with pytest.raises(DataError) as refused:
        point_in_time_join(spine, [source], at="at")
    assert str(refused.value) == message


def test_a_name_that_an_earlier_feature_took_is_refused() -> None:
    with pytest.raises(DataError, match="^g: the name 'v' is already taken in the result$"):
        point_in_time_join(ask(1), [source_of(one(1, 1, 1)), source_of(one(1, 1, 1), name="g")], at="at")


def with_times(values: pa.Array, name: str = "event") -> FeatureRows:
    source = source_of(one(1, 1, 1))
    return replace(source, rows=source.rows.set_column(source.rows.schema.get_field_index(name), name, values))


@pytest.mark.parametrize("name", ["event", "known"])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pa.array([NOON.replace(tzinfo=None)], pa.timestamp("us")), "f: wanted {} to be a timestamp with a time zone, found timestamp[us]"),
        (pa.array(["2013"]), "f: wanted {} to be a timestamp with a time zone, found string"),
        (pa.array([1]), "f: wanted {} to be a timestamp with a time zone, found int64"),
        (
            pa.array([1], pa.timestamp("ns", "UTC")),
            "f: {} is finer than a microsecond: Casting from timestamp[ns, tz=UTC] to timestamp[us, tz=UTC] would lose data: 1",
        ),
    ],
)
def test_a_time_without_a_zone_or_finer_than_a_microsecond_is_refused(name: str, values: pa.Array, message: str) -> None:
    with pytest.raises(DataError) as refused:
        point_in_time_join(ask(1), [with_times(values, name)], at="at")
    assert str(refused.value) == message.format(name)
    spine = ask(1).set_column(2, "at", values)
    with pytest.raises(DataError) as refused:
        point_in_time_join(spine, [source_of(one(1, 1, 1))], at="at")
    assert str(refused.value) == message.replace("f: ", "the spine: ", 1).format("at")


@pytest.mark.parametrize(
    "values",
    [
        pa.array([datetime(2013, 3, 11, tzinfo=UTC)], pa.timestamp("ns", "UTC")),
        pa.array([datetime(2013, 3, 11, tzinfo=UTC)], pa.timestamp("s", "America/New_York")),
        pa.array([date(2013, 3, 11)], pa.date32()),
        pa.array([date(2013, 3, 11)], pa.date64()),
    ],
)
def test_a_time_in_another_unit_or_zone_is_the_same_moment_and_a_day_its_start_in_utc(values: pa.Array) -> None:
    assert point_in_time_join(ask(11, 12), [replace(with_times(values), known_at=None)], at="at")["v"].to_pylist() == [None, 1]
    spine = ask(1).set_column(2, "at", values)
    assert point_in_time_join(spine, [source_of(one(12, 12, 1))], at="at")["v"].to_pylist() == [1]
    assert point_in_time_join(spine, [source_of(one(13, 13, 1))], at="at")["v"].to_pylist() == [None]


# Labels.

LABELS = pa.Table.from_pylist([one(1, 2, 1), one(1, 6, 0), one(1, 3, 5, key="c")], schema=ROWS)
LABELLED = pa.table({"k": ["b", "a", None, "c"]})


@pytest.mark.parametrize(
    ("known_by", "values"),
    [
        (None, [None, 0, None, 5]),
        (NOON + timedelta(hours=2), [None, 1, None, None]),
        (NOON + timedelta(hours=6) - TICK, [None, 1, None, 5]),
        (NOON + timedelta(hours=6), [None, 0, None, 5]),
        (NOON + timedelta(hours=1), [None] * 4),
    ],
)
def test_a_label_is_looked_up_by_key_in_the_version_known_last_by_then(known_by: datetime | None, values: list[int | None]) -> None:
    joined = join_exact(LABELLED, LABELS, on=["k"], columns={"value": "y", "n": "m"}, known_at="known", known_by=known_by)
    assert joined.column_names == ["y", "m"] and joined["y"].to_pylist() == values


@pytest.mark.parametrize(
    "moment", [datetime(1969, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)]
)
def test_a_label_is_known_by_a_moment_to_the_microsecond(moment: datetime) -> None:
    rows = pa.table({"k": ["a"], "value": [1], "known": pa.array([moment], MOMENT)})
    for by, values in ((moment - TICK, [None]), (moment, [1])):
        assert (
            join_exact(pa.table({"k": ["a"]}), rows, on=["k"], columns={"value": "y"}, known_at="known", known_by=by)["y"].to_pylist()
            == values
        )


def test_a_label_without_versions_has_one_row_per_key() -> None:
    rows = pa.table({"k": ["a", "b"], "value": [1, 2]})
    assert join_exact(LABELLED, rows, on=["k"], columns={"value": "y"}, known_at=None)["y"].to_pylist() == [2, 1, None, None]
    with pytest.raises(DataError, match=r"^the label: wanted one row per key .*, found 2 for \{'k': '\*\*\*'\}$"):
        join_exact(LABELLED, LABELS, on=["k"], columns={"value": "y"}, known_at=None, personal=["k"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"columns": {"valu": "y"}}, "the label: no column 'valu'; did you mean 'value'? Available: event, k, known, n, value"),
        ({"known_at": "since"}, "the label: no column 'since'; Available: event, k, known, n, value"),
        ({"on": ["id"]}, "the label: no column 'id'; Available: event, k, known, n, value"),
        ({"on": ["k", "n"]}, "the spine: no column 'n'; Available: k"),
    ],
)
def test_a_label_without_a_column_that_it_takes_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as refused:
        join_exact(LABELLED, LABELS, **{"on": ["k"], "columns": {"value": "y"}, "known_at": "known"} | change)
    assert str(refused.value) == message
