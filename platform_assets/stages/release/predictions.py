"""predictions: the released model applied to the spine, by partition, from the test window on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from lakeloop.errors import NotPublished
from lakeloop.fingerprint import fingerprint
from lakeloop.project.personal import personal_columns
from lakeloop.records.features import FeatureSpec
from lakeloop.rows.types import arrow_type
from lakeloop.spec.partitions import FORMATS
from lakeloop.spec.tables import PARTITION, Column, Expectation
from lakeloop.spec.tasks import ALERT, PREDICTION, Answer
from lakeloop.spec.workflow import Anomaly, WorkflowSpec
from platform_assets.stages.base import Platform, StageResult, key_of
from platform_assets.stages.check_rows import report_checks
from platform_assets.stages.features.lookup import (
    join_features,
    lookup_keys,
    own_fingerprints,
    runs_on_spark,
    spark_lookups,
    spine_fingerprint,
    spine_rows,
    versions,
    warn_of_standing,
)
from platform_assets.stages.features.view_versions import FEATURES
from platform_assets.stages.metadata import column_schema, table_metadata
from platform_assets.stages.publishing import to_retire
from platform_assets.stages.stage import Check, Stage
from resources.lake.published import WHOLE, PartitionState, States

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from lakeloop.project.project import Located, Project
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
    from lakeloop.rows.verdicts import generate_expectations

    said = spec.answer.columns
    shares = [name for name, column in said.items() if spec.answer.kind.gives_probabilities and column.type == "double"]
    return [
        *generate_expectations(columns(spec), [*spec.keys, spec.predict_at], min_rows=None, unique="warning"),
        *(Expectation(type="expect_column_values_to_not_be_null", kwargs={"column": name}) for name in said),
        *(
            Expectation(type="expect_column_values_to_be_between", kwargs={"column": name, "min_value": 0, "max_value": 1})
            for name in shares
        ),
        *spec.expectations.get("predictions", []),
    ]


def fit_together(answer: Answer, scores: np.ndarray) -> list[str]:
    """Whether the numbers of each row fit together: probabilities add up to one, quantiles don't cross. An outcome and a message."""
    import numpy as np

    wrong = np.abs(scores.sum(axis=1) - 1) > MOST_OFF if answer.classes else (np.diff(scores, axis=1) < 0).any(axis=1)
    what = "probabilities that don't add up to one" if answer.classes else "quantiles that cross"
    return ["failed" if wrong.any() else "passed", f"{int(wrong.sum()):,} of {len(scores):,} rows have {what}"]


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

    That is in the release's state, because a workflow whose new model was refused may not name it any more; a state from before it was
    has the workflow's definition instead, which gives the same while both look up the same.

    Raises:
        NotPublished: nothing has been decided yet.
    """
    from platform_assets.stages.features.lookup import feature_spec

    released = states.get(key_of("releases", located), {}).get(WHOLE)
    if released is None:
        raise NotPublished(f"{key_of('releases', located)} has decided nothing yet; materialise it first")
    recorded = released.value.get(FEATURES)
    lookups = FeatureSpec.from_record(recorded) if recorded else feature_spec(project, located)
    return fingerprint(
        "predictions",
        CODE_VERSION,
        partition,
        released.value["champion"],
        spine_fingerprint(project, located, states),
        own_fingerprints(states, lookups),
        [e.model_dump(mode="json") for e in suite(located.spec)],
    )


def predict(platform: Platform, located: Located[WorkflowSpec], partitions: Sequence[str]) -> StageResult:
    """Predict for every row of the spine in some partitions (`["whole"]` without any), rows without a label included.

    Rows before the model's test window get none: what a model was trained on says nothing of its quality.

    Raises:
        NotPublished: nothing has been decided yet, or an input has no published version.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    from lakeloop.rows.verdicts import check_names, suite_hash
    from lakeloop.training.comparison import compare_answers
    from resources.quality import run_suite
    from resources.tracking.model_format import load_model

    spec, key = located.spec, key_of("predictions", located)
    platform.lake.settle(key)
    states = platform.lake.states()
    wanted = {name: expected(platform.project, states, located, name) for name in partitions}
    overall = fingerprint(wanted)
    done = states.get(key, {})
    gone = to_retire(key, spec.partitions, done, partitions)
    stale = [name for name in partitions if gone or name not in done or done[name].fingerprint != wanted[name]]
    if not stale:
        newest = max((done[name] for name in partitions), key=lambda s: s.version)
        return StageResult(overall, fresh=True, rows=sum(done[n].rows for n in partitions), checks=newest.value.get("checks", {}))
    released = states[key_of("releases", located)][WHOLE].value
    if released["champion"] is None:
        return StageResult(
            overall,
            rows=0,
            checks={n: ["passed", NOTHING_RELEASED] for n in [*check_names(suite(spec)), ACCOUNTING, *own_checks(spec)]},
            metadata={"skipped": NOTHING_RELEASED},
        )

    platform.tracking.wait()
    model = load_model(f"models:/{released['name']}/{released['champion']}", platform.settings.tracking_uri)
    compared = compare_answers(spec.answer, model.answer)
    if compared.convert is None:
        raise NotPublished(
            f"the released version {released['champion']} of {released['name']} can't say what {located.definition.file} asks: {compared.note}; "
            f"materialise the stages up to {key_of('releases', located)}"
        )
    spine = spine_rows(platform, located, states)
    if spec.partitions:
        names = pc.strftime(spine[spec.predict_at], FORMATS[spec.partitions.grain])
    else:
        names = pa.chunked_array([pa.repeat(WHOLE, spine.num_rows)])
    chosen = pc.is_in(names, value_set=pa.array(stale, pa.string()))
    since = model.feature_spec.trained_until
    if since:
        moment = pa.scalar(datetime.fromisoformat(since), pa.timestamp("us", tz="UTC"))
        chosen = pc.and_(chosen, pc.greater_equal(spine[spec.predict_at], moment))
    rows, names = spine.filter(chosen), pc.filter(names, chosen)
    still = warn_of_standing(platform, model.feature_spec, states, f"version {model.version} of {model.name}")
    scores, read = score_rows(platform, located.domain, rows, model, states)
    scores = compared.convert(scores)
    count = rows.num_rows
    table = rows
    for name, values in spec.answer.values(scores).items():
        table = table.append_column(name, pa.array(values, arrow_type(spec.answer.columns[name].type)))
    table = (
        table.append_column("model_name", pa.repeat(model.name, count))
        .append_column("model_version", pa.repeat(model.version, count))
        .append_column("feature_versions", pa.repeat(json.dumps(read, sort_keys=True), count))
        .append_column("predicted_at", pa.repeat(pa.scalar(datetime.now(UTC), pa.timestamp("us", tz="UTC")), count))
        .append_column(PARTITION, names)
    )
    if spec.anomaly is not None:
        if model.alert_above is None:
            raise NotPublished(
                f"the released version {model.version} of {model.name} doesn't say from which score on a row is flagged (it was fitted without "
                f"anomaly.alert_rate); release one that does, or take the section anomaly out of {located.definition.file}"
            )
        table = table.append_column(ALERT, pc.greater(table[PREDICTION], pa.scalar(model.alert_above)))
    expectations = suite(spec)
    personal = personal_columns(platform.project, "predictions", located)
    verdict = run_suite(table.drop_columns([PARTITION]), expectations, keys=spec.keys, personal=personal)
    checks: dict[str, Any] = {r.name: [r.outcome, r.message] for r in verdict.results}
    balanced = table.num_rows == count == len(scores)
    checks[ACCOUNTING] = ["passed" if balanced else "failed", f"{count} rows of the spine, {table.num_rows} predictions"]
    if spec.answer.numbers:
        checks[FIT_TOGETHER] = fit_together(spec.answer, scores)
        balanced = balanced and checks[FIT_TOGETHER][0] == "passed"
    metadata: dict[str, Any] = {
        **table_metadata(table, personal, uri=platform.lake.path(key)),
        "model_version": model.version,
        "inputs": dg.MetadataValue.json(read),
        "partitions_written": stale,
        **({"partitions_retired": gone} if gone else {}),
        "predicted_since": since or "the beginning",
        **({"views_standing_still": dg.MetadataValue.json(still)} if still else {}),
    }
    good = verdict.passed and balanced
    report_checks(platform, key, verdict, stale, overall, done=done, published=good)
    if not good:
        return StageResult(overall, rows=0, verdict=verdict, checks=checks, metadata=metadata, refused="a blocking expectation failed")
    sizes = {row[PARTITION]: row["count_all"] for row in table.group_by([PARTITION]).aggregate([([], "count_all")]).to_pylist()}
    hashed = suite_hash(expectations)
    new = [
        PartitionState(n, wanted[n], rows=sizes.get(n, 0), suite_hash=hashed, value={"checks": checks, "model_version": model.version})
        for n in stale
    ]
    published = platform.lake.publish(key, table, new, run_id=platform.run_id, after=done, retire=gone, statistics=not personal)
    total = sum(published.partitions[name].rows for name in partitions)
    return StageResult(
        overall,
        rows=total,
        verdict=verdict,
        checks=checks,
        metadata={**metadata, "delta_version": published.version, "dagster/row_count": total},
    )


def score_rows(platform: Platform, domain: str, rows: pa.Table, model: ServableModel, states: States) -> tuple[np.ndarray, dict[str, int]]:
    """The scores of the rows of a spine, and the Delta versions that were read: in this process, or all of it on Spark."""
    from lakeloop.training.frames import feature_frame

    spec = model.feature_spec
    if not runs_on_spark(platform, spec, states, rows.num_rows):
        joined, read = join_features(platform, domain, rows, spec, states)
        return model.predict(feature_frame(joined, spec.names)), read
    from resources.spark.scoring import score_spine

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
    expected=lambda world, located, partition: expected(world.project, world.states, located, partition),
    exists=lambda located: located.spec.batch is not None,
    partitions=lambda located: located.spec.partitions,
    checks=_checks,
    schema=lambda project, located: column_schema(columns(located.spec), personal_columns(project, "predictions", located)),
    describe=lambda located: f"{located.spec.description} Predictions of the released version for every row of the spine.",
    needs_champion=True,
)
