"""What single features, their absence, and several features together say of the label; and whether a leak would have been seen at this size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lakeloop.evaluation.absence import absence_tells
from lakeloop.evaluation.power import PLANTED, PLANTED_ROWS, relation_power
from lakeloop.evaluation.relations import Relation, Scope, find_relations, scope_of
from lakeloop.evaluation.single_features import LEAST_FEATURE_ROWS, means_by_value, share_given, single_feature_scores
from lakeloop.evaluation.single_index import concordance
from lakeloop.spec.tasks import Answer

Array = np.ndarray
LEAST_PRESENT_ROWS = 30
"""Test rows with a value, for a classification those of the rarest class, that are needed to score a feature on them alone."""
PLANTED_SHARE = 0.5
"""The share of rows in which each planted feature gives the label: by itself it lifts every metric by about half of the distance from constant to
perfect."""
MOST_ORDERED = 0.95
"""As the ROC AUC of two classes: codes of ranges of the label have an R² that its tails decide. Of 200 honest features the best had 0.84."""

LEAST_GIVEN, CERTAIN_AREA = 0.6, 0.98
"""Of classes a feature must give this share of the label's variance, too, unless its ROC AUC is above the second. With equally many rows of each class,
normal scores of a ROC AUC of 0.95 give 0.66; of an outcome in 3% of the rows 0.4: there nine in ten of the rows that rank first may be of the other
class, as with the balance of a card of who defaults (0.954 and 0.36)."""


@dataclass(frozen=True)
class LeakFindings:
    """What the features of some test rows say of their label.

    Attributes:
        rows: the number of test rows.
        alone: a metric per feature by itself, see `single_feature_scores`; NaN where it can't be scored.
        present: the same on the rows where it has a value, of features that some rows lack.
        ordered: the share of pairs of rows with different numbers as labels that a feature alone puts in order, see `concordance`.
        absent: what the absence of a feature says of the label, of those that say much.
        relations: features that give the label together.
        scope: what was looked at for them; None where nothing was.
        given: of classes, the share of the label's variance that a feature gives by itself, of those with a high metric.
        power: the share of planted features that were found, each giving the label in half of the rows; NaN where nothing can be scored.
        relation_power: the share of planted relations that were found, of features that give the label together in all rows; NaN where none are
            looked for.
    """

    rows: int
    alone: Mapping[str, float]
    present: Mapping[str, float] = field(default_factory=dict)
    ordered: Mapping[str, float] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)
    relations: Sequence[Relation] = ()
    scope: Scope | None = None
    given: Mapping[str, float] = field(default_factory=dict)
    power: float = math.nan
    relation_power: float = math.nan

    def suspects(self, limit: float) -> dict[str, float]:
        """Features that alone reach a limit, on all rows or where they have a value, with their score; 1 for those whose absence tells."""
        scores = {**dict.fromkeys(self.absent, 1.0), **{name: value for name, value in self.ordered.items() if value >= MOST_ORDERED}}
        for listed in (self.present, self.alone):
            scores.update({name: value for name, value in listed.items() if self._tells(name, value, limit)})
        return dict(sorted(scores.items(), key=lambda item: -item[1]))

    def _tells(self, name: str, value: float, limit: float) -> bool:
        """Whether a metric is that of a feature that gives the label, rather than of one that ranks the rows well and leaves most of it open."""
        return math.isfinite(value) and value >= limit and (value >= CERTAIN_AREA or self.given.get(name, 1.0) >= LEAST_GIVEN)


def find_leaks(
    answer: Answer, fit: Mapping[str, Array], fit_y: Array, test: Mapping[str, Array], y: Array, *, seed: int = 0, together: bool = True
) -> LeakFindings:
    """Look at every feature by itself, at its absence, and at features together.

    Args:
        answer: what is predicted.
        fit: features of rows that the label is learnt from: float64 with NaN, or objects with None.
        fit_y: their labels.
        test: the same features of the rows that are scored.
        y: their labels.
        seed: of the planted features.
        together: whether to look for features that give the label together; not in a forecast, where the last values may say most of the next.
    """
    alone = single_feature_scores(answer, fit, fit_y, test, y)
    classes = None if answer.kind.label == "number" else answer.classes or (False, True)
    absent = {}
    for name in fit:
        told = absence_tells(np.append(is_missing(fit[name]), is_missing(test[name])), np.append(fit_y, y), classes)
        if told:
            absent[name] = told
    relations, scope, related = list[Relation](), None, math.nan
    if together:
        columns, labels = {name: np.concatenate([fit[name], test[name]]) for name in fit}, np.append(fit_y, y)
        relations, scope = (
            find_relations(columns, labels, is_class=classes is not None),
            scope_of(columns, labels, is_class=classes is not None),
        )
        related = math.nan if relations else relation_power(labels, is_class=classes is not None, seed=seed)
    power = _power(answer, fit_y, y, seed) if any(map(math.isfinite, alone.values())) else math.nan
    present = _where_present(answer, fit, fit_y, test, y)
    given = {}
    if classes is not None:
        limit = answer.kind.leak_limit[1]
        ranking = [name for name in fit if any(listed.get(name, math.nan) >= limit for listed in (alone, present))]
        given = {name: _share_where_known(answer, fit[name], fit_y, test[name], y) for name in ranking}
    ordered = {}
    if together and classes is None and len(y) >= LEAST_PRESENT_ROWS:
        ordered = {name: concordance(means_by_value(fit[name], fit_y, test[name]), y) for name in fit}
    return LeakFindings(len(y), alone, present, ordered, absent, tuple(relations), scope, given, power, related)


def is_missing(values: Array) -> Array:
    """Which values of a feature are null."""
    return np.array([value is None for value in values]) if values.dtype == object else np.isnan(values)


def _where_present(answer: Answer, fit: Mapping[str, Array], fit_y: Array, test: Mapping[str, Array], y: Array) -> dict[str, float]:
    scores = {}
    for name in fit:
        has_fit, has_test = ~is_missing(fit[name]), ~is_missing(test[name])
        if has_test.all() or _rarest(answer, y[has_test]) < LEAST_PRESENT_ROWS or _rarest(answer, fit_y[has_fit]) < LEAST_PRESENT_ROWS:
            continue
        part = single_feature_scores(answer, {name: fit[name][has_fit]}, fit_y[has_fit], {name: test[name][has_test]}, y[has_test])
        scores.update(part)
    return scores


def _share_where_known(answer: Answer, fit: Array, fit_y: Array, test: Array, y: Array) -> float:
    """The share of the label that a feature gives, of all rows or of those where it has a value, whichever is more."""
    has_fit, has_test = ~is_missing(fit), ~is_missing(test)
    shares = [share_given(answer, fit, fit_y, test, y)]
    if _rarest(answer, y[has_test]) >= LEAST_PRESENT_ROWS and _rarest(answer, fit_y[has_fit]) >= LEAST_PRESENT_ROWS:
        shares.append(share_given(answer, fit[has_fit], fit_y[has_fit], test[has_test], y[has_test]))
    return max(shares)


def _rarest(answer: Answer, y: Array) -> int:
    """The rows of the rarest class, or all rows of a number."""
    if answer.kind.label == "number":
        return len(y)
    return int(np.bincount(y.astype(int), minlength=len(answer.classes) or 2).min())


def _power(answer: Answer, fit_y: Array, y: Array, seed: int) -> float:
    """Plant features that give the label in half of the rows, in rows drawn like these, and count those that are found."""
    rng = np.random.default_rng(seed)
    limit = answer.kind.leak_limit[1]
    classes = None if answer.kind.label == "number" else answer.classes or (False, True)
    hits = 0
    for _ in range(PLANTED):
        drawn_fit, drawn = (rng.choice(labels, min(len(labels), PLANTED_ROWS)) for labels in (fit_y, y))
        planted_fit, planted = (np.where(rng.random(len(labels)) < PLANTED_SHARE, labels, np.nan) for labels in (drawn_fit, drawn))
        if _rarest(answer, drawn) < LEAST_FEATURE_ROWS:
            continue
        fit, test = {"planted": planted_fit}, {"planted": planted}
        alone = single_feature_scores(answer, fit, drawn_fit, test, drawn)
        findings = LeakFindings(
            len(drawn),
            alone,
            _where_present(answer, fit, drawn_fit, test, drawn),
            {},
            {"planted": told} if (told := absence_tells(np.isnan(planted), drawn, classes)) else {},
        )
        hits += bool(findings.suspects(limit))
    return hits / PLANTED
