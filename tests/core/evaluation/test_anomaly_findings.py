"""What an anomaly detector shows on real rows: against counting pairs of seeds one by one, and scikit-learn."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from lakeloop.evaluation.anomaly_findings import PlantedRows, real_row_metrics, separation_by_kind, top_overlap

NONE = np.array([], "<U1")


def tops(refits: list[np.ndarray], top: int) -> list[set[int]]:
    return [set(np.argsort(-score)[:top].tolist()) for score in refits]


@pytest.mark.parametrize(
    ("n", "rate", "top"), [(5, 0.5, 5), (40, 0.01, 10), (40, 0.3, 12), (1_000, 0.05, 50), (1_000, 0.0104, 10), (1_000, 0.0106, 11)]
)
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_overlap_is_the_share_of_top_rows_that_another_seed_has_too_over_all_pairs(n: int, rate: float, top: int, seeds: int) -> None:
    rng = np.random.default_rng(n)
    level = rng.normal(0, 1, n)
    refits = [level + rng.normal(0, 0.5, n) for _ in range(seeds)]
    overlap = top_overlap(refits, rate)
    shared = [len(one & other) / top for one, other in permutations(tops(refits, top), 2)]
    assert overlap.value == pytest.approx(np.mean(shared))
    assert (overlap.name, overlap.n) == ("top_overlap", top)
    if 0 < overlap.value < 1:
        assert 0 <= overlap.low < overlap.value < overlap.high <= 1


def test_equal_seeds_have_the_same_top_and_strangers_none_of_it() -> None:
    score = np.arange(100.0)
    assert top_overlap([score, score, score], 0.1).value == 1
    assert top_overlap([score, -score], 0.1).value == 0
    alone = top_overlap([np.ones(1), np.ones(1)], 0.5)
    assert (alone.value, alone.n) == (1, 1) and math.isnan(alone.low)


def test_an_overlap_of_rows_in_few_clusters_is_less_certain() -> None:
    rng = np.random.default_rng(2)
    level = np.repeat(rng.normal(0, 1, 40), 25)
    refits = [level + np.repeat(rng.normal(0, 0.5, 40), 25) for _ in range(3)]
    alone, clustered = top_overlap(refits, 0.2), top_overlap(refits, 0.2, np.repeat(np.arange(40), 25))
    assert alone.value == clustered.value and clustered.high - clustered.low > 2 * (alone.high - alone.low)


def names(planted: PlantedRows, refits: list[np.ndarray] | None, labels: np.ndarray) -> list[str]:
    score = np.linspace(0, 1, 40)
    return [metric.name for metric in real_row_metrics(score, refits, np.arange(40), labels, planted)]


UNKNOWN = np.full(40, math.nan)
KNOWN = np.where(np.arange(40) % 4 == 0, 1.0, 0.0)
TWO = [np.arange(40.0), np.arange(40.0)]


@pytest.mark.parametrize(
    ("threshold", "refits", "labels", "wanted"),
    [
        (None, None, UNKNOWN, []),
        (0.5, None, UNKNOWN, ["flagged_share"]),
        (None, TWO, UNKNOWN, ["top_overlap"]),
        (None, TWO[:1], UNKNOWN, []),
        (None, None, KNOWN, ["labelled_roc_auc", "labelled_average_precision"]),
        (0.0, TWO, KNOWN, ["flagged_share", "top_overlap", "labelled_roc_auc", "labelled_average_precision"]),
    ],
)
def test_each_metric_is_there_if_what_it_needs_is(
    threshold: float | None, refits: list[np.ndarray] | None, labels: np.ndarray, wanted: list[str]
) -> None:
    assert names(PlantedRows(NONE, None, threshold), refits, labels) == wanted


def test_flagged_are_the_rows_above_the_threshold_and_those_with_a_label_are_ranked_by_it() -> None:
    rng = np.random.default_rng(3)
    score = rng.normal(0, 1, 500)
    score[:3] = 1.0
    labels = np.where(rng.random(500) < 0.4, (score + rng.normal(0, 1, 500) > 0.5) * 1.0, math.nan)
    metrics = {metric.name: metric for metric in real_row_metrics(score, None, np.arange(500), labels, PlantedRows(NONE, None, 1.0))}
    flagged, is_known = metrics["flagged_share"], np.isfinite(labels)
    assert flagged.value == pytest.approx((score > 1.0).mean()) and flagged.n == 500
    exact = stats.binomtest(int((score > 1.0).sum()), 500).proportion_ci(method="wilson")
    assert (flagged.low, flagged.high) == pytest.approx((exact.low, exact.high), abs=0.005)
    for name, wanted in (("labelled_roc_auc", sk.roc_auc_score), ("labelled_average_precision", sk.average_precision_score)):
        assert metrics[name].value == pytest.approx(wanted(labels[is_known], score[is_known])) and metrics[name].n == is_known.sum()
        assert metrics[name].low < metrics[name].value < metrics[name].high


def test_the_top_is_a_hundredth_where_no_rate_is_declared_and_refits_have_rows_of_their_own() -> None:
    rng = np.random.default_rng(4)
    score, some = rng.normal(0, 1, 5_000), np.arange(0, 5_000, 2)
    refits = [score[some] + rng.normal(0, 0.1, 2_500) for _ in range(2)]
    clusters = np.arange(5_000) // 2
    labels = np.full(5_000, math.nan)
    for rate, top in ((None, 25), (0.02, 50)):
        (overlap,) = real_row_metrics(score, refits, some, labels, PlantedRows(NONE, rate, None), clusters=clusters)
        assert overlap.n == top
        assert overlap == top_overlap(refits, top / 2_500, clusters[some])


def test_each_kind_is_told_from_all_real_rows() -> None:
    rng = np.random.default_rng(5)
    kinds = np.repeat(["", "mixture", "moved value"], [300, 30, 20])
    y, score = (kinds != "").astype(float), rng.normal(0, 1, 350) + np.repeat([0, 0.5, 3], [300, 30, 20])
    separation = separation_by_kind(y, score, kinds)
    assert list(separation) == ["mixture", "moved value"]
    for kind in separation:
        rows = (kinds == "") | (kinds == kind)
        assert separation[kind] == pytest.approx(sk.roc_auc_score(y[rows], score[rows]))
    assert separation_by_kind(np.zeros(3), np.arange(3.0), np.repeat([""], 3)) == {}
