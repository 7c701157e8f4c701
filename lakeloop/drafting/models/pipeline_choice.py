"""Which ready-made pipeline a draft takes: the simplest that no other beats, tried by cross-validation on rows of the training window."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lakeloop.errors import LakeloopError
from lakeloop.metrics.intervals import group_codes
from lakeloop.metrics.table import metrics_of, paired_difference
from lakeloop.metrics.wording import format_number, format_plain_signed
from lakeloop.rows.types import Kind
from lakeloop.spec.tasks import Answer, scores_of
from lakeloop.spec.workflow import Model
from lakeloop.training.baselines import constant_scores, guessed_scores
from lakeloop.training.fitting import fit_model
from lakeloop.training.frames import evenly_spaced, feature_frame, feature_kinds

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

MOST_ROWS = 2_000
"""Rows that pipelines are tried on, evenly spaced: a few seconds for a hundred columns."""
FOLDS = 3
LEAST_ROWS = 100
"""Scored rows below which two pipelines aren't compared, as in an evaluation."""
MOST_SECONDS = 10.0
"""After so long no further pipeline is tried; a draft is something that people wait for."""
ERROR_RATE = 0.05
"""How often a more complicated pipeline is taken that is no better (one-sided)."""


@dataclass(frozen=True)
class TrialRows:
    """Rows of the training window that pipelines are tried on.

    Attributes:
        frame: the features.
        label: as numbers.
        kinds: the features and what they are.
        in_time: rows are in the order of time; else in no order, and drawn at random into folds.
        groups: code of the group of each row that folds keep together, and that comparisons count as one; None where rows stand for themselves.
        at: the number of the step at which each row is asked, of rows in time whose label is known some steps later.
        known_at: the number of the step at which its label is known; none of what is fitted on is known after the first of what is scored is asked.
    """

    frame: pd.DataFrame
    label: np.ndarray
    kinds: Mapping[str, Kind]
    in_time: bool
    groups: np.ndarray | None = None
    at: np.ndarray | None = None
    known_at: np.ndarray | None = None


@dataclass(frozen=True)
class PipelineChoice:
    """The pipeline that is taken, and why.

    Attributes:
        model: what the definition says of it, see `lakeloop.spec.workflow.Model`.
        reason: what was compared, as a comment.
        baseline: metrics of the simplest pipeline, in cross-validation, by name.
        doubt: that it isn't shown to be better than a constant, in words; empty where it is.
    """

    model: Mapping[str, Any]
    reason: str
    baseline: Mapping[str, float]
    doubt: str = ""


def trial_rows(
    table: pa.Table,
    names: Sequence[str],
    calendar: Mapping[str, np.ndarray],
    label: np.ndarray,
    at: np.ndarray | None,
    group: str | None = None,
) -> TrialRows:
    """Labelled rows of a training window as features and labels, in order of time where they have one.

    Args:
        table: typed rows.
        names: columns that are inputs.
        calendar: inputs that are made from the time, by name.
        label: of each row, as numbers; NaN where it is unknown or the row is not of the training window.
        at: when each row is asked; None for a static table.
        group: column whose rows of one value folds keep together.
    """
    import pyarrow as pa

    places = np.flatnonzero(~np.isnan(label))
    if at is not None:
        places = places[np.argsort(at[places], kind="stable")]
    places = places[evenly_spaced(len(places), MOST_ROWS)]
    inputs = {name: table[name].take(pa.array(places)) for name in names}
    taken = pa.table(inputs | {name: pa.array(values[places].astype(float)) for name, values in calendar.items()})
    columns = taken.column_names
    groups = None if group is None else group_codes(table[group].take(pa.array(places)).to_pandas().astype(str).to_numpy(dtype=str))
    return TrialRows(feature_frame(taken, columns), label[places], feature_kinds(taken.schema, columns), at is not None, groups)


def choose_pipeline(rows: TrialRows, answer: Answer, metric: str, candidates: Sequence[Mapping[str, Any]]) -> PipelineChoice | None:
    """Try pipelines on the same folds, and take the simplest that none is significantly better than.

    Args:
        rows: of the training window, in order of time where they have one.
        answer: what the model predicts.
        metric: that decides.
        candidates: models as a definition says them, the simplest first.

    Returns:
        None where there are too few rows to compare, or the simplest one can't be fitted on them.
    """
    picked = evenly_spaced(len(rows.label), MOST_ROWS)
    frame, label = rows.frame.iloc[picked].reset_index(drop=True), rows.label[picked]
    groups = np.arange(len(label)) if rows.groups is None else group_codes(rows.groups[picked])
    parts = _folds(groups, rows.in_time)
    if rows.at is not None and rows.known_at is not None:
        at, known_at = rows.at[picked], rows.known_at[picked]
        parts = ((fit[known_at[fit] <= at[later].min()], later) for fit, later in parts)
    folds = [fold for fold in parts if _can_be_fitted(label[fold[0]], answer)]
    scored = np.concatenate([later for _, later in folds]) if folds else np.zeros(0, int)
    if len(scored) < LEAST_ROWS or not _can_be_fitted(label[scored], answer):
        return None
    started, y = time.monotonic(), label[scored]
    scores: list[np.ndarray] = []
    for candidate in candidates:
        if scores and time.monotonic() - started > MOST_SECONDS:
            break
        predicted = _cross_validated(Model(**candidate), rows.kinds, answer, frame, label, folds)
        if predicted is None:
            break
        scores.append(predicted)
    if not scores:
        return None
    position, words = _simplest_unbeaten(answer, metric, y, scores, candidates, None if rows.groups is None else groups[scored])
    how = "each fitted on earlier rows" if rows.in_time else "drawn at random"
    reason = f"{words}; cross-validated on {len(y):,} rows of the training window, {how}"
    baseline = {name: each.value(y, scores[0]) for name, each in metrics_of(answer).items()}
    doubt = _doubt(answer, metric, y, scores[position], None if rows.groups is None else groups[scored])
    return PipelineChoice(candidates[position], reason, baseline, doubt)


def _doubt(answer: Answer, metric: str, y: np.ndarray, score: np.ndarray, groups: np.ndarray | None) -> str:
    """That a model isn't shown to be better than a constant, in words; empty where it is."""
    measure, constant = metrics_of(answer)[metric], constant_scores(y, answer, len(y), metric)
    if measure.guessed:
        constant = guessed_scores(constant)
    difference = paired_difference(answer, metric, y, score, constant, clusters=groups)
    if difference.p_not_worse() <= ERROR_RATE:
        return ""
    values = f"{metric} {format_number(measure.value(y, score))}, a constant {format_number(measure.value(y, constant))}"
    return f"in cross-validation the model isn't shown to be better than a constant ({values}): its inputs may say nothing of the label"


def _simplest_unbeaten(
    answer: Answer,
    metric: str,
    y: np.ndarray,
    scores: Sequence[np.ndarray],
    candidates: Sequence[Mapping[str, Any]],
    groups: np.ndarray | None,
) -> tuple[int, str]:
    """The position of the simplest candidate that none is shown to be better than, and the comparison in words."""
    names = [f"{candidate['pipeline']}{' of ratios' if candidate.get('params', {}).get('log') else ''}" for candidate in candidates]
    values = [metrics_of(answer)[metric].value(y, each) for each in scores]
    for position, own in enumerate(scores):
        others = [
            (place, paired_difference(answer, metric, y, other, own, clusters=groups))
            for place, other in enumerate(scores)
            if place != position
        ]
        better = [(place, d) for place, d in others if d.p_not_worse() <= ERROR_RATE]
        if better and position + 1 < len(scores):
            continue
        figures = ", ".join(f"{name} {format_number(value)}" for name, value in zip(names, values, strict=False))
        if not others:
            return position, f"{metric} {figures}, the only one that was tried"
        place, shown = max(others, key=lambda item: item[1].difference)
        interval = f"[{format_plain_signed(shown.low)}, {format_plain_signed(shown.high)}]"
        verdict = f"{names[place]} isn't shown to be better ({format_plain_signed(shown.difference)} {interval})"
        if position:
            verdict = f"better than the simpler one ({format_plain_signed(-shown.difference)} [{format_plain_signed(-shown.high)}, {format_plain_signed(-shown.low)}])"
        return position, f"{metric} {figures}: {verdict}"
    raise AssertionError("the last candidate is always taken")


def _folds(groups: np.ndarray, in_time: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows to fit on and rows to score: each part after all earlier ones where rows are in time, else each part beside all others.

    Args:
        groups: code of each row's group; where rows are in no order, a group is in one part as a whole.
        in_time: rows are in the order of time.
    """
    if in_time:
        parts = np.array_split(np.arange(len(groups)), FOLDS + 1)
        yield from ((np.concatenate(parts[:position]), parts[position]) for position in range(1, len(parts)))
        return
    part_of = np.random.default_rng(0).permutation(int(groups.max(initial=0)) + 1)[groups] % FOLDS
    yield from ((np.flatnonzero(part_of != part), np.flatnonzero(part_of == part)) for part in range(FOLDS))


def _can_be_fitted(label: np.ndarray, answer: Answer) -> bool:
    """Whether labels vary: a classification needs two classes of at least two rows."""
    _, counts = np.unique(label, return_counts=True)
    return len(counts) > 1 and (answer.kind.label == "number" or bool(np.sort(counts)[-2] > 1))


def _cross_validated(
    model: Model,
    kinds: Mapping[str, Kind],
    answer: Answer,
    frame: pd.DataFrame,
    label: np.ndarray,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
) -> np.ndarray | None:
    """The scores of each fold's later rows by a model fitted on its earlier ones; None where it can't be fitted on them."""
    from threadpoolctl import threadpool_limits

    scores = []
    with warnings.catch_warnings(), threadpool_limits(1):  # on so few rows threads wait for each other longer than they work
        warnings.simplefilter("ignore")  # a solver that hasn't converged is as good as it is
        for fit, later in folds:
            try:
                fitted = fit_model(model, kinds, answer, frame.iloc[fit], label[fit], folder=Path())
                scores.append(scores_of(fitted, frame.iloc[later], answer))
            except LakeloopError:
                return None
    together = np.concatenate(scores)
    return together if np.isfinite(together).all() else None
