"""predictions: the released model applied to the spine, by partition, from the test window on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from lakeloop.errors import NotPublished
from lakeloop.fingerprint import Fingerprint, fingerprint
from lakeloop.project.personal import personal_columns
from lakeloop.project.project import Located, Project
from lakeloop.records.release import PredictionState, ReleaseState
from lakeloop.rows.types import arrow_type
from lakeloop.rows.verdicts import check_names, generate_expectations
from lakeloop.spec.partitions import FORMATS
from lakeloop.spec.tables import PARTITION, Column, Expectation
from lakeloop.spec.tasks import ALERT, PREDICTION, Answer
from lakeloop.spec.workflow import Anomaly, WorkflowSpec
from lakeloop.training.comparison import compare_answers
from lakeloop.training.frames import feature_frame
from platform_assets.stages import made_of
from platform_assets.stages.base import Platform, StageResult, key_of
from platform_assets.stages.features.lookup import (
    feature_spec,
    join_features,
    lookup_keys,
    own_fingerprints,
    runs_on_spark,
    spark_lookups,
    spine_fingerprint,
    spine_parts,
    spine_rows,
    versions,
    warn_of_standing,
)
from platform_assets.stages.metadata import column_schema, table_metadata
from platform_assets.stages.publishing import Judgement, Work, fresh_result, plan_work, publish_batch, refuse_batch, settled_states
from platform_assets.stages.stage import Check, Stage, World
from platform_assets.stages.training.version_files import load_version
from resources.lake.published import WHOLE, States
from resources.quality import run_suite
from resources.spark.scoring import score_spine

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from resources.tracking.model_format import ServableModel

CODE_VERSION = "1"
NOTHING_RELEASED = "nothing is released"
ACCOUNTING = "spine_is_accounted_for"
"""The check that every row of the spine that is asked about has its prediction: none lost, none twice."""
FIT_TOGETHER = "numbers_fit_together"
"""The check, where a row has several numbers, that they can be true together."""
MOST_OFF = 1e-6


def suite(spec: WorkflowSpec) -> list[Expectation]:
    """The generated expectations, a prediction in every row and within the range of its task, then the user's own.

    That the numbers of a row fit together (`FIT_TOGETHER`) is checked beside it.

    A partition may be empty (before the test window, or in the future): the rows are accounted for against the spine instead.
    """
    answered = spec.answer.columns
    shares = [name for name, column in answered.items() if spec.answer.kind.gives_probabilities and column.type == "double"]
    return [
        *generate_expectations(columns(spec), [*spec.keys, spec.predict_at], min_rows=None, unique="warning"),
        *(Expectation(type="expect_column_values_to_not_be_null", kwargs={"column": name}) for name in answered),
        *(
            Expectation(type="expect_column_values_to_be_between", kwargs={"column": name, "min_value": 0, "max_value": 1})
            for name in shares
        ),
        *spec.expectations.get("predictions", []),
    ]


def fit_together(answer: Answer, scores: np.ndarray) -> tuple[str, str]:
    """Whether the numbers of each row fit together: probabilities add up to one, quantiles don't cross. An outcome and a message."""
    import numpy as np

    wrong = np.abs(scores.sum(axis=1) - 1) > MOST_OFF if answer.classes else (np.diff(scores, axis=1) < 0).any(axis=1)
    what = "probabilities that don't add up to one" if answer.classes else "quantiles that cross"
    return "failed" if wrong.any() else "passed", f"{int(wrong.sum()):,} of {len(scores):,} rows have {what}"


def columns(spec: WorkflowSpec) -> dict[str, Column]:
    """The columns of a prediction."""
    return {
        **{name: Column(type="string", description="Entity key.") for name in spec.keys},
        spec.predict_at: Column(type="timestamp", nullable=False, description="When the prediction is asked for."),
        **spec.answer.columns,
        **({ALERT: Column(type="boolean", nullable=False, description=_flag(spec.anomaly))} if spec.anomaly else {}),
        "model_name": Column(type="string", nullable=False, description="Registered model."),
        "model_version": Column(type="string", nullable=False, description="Its version."),
        "feature_versions": Column(type="string", nullable=False, description="Delta version of each table that was read, as JSON."),
        "predicted_at": Column(type="timestamp", nullable=False, description="When it was computed."),
    }


def own_checks(spec: WorkflowSpec) -> list[str]:
    """The checks beside the suite and the accounting."""
    return [FIT_TOGETHER] if spec.answer.numbers else []


def _flag(anomaly: Anomaly) -> str:
    return f"Whether it is stranger than all but {anomaly.alert_rate:.2%} of the rows that the model was fitted on."


def expected(project: Project, states: States, located: Located[WorkflowSpec], partition: str) -> str:
    """The fingerprint of one partition: the released model, spine and what the model looks up.

    Raises:
        NotPublished: nothing has been decided yet.
    """
    return _fingerprint(told(project, states, located), partition)


@dataclass(frozen=True)
class Told:
    """What of a fingerprint is the same for each partition of the predictions: the values beside the partition, and all parts by name."""

    values: tuple[Any, ...]
    parts: Mapping[str, str]


def told(project: Project, states: States, located: Located[WorkflowSpec]) -> Told:
    """Read what the predictions of a workflow are made of.

    What the model looks up is in the release's state, because a workflow whose new model was refused may not name it any more; a state from
    before it was has the workflow's definition instead, which gives the same while both look up the same.
    """
    released = states.required(ReleaseState, located, "decided nothing yet").value
    looked_up = own_fingerprints(states, released.feature_spec or feature_spec(project, located))
    expectations = [e.model_dump(mode="json") for e in suite(located.spec)]
    parts = {
        **made_of.code(CODE_VERSION),
        **made_of.keys(located.spec, ("expectations",)),
        **made_of.value("the champion", released.champion),
        **spine_parts(project, located, states),
        **made_of.inputs(states, looked_up),
    }
    return Told((released.champion, spine_fingerprint(project, located, states), looked_up, expectations), parts)


def _fingerprint(said: Told, partition: str) -> Fingerprint:
    return Fingerprint(fingerprint("predictions", CODE_VERSION, partition, *said.values), said.parts)


def _expected(world: World, located: Located[WorkflowSpec], partition: str) -> str:
    said = world.once(("predictions", located.id), lambda: told(world.project, world.states, located))
    return _fingerprint(said, partition)


def predict(platform: Platform, located: Located[WorkflowSpec], partitions: Sequence[str]) -> StageResult:
    """Predict for every row of the spine in some partitions (`["whole"]` without any), rows without a label included.

    Rows before the model's test window get none: what a model was trained on says nothing of its quality.

    Raises:
        NotPublished: nothing has been decided yet, or an input has no published version.
    """
    spec, key = located.spec, key_of("predictions", located)
    states = settled_states(platform, key)
    fingerprints = {name: expected(platform.project, states, located, name) for name in partitions}
    work = plan_work(PredictionState, key, states, fingerprints, grid=spec.partitions, partitions=partitions)
    if not work.stale:
        return fresh_result(work)
    released = states.required(ReleaseState, located, "decided nothing yet").value
    if released.champion is None:
        return _nothing_released(spec, work)
    platform.tracking.wait()
    model, convert = _load_released(platform, located, released)
    rows = _asked_rows(platform, located, work, model)
    frozen_views = warn_of_standing(platform, model.feature_spec, states, f"version {model.version} of {model.name}")
    scores, versions_read = score_rows(platform, located.domain, rows.drop_columns([PARTITION]), model, states)
    scores = convert(scores)
    table = _predictions(located, rows, scores, model, versions_read)

    expectations = suite(spec)
    personal = personal_columns(platform.project, "predictions", located)
    verdict = run_suite(table.drop_columns([PARTITION]), expectations, keys=spec.keys, personal=personal)
    balanced = table.num_rows == rows.num_rows == len(scores)
    accounting = ("passed" if balanced else "failed", f"{rows.num_rows} rows of the spine, {table.num_rows} predictions")
    own = {ACCOUNTING: accounting, **({FIT_TOGETHER: fit_together(spec.answer, scores)} if spec.answer.numbers else {})}
    checks = {**{r.name: (r.outcome, r.message) for r in verdict.results}, **own}
    metadata: dict[str, Any] = {
        **table_metadata(table, personal, uri=platform.lake.path(key)),
        "model_version": model.version,
        "inputs": dg.MetadataValue.json(versions_read),
        "partitions_written": list(work.stale),
        "predicted_since": model.feature_spec.trained_until or "the beginning",
        **({"views_standing_still": dg.MetadataValue.json(frozen_views)} if frozen_views else {}),
    }
    judgement = Judgement(verdict, checks, metadata, holds=all(outcome[0] == "passed" for outcome in own.values()))
    record = PredictionState(model.version, checks=checks)
    return refuse_batch(platform, work, judgement) or publish_batch(
        platform, work, judgement, table, lambda _: record, suite=expectations, statistics=not personal
    )


def _nothing_released(spec: WorkflowSpec, work: Work) -> StageResult:
    """The result of a run before anything is released, which is an answer: there is nothing to predict with."""
    names = [*check_names(suite(spec)), ACCOUNTING, *own_checks(spec)]
    checks = dict.fromkeys(names, ("passed", NOTHING_RELEASED))
    return StageResult(work.fingerprint, rows=0, checks=checks, metadata={"skipped": NOTHING_RELEASED})


def _load_released(
    platform: Platform, located: Located[WorkflowSpec], released: ReleaseState
) -> tuple[ServableModel, Callable[[np.ndarray], np.ndarray]]:
    """The released model, and what makes its scores an answer to what the workflow asks now.

    Raises:
        NotPublished: it can't say what is asked, or from which score on a row is flagged.
    """
    spec = located.spec
    assert released.champion is not None
    model = load_version(platform, located, released.name, released.champion)
    compared = compare_answers(spec.answer, model.answer)
    if compared.convert is None:
        raise NotPublished(
            f"the released version {released.champion} of {released.name} can't say what {located.definition.file} asks: {compared.note}; "
            f"materialise the stages up to {key_of('releases', located)}"
        )
    if spec.anomaly is not None and model.alert_above is None:
        raise NotPublished(
            f"the released version {model.version} of {model.name} doesn't say from which score on a row is flagged (it was fitted without "
            f"anomaly.alert_rate); release one that does, or take the section anomaly out of {located.definition.file}"
        )
    return model, compared.convert


def _asked_rows(platform: Platform, located: Located[WorkflowSpec], work: Work, model: ServableModel) -> pa.Table:
    """The rows of the spine in stale partitions, from the end of the model's training on, with the column `_partition`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    spec = located.spec
    spine = spine_rows(platform, located, work.states)
    if spec.partitions:
        names = pc.strftime(spine[spec.predict_at], FORMATS[spec.partitions.grain])
    else:
        names = pa.chunked_array([pa.repeat(WHOLE, spine.num_rows)])
    chosen = pc.is_in(names, value_set=pa.array(list(work.stale), pa.string()))
    until = model.feature_spec.trained_until
    if until:
        moment = pa.scalar(datetime.fromisoformat(until), pa.timestamp("us", tz="UTC"))
        chosen = pc.and_(chosen, pc.greater_equal(spine[spec.predict_at], moment))
    return spine.append_column(PARTITION, names).filter(chosen)


def _predictions(
    located: Located[WorkflowSpec], rows: pa.Table, scores: np.ndarray, model: ServableModel, versions_read: Mapping[str, int]
) -> pa.Table:
    """The rows with what is predicted of each, by which model, from which versions of the features, and when."""
    import pyarrow as pa
    import pyarrow.compute as pc

    answer, count = located.spec.answer, rows.num_rows
    table = rows.drop_columns([PARTITION])
    for name, values in answer.values(scores).items():
        table = table.append_column(name, pa.array(values, arrow_type(answer.columns[name].type)))
    table = (
        table.append_column("model_name", pa.repeat(model.name, count))
        .append_column("model_version", pa.repeat(model.version, count))
        .append_column("feature_versions", pa.repeat(json.dumps(versions_read, sort_keys=True), count))
        .append_column("predicted_at", pa.repeat(pa.scalar(datetime.now(UTC), pa.timestamp("us", tz="UTC")), count))
        .append_column(PARTITION, rows[PARTITION])
    )
    if located.spec.anomaly is None:
        return table
    return table.append_column(ALERT, pc.greater(table[PREDICTION], pa.scalar(model.alert_above)))


def score_rows(platform: Platform, domain: str, rows: pa.Table, model: ServableModel, states: States) -> tuple[np.ndarray, dict[str, int]]:
    """The scores of the rows of a spine, and the Delta versions that were read: in this process, or all of it on Spark."""
    spec = model.feature_spec
    if not runs_on_spark(platform, spec, states, rows.num_rows):
        joined, versions_read = join_features(platform, domain, rows, spec, states)
        return model.predict(feature_frame(joined, spec.names)), versions_read

    spark = platform.spark(domain, large=True)
    lookups = spark_lookups(platform, spark, spec, states)
    return score_spine(spark, rows, lookups, model, at=spec.predict_at), versions(platform, spec, states)


def _checks(project: Project, located: Located[WorkflowSpec]) -> list[Check]:
    spec = located.spec
    return [
        *Check.of(suite(spec)),
        Check(ACCOUNTING, True, "a prediction for every row of the spine that is asked about, none twice"),
        *(Check(name, True, "probabilities of a row add up to one, quantiles don't cross") for name in own_checks(spec)),
    ]


STAGE = Stage(
    name="predictions",
    noun=WorkflowSpec,
    code_version=CODE_VERSION,
    run=predict,
    reads=lambda project, located: (key_of("releases", located), *lookup_keys(project, located)),
    expected=_expected,
    exists=lambda located: located.spec.batch is not None,
    partitions=lambda located: located.spec.partitions,
    checks=_checks,
    schema=lambda project, located: column_schema(columns(located.spec), personal_columns(project, "predictions", located)),
    describe=lambda located: f"{located.spec.description} Predictions of the released version for every row of the spine.",
    needs_champion=True,
)
