"""training_sets: the spine with its label and features, each as known at `predict_at`, and the split every row belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import dagster as dg
import numpy as np

from lakeloop.errors import DataError
from lakeloop.fingerprint import Fingerprint, fingerprint, short_hash
from lakeloop.project.personal import personal_columns
from lakeloop.project.project import Located, Project, feature_columns, label_view
from lakeloop.records.features import FeatureSpec
from lakeloop.records.tables import ViewState
from lakeloop.records.training import Citation, TrainingSetState
from lakeloop.report.plots import plot_rows_over_time
from lakeloop.rows.asof import join_exact
from lakeloop.rows.verdicts import generate_expectations
from lakeloop.spec.tables import Column, Expectation
from lakeloop.spec.workflow import WorkflowSpec
from lakeloop.training.labels import label_column, label_values
from lakeloop.training.splits import APART, Window, assign_split
from platform_assets.stages import made_of
from platform_assets.stages.base import Platform, StageResult, key_of
from platform_assets.stages.features.lookup import (
    feature_spec,
    join_features,
    lookup_fingerprints,
    lookup_keys,
    published_fingerprint,
    spine_fingerprint,
    spine_parts,
    spine_rows,
)
from platform_assets.stages.features.view_versions import cited_views
from platform_assets.stages.metadata import column_schema, figures, markdown_table, table_metadata
from platform_assets.stages.publishing import Judgement, fresh_result, plan_work, publish_batch, refuse_batch, settled_states
from platform_assets.stages.stage import Check, Stage
from platform_assets.stages.training.groups import groups_of
from platform_assets.stages.training.whole_steps import check_steps, steps_checks, with_steps_check
from resources.host.memory import release_memory
from resources.lake.published import WHOLE, States, TableKey
from resources.quality import run_suite

if TYPE_CHECKING:
    import pyarrow as pa

CODE_VERSION = "1"
LABEL, LABEL_KNOWN_AT, SPLIT = "label", "label_known_at", "split"
ACCOUNTING = "spine_is_accounted_for"
"""The check that the training set has the rows of the spine: none lost, none twice."""


def suite(project: Project, located: Located[WorkflowSpec]) -> list[Expectation]:
    """The generated expectations, a spine without missing times, a label at all, then the user's own.

    The same entity may be asked about twice at one time (both rows stay), so that this is only pointed out.
    """
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
            kwargs={
                "column": SPLIT,
                "value_set": [
                    "before",
                    "train",
                    "gap",
                    "validation",
                    "test",
                    "unlabelled",
                    "after",
                    *([APART] if spec.split.group else []),
                ],
            },
        ),
        *spec.expectations.get("training_set", []),
    ]


def expected(project: Project, states: States, located: Located[WorkflowSpec]) -> str:
    """The fingerprint of a training set: spine, label, features and split."""
    spec, label, lookups = located.spec, label_view(project, located), feature_spec(project, located)
    whole = fingerprint(
        "training_set",
        CODE_VERSION,
        spine_fingerprint(project, located, states),
        spec.label,
        published_fingerprint(states, key_of(ViewState.stage, label)) if label else "",
        lookups.record(),
        lookup_fingerprints(states, lookups),
        spec.split,
        *(["static"] if spec.split.group and spec.evaluation.static else []),
        spec.task,
        [expectation.model_dump(mode="json") for expectation in suite(project, located)],
    )
    parts = {
        **made_of.code(CODE_VERSION),
        **made_of.keys(spec, ("label", "split", "task", "expectations")),
        "definition.features": short_hash(lookups.record()),
        **spine_parts(project, located, states),
        **made_of.inputs(states, lookup_fingerprints(states, lookups)),
        **(made_of.upstream(states, key_of(ViewState.stage, label)) if label else {}),
    }
    return Fingerprint(whole, parts)


def build(platform: Platform, located: Located[WorkflowSpec]) -> StageResult:
    """Join spine, label and features, assign the split, check and publish.

    Raises:
        NotPublished: an input has no published version.
        DataError: the history is too short for the split.
        SpecError: the label has a value that isn't declared, or isn't what the task takes.
    """
    project, key = platform.project, key_of(TrainingSetState.stage, located)
    states = settled_states(platform, key)
    current = expected(project, states, located)
    work = plan_work(TrainingSetState, key, states, {WHOLE: current}, whole=current)
    if not work.stale:
        return with_steps_check(fresh_result(work), located.spec)

    lookups = feature_spec(project, located)
    rows = _join_rows(platform, located, lookups, states)
    expectations, personal = suite(project, located), personal_columns(project, TrainingSetState.stage, located)
    verdict = run_suite(rows.table, expectations, keys=located.spec.keys, personal=personal)
    counts = _rows_by_split(rows.table)
    metadata = {
        **table_metadata(rows.table, personal, uri=platform.lake.path(key)),
        "split": dg.MetadataValue.md(_split_table(rows.windows, counts)),
        "rows_without_label": counts.get("unlabelled", 0),
        "inputs": dg.MetadataValue.json(rows.versions),
        "plots": figures({"rows over time by split": rows.plot}),
    }
    checks = {result.name: (result.outcome, result.message) for result in verdict.results}
    checks[ACCOUNTING] = (
        "passed" if rows.are_those_of_the_spine else "failed",
        f"{rows.spine_rows} rows of the spine, {rows.table.num_rows} of the training set",
    )
    checks |= check_steps(rows.table, located.spec, LABEL)
    judgement = Judgement(verdict, checks, metadata, holds=rows.are_those_of_the_spine)
    refused = refuse_batch(platform, work, judgement)
    if refused is not None:
        return refused
    state = TrainingSetState(
        checks=checks,
        feature_spec=lookups,
        inputs=rows.versions,
        cites=Citation.by_view(cited_views(states, lookups)),
        windows={name: (str(window.start), str(window.end)) for name, window in rows.windows.items()},
        rows=counts,
    )
    return publish_batch(platform, work, judgement, rows.table, lambda _: state, suite=expectations, statistics=not personal)


@dataclass(frozen=True)
class TrainingRows:
    """The rows of a training set, and what they were made from.

    Attributes:
        table: a row per row of the spine, with features, label and split.
        spine_rows: rows of the spine.
        versions: the Delta version that was read of each table, by its path.
        windows: of the split by name, in order of time.
        plot: rows over time by split, as SVG.
    """

    table: pa.Table
    spine_rows: int
    versions: dict[str, int]
    windows: Mapping[str, Window]
    plot: str

    @property
    def are_those_of_the_spine(self) -> bool:
        """Whether none was lost and none is there twice."""
        return bool(self.table.num_rows == self.spine_rows)


class Labels(NamedTuple):
    """The label of each row of a spine, when it was known, and the Delta version that was read, by the table's path."""

    values: pa.ChunkedArray
    known_at: pa.ChunkedArray
    versions: Mapping[str, int]


def _join_rows(platform: Platform, located: Located[WorkflowSpec], lookups: FeatureSpec, states: States) -> TrainingRows:
    """Look up features and label for the spine, and assign the split."""
    import pyarrow as pa
    import pyarrow.compute as pc

    spec = located.spec
    spine = spine_rows(platform, located, states)
    release_memory(spine.nbytes)
    joined, versions = join_features(platform, located.domain, spine, lookups, states)
    labels = _read_labels(platform, located, spine, states)
    table = joined.append_column(LABEL, labels.values).append_column(LABEL_KNOWN_AT, labels.known_at)
    at = table[spec.predict_at].to_numpy().astype("datetime64[us]")
    # Where no label is learnt from, the windows are counted back from the newest row.
    counts = np.asarray(pc.is_valid(table[LABEL])) if spec.answer.kind.label != "none" else np.ones(table.num_rows, bool)
    groups = groups_of(spec, table, lookups.names)
    split, windows = assign_split(at, counts, spec.split, groups, static=spec.evaluation.static)
    table = table.append_column(SPLIT, pa.array(split, pa.string()))
    return TrainingRows(table, spine.num_rows, {**versions, **labels.versions}, windows, plot_rows_over_time(at, split).file)


def _read_labels(platform: Platform, located: Located[WorkflowSpec], spine: pa.Table, states: States) -> Labels:
    """Look up the label of each row of the spine; without a label all are null, and known when they are asked for.

    Raises:
        NotPublished: the label's view has no published version.
        SpecError: a label has a value that isn't declared, or isn't what the task takes.
    """
    import pyarrow as pa

    spec, view = located.spec, label_view(platform.project, located)
    if view is None or spec.label is None:
        return Labels(pa.chunked_array([pa.nulls(spine.num_rows, pa.float64())]), spine[spec.predict_at], {})
    published = platform.lake.current(key_of(ViewState.stage, view), states)
    personal = personal_columns(platform.project, ViewState.stage, view)
    times = ["known_at"] if view.spec.event_time else []
    rows = join_exact(
        spine,
        platform.lake.read(published, columns=list(dict.fromkeys([*view.spec.keys, spec.label.column, *times]))),
        on=view.spec.keys,
        columns={spec.label.column: LABEL, **({"known_at": LABEL_KNOWN_AT} if times else {})},
        known_at="known_at" if times else None,
        personal=personal,
    )
    try:
        values = label_values(rows[LABEL], spec.answer, personal=spec.label.column in personal)
    except DataError as error:
        declared = ("label", "classes") if spec.label.classes else ("label", "column")
        raise located.definition.error(f"{spec.label.view}.{spec.label.column}: {error}", *declared) from error
    known_at = rows[LABEL_KNOWN_AT] if times else spine[spec.predict_at]
    return Labels(values, known_at, {str(published.key): published.version})


def _rows_by_split(table: pa.Table) -> dict[str, int]:
    return {row[SPLIT]: row["count_all"] for row in table.group_by([SPLIT]).aggregate([([], "count_all")]).to_pylist()}


def _split_table(windows: Mapping[str, Window], counts: Mapping[str, int]) -> str:
    """Windows and rows by split as a Markdown table: the windows in order of time, then what lies outside of them."""
    inside = [{"split": name, "rows": counts.get(name, 0), "from": str(w.start), "to": str(w.end)} for name, w in windows.items()]
    outside = [{"split": name, "rows": rows, "from": "", "to": ""} for name, rows in sorted(counts.items()) if name not in windows]
    return markdown_table([*inside, *outside])


def training_columns(project: Project, located: Located[WorkflowSpec]) -> dict[str, Column]:
    """The columns of a training set, described as in the views they come from."""
    spec = located.spec
    columns = {name: Column(type="string", description="Entity key.") for name in spec.keys}
    columns[spec.predict_at] = Column(type="timestamp", nullable=False, description="When the prediction is asked for.")
    for feature in feature_columns(project, located):
        columns[feature.output] = Column(type=feature.type, description=feature.description, unit=feature.unit)
    source = f"{spec.label.view}.{spec.label.column}; null while it isn't known." if spec.label else "There is none."
    columns[LABEL] = label_column(spec.answer, source)
    columns[LABEL_KNOWN_AT] = Column(type="timestamp", description="When the label was known.")
    columns[SPLIT] = Column(type="string", nullable=False, description="Window that the row belongs to.")
    return columns


def _reads(project: Project, located: Located[WorkflowSpec]) -> list[TableKey]:
    label = label_view(project, located)
    return list(dict.fromkeys([*lookup_keys(project, located), *([key_of(ViewState.stage, label)] if label else [])]))


def _checks(project: Project, located: Located[WorkflowSpec]) -> list[Check]:
    accounting = Check(ACCOUNTING, True, "the rows of the spine, none lost, none twice")
    return [*Check.of(suite(project, located)), accounting, *steps_checks(located.spec)]


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
