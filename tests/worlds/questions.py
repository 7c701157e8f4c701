"""An evaluation's question on rows made for it, and what the page about its answer holds."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pandas as pd

from lakeloop.evaluation import model_checks as checks
from lakeloop.evaluation.assessment import CANDIDATE, CHAMPION, CONSTANT, LINEAR, Question, Rows
from lakeloop.metrics.intervals import group_codes
from lakeloop.report.changes import compare_facts
from lakeloop.report.subject import GateOutcome, Subject
from lakeloop.spec.tasks import Answer
from lakeloop.spec.workflow import Costs
from lakeloop.training.baselines import constant_scores

BINARY, REGRESSION = "binary_classification", "regression"
ANSWERS = (
    Answer(BINARY),
    Answer(REGRESSION),
    Answer("multiclass_classification", classes=("<i>", "b", "c")),
    Answer("quantile_regression", quantiles=(0.05, 0.5, 0.95)),
)


def expit(z: np.ndarray) -> np.ndarray:
    """The logistic function."""
    return 1 / (1 + np.exp(-z))


def binary(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes, and the probabilities that they were drawn with."""
    p = expit(rng.normal(-1, 1.2, n))
    return (rng.random(n) < p).astype(float), p


def question(answer: Answer, n: int = 1500) -> Question:
    """A candidate that is as good as can be, beside a champion that guesses."""
    rng = np.random.default_rng(8)
    frame = pd.DataFrame(
        {"amount": rng.normal(0, 1, n), "kind": rng.choice(np.array(["a", "<b>", None], dtype=object), n), "secret": rng.normal(0, 1, n)}
    )

    def predict(rows: pd.DataFrame) -> np.ndarray:
        given = rows["amount"].to_numpy(dtype=float)
        if answer.classes:
            rest = 1 - expit(given - 1)
            return np.stack([1 - rest, 0.7 * rest, 0.3 * rest], axis=1)
        if answer.quantiles:
            return given[:, None] + np.array([-1.64, 0, 1.64])
        return expit(given - 1) if answer.kind.gives_probabilities else given

    score, z = predict(frame), frame["amount"].to_numpy()
    if answer.classes:
        y = (rng.random(n)[:, None] > score.cumsum(axis=1)).sum(axis=1).astype(float)
    else:
        y = (rng.random(n) < score).astype(float) if answer.kind.gives_probabilities else z + rng.normal(0, 1, n)
    primary = answer.kind.primary
    at = np.datetime64("2024-03-01", "us") + np.arange(n) * np.timedelta64(1, "h")
    rows = Rows(
        y,
        at,
        frame,
        {CANDIDATE: score, LINEAR: score, CONSTANT: constant_scores(y, answer, n, primary), CHAMPION: np.roll(score, 3, axis=0)},
        {"kind": frame["kind"].tolist()},
    )
    fit = replace(rows, at=at - np.timedelta64(90, "D"), known_at=at - np.timedelta64(89, "D"))
    return Question(
        answer, primary, predict, rows, fit, at[0], checks.Overlap(np.zeros(n, bool), False),
        champion="1", refits=[0.7, 0.7], clusters=group_codes(at.astype("datetime64[D]")), hidden=frozenset({"secret"}),
        costs=Costs(false_positive=1, false_negative=4) if answer.task == BINARY else None,
    )  # fmt: skip


def subject(**more) -> Subject:
    """What a page is about, with other fields where they are given."""
    fields = {
        "name": "returns", "domain": "shop", "environment": "test", "version": "2", "description": "Will <script>alert(1)</script> it be sent back?",
        "owners": ["team:shop"], "label": "outcomes.returned", "unit": None, "predict_at": "predict_at", "fitted_rows": 5000,
        "windows": {"test": ("2024-03-01", "2024-05-02"), "train": ("2023-01-01", "2024-02-01")}, "window_rows": {"train": 5000, "test": 1500},
        "inputs": {"features/shop/basket": 3}, "training_set": 4, "features": {"amount": "Amount. [EUR]", "kind": "Kind."}, "pipeline": "linear",
        "cluster": "day", "gates": {"roc_auc": GateOutcome("failed", "at least 0.9", "0.7", "blocking")}, "champion": "1", "margin": 0.01, "error_rate": 0.05,
        "previous": "1", "changes": compare_facts({"rows": 1}, {"rows": 2}), "made_at": "2024-06-01 10:00 UTC", "query": "SELECT 1",
    }  # fmt: skip
    return Subject(**{**fields, **more})


def cut(asked: Question, rows: int, **more) -> Question:
    """The question on the first test rows alone."""
    test = asked.test
    scores = {who: score[:rows] for who, score in test.scores.items()}
    fewer = replace(test, y=test.y[:rows], at=test.at[:rows], frame=test.frame.iloc[:rows], scores=scores, slices={})
    return replace(asked, test=fewer, overlap=checks.Overlap(np.zeros(rows, bool), False), clusters=asked.clusters[:rows], **more)


def words(page: str) -> str:
    """What a page says, without its pictures."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<svg.*?</svg>|<style>.*?</style>|<[^>]*>", "", page, flags=re.DOTALL)))


class Page(HTMLParser):
    """Tags, ids, references and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, text in attrs:
            if name == "id":
                self.ids.append(str(text))
            if name in ("href", "src", "xlink:href"):
                self.links.append(str(text))
