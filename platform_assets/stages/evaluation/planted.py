"""What an evaluation asks of a detector of anomalies: rows of the test window, anomalies planted among them, and labels where there are some."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lakeloop.evaluation.anomaly_findings import PlantedRows, real_row_metrics
from lakeloop.evaluation.assessment import CANDIDATE, CHAMPION, LINEAR, Question, Rows
from lakeloop.evaluation.model_checks import Overlap
from lakeloop.metrics.table import metrics_of
from lakeloop.rows.types import Kind
from lakeloop.training.planting import Planted, plant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd


def with_planted(
    question: Question,
    kinds: Mapping[str, Kind],
    *,
    linear: Callable[[pd.DataFrame], np.ndarray],
    rival: Callable[[pd.DataFrame], np.ndarray] | None,
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
        rival: scores of a frame by the champion; None where it has other features, so that nothing planted can be shown to it.
        refit: scores of a frame by refits that differ in the seed; None where it decides nothing.
        some: positions of the real rows that those score.
        labels: of the real rows, NaN where there is none.
        alert_rate: as the workflow says.
        threshold: of the candidate's score.
    """
    import pandas as pd

    test, fit = question.test, question.fit
    planted = plant(test.frame, kinds, seed=question.seed)
    among_fit = plant(fit.frame, kinds, seed=question.seed)
    real = np.isfinite(labels)
    marks = PlantedRows(
        np.concatenate([np.full(len(test.y), "", dtype=object), planted.kind.astype(object)]),
        alert_rate,
        threshold,
        int(real.sum()),
        int((labels[real] == 1).sum()),
    )
    scores = {
        who: np.concatenate([given, np.full(len(planted.source), 0.0)])
        for who, given in test.scores.items()
        if who not in (LINEAR, CHAMPION)
    }
    shown = {CANDIDATE: question.predict(planted.frame), LINEAR: linear(planted.frame)}
    scores[CANDIDATE][len(test.y) :] = shown[CANDIDATE]
    scores[LINEAR] = np.concatenate([test.scores[LINEAR], shown[LINEAR]])
    if CHAMPION in test.scores:
        given = test.scores[CHAMPION]
        later = (
            np.where(np.isfinite(given[planted.source]), rival(planted.frame), np.nan) if rival else np.full(len(planted.source), np.nan)
        )
        scores[CHAMPION] = np.concatenate([given if rival else np.full(len(given), np.nan), later])
    primary = metrics_of(question.answer)[question.primary]
    refits = refit(pd.concat([test.frame.iloc[some], planted.frame], ignore_index=True))
    truth = np.concatenate([np.zeros(len(some)), np.ones(len(planted.source))])
    seeds = None if refits is None else [primary.value(truth, score) for score in refits]
    return replace(
        question,
        test=_joined(test, planted, scores),
        fit=_joined(fit, among_fit, {who: _fit_scores(question, who, given, among_fit) for who, given in fit.scores.items()}),
        overlap=Overlap(np.concatenate([question.overlap.seen, question.overlap.seen[planted.source]]), question.overlap.repeats),
        refits=seeds,
        clusters=None if question.clusters is None else np.concatenate([question.clusters, question.clusters[planted.source]]),
        planted=marks,
        more_metrics=real_row_metrics(
            test.scores[CANDIDATE],
            None if refits is None else [score[: len(some)] for score in refits],
            some,
            labels,
            marks,
            clusters=question.clusters,
        ),
    )


def _fit_scores(question: Question, who: str, given: np.ndarray, planted: Planted) -> np.ndarray:
    more = question.predict(planted.frame) if who == CANDIDATE else np.zeros(len(planted.source))
    return np.concatenate([given, more])


def _joined(rows: Rows, planted: Planted, scores: Mapping[str, np.ndarray]) -> Rows:
    """Real rows, then planted ones, which lie at the time and in the slice of the row that they began as."""
    import pandas as pd

    return Rows(
        y=np.concatenate([np.zeros(len(rows.at)), np.ones(len(planted.source))]),
        at=np.concatenate([rows.at, rows.at[planted.source]]),
        frame=pd.concat([rows.frame, planted.frame], ignore_index=True),
        scores=scores,
        slices={name: [*values, *(values[place] for place in planted.source)] for name, values in rows.slices.items()},
        known_at=None if rows.known_at is None else np.concatenate([rows.known_at, rows.known_at[planted.source]]),
    )
