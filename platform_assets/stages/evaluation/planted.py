"""What an evaluation asks of a detector of anomalies: rows of the test window, anomalies planted among them, and labels where there are some."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from lakeloop.evaluation.anomaly_findings import PlantedRows, real_row_metrics
from lakeloop.evaluation.assessment import BEST, CANDIDATE, CHAMPION, LINEAR, Question, Rows
from lakeloop.metrics.table import metrics_of
from lakeloop.rows.types import Kind
from lakeloop.training.planting import Planted, plant


def with_planted(
    question: Question,
    kinds: Mapping[str, Kind],
    *,
    linear: Callable[[pd.DataFrame], np.ndarray],
    rivals: Mapping[str, Callable[[pd.DataFrame], np.ndarray] | None],
    refit: Callable[[pd.DataFrame], Sequence[np.ndarray] | None],
    some: np.ndarray,
    labels: np.ndarray,
    alert_rate: float | None,
    threshold: float | None,
) -> Question:
    """The same question of real and planted rows: truth is whether a row is planted.

    Args:
        question: of the real rows; their truth is not looked at.
        kinds: of the features.
        linear: scores of a frame by the linear baseline.
        rivals: scores of a frame by the champion and by the best release; None where one has other features, so that nothing planted can be
            shown to it.
        refit: scores of a frame by refits that differ in the seed; None where it decides nothing.
        some: positions of the real rows that those score.
        labels: of the real rows, NaN where there is none.
        alert_rate: as the workflow says.
        threshold: of the candidate's score.
    """
    test, fit = question.test, question.fit
    planted, among_fit = (plant(rows.frame, kinds, seed=question.seed) for rows in (test, fit))
    is_labelled = np.isfinite(labels)
    marks = PlantedRows(
        np.concatenate([np.full(len(test.y), "", dtype=object), planted.kind.astype(object)]),
        alert_rate,
        threshold,
        int(is_labelled.sum()),
        int((labels[is_labelled] == 1).sum()),
    )
    refits = refit(pd.concat([test.frame.iloc[some], planted.frame], ignore_index=True))
    truth = np.concatenate([np.zeros(len(some)), np.ones(len(planted.source))])
    primary = metrics_of(question.answer)[question.primary]
    return replace(
        question,
        test=_join_rows(test, planted, _test_scores(question, planted, linear, rivals)),
        fit=_join_rows(fit, among_fit, {who: _fit_scores(question, who, scores, among_fit) for who, scores in fit.scores.items()}),
        overlap=replace(question.overlap, seen=np.concatenate([question.overlap.seen, question.overlap.seen[planted.source]]), entities=()),
        refits=None if refits is None else [primary.value(truth, scores) for scores in refits],
        clusters=None if question.clusters is None else np.concatenate([question.clusters, question.clusters[planted.source]]),
        planted=marks,
        more_metrics=real_row_metrics(
            test.scores[CANDIDATE],
            None if refits is None else [scores[: len(some)] for scores in refits],
            some,
            labels,
            marks,
            clusters=question.clusters,
        ),
    )


def _test_scores(
    question: Question,
    planted: Planted,
    linear: Callable[[pd.DataFrame], np.ndarray],
    rivals: Mapping[str, Callable[[pd.DataFrame], np.ndarray] | None],
) -> dict[str, np.ndarray]:
    """The scores of real, then of planted rows, by model; NaN where the champion or the best release can't be shown a row."""
    real, count = question.test.scores, len(planted.source)
    # The reference, a constant, scores every planted row alike.
    scores = {who: np.concatenate([values, np.zeros(count)]) for who, values in real.items() if who not in (LINEAR, CHAMPION, BEST)}
    scores[CANDIDATE][len(question.test.y) :] = question.predict(planted.frame)
    scores[LINEAR] = np.concatenate([real[LINEAR], linear(planted.frame)])
    for who, predict in rivals.items():
        if who in real and predict is None:
            scores[who] = np.full(len(real[who]) + count, np.nan)
        elif who in real and predict is not None:
            is_unseen = np.isfinite(real[who][planted.source])
            scores[who] = np.concatenate([real[who], np.where(is_unseen, predict(planted.frame), np.nan)])
    return scores


def _fit_scores(question: Question, who: str, real: np.ndarray, planted: Planted) -> np.ndarray:
    of_planted = question.predict(planted.frame) if who == CANDIDATE else np.zeros(len(planted.source))
    return np.concatenate([real, of_planted])


def _join_rows(rows: Rows, planted: Planted, scores: Mapping[str, np.ndarray]) -> Rows:
    """Real rows, then planted ones, which lie at the time and in the slice of the row that they began as."""
    return Rows(
        y=np.concatenate([np.zeros(len(rows.at)), np.ones(len(planted.source))]),
        at=np.concatenate([rows.at, rows.at[planted.source]]),
        frame=pd.concat([rows.frame, planted.frame], ignore_index=True),
        scores=scores,
        slices={name: [*values, *(values[place] for place in planted.source)] for name, values in rows.slices.items()},
        known_at=None if rows.known_at is None else np.concatenate([rows.known_at, rows.known_at[planted.source]]),
    )
