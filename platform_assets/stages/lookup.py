"""The one way features are looked up: a spine, and for each view or table the rows as they were known.

Training sets, batch predictions and the comparison with a champion all come through here, by the feature spec that also travels in
the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lakeloop.asof import FeatureRows, point_in_time_join
from lakeloop.errors import DataError, SpecError, nearest
from lakeloop.fingerprint import fingerprint
from lakeloop.spec import DeltaTableSource, WorkflowSpec, parse_duration, render_duration
from platform_assets.stages.base import Platform, States, input_key, run_sql
from platform_assets.stages.view_versions import at_version
from resources.lake import Published, TableKey

if TYPE_CHECKING:
    import pyarrow as pa

    from lakeloop.project import Located, Project, TableRef

FeatureSpec = dict[str, Any]
"""{"keys", "predict_at", "views": [{"kind", "domain", "name", "version", "keys", "columns": {column: output}, "max_age"}]}: plain
JSON, logged with the model."""


def feature_spec(project: Project, located: Located[WorkflowSpec]) -> FeatureSpec:
    """What a workflow's model needs looked up, in the order of its definition."""
    from lakeloop.project import feature_columns

    views: dict[tuple[str, str, str], dict[str, Any]] = {}
    for column in feature_columns(project, located):
        ref = column.ref
        entry = views.setdefault(
            (ref.kind, ref.domain, ref.name),
            {
                "kind": ref.kind,
                "domain": ref.domain,
                "name": ref.name,
                "version": getattr(_spec_of(project, ref), "version", 1),
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


def spine_rows(platform: Platform, located: Located[WorkflowSpec], states: States) -> pa.Table:
    """Who is asked about, and when: keys and `predict_at`, in order of time and keys, duplicates kept.

    Raises:
        DataError: a column is missing, or `predict_at` is null or no time.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    from lakeloop.project import spine_upstream

    spec = located.spec
    path = (located.folder / spec.spine).resolve()
    result = run_sql(platform, states, path.read_text(), spine_upstream(platform.project, located))
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


def join_features(platform: Platform, spine: pa.Table, spec: FeatureSpec, states: States) -> tuple[pa.Table, dict[str, int]]:
    """Add the features to a spine, each as it was known at `predict_at`.

    Returns:
        The spine's rows in their order with one column per feature, and the Delta versions that were read, by table path.
    """
    versions: dict[str, int] = {}
    lookups = []
    for view in spec["views"]:
        key = TableKey("validated" if view["kind"] == "table" else "features", view["domain"], view["name"])
        published = at_version(platform.lake.current(key, states), view)
        versions[str(key)] = published.version
        rows, event_time = _feature_rows(platform, view, published)
        lookups.append(
            FeatureRows(
                name=f"{view['domain']}.{view['name']}",
                rows=rows,
                keys=tuple(view["keys"]),
                columns=view["columns"],
                event_time=event_time,
                known_at="known_at" if event_time else None,
                max_age=parse_duration(view["max_age"]) if view["max_age"] else None,
            )
        )
    return point_in_time_join(spine, lookups, at=spec["predict_at"]), versions


def lookup_fingerprints(states: States, spec: FeatureSpec) -> dict[str, str]:
    """The fingerprint of every table that a feature spec reads, as published now."""
    found = {}
    for view in spec["views"]:
        key = TableKey("validated" if view["kind"] == "table" else "features", view["domain"], view["name"])
        found[str(key)] = published_fingerprint(states, key)
    return found


def published_fingerprint(states: States, key: TableKey) -> str:
    """One fingerprint of all published partitions of a table; empty when there are none."""
    return fingerprint({name: state.fingerprint for name, state in states.get(key, {}).items()})


def spine_fingerprint(project: Project, located: Located[WorkflowSpec], states: States) -> str:
    """The fingerprint of a workflow's spine: its SQL and the tables that it reads."""
    from lakeloop.project import spine_upstream

    text = (located.folder / located.spec.spine).resolve().read_text()
    inputs = {str(input_key(ref)): published_fingerprint(states, input_key(ref)) for ref in spine_upstream(project, located)}
    return fingerprint(text, list(located.spec.keys), located.spec.predict_at, inputs)


def _feature_rows(platform: Platform, view: Mapping[str, Any], published: Published) -> tuple[pa.Table, str | None]:
    """The rows of a view with all their known versions, or of a validated table with its superseded ones."""
    import pyarrow as pa

    ref_specs = platform.project.tables if view["kind"] == "table" else platform.project.views
    located = ref_specs.get((view["domain"], view["name"]))
    if located is None:
        raise SpecError(f"the model's feature spec names {view['domain']}.{view['name']}, which is not defined any more")
    spec = located.spec
    needed = [*view["keys"], *view["columns"]]
    if spec.event_time:
        needed += [spec.event_time, "known_at"]
    needed = list(dict.fromkeys(needed))
    if view["kind"] == "table" and isinstance(spec.source, DeltaTableSource):
        return _adopted_rows(platform, located, published, needed), spec.event_time
    rows = platform.lake.read(published, columns=needed)
    if view["kind"] == "table" and spec.event_time:
        earlier = platform.lake.open(TableKey("superseded", view["domain"], view["name"]))
        if earlier is not None:
            from resources.lake import read_table

            rows = pa.concat_tables([read_table(earlier, columns=needed).select(rows.column_names), rows])
    return rows, spec.event_time


def _adopted_rows(platform: Platform, located: Located[Any], published: Published, needed: Sequence[str]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc
    from deltalake import DeltaTable

    from resources.lake import read_table

    spec = located.spec
    state = next(iter(published.partitions.values()))
    table = DeltaTable(str(state.value["url"]), version=published.version, storage_options=platform.lake.storage_options or None)
    declared = [name for name in needed if name != "known_at"]
    rows = read_table(table, columns=[(spec.columns[name].source or [name])[0] for name in declared]).rename_columns(declared)
    if "known_at" in needed:
        rows = rows.append_column("known_at", pc.add(rows[spec.event_time], pa.scalar(spec.known_delay, pa.duration("us"))))
    return rows


def _spec_of(project: Project, ref: TableRef) -> Any:
    return (project.tables if ref.kind == "table" else project.views)[(ref.domain, ref.name)].spec
