"""training_sets: the spine with its label and features, each as known at `predict_at`, and the split every row belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

from lakeloop.errors import DataError
from lakeloop.fingerprint import fingerprint
from lakeloop.project.personal import personal_columns
from lakeloop.project.project import Located, Project, feature_columns
from lakeloop.spec.tables import Column, Expectation
from lakeloop.spec.workflow import WorkflowSpec
from lakeloop.training.labels import label_column
from platform_assets.stages.base import Platform, StageResult, key_of
from platform_assets.stages.check_rows import report_checks
from platform_assets.stages.features.lookup import (
    feature_spec,
    join_features,
    lookup_fingerprints,
    lookup_keys,
    published_fingerprint,
    spine_fingerprint,
    spine_rows,
)
from platform_assets.stages.features.view_versions import cited_views
from platform_assets.stages.metadata import column_schema, figures, markdown_table, table_metadata
from platform_assets.stages.stage import Check, Stage
from resources.lake.published import WHOLE, PartitionState, States, TableKey

if TYPE_CHECKING:
    import pyarrow as pa

    from lakeloop.project.project import Located, Project

CODE_VERSION = "1"
LABEL, LABEL_KNOWN_AT, SPLIT = "label", "label_known_at", "split"
ACCOUNTING = "spine_is_accounted_for"
"""The check that the training set has the rows of the spine: none lost, none twice."""


def label_key(project: Project, located: Located[WorkflowSpec]) -> TableKey | None:
    """Where the label's rows stand; None where there is no label."""
    from lakeloop.project.project import label_view

    view = label_view(project, located)
    return TableKey("features", view.domain, view.spec.name) if view else None


def suite(project: Project, located: Located[WorkflowSpec]) -> list[Expectation]:
    """The generated expectations, a spine without missing times, a label at all, then the user's own.

    The same entity may be asked about twice at one time (both rows stay), so that this is only pointed out.
    """
    from lakeloop.rows.verdicts import generate_expectations

    spec = located.spec
    return [
        *generate_expectations(training_columns(project, located), [*spec.keys, spec.predict_at], unique="warning"),
        Expectation(type="expect_column_values_to_not_be_null", kwargs={"column": spec.predict_at}),
        *(
            [Expectation(type="expect_column_values_to_not_be_null", kwargs={"column": LABEL, "mostly": 0.01})]
            if spec.answer.kind.label != "none"
            else []
        ),
        Expectation(
            type="expect_column_values_to_be_in_set",
            kwargs={"column": SPLIT, "value_set": ["before", "train", "gap", "validation", "test", "unlabelled", "after"]},
        ),
        *spec.expectations.get("training_set", []),
    ]


def expected(project: Project, states: States, located: Located[WorkflowSpec]) -> str:
    """The fingerprint of a training set: spine, label, features and split."""
    spec = located.spec
    return fingerprint(
        "training_set",
        CODE_VERSION,
        spine_fingerprint(project, located, states),
        spec.label,
        published_fingerprint(states, labels) if (labels := label_key(project, located)) else "",
        feature_spec(project, located).record(),
        lookup_fingerprints(states, feature_spec(project, located)),
        spec.split,
        spec.task,
        [e.model_dump(mode="json") for e in suite(project, located)],
    )


def build(platform: Platform, located: Located[WorkflowSpec]) -> StageResult:
    """Join spine, label and features, assign the split, check and publish.

    Raises:
        NotPublished: an input has no published version.
        DataError: the history is too short for the split.
        SpecError: the label has a value that isn't declared, or isn't what the task takes.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from lakeloop.report.plots import plot_rows_over_time
    from lakeloop.rows.verdicts import suite_hash
    from lakeloop.training.splits import assign_split
    from resources.host.memory import release_memory
    from resources.quality import run_suite

    spec, key = located.spec, key_of("training_sets", located)
    platform.lake.settle(key)
    states = platform.lake.states()
    wanted = expected(platform.project, states, located)
    done = states.get(key, {}).get(WHOLE)
    if done and done.fingerprint == wanted:
        return StageResult(wanted, fresh=True, rows=done.rows, checks=done.value.get("checks", {}))

    spine = spine_rows(platform, located, states)
    release_memory(spine.nbytes)
    lookups = feature_spec(platform.project, located)
    joined, versions = join_features(platform, located.domain, spine, lookups, states)
    label, known = _labels(platform, located, spine, versions, states)
    table = joined.append_column(LABEL, label).append_column(LABEL_KNOWN_AT, known)
    at = table[spec.predict_at].to_numpy().astype("datetime64[us]")
    # Where no label is learnt from, the windows are walked back from the newest row.
    counts = np.asarray(pc.is_valid(table[LABEL])) if spec.answer.kind.label != "none" else np.ones(table.num_rows, bool)
    split, windows = assign_split(at, counts, spec.split)
    table = table.append_column(SPLIT, pa.array(split, pa.string()))
    picture = plot_rows_over_time(at, split).file
    del split, joined, label, known, at

    expectations = suite(platform.project, located)
    personal = personal_columns(platform.project, "training_sets", located)
    verdict = run_suite(table, expectations, keys=spec.keys, personal=personal)
    balanced = table.num_rows == spine.num_rows
    checks: dict[str, Any] = {r.name: [r.outcome, r.message] for r in verdict.results}
    checks[ACCOUNTING] = ["passed" if balanced else "failed", f"{spine.num_rows} rows of the spine, {table.num_rows} of the training set"]
    counted = {row[SPLIT]: row["count_all"] for row in table.group_by([SPLIT]).aggregate([([], "count_all")]).to_pylist()}
    metadata: dict[str, Any] = {
        **table_metadata(table, personal, uri=platform.lake.path(key)),
        "split": dg.MetadataValue.md(
            markdown_table(
                [{"split": name, "rows": counted.get(name, 0), "from": str(w.start), "to": str(w.end)} for name, w in windows.items()]
                + [{"split": name, "rows": n, "from": "", "to": ""} for name, n in sorted(counted.items()) if name not in windows]
            )
        ),
        "rows_without_label": counted.get("unlabelled", 0),
        "inputs": dg.MetadataValue.json(versions),
        "plots": figures({"rows over time by split": picture}),
    }
    good = verdict.passed and balanced
    report_checks(platform, key, verdict, [WHOLE], wanted, done={WHOLE: done} if done else {}, published=good)
    if not good:
        return StageResult(wanted, rows=0, verdict=verdict, checks=checks, metadata=metadata, refused="a blocking expectation failed")
    value = {
        "checks": checks,
        "inputs": versions,
        "feature_spec": lookups.record(),
        "cites": cited_views(states, lookups),
        "windows": {name: [str(w.start), str(w.end)] for name, w in windows.items()},
        "rows": counted,
    }
    state = PartitionState(WHOLE, wanted, rows=table.num_rows, suite_hash=suite_hash(expectations), value=value)
    published = platform.lake.publish(
        key, table, [state], run_id=platform.run_id, after={WHOLE: done} if done else {}, statistics=not personal
    )
    metadata["delta_version"] = published.version
    return StageResult(wanted, rows=table.num_rows, verdict=verdict, checks=checks, metadata=metadata)


def _labels(
    platform: Platform, located: Located[WorkflowSpec], spine: pa.Table, versions: dict[str, int], states: States
) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """The label of each row of the spine, and when it was known; the version that was read is added to `versions`."""
    import pyarrow as pa

    from lakeloop.rows.asof import join_exact
    from lakeloop.training.labels import label_values

    spec, key = located.spec, label_key(platform.project, located)
    if key is None or spec.label is None:
        return pa.chunked_array([pa.nulls(spine.num_rows, pa.float64())]), spine[spec.predict_at]
    label_published = platform.lake.current(key, states)
    versions[str(label_published.key)] = label_published.version
    label_view = platform.project.views[(label_published.key.domain, label_published.key.name)]
    view, personal = label_view.spec, personal_columns(platform.project, "features", label_view)
    times = ["known_at"] if view.event_time else []
    label_rows = platform.lake.read(label_published, columns=list(dict.fromkeys([*view.keys, spec.label.column, *times])))
    labels = join_exact(
        spine,
        label_rows,
        on=view.keys,
        columns={spec.label.column: LABEL, **({"known_at": LABEL_KNOWN_AT} if times else {})},
        known_at="known_at" if times else None,
        personal=personal,
    )
    try:
        label = label_values(labels[LABEL], spec.answer, personal=spec.label.column in personal)
    except DataError as error:
        declared = ("label", "classes") if spec.label.classes else ("label", "column")
        raise located.definition.error(f"{spec.label.view}.{spec.label.column}: {error}", *declared) from error
    return label, labels[LABEL_KNOWN_AT] if times else spine[spec.predict_at]


def training_columns(project: Project, located: Located[WorkflowSpec]) -> dict[str, Column]:
    """The columns of a training set, described as in the views they come from."""
    spec = located.spec
    columns = {name: Column(type="string", description="Entity key.") for name in spec.keys}
    columns[spec.predict_at] = Column(type="timestamp", nullable=False, description="When the prediction is asked for.")
    for feature in feature_columns(project, located):
        columns[feature.output] = Column(type=feature.type, description=feature.description, unit=feature.unit)
    told = f"{spec.label.view}.{spec.label.column}; null while it isn't known." if spec.label else "There is none."
    columns[LABEL] = label_column(spec.answer, told)
    columns[LABEL_KNOWN_AT] = Column(type="timestamp", description="When the label was known.")
    columns[SPLIT] = Column(type="string", nullable=False, description="Window that the row belongs to.")
    return columns


def _reads(project: Project, located: Located[WorkflowSpec]) -> list[TableKey]:
    label = label_key(project, located)
    return list(dict.fromkeys([*lookup_keys(project, located), *([label] if label else [])]))


def _checks(project: Project, located: Located[WorkflowSpec]) -> list[Check]:
    return [*Check.of(suite(project, located)), Check(ACCOUNTING, True, "the rows of the spine, none lost, none twice")]


STAGE = Stage(
    name="training_sets",
    noun=WorkflowSpec,
    code_version=CODE_VERSION,
    run=lambda platform, located, _: build(platform, located),
    reads=_reads,
    expected=lambda world, located, _: expected(world.project, world.states, located),
    checks=_checks,
    schema=lambda project, located: column_schema(training_columns(project, located), personal_columns(project, "training_sets", located)),
    describe=lambda located: (
        f"{located.spec.description} The spine with its label, and every feature as it was known at {located.spec.predict_at}."
    ),
)
