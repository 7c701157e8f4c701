"""The point-in-time join against a brute-force oracle: in this process (from small blocks too), on the embedded Spark engine and on the JVM's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakeloop.errors import DataError
from lakeloop.rows.asof import FeatureRows, point_in_time_join

Join = Callable[..., pa.Table]
EPOCH = datetime(2013, 3, 10, tzinfo=UTC)
MOMENT = pa.timestamp("us", tz="UTC")
times = st.one_of(
    st.none(),
    st.integers(-5, 5).map(lambda n: EPOCH + timedelta(microseconds=n)),
    st.integers(0, 3).map(lambda n: EPOCH + timedelta(days=n)),
)
names = st.one_of(st.none(), st.sampled_from(["a", "b", "é"]))
numbers = st.one_of(st.none(), st.integers(0, 2))


@pytest.fixture(scope="module", params=["process", "process, small blocks", "embedded", "jvm"])
def engine(request: pytest.FixtureRequest) -> Iterator[Join]:
    """A join of one of the engines; what they promise is the same."""
    if request.param == "process":
        yield point_in_time_join
    elif request.param == "process, small blocks":
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("lakeloop.rows.asof._BLOCK", 2)
            patch.setattr("lakeloop.rows.asof._ROWS_PER_THREAD", 3)
            yield in_chunks
    else:
        yield on_spark(request)


def in_chunks(spine: pa.Table, features: list[FeatureRows], *, at: str) -> pa.Table:
    """The join in this process of tables that come in chunks, as those of several files do."""

    def chunked(rows: pa.Table) -> pa.Table:
        return pa.Table.from_batches(rows.to_batches(max_chunksize=3), rows.schema)

    return point_in_time_join(chunked(spine), [replace(f, rows=chunked(f.rows)) for f in features], at=at)


def on_spark(request: pytest.FixtureRequest) -> Join:
    """The join of an engine of Spark's."""
    from resources.spark.asof import SparkFeatureRows, join_spine
    from resources.spark.sessions import SparkResource
    from resources.spark.tables import frame_of

    spark = SparkResource(remote=request.getfixturevalue("jvm_remote") if request.param == "jvm" else None).session("tests")

    def join(spine: pa.Table, features: list[FeatureRows], *, at: str) -> pa.Table:
        def rows(f: FeatureRows) -> SparkFeatureRows:
            numbered = f.rows.append_column("_n", pa.array(range(f.rows.num_rows), pa.int64()))
            return SparkFeatureRows(
                f.name, frame_of(spark, numbered), f.keys, f.columns, f.event_time, f.known_at, f.max_age, ("_n",)
            )  # fmt: skip

        return join_spine(spark, spine, [rows(f) for f in features], at=at)

    join.slow = True  # type: ignore[attr-defined]
    return join


def oracle(spine: list[dict], rows: list[dict], keys: list[str], max_age: timedelta | None) -> list[object]:
    """Read the rule literally: look at every row for every row of the spine."""
    values = []
    for asked in spine:
        best = None
        for position, row in enumerate(rows):
            usable = all(row[k] is not None and row[k] == asked[k] for k in keys) and None not in (row["event"], row["known"], asked["at"])
            if usable and row["event"] <= asked["at"] and row["known"] <= asked["at"]:
                rank = (row["event"], row["known"], position)
                best = max(best, (rank, row), key=lambda pair: pair[0]) if best else (rank, row)
        alive = best is not None and (max_age is None or asked["at"] - best[1]["event"] <= max_age)
        values.append(best[1]["value"] if alive and best else None)
    return values


def table(rows: list[dict], times_: list[str]) -> pa.Table:
    schema = {"k": pa.string(), "n": pa.int64(), "value": pa.float64()} | dict.fromkeys(times_, MOMENT)
    keys = [key for key in schema if key in (rows[0] if rows else {"k": 0, "n": 0, **dict.fromkeys(times_, 0)})]
    return pa.Table.from_pylist(rows, schema=pa.schema([(key, schema[key]) for key in keys]))


asked_rows = st.lists(st.fixed_dictionaries({"k": names, "n": numbers, "at": times}), max_size=12)
feature_rows = st.lists(
    st.fixed_dictionaries({"k": names, "n": numbers, "event": times, "known": times, "value": st.one_of(st.none(), st.floats(0, 9))}),
    max_size=20,
)
ages = st.sampled_from([None, timedelta(0), timedelta(microseconds=2), timedelta(days=1)])
some_keys = st.sampled_from([["k"], ["n"], ["k", "n"]])


def test_every_value_equals_the_oracle_and_no_row_is_lost(engine: Join) -> None:
    @settings(max_examples=15 if hasattr(engine, "slow") else 100, suppress_health_check=list(HealthCheck))
    @given(asked_rows, feature_rows, ages, some_keys, st.booleans())
    def holds(spine, rows, max_age, keys, in_order):
        if in_order:  # as views are written
            rows = sorted(rows, key=lambda row: [(row[name] is None, row[name]) for name in (*keys, "known", "event")])
        asked = table(spine, ["at"])
        source = FeatureRows(
            "f", table(rows, ["event", "known"]) if rows else _empty(), tuple(keys), {"value": "v"}, "event", "known", max_age
        )
        joined = engine(asked, [source], at="at")
        assert joined.num_rows == len(spine)
        assert joined.select(asked.column_names).equals(asked)
        assert joined["v"].to_pylist() == oracle(spine, rows, keys, max_age)

    holds()


def _empty() -> pa.Table:
    return pa.schema([("k", pa.string()), ("n", pa.int64()), ("event", MOMENT), ("known", MOMENT), ("value", pa.float64())]).empty_table()


def one(event: int, known: int, value: float | None, key: str = "a") -> dict:
    return {"k": key, "event": EPOCH + timedelta(hours=event), "known": EPOCH + timedelta(hours=known), "value": value}


def ask(*hours: int, key: str = "a") -> pa.Table:
    return pa.table({"k": [key] * len(hours), "at": pa.array([EPOCH + timedelta(hours=h) for h in hours], MOMENT)})


def join(engine: Join, spine: pa.Table, rows: list[dict], **options) -> list:
    source = FeatureRows("f", table(rows, ["event", "known"]), ("k",), {"value": "v"}, "event", "known", **options)
    return engine(spine, [source], at="at")["v"].to_pylist()


def test_a_correction_counts_only_from_when_it_was_known(engine: Join) -> None:
    rows = [one(1, 1, 10.0), one(1, 5, 11.0)]
    assert join(engine, ask(0, 1, 4, 5), rows) == [None, 10.0, 10.0, 11.0]


def test_a_late_old_value_never_replaces_a_newer_event(engine: Join) -> None:
    rows = [one(3, 3, 30.0), one(1, 9, 10.0)]
    assert join(engine, ask(10), rows) == [30.0]


def test_a_forecast_published_ahead_counts_only_at_its_event_time(engine: Join) -> None:
    assert join(engine, ask(3, 6), [one(6, 2, 1.0)]) == [None, 1.0]


def test_a_retraction_is_a_null_until_the_next_event(engine: Join) -> None:
    assert join(engine, ask(1, 4, 7), [one(1, 1, 1.0), one(1, 4, None), one(6, 6, 2.0)]) == [1.0, None, 2.0]


def test_spine_rows_that_share_key_and_time_stay_apart(engine: Join) -> None:
    assert join(engine, ask(2, 2, 2), [one(1, 1, 1.0)]) == [1.0, 1.0, 1.0]


def test_static_tables_take_one_row_per_key_and_refuse_two(engine: Join) -> None:
    spine = ask(1, key="b")
    rows = pa.table({"k": ["a", "b"], "seats": [1, 2]})
    assert engine(spine, [FeatureRows("planes", rows, ("k",), {"seats": "s"})], at="at")["s"].to_pylist() == [2]
    twice = pa.table({"k": ["b", "b"], "seats": [1, 2]})
    with pytest.raises(DataError, match="planes: wanted one row per key .* found 2 for {'k': 'b'}"):
        engine(spine, [FeatureRows("planes", twice, ("k",), {"seats": "s"})], at="at")


def test_other_time_zones_and_units_mean_the_same_moments(engine: Join) -> None:
    rows = table([one(1, 1, 1.0)], ["event", "known"])
    local = rows.set_column(rows.schema.get_field_index("event"), "event", rows["event"].cast(pa.timestamp("ms", tz="America/New_York")))
    source = FeatureRows("f", local, ("k",), {"value": "v"}, "event", "known")
    assert engine(ask(0, 1), [source], at="at")["v"].to_pylist() == [None, 1.0]


@pytest.mark.parametrize("event", ["event", None])
def test_an_integer_key_finds_its_equal_whatever_the_widths(engine: Join, event: str | None) -> None:
    spine = pa.table({"k": pa.array([1, 2, None], pa.int32()), "at": ask(1, 1, 1)["at"]})
    rows = pa.table({"k": pa.array([2**32 + 1, 2], pa.int64()), "value": [1.0, 2.0], "event": ask(0, 0)["at"]})
    joined = engine(spine, [FeatureRows("f", rows, ("k",), {"value": "v"}, event)], at="at")
    assert joined["v"].to_pylist() == [None, 2.0, None]
    assert joined["k"].type == pa.int32()


def test_a_decimal_key_is_refused(engine: Join) -> None:
    key = pa.array([Decimal("1.50")], pa.decimal128(5, 2))
    rows = pa.table({"k": key, "value": [1.0], "event": ask(0)["at"]})
    with pytest.raises(DataError, match=r"the key 'k' is decimal.*: wanted a string, an integer, a date or a timestamp"):
        engine(pa.table({"k": key, "at": ask(1)["at"]}), [FeatureRows("f", rows, ("k",), {"value": "v"}, "event")], at="at")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop_columns(["value"]), "no column 'value'"),
        (lambda t: t.set_column(0, "k", pa.array([1])), "the key 'k' is int64 there and string in the spine"),
        (lambda t: t.set_column(1, "event", t["event"].cast(pa.timestamp("us"))), "wanted event to be a timestamp with a time zone"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(engine: Join, change, message):
    rows = change(table([one(1, 1, 1.0)], ["event", "known"]).select(["k", "event", "known", "value"]))
    with pytest.raises(DataError, match=message):
        engine(ask(1), [FeatureRows("f", rows, ("k",), {"value": "v"}, "event", "known")], at="at")
