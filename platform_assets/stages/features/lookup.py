"""The one way features are looked up: a spine, and for each view or table the rows as they were known.

Training sets, batch predictions and the comparison with a champion all come through here, by the feature spec that also travels in
the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lakeloop.errors import DataError, NotPublished, SpecError, nearest
from lakeloop.fingerprint import fingerprint
from lakeloop.project.personal import personal_columns
from lakeloop.project.project import Located, Project, TableRef, feature_columns, located_of, spec_of, spine_upstream
from lakeloop.rows.asof import FeatureRows, point_in_time_join
from lakeloop.rows.history import LANDED
from lakeloop.spec.tables import DeltaTableSource, parse_duration, render_duration
from lakeloop.spec.workflow import WorkflowSpec
from platform_assets.stages.base import Platform, input_key
from platform_assets.stages.features.view_versions import at_version, kept_at
from platform_assets.stages.inputs import adopted_frame, run_sql
from resources.lake.published import Published, States, TableKey

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

    from resources.spark.asof import SparkFeatureRows

FeatureSpec = dict[str, Any]
"""{"keys", "predict_at", "views": [{"kind", "domain", "name", "version", "keys", "columns": {column: output}, "max_age"}]}: plain
JSON, logged with the model."""


def feature_spec(project: Project, located: Located[WorkflowSpec]) -> FeatureSpec:
    """What a workflow's model needs looked up, in the order of its definition."""
    views: dict[tuple[str, str, str], dict[str, Any]] = {}
    for column in feature_columns(project, located):
        ref = column.ref
        entry = views.setdefault(
            (ref.kind, ref.domain, ref.name),
            {
                "kind": ref.kind,
                "domain": ref.domain,
                "name": ref.name,
                "version": getattr(spec_of(project, ref), "version", 1),
                "keys": list(column.keys),
                "columns": {},
                "max_age": render_duration(column.max_age) if column.max_age is not None else None,
            },
        )
        entry["columns"][column.column] = column.output
    return {"keys": list(located.spec.keys), "predict_at": located.spec.predict_at, "views": list(views.values())}


def feature_names(spec: FeatureSpec) -> list[str]:
    """The model's input columns, in order."""
    return [output for view in spec["views"] for output in view["columns"].values()]


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
        from resources.spark.asof import join_spine

        spark = platform.spark(domain, large=True)
        return join_spine(spark, spine, spark_lookups(platform, spark, spec, states), at=spec["predict_at"]), versions(
            platform, spec, states
        )
    # One view's rows after the other: together they are several times the result.
    lookups = (_lookup(platform, view, states) for view in spec["views"])
    return point_in_time_join(spine, lookups, at=spec["predict_at"]), versions(platform, spec, states)


def _lookup(platform: Platform, view: Mapping[str, Any], states: States) -> FeatureRows:
    located, published = _found(platform, view, states)
    event_time = located.spec.event_time
    return FeatureRows(
        name=f"{view['domain']}.{view['name']}",
        rows=_feature_rows(platform, view, located, published),
        keys=tuple(view["keys"]),
        columns=view["columns"],
        event_time=event_time,
        known_at="known_at" if event_time else None,
        max_age=_max_age(view),
        personal=_personal_of(platform.project, view),
    )


def runs_on_spark(platform: Platform, spec: FeatureSpec, states: States, rows: int) -> bool:
    """Whether looking up these features for so many rows of a spine is too much for one process."""
    return platform.is_large(states, [_view_key(view) for view in spec["views"]], rows)


def spark_lookups(platform: Platform, spark: SparkSession, spec: FeatureSpec, states: States) -> list[SparkFeatureRows]:
    """The same rows as in this process, as DataFrames of a session."""
    from resources.spark.asof import SparkFeatureRows

    found = []
    for view in spec["views"]:
        located, published = _found(platform, view, states)
        event_time = located.spec.event_time
        rows, order = _spark_rows(platform, spark, view, located, published)
        found.append(
            SparkFeatureRows(
                name=f"{view['domain']}.{view['name']}",
                rows=rows,
                keys=tuple(view["keys"]),
                columns=view["columns"],
                event_time=event_time,
                known_at="known_at" if event_time else None,
                max_age=_max_age(view),
                order=order,
                personal=_personal_of(platform.project, view),
            )
        )
    return found


def versions(platform: Platform, spec: FeatureSpec, states: States) -> dict[str, int]:
    """The Delta version of every table that a feature spec reads, by table path: the published one, or where a view's older version stands."""
    return {str(_view_key(view)): at_version(platform.lake.current(_view_key(view), states), view).version for view in spec["views"]}


def lookup_fingerprints(states: States, spec: FeatureSpec) -> dict[str, str]:
    """The fingerprint of every table that a feature spec reads, as published now."""
    found = {}
    for view in spec["views"]:
        found[str(_view_key(view))] = published_fingerprint(states, _view_key(view))
    return found


def own_fingerprints(states: States, spec: FeatureSpec) -> dict[str, str]:
    """The same for a model that stays on its versions: of a view that stands still at an older version, what comes after that doesn't count."""
    found = lookup_fingerprints(states, spec)
    for view in spec["views"]:
        place = kept_at(states.get(_view_key(view), {}), view)
        if place is not None:
            found[str(_view_key(view))] = fingerprint("kept", view["version"], place)
    return found


def standing_still(platform: Platform, spec: FeatureSpec, states: States) -> dict[str, dict[str, Any]]:
    """The views that a feature spec reads at an older version, by table path: which version, where it stands, and since when it has no new rows."""
    found = {}
    for view in spec["views"]:
        key = _view_key(view)
        place = kept_at(states.get(key, {}), view)
        if place is not None:
            found[str(key)] = {"version": view["version"], "delta_version": place, "since": _published_at(platform, key, place)}
    return found


def warn_of_standing(platform: Platform, spec: FeatureSpec, states: States, who: str) -> dict[str, dict[str, Any]]:
    """Log a warning for each view that stands still for a model; gives them, as `standing_still` does."""
    found = standing_still(platform, spec, states)
    for path, still in found.items():
        platform.log.warning(
            f"{who} reads {path} at version {still['version']}, which gets no new rows since {still['since'] or 'a newer version was computed'} "
            f"(Delta version {still['delta_version']}): its features are stale or missing for newer rows until a model of the newer version is released"
        )
    return found


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


def _view_key(view: Mapping[str, Any]) -> TableKey:
    return input_key(_ref(view))


def _ref(view: Mapping[str, Any]) -> TableRef:
    return TableRef(view["kind"], view["domain"], view["name"])


def _max_age(view: Mapping[str, Any]) -> timedelta | None:
    return parse_duration(view["max_age"]) if view["max_age"] else None


def _found(platform: Platform, view: Mapping[str, Any], states: States) -> tuple[Located[Any], Published]:
    shelf = platform.project.tables if view["kind"] == "table" else platform.project.views
    located = shelf.get((view["domain"], view["name"]))
    if located is None:
        raise SpecError(
            f"the model's feature spec names {view['domain']}.{view['name']}, which is not defined any more; put its definition back: a released "
            "model looks it up until another one without it is released"
        )
    return located, at_version(platform.lake.current(_view_key(view), states), view)


def _needed(view: Mapping[str, Any], spec: Any) -> list[str]:
    return list(dict.fromkeys([*view["keys"], *view["columns"], *([spec.event_time, "known_at"] if spec.event_time else [])]))


def _feature_rows(platform: Platform, view: Mapping[str, Any], located: Located[Any], published: Published) -> pa.Table:
    """The rows of a view with all their known versions, or of a validated table with its superseded ones."""
    import pyarrow as pa

    spec, needed = located.spec, _needed(view, located.spec)
    if view["kind"] == "table" and isinstance(spec.source, DeltaTableSource):
        return _adopted_rows(located, published, needed)
    rows = platform.lake.read(published, columns=needed, coded=view["keys"])
    if view["kind"] == "table" and spec.event_time:
        earlier = platform.lake.open(TableKey("superseded", view["domain"], view["name"]))
        if earlier is not None:
            from resources.lake.tables import read_table

            rows = pa.concat_tables([read_table(earlier, columns=needed, coded=view["keys"]).select(rows.column_names), rows])
    return rows


def _spark_rows(
    platform: Platform, spark: SparkSession, view: Mapping[str, Any], located: Located[Any], published: Published
) -> tuple[DataFrame, tuple[str, ...]]:
    """The rows of `_feature_rows` as a DataFrame, and the columns that decide between equal times: what landed last counts."""
    import pyspark.sql.functions as F

    from resources.spark.tables import read_delta

    spec, needed = located.spec, _needed(view, located.spec)
    if view["kind"] == "table" and isinstance(spec.source, DeltaTableSource):
        return adopted_frame(spark, located, published, None, None).select(*needed), ()
    rows = read_delta(spark, platform.lake.path(published.key), published.version)
    if not spec.event_time:
        return rows.select(*needed), ()
    landed = "ingested_at" if view["kind"] == "table" else LANDED
    rows = rows.select(*needed, *([landed] if landed not in needed else []))
    key = TableKey("superseded", view["domain"], view["name"])
    earlier = platform.lake.open(key) if view["kind"] == "table" else None
    if earlier is not None:
        rows = read_delta(spark, platform.lake.path(key), earlier.version()).select(*rows.columns).unionByName(rows)
    return rows.withColumn("_order", F.col(landed)), ("_order",)


def _adopted_rows(located: Located[Any], published: Published, needed: Sequence[str]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    from resources.lake.tables import open_delta, read_table

    spec = located.spec
    state = next(iter(published.partitions.values()))
    url = str(state.value["url"])
    table = open_delta(url, published.version)
    if table is None:
        raise NotPublished(f"{published.key}: no Delta table at {url}")
    declared = [name for name in needed if name != "known_at"]
    rows = read_table(table, columns=[(spec.columns[name].source or [name])[0] for name in declared]).rename_columns(declared)
    if "known_at" in needed:
        event = rows[spec.event_time].cast(pa.timestamp("us", tz="UTC"))
        rows = rows.append_column("known_at", pc.add(event, pa.scalar(spec.known_delay, pa.duration("us"))))
    return rows


def _personal_of(project: Project, view: Mapping[str, Any]) -> frozenset[str]:
    return personal_columns(project, _view_key(view).stage, located_of(project, _ref(view)))
