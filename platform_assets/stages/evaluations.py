"""evaluations: how good a model version is on later time that it wasn't trained on, beside baselines and the champion.

Everything is a row of `reports/metrics` and `reports/slices`; the gates are Great Expectations on the metrics.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from lakeloop.errors import NotPublished
from lakeloop.fingerprint import fingerprint
from lakeloop.spec import Gate, WorkflowSpec
from platform_assets.stages.base import Platform, StageResult, States, figures, key_of, markdown_table
from platform_assets.stages.lookup import feature_names, feature_spec, join_features
from platform_assets.stages.models import fit_rows
from platform_assets.stages.training_set import LABEL, SPLIT
from resources.lake import WHOLE, PartitionState

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from lakeloop.metrics import MetricValue
    from lakeloop.project import Located
    from resources.model_format import ServableModel

CODE_VERSION = "1"
CHAMPION_GATE = "champion"
METRICS_TABLE, SLICES_TABLE = "reports/metrics", "reports/slices"
LEAST_COMMON_ROWS = 100
"""Fewer rows than this say nothing about which of two models is better."""


def metric_gates(spec: WorkflowSpec) -> dict[str, Gate]:
    """The gates on the model's own metrics; the comparison with the champion stands apart."""
    return {name: gate for name, gate in spec.gates.items() if name != CHAMPION_GATE}


def opponent(states: States, located: Located[WorkflowSpec]) -> str | None:
    """The champion that a new model is held against: the released version, unless that is the model itself.

    A model that has been released since its evaluation keeps the opponent it was evaluated with.
    """
    released = states.get(key_of("releases", located), {}).get(WHOLE)
    model = states.get(key_of("models", located), {}).get(WHOLE)
    champion = released.value.get("champion") if released else None
    if model and champion == model.value["version"]:
        done = states.get(key_of("evaluations", located), {}).get(WHOLE)
        return done.value.get("champion") if done and done.value["version"] == champion else None
    return champion


def expected(states: States, located: Located[WorkflowSpec]) -> str:
    """The fingerprint of an evaluation: the model version, the rows, the measures, the opponent.

    Raises:
        NotPublished: there is no model.
    """
    model = states.get(key_of("models", located), {}).get(WHOLE)
    training = states.get(key_of("training_sets", located), {}).get(WHOLE)
    if model is None or training is None:
        raise NotPublished(f"{key_of('models', located)} has no model; materialise it first")
    return fingerprint(
        "evaluation",
        CODE_VERSION,
        model.fingerprint,
        model.value["version"],
        training.fingerprint,
        located.spec.evaluation,
        located.spec.gates,
        opponent(states, located),
    )


def evaluate_model(platform: Platform, located: Located[WorkflowSpec], context: Any, *, states: States | None = None) -> StageResult:
    """Score the test window with the model, the champion and two baselines; judge the gates; write the report's rows.

    The gates' outcome is evidence, not an error: a model that fails one is evaluated, and then not promoted.

    Raises:
        NotPublished: there is no model.
        ServiceUnavailable: the MLflow server doesn't answer.
    """
    from lakeloop.frames import feature_frame, feature_kinds
    from lakeloop.metrics import METRICS, by_slice, evaluate, paired_difference
    from lakeloop.pipelines import baseline_scores, constant_scores
    from resources.model_format import load_model
    from resources.quality import gate_suite

    spec, key = located.spec, key_of("evaluations", located)
    states = platform.lake.states() if states is None else states
    wanted = expected(states, located)
    done = states.get(key, {}).get(WHOLE)
    if done and done.fingerprint == wanted:
        return StageResult(
            wanted, fresh=True, rows=done.rows, checks=done.value["checks"], metadata={"model_version": done.value["version"]}
        )
    model_state = states[key_of("models", located)][WHOLE]
    training_key = key_of("training_sets", located)
    training = states[training_key][WHOLE]
    if training.version != model_state.value["training_set"]:
        raise NotPublished(
            f"{key_of('models', located)} was trained on version {model_state.value['training_set']} of {training_key}, "
            f"version {training.version} stands now; materialise {key_of('models', located)} first"
        )

    name, version = model_state.value["name"], model_state.value["version"]
    model = load_model(f"models:/{name}/{version}", platform.settings.tracking_uri)
    names = list(model_state.value["features"])
    table = platform.lake.read((training_key, int(model_state.value["training_set"])))
    test = _only(table, "test")
    truth = test[LABEL].to_numpy()
    scores = {"candidate": model.predict(feature_frame(test, names))}
    fitted = fit_rows(platform.lake, training_key, training, names)
    scores["constant"] = constant_scores(fitted[LABEL].to_numpy(), spec.task, test.num_rows)
    scores["linear"] = baseline_scores(
        feature_frame(fitted, names), fitted[LABEL].to_numpy(), feature_frame(test, names), feature_kinds(table.schema, names), spec.task
    )
    values = {who: evaluate(spec.task, truth, score, seed=spec.model.seed) for who, score in scores.items()}

    champion, comparison, common = opponent(states, located), None, None
    if champion:
        rival = load_model(f"models:/{name}/{champion}", platform.settings.tracking_uri)
        common, rows = _unseen_by(rival, test, spec.predict_at)
        if rows.num_rows >= LEAST_COMMON_ROWS:
            rival_scores = rival.predict(
                feature_frame(_with_features(platform, located, rows, rival, states), feature_names(rival.feature_spec))
            )
            values["champion"] = evaluate(spec.task, truth[common], rival_scores, seed=spec.model.seed)
            ours = scores["candidate"][common]
            difference = paired_difference(spec.task, spec.evaluation.primary, truth[common], ours, rival_scores, seed=spec.model.seed)
            comparison = {"difference": difference[0], "low": difference[1], "high": difference[2], "rows": int(rows.num_rows)}

    own = {value.name: value.value for value in values["candidate"]}
    gate_results = gate_suite(own, metric_gates(spec))
    checks = {r.name: [r.outcome, r.message or r.wanted, r.severity, r.observed] for r in gate_results}
    slices = [
        {"slice_by": column, **row}
        for column in spec.evaluation.slices
        for row in by_slice(
            spec.task, truth, scores["candidate"], test[_slice_column(test, column, names)].to_pylist(), spec.evaluation.primary
        )
    ]
    now = datetime.now(UTC)
    window = "/".join(training.value["windows"]["test"])
    shared = {
        "domain": located.domain,
        "workflow": spec.name,
        "version": version,
        "segment": None,
        "window": window,
        "at": now,
        "run_id": platform.run_id,
    }
    _write_reports(platform, wanted, shared, values, slices, champion)

    primary = spec.evaluation.primary
    pictures = _pictures(spec, truth, scores, values, slices, training)
    with platform.tracking.run(context, located.domain, spec.name) as run:
        run.log_metrics({f"test_{name}": value for name, value in own.items() if value == value})
        for title, png in pictures.items():
            run.log_image(png, f"evaluation/{title}.png")
        run.log_text(markdown_table(_metric_rows(values)), "evaluation/metrics.md")
    value = {
        "version": version,
        "name": name,
        "metrics": own,
        "intervals": {v.name: [v.low, v.high] for v in values["candidate"]},
        "baselines": {who: {v.name: v.value for v in listed} for who, listed in values.items() if who != "candidate"},
        "champion": champion,
        "comparison": comparison,
        "checks": checks,
        "rows": test.num_rows,
        "window": window,
        "greater_is_better": METRICS[spec.task][primary].greater_is_better,
    }
    platform.lake.record(key, [PartitionState(WHOLE, wanted, -1, test.num_rows, value=value)], run_id=platform.run_id)
    return StageResult(
        wanted,
        rows=test.num_rows,
        checks=checks,
        metadata={
            "model_version": version,
            "training_set_version": training.version,
            primary: own[primary],
            "metrics": dg.MetadataValue.md(markdown_table(_metric_rows(values))),
            "slices": dg.MetadataValue.md(markdown_table([dict(row.items()) for row in slices[:50]])),
            "champion": champion or "none",
            **({"against_champion": dg.MetadataValue.json(comparison)} if comparison else {}),
            "test_window": " to ".join(f"{datetime.fromisoformat(end):%Y-%m-%d %H:%M}" for end in training.value["windows"]["test"]),
            "plots": figures(pictures),
        },
    )


def _only(table: pa.Table, split: str) -> pa.Table:
    import pyarrow.compute as pc

    return table.filter(pc.equal(table[SPLIT], split))


def _slice_column(test: pa.Table, column: str, names: list[str]) -> str:
    if column in test.column_names:
        return column
    return next(name for name in names if name.endswith(f"__{column}"))


def _unseen_by(rival: ServableModel, test: pa.Table, predict_at: str) -> tuple[np.ndarray, pa.Table]:
    """The test rows after the rival's own training window: rows that neither model has seen."""
    import numpy as np
    import pyarrow as pa

    until = rival.feature_spec.get("trained_until")
    times = test[predict_at].to_numpy().astype("datetime64[us]")
    mask = (
        np.ones(test.num_rows, bool)
        if until is None
        else times >= np.datetime64(datetime.fromisoformat(str(until)).replace(tzinfo=None), "us")
    )
    return mask, test.filter(pa.array(mask))


def _with_features(platform: Platform, located: Located[WorkflowSpec], rows: pa.Table, rival: ServableModel, states: States) -> pa.Table:
    """The rival's own features for the rows: those of the training set where it has them all, else looked up by its spec."""
    ours = feature_spec(platform.project, located)["views"]
    versions = {(view["kind"], view["domain"], view["name"]): view["version"] for view in ours}
    same = all(versions.get((view["kind"], view["domain"], view["name"])) == view["version"] for view in rival.feature_spec["views"])
    if same and set(feature_names(rival.feature_spec)) <= set(rows.column_names):
        return rows
    return join_features(platform, rows.select([*located.spec.keys, located.spec.predict_at]), rival.feature_spec, states)[0]


def _metric_rows(values: Mapping[str, list[MetricValue]]) -> list[dict[str, Any]]:
    order = [who for who in ("candidate", "champion", "linear", "constant") if who in values]
    named = {who: {v.name: v for v in values[who]} for who in order}
    rows = []
    for metric in named["candidate"]:
        row: dict[str, Any] = {"metric": metric}
        for who in order:
            v = named[who].get(metric)
            row[who] = "" if v is None else f"{v.value:.4f} [{v.low:.4f}, {v.high:.4f}]"
        rows.append(row)
    return rows


def _write_reports(
    platform: Platform,
    wanted: str,
    shared: Mapping[str, Any],
    values: Mapping[str, list[MetricValue]],
    slices: list[dict[str, Any]],
    champion: str | None,
) -> None:
    import pyarrow as pa

    moment = pa.timestamp("us", tz="UTC")
    common = [
        ("domain", pa.string()), ("workflow", pa.string()), ("version", pa.string()), ("segment", pa.string()),
        ("window", pa.string()), ("at", moment), ("run_id", pa.string()), ("evaluation", pa.string()),
    ]  # fmt: skip
    numbers = [("value", pa.float64()), ("low", pa.float64()), ("high", pa.float64()), ("n", pa.int64())]
    metric_schema = pa.schema([*common, ("slice", pa.string()), ("model", pa.string()), ("metric", pa.string()), *numbers])
    rows = [
        {
            **shared, "evaluation": wanted, "slice": None, "model": who if who != "champion" else f"champion:{champion}", "metric": v.name,
            "value": v.value, "low": v.low, "high": v.high, "n": v.n,
        }
        for who, listed in values.items()
        for v in listed
    ]  # fmt: skip
    by = ["domain", "workflow"]
    platform.lake.append(METRICS_TABLE, pa.Table.from_pylist(rows, schema=metric_schema), partition_by=by, once=f"metrics:{wanted}")
    slice_schema = pa.schema([*common, ("slice_by", pa.string()), ("slice", pa.string()), ("metric", pa.string()), *numbers])
    listed = [
        {**shared, "evaluation": wanted, **{name: row.get(name) for name in ("slice_by", "slice", "metric", "value", "low", "high", "n")}}
        for row in slices
    ]
    platform.lake.append(SLICES_TABLE, pa.Table.from_pylist(listed, schema=slice_schema), partition_by=by, once=f"slices:{wanted}")


def _pictures(
    spec: WorkflowSpec,
    truth: np.ndarray,
    scores: Mapping[str, np.ndarray],
    values: Mapping[str, list[MetricValue]],
    slices: list[dict[str, Any]],
    training: PartitionState,
) -> dict[str, bytes]:
    from lakeloop import plots

    found = {"metric_comparison": plots.plot_metric_comparison(values, spec.evaluation.primary)}
    if spec.task == "binary_classification":
        found["roc_and_precision_recall"] = plots.plot_roc_pr(truth, scores["candidate"])
        found["calibration"] = plots.plot_calibration(truth, scores["candidate"])
        found["score_distribution"] = plots.plot_score_histogram(truth, scores["candidate"])
    else:
        found["residuals"] = plots.plot_residuals(truth, scores["candidate"])
    for column in spec.evaluation.slices:
        rows = [row for row in slices if row["slice_by"] == column]
        if rows:
            found[f"by_{column}"] = plots.plot_slices(rows, column, spec.evaluation.primary)
    return found
