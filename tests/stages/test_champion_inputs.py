"""What a champion is judged by and predicts from are its own features, whatever the workflow's definition says meanwhile."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lakeloop.evaluation.assessment import assess
from lakeloop.records.features import FeatureLookup, FeatureSpec
from lakeloop.records.release import ReleaseState
from lakeloop.records.training import ModelState, TrainingSetState
from lakeloop.spec.tasks import Answer
from lakeloop.spec.workflow import WarmStart
from platform_assets.loading import read_project
from platform_assets.plan import stale_assets
from platform_assets.stages.base import Platform
from platform_assets.stages.evaluation import question as asked
from platform_assets.stages.evaluation.subject import Judged
from platform_assets.stages.features.lookup import feature_spec, lookup_fingerprints, utc_moment, warn_of_standing
from platform_assets.stages.release import predictions
from platform_assets.stages.training.rows import FitData
from platform_assets.stages.training.warm_start import continue_champion
from resources.lake.published import WHOLE, PartitionState, States, TableKey
from resources.settings import Settings
from tests.worlds.shop_project import Shop

HISTORY, RETURNS, TRAINING = (
    TableKey(stage, "shop", name) for stage, name in (("features", "history"), ("releases", "returns"), ("training_sets", "returns"))
)
OFFSET, BEGINS = "2024-03-01T01:00:00+02:00", np.datetime64("2024-02-29T23:00:00", "us")


class Lookups:
    """A model that says the first of its features, and remembers what it was shown."""

    def __init__(self, spec: FeatureSpec, version: str = "1") -> None:
        self.feature_spec, self.version, self.name, self.answer, self.alert_above = (
            spec,
            version,
            "returns",
            Answer("binary_classification"),
            None,
        )
        self.shown: list[pd.DataFrame] = []

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        self.shown.append(frame)
        values = np.nan_to_num(frame.iloc[:, 0].to_numpy(dtype=float))
        return 1 / (1 + np.exp(-values / (1 + np.abs(values).max())))


def platform_of(shop: Shop) -> Platform:
    return Platform(Settings.from_environment(), read_project(shop.defs), shop.lake, None, None, "run")  # type: ignore[arg-type]


def question_of(shop: Shop, rival: FeatureSpec | None = None) -> tuple[Any, Lookups, Lookups | None]:
    """The question of an evaluation of a model on the shop's training set, beside a champion with some feature spec."""
    platform = platform_of(shop)
    located, states = platform.project.workflows[("shop", "returns")], shop.lake.states()
    training = states.required(TrainingSetState, located)
    spec = training.value.feature_spec
    value = ModelState("returns", "2", "run", training.version, tuple(spec.names))
    states[TableKey("models", "shop", "returns")] = {WHOLE: PartitionState(WHOLE, "x", value=value)}
    model, champion = Lookups(spec, "2"), Lookups(rival) if rival else None
    judged = Judged(training, states.required(ModelState, located), model, champion, champion)  # type: ignore[arg-type]
    return asked.evaluation_question(platform, located, judged, states), model, champion


@pytest.mark.filled
def test_a_champion_is_judged_on_what_it_looks_up_though_names_and_versions_are_the_same(shop: Shop) -> None:
    spec = shop.lake.states()[TRAINING][WHOLE].typed(TrainingSetState).value.feature_spec
    question, model, champion = question_of(shop, spec)
    assert champion is not None and champion.shown[0].equals(model.shown[0])
    assert question.best == "1" and np.array_equal(question.test.scores["best"], question.test.scores["champion"], equal_nan=True)

    history, *others = spec.views
    own = replace(spec, views=(replace(history, max_age="1h"), *others))  # few of the customers ordered an hour ago
    _, model, champion = question_of(shop, own)
    name = next(iter(history.columns.values()))
    assert champion is not None
    assert champion.shown[0][name].isna().mean() > 0.5 > model.shown[0][name].isna().mean()

    first, second = history.columns
    columns = {first: history.columns[second], second: history.columns[first]}
    crossed = replace(spec, views=(replace(history, columns=columns), *others))
    _, model, champion = question_of(shop, crossed)
    assert champion is not None
    assert np.array_equal(champion.shown[0][columns[first]], model.shown[0][columns[second]], equal_nan=True)


def test_lookups_are_the_same_by_rule_and_not_by_name() -> None:
    view = FeatureLookup("view", "d", "v", ("k",), {"a": "v__a", "b": "v__b"}, None)

    def spec(**changes: Any) -> FeatureSpec:
        return FeatureSpec(("k",), "t", (replace(view, **changes),))

    assert spec().looks_up_alike(FeatureSpec.from_record(spec().record()))
    # What the other has beside them says nothing of these.
    assert spec(columns={"b": "v__b"}).looks_up_alike(spec())
    assert not spec().looks_up_alike(spec(columns={"b": "v__b"}))
    for name, value in {"kind": "table", "domain": "e", "name": "w", "version": 2, "keys": ("l",), "max_age": "1d"}.items():
        assert not spec().looks_up_alike(spec(**{name: value})), name
    assert not spec().looks_up_alike(spec(columns={"a": "v__b", "b": "v__a"}))


@pytest.mark.filled
def test_one_label_known_too_late_is_found_among_more_rows_than_are_scored_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = asked.fit_rows
    late = np.datetime64("2024-06-30T12:00:00", "us")

    def one_late(*args: Any) -> pa.Table:
        table = rows(*args)
        known = table["predict_at"].to_numpy().astype("datetime64[us]").copy()
        known[321] = late
        at = table.column_names.index(asked.LABEL_KNOWN_AT)
        return table.set_column(at, asked.LABEL_KNOWN_AT, pa.array(known).cast(pa.timestamp("us", tz="UTC")))

    monkeypatch.setattr(asked, "fit_rows", one_late)
    monkeypatch.setattr(asked, "FIT_SAMPLE", 8)
    question, *_ = question_of(shop)
    fit = question.fit
    assert len(fit.y) == len(fit.at) == len(fit.known_at) == len(fit.frame) == len(fit.scores["candidate"]) == 8
    (table,) = [check for check in assess(question).checks if check.code == "LL102"]
    assert table.outcome == "found" and f"the labels of 1 of {len(question.fit_times[0]):,} training rows" in table.message


@pytest.mark.filled
def test_a_model_is_judged_again_where_a_view_says_that_it_is_known_early(shop: Shop) -> None:
    assert shop.materialize("training_sets", "models", "evaluations").success
    basket = shop.defs / "shop" / "basket" / "defs.yaml"
    basket.write_text(basket.read_text().replace("  keys: [order_id]\n", "  keys: [order_id]\n  known_delay: ignored\n"))
    stale = stale_assets(read_project(shop.defs), shop.lake.states())
    assert TableKey("evaluations", "shop", "returns") in stale
    assert not [key for key in stale if key.stage in ("features", "training_sets", "models")]
    assert shop.materialize("evaluations").success
    assert TableKey("evaluations", "shop", "returns") not in stale_assets(read_project(shop.defs), shop.lake.states())


def test_a_time_with_an_offset_is_that_moment_and_one_without_is_utc() -> None:
    assert utc_moment(OFFSET) == BEGINS
    assert utc_moment("2024-03-01 01:00:00") == np.datetime64("2024-03-01T01:00:00", "us") == utc_moment("2024-03-01T01:00:00Z")


def test_a_champion_sees_no_test_row_from_before_its_training_ended_whatever_the_offset() -> None:
    hours = BEGINS + np.arange(-3, 3) * np.timedelta64(1, "h")
    test = pa.table({"predict_at": pa.array(hours).cast(pa.timestamp("us", tz="UTC"))})
    workflow = SimpleNamespace(predict_at="predict_at", split=SimpleNamespace(group=None))
    rival = SimpleNamespace(feature_spec=FeatureSpec(("k",), "t", trained_until=OFFSET))
    mask, rows = asked._unseen_by(rival, workflow, test, [])  # type: ignore[arg-type]
    assert mask.tolist() == [False] * 3 + [True] * 3 and rows.num_rows == 3


def test_a_champion_is_continued_with_the_rows_from_the_end_of_its_training_whatever_the_offset() -> None:
    spec = FeatureSpec(("k",), "t", personal=("a",), trained_until=OFFSET)
    champion = SimpleNamespace(feature_spec=spec, fields=[SimpleNamespace(name="a", kind="double")], raw=None, version="1")
    shown: list[pd.DataFrame] = []

    def continued(raw: Any, fresh: Any, rows: pd.DataFrame, label: np.ndarray, **more: Any) -> str:
        shown.append(rows)
        return "grown"

    at = BEGINS + np.arange(-3, 3) * np.timedelta64(1, "h")
    data = FitData(pd.DataFrame({"a": np.arange(6.0)}), np.zeros(6), at, {"a": "double"})
    pipeline = SimpleNamespace(continued=continued)
    grown, rows = continue_champion(
        champion, data, spec.lookups, unfitted=None, pipeline=pipeline, warm_start=WarmStart(trees=5, limit=100)
    )  # type: ignore[arg-type]
    assert grown == "grown" and shown[0]["a"].tolist() == [3.0, 4.0, 5.0] and rows == 3


@pytest.mark.filled
def test_predictions_are_stale_by_what_the_champion_looks_up_and_not_by_what_the_workflow_names_now(shop: Shop) -> None:
    def expected(states: States) -> str:
        project = read_project(shop.defs)
        return predictions.expected(project, states, project.workflows[("shop", "returns")], "2024-03")

    project = read_project(shop.defs)
    spec = feature_spec(project, project.workflows[("shop", "returns")])
    lake = shop.lake.states()
    released = States({**lake, RETURNS: {WHOLE: PartitionState(WHOLE, "x", value=ReleaseState("1", feature_spec=spec).record())}})
    earlier = States({**lake, RETURNS: {WHOLE: PartitionState(WHOLE, "x", value=ReleaseState("1").record())}})
    # What was predicted before releases said what they look up stays fresh.
    assert expected(released) == expected(earlier)

    path = shop.defs / "shop" / "returns" / "defs.yaml"
    path.write_text(path.read_text().replace('    history: "*"\n', ""))
    before = expected(released)
    months = lake[HISTORY]
    changed = {**months, "2024-03": replace(months["2024-03"], fingerprint="late rows")}
    assert expected(States({**released, HISTORY: changed})) != before == expected(released)
    assert expected(States({**earlier, HISTORY: changed})) == expected(earlier)


@pytest.mark.filled
def test_what_comes_after_the_version_that_a_champion_stays_on_makes_no_prediction_stale(shop: Shop) -> None:
    project = read_project(shop.defs)
    located = project.workflows[("shop", "returns")]
    lake, spec = shop.lake.states(), feature_spec(project, located)
    months = lake[HISTORY]

    def at(version: int, where: int, print_: str) -> States:
        value = {"version": version, "kept": {"1": where}} if version > 1 else {}
        states = {name: replace(state, fingerprint=print_, value={**state.value, **value}) for name, state in months.items()}
        released = ReleaseState("1", feature_spec=spec).record()
        return States({**lake, HISTORY: states, RETURNS: {WHOLE: PartitionState(WHOLE, "x", value=released)}})

    def expected(states: States) -> str:
        return predictions.expected(project, states, located, "2024-03")

    assert expected(at(2, 0, "one day")) == expected(at(2, 0, "the next day"))
    assert expected(at(2, 0, "one day")) != expected(at(2, 1, "one day"))
    assert expected(at(1, 0, "one day")) != expected(at(1, 0, "the next day"))
    assert lookup_fingerprints(at(2, 0, "one day"), spec) != lookup_fingerprints(at(2, 0, "the next day"), spec)


@pytest.mark.filled
def test_a_view_that_stands_still_for_a_champion_is_named_with_its_version_and_since_when(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    platform, lake = platform_of(shop), shop.lake.states()
    spec = feature_spec(platform.project, platform.project.workflows[("shop", "returns")])
    assert warn_of_standing(platform, spec, lake, "version 1 of returns") == {} and not caplog.records

    place = max(state.version for state in lake[HISTORY].values())
    newer = {name: replace(state, value={**state.value, "version": 2, "kept": {"1": place}}) for name, state in lake[HISTORY].items()}
    told = warn_of_standing(platform, spec, States({**lake, HISTORY: newer}), "version 1 of returns")
    committed = next(commit["timestamp"] for commit in shop.lake.open(HISTORY).history() if commit["version"] == place)
    since = datetime.fromtimestamp(committed / 1000, UTC).isoformat(timespec="seconds")
    assert told == {str(HISTORY): {"version": 1, "delta_version": place, "since": since}}
    (record,) = caplog.records
    assert (
        record.levelname == "WARNING"
        and str(HISTORY) in record.getMessage()
        and "version 1, which" in record.getMessage()
        and since in record.getMessage()
    )


def test_keys_are_the_same_where_another_of_their_column_is_null() -> None:
    import pyarrow as pa

    from platform_assets.stages.evaluation.question import _overlap

    fitted, test = pa.table({"id": pa.array([1, 2, 3])}), pa.table({"id": pa.array([1, None, 3, 4])})
    workflow = SimpleNamespace(keys=["id"], answer=Answer("binary_classification"), split=SimpleNamespace(group=None))
    overlap = _overlap(workflow, fitted, test, [], np.array([0.0, 1.0, 0.0]))  # type: ignore[arg-type]
    assert overlap.seen.tolist() == [True, False, True, False] and not overlap.repeats
