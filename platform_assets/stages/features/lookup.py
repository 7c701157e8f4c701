"""The one way features are looked up: a spine, and for each view or table the rows as they were known.

Training sets, batch predictions and the comparison with a champion all come through here, by the feature spec that also travels in
the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lakeloop.errors import DataError, SpecError, nearest
from lakeloop.fingerprint import fingerprint
from lakeloop.project.personal import personal_columns
from lakeloop.project.project import ID, FeatureColumn, Located, Project, TableRef, feature_columns, located_of, spec_of, spine_upstream
from lakeloop.records.features import FeatureLookup, FeatureSpec
from lakeloop.rows.asof import FeatureRows, point_in_time_join
from lakeloop.rows.history import LANDED
from lakeloop.spec.tables import DeltaTableSource, parse_duration, render_duration
from lakeloop.spec.workflow import WorkflowSpec
from platform_assets.stages import made_of
from platform_assets.stages.base import Platform, input_key
from platform_assets.stages.features.adopted import known_frame, read_known_rows
from platform_assets.stages.features.view_versions import at_version, kept_at
from platform_assets.stages.inputs import adopted_frame, checked_url, run_sql
from resources.lake.adopted import open_adopted, read_declared
from resources.lake.published import Published, States, TableKey
from resources.lake.tables import read_table
from resources.spark.asof import SparkFeatureRows, join_spine
from resources.spark.tables import read_delta

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

    from resources.spark.asof import SparkFeatureRows


def feature_spec(project: Project, located: Located[WorkflowSpec]) -> FeatureSpec:
    """What a workflow's model needs looked up, in the order of its definition."""
    columns_by_ref: dict[TableRef, list[FeatureColumn]] = {}
    for column in feature_columns(project, located):
        columns_by_ref.setdefault(column.ref, []).append(column)
    lookups = (_lookup_of(project, ref, columns) for ref, columns in columns_by_ref.items())
    return FeatureSpec(tuple(located.spec.keys), located.spec.predict_at, tuple(lookups))


def _lookup_of(project: Project, ref: TableRef, columns: Sequence[FeatureColumn]) -> FeatureLookup:
    max_age = columns[0].max_age
    return FeatureLookup(
        "view" if ref.kind == "view" else "table",
        ref.domain,
        ref.name,
        tuple(columns[0].keys),
        {column.column: column.output for column in columns},
        render_duration(max_age) if max_age is not None else None,
        getattr(spec_of(project, ref), "version", 1),
    )


def lookup_keys(project: Project, located: Located[WorkflowSpec]) -> list[TableKey]:
    """The tables that a workflow's spine and features are read from, each once."""
    refs = [*spine_upstream(project, located), *(column.ref for column in feature_columns(project, located))]
    return list(dict.fromkeys(input_key(ref) for ref in refs))


def utc_moment(text: str) -> np.datetime64:
    """A time that a feature spec says (`trained_until`) as `datetime64[us]`, UTC; one without an offset is UTC.

    >>> str(utc_moment("2024-03-01T01:00:00+02:00"))
    '2024-02-29T23:00:00.000000'
    """
    import numpy as np

    moment = datetime.fromisoformat(text)
    return np.datetime64((moment if moment.tzinfo is None else moment.astimezone(UTC)).replace(tzinfo=None), "us")


def spine_rows(platform: Platform, located: Located[WorkflowSpec], states: States) -> pa.Table:
    """Who is asked about, and when: keys and `predict_at`, in order of time and keys, duplicates kept.

    Raises:
        DataError: a column is missing, or `predict_at` is null or no time.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    spec = located.spec
    path = (located.folder / spec.spine).resolve()
    result = run_sql(platform, states, located.domain, path.read_text(), spine_upstream(platform.project, located))
    where = f"spine of {located.domain}.{spec.name}"
    for name in [*spec.keys, spec.predict_at]:
        if name not in result.column_names:
            raise DataError(f"{where}: no column {name!r}; {nearest(name, result.column_names)}")
    if not pa.types.is_timestamp(result.schema.field(spec.predict_at).type):
        raise DataError(f"{where}: wanted {spec.predict_at} to be a timestamp, found {result.schema.field(spec.predict_at).type}")
    if result[spec.predict_at].null_count:
        raise DataError(f"{where}: {result[spec.predict_at].null_count} rows have no {spec.predict_at}")
    at = result.schema.get_field_index(spec.predict_at)
    result = result.set_column(at, spec.predict_at, result[spec.predict_at].cast(pa.timestamp("us", tz="UTC")))
    order = pc.sort_indices(result, sort_keys=[(spec.predict_at, "ascending"), *[(key, "ascending") for key in spec.keys]])
    return result.take(order)


def join_features(platform: Platform, domain: str, spine: pa.Table, spec: FeatureSpec, states: States) -> tuple[pa.Table, dict[str, int]]:
    """Add the features to a spine, each as it was known at `predict_at`: in this process, on Spark from `LAKELOOP_SPARK_ROWS` rows on.

    Args:
        platform: where the lake is.
        domain: who asks; the Spark session is its own.
        spine: keys and `predict_at`.
        spec: what to look up.
        states: what is published.

    Returns:
        The spine's rows in their order with one column per feature, and the Delta versions that were read, by table path.
    """
    if runs_on_spark(platform, spec, states, spine.num_rows):
        spark = platform.spark(domain, large=True)
        joined = join_spine(spark, spine, spark_lookups(platform, spark, spec, states), at=spec.predict_at)
    else:
        # One view's rows after the other: together they are several times the result.
        joined = point_in_time_join(spine, (_rows_of(platform, lookup, states) for lookup in spec.views), at=spec.predict_at)
    return joined, versions(platform, spec, states)


def _rows_of(platform: Platform, lookup: FeatureLookup, states: States) -> FeatureRows:
    located, published = _source_of(platform, lookup, states)
    event_time = located.spec.event_time
    return FeatureRows(
        name=lookup.label,
        rows=_feature_rows(platform, lookup, located, published),
        keys=lookup.keys,
        columns=lookup.columns,
        event_time=event_time,
        known_at="known_at" if event_time else None,
        max_age=_max_age(lookup),
        personal=_personal_of(platform.project, lookup),
    )


def runs_on_spark(platform: Platform, spec: FeatureSpec, states: States, rows: int) -> bool:
    """Whether looking up these features for so many rows of a spine is too much for one process."""
    return platform.is_large(states, [_key(lookup) for lookup in spec.views], rows)


def spark_lookups(platform: Platform, spark: SparkSession, spec: FeatureSpec, states: States) -> list[SparkFeatureRows]:
    """The same rows as in this process, as DataFrames of a session."""
    lookups = []
    for lookup in spec.views:
        located, published = _source_of(platform, lookup, states)
        event_time = located.spec.event_time
        rows, order = _spark_rows(platform, spark, lookup, located, published)
        lookups.append(
            SparkFeatureRows(
                name=lookup.label,
                rows=rows,
                keys=lookup.keys,
                columns=lookup.columns,
                event_time=event_time,
                known_at="known_at" if event_time else None,
                max_age=_max_age(lookup),
                order=order,
                personal=_personal_of(platform.project, lookup),
            )
        )
    return lookups


def versions(platform: Platform, spec: FeatureSpec, states: States) -> dict[str, int]:
    """The Delta version of every table that a feature spec reads, by table path: the published one, or where a view's older version stands."""
    return {str(_key(lookup)): at_version(platform.lake.current(_key(lookup), states), lookup).version for lookup in spec.views}


def lookup_fingerprints(states: States, spec: FeatureSpec) -> dict[str, str]:
    """The fingerprint of every table that a feature spec reads, as published now."""
    return {str(_key(lookup)): published_fingerprint(states, _key(lookup)) for lookup in spec.views}


def own_fingerprints(states: States, spec: FeatureSpec) -> dict[str, str]:
    """The same for a model that stays on its versions: of a view that stands still at an older version, what comes after that doesn't count."""
    fingerprints = lookup_fingerprints(states, spec)
    for lookup in spec.views:
        place = kept_at(states.of(_key(lookup)), lookup)
        if place is not None:
            fingerprints[str(_key(lookup))] = fingerprint("kept", lookup.version, place)
    return fingerprints


def standing_still(platform: Platform, spec: FeatureSpec, states: States) -> dict[str, dict[str, Any]]:
    """The views that a feature spec reads at an older version, by table path: which version, where it stands, and since when it has no new rows."""
    standing = {}
    for lookup in spec.views:
        key = _key(lookup)
        place = kept_at(states.of(key), lookup)
        if place is not None:
            standing[str(key)] = {"version": lookup.version, "delta_version": place, "since": _published_at(platform, key, place)}
    return standing


def warn_of_standing(platform: Platform, spec: FeatureSpec, states: States, who: str) -> dict[str, dict[str, Any]]:
    """Log a warning for each view that stands still for a model; gives them, as `standing_still` does."""
    standing = standing_still(platform, spec, states)
    for path, still in standing.items():
        platform.log.warning(
            f"{who} reads {path} at version {still['version']}, which gets no new rows since {still['since'] or 'a newer version was computed'} "
            f"(Delta version {still['delta_version']}): its features are stale or missing for newer rows until a model of the newer version is released"
        )
    return standing


def _published_at(platform: Platform, key: TableKey, version: int) -> str | None:
    """When a Delta version was committed; None where the table's log doesn't go back so far."""
    table = platform.lake.open(key)
    commits = table.history() if table is not None else []
    moments = [commit["timestamp"] for commit in commits if commit.get("version") == version and "timestamp" in commit]
    return datetime.fromtimestamp(moments[0] / 1000, UTC).isoformat(timespec="seconds") if moments else None


def published_fingerprint(states: States, key: TableKey) -> str:
    """One fingerprint of all published partitions of a table; empty when there are none."""
    return fingerprint({name: state.fingerprint for name, state in states.get(key, {}).items()})


def spine_fingerprint(project: Project, located: Located[WorkflowSpec], states: States) -> str:
    """The fingerprint of a workflow's spine: its SQL and the tables that it reads."""
    text = (located.folder / located.spec.spine).resolve().read_text()
    inputs = {str(input_key(ref)): published_fingerprint(states, input_key(ref)) for ref in spine_upstream(project, located)}
    return fingerprint(text, list(located.spec.keys), located.spec.predict_at, inputs)


def spine_parts(project: Project, located: Located[WorkflowSpec], states: States) -> dict[str, str]:
    """The parts of the spine's fingerprint, by name."""
    spec = located.spec
    return {
        **made_of.keys(spec, ("keys", "predict_at")),
        **made_of.file(spec.spine, (located.folder / spec.spine).resolve().read_text()),
        **made_of.published(states, [input_key(ref) for ref in spine_upstream(project, located)]),
    }


def _key(lookup: FeatureLookup) -> TableKey:
    return input_key(_ref(lookup))


def _ref(lookup: FeatureLookup) -> TableRef:
    return TableRef(lookup.kind, lookup.domain, lookup.name)


def _max_age(lookup: FeatureLookup) -> timedelta | None:
    return parse_duration(lookup.max_age) if lookup.max_age else None


def _source_of(platform: Platform, lookup: FeatureLookup, states: States) -> tuple[Located[Any], Published]:
    """The definition of what is looked up, and its publication of the version that the spec names."""
    definitions: Mapping[ID, Located[Any]] = platform.project.tables if lookup.kind == "table" else platform.project.views
    located = definitions.get((lookup.domain, lookup.name))
    if located is None:
        raise SpecError(
            f"the model's feature spec names {lookup.label}, which is not defined any more; put its definition back: a released "
            "model looks it up until another one without it is released"
        )
    return located, at_version(platform.lake.current(_key(lookup), states), lookup)


def _needed(lookup: FeatureLookup, spec: Any) -> list[str]:
    return list(dict.fromkeys([*lookup.keys, *lookup.columns, *([spec.event_time, "known_at"] if spec.event_time else [])]))


def _feature_rows(platform: Platform, lookup: FeatureLookup, located: Located[Any], published: Published) -> pa.Table:
    """The rows of a view with all their known versions, or of a validated table with its superseded ones."""
    import pyarrow as pa

    spec, needed = located.spec, _needed(lookup, located.spec)
    if lookup.kind == "table" and isinstance(spec.source, DeltaTableSource):
        return _adopted_rows(located, published, needed, lookup.keys)
    rows = platform.lake.read(published, columns=needed, coded=lookup.keys)
    if lookup.kind == "table" and spec.event_time:
        earlier = platform.lake.open(TableKey("superseded", lookup.domain, lookup.name))
        if earlier is not None:
            rows = pa.concat_tables([read_table(earlier, columns=needed, coded=lookup.keys).select(rows.column_names), rows])
    return rows


def _spark_rows(
    platform: Platform, spark: SparkSession, lookup: FeatureLookup, located: Located[Any], published: Published
) -> tuple[DataFrame, tuple[str, ...]]:
    """The rows of `_feature_rows` as a DataFrame, and the columns that decide between equal times: what landed last counts."""
    import pyspark.sql.functions as F

    spec, needed = located.spec, _needed(lookup, located.spec)
    if lookup.kind == "table" and isinstance(spec.source, DeltaTableSource):
        if not spec.event_time:
            return adopted_frame(spark, located, published, None, None).select(*needed), ()
        return known_frame(spark, located, published, needed, lookup.keys), ("_order",)
    rows = read_delta(spark, platform.lake.path(published.key), published.version)
    if not spec.event_time:
        return rows.select(*needed), ()
    landed = "ingested_at" if lookup.kind == "table" else LANDED
    rows = rows.select(*needed, *([landed] if landed not in needed else []))
    key = TableKey("superseded", lookup.domain, lookup.name)
    earlier = platform.lake.open(key) if lookup.kind == "table" else None
    if earlier is not None:
        rows = read_delta(spark, platform.lake.path(key), earlier.version()).select(*rows.columns).unionByName(rows)
    return rows.withColumn("_order", F.col(landed)), ("_order",)


def _adopted_rows(located: Located[Any], published: Published, needed: Sequence[str], keys: Sequence[str]) -> pa.Table:
    spec = located.spec
    if spec.event_time:
        return read_known_rows(published, spec, needed, keys)
    adopted = open_adopted(checked_url(published), str(published.key), published.version)
    return read_declared(adopted, {name: spec.columns[name] for name in needed})


def _personal_of(project: Project, lookup: FeatureLookup) -> frozenset[str]:
    return personal_columns(project, _key(lookup).stage, located_of(project, _ref(lookup)))
