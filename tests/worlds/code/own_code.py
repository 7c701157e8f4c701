"""Models of a user's own code: files that tests write beside a workflow, and workflows that name them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from tests.worlds.shop_project import Shop


def with_model(shop: Shop, model: str, **files: str) -> Path:
    """The workflow with another model; returns its folder."""
    folder = shop.defs / "shop" / "returns"
    text = (folder / "defs.yaml").read_text().splitlines()
    changed = [f"  model: {model}" if line.startswith("  model:") else line for line in text]
    (folder / "defs.yaml").write_text("\n".join(changed) + "\n")
    for name, source in files.items():
        (folder / f"{name}.py").write_text(source)
    return folder


PIPELINE = """\
TASKS = ("binary_classification",)

def estimator(kinds, answer, params, seed):
    from lakeloop.pipelines.linear import estimator as linear
    return linear(kinds, answer, params, seed)

def search_space(task):
    return {"C": {"low": 0.1, "high": 10.0}}
"""
MAJORITY = """\
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin


class Majority(ClassifierMixin, BaseEstimator):
    def __init__(self, share=0.5):
        self.share = share

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.p_ = float(np.mean(y)) * self.share
        return self

    def predict_proba(self, X):
        return np.tile([1 - self.p_, self.p_], (len(X), 1))

    def predict(self, X):
        return np.full(len(X), 0.0)
"""


class Fixed:
    """Says the same whatever it is asked."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def predict_proba(self, frame: pd.DataFrame) -> Any:
        return self.answer
