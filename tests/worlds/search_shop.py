"""A shop whose workflow searches, and estimators that misbehave in some trials."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression

from tests.worlds.shop_project import Shop

OWN = "model: {estimator: 'tests.worlds.search_shop:Moody', trusted_types: ['tests.worlds.search_shop.Moody']}"


class Moody(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A logistic regression that raises, answers NaN, kills its process or waits for a second one, as its parameters say."""

    def __init__(self, C: float = 1.0, mood: str = "good", folder: str = "", seconds: float = 0.0) -> None:
        self.C, self.mood, self.folder, self.seconds = C, mood, folder, seconds

    def fit(self, x: Any, y: Any) -> Moody:
        """Fit, unless it doesn't feel like it."""
        if self.mood == "raise":
            raise ValueError(f"no convergence with C {self.C:.3f}")
        if self.mood == "kill" and self._first_time():
            os.kill(os.getpid(), signal.SIGKILL)
        if self.mood == "together":
            self._wait_for_company()
        time.sleep(self.seconds)
        self.model_ = LogisticRegression(C=self.C).fit(x, y)
        self.classes_ = self.model_.classes_
        return self

    def predict(self, x: Any) -> Any:
        """The classes."""
        return self.model_.predict(x)

    def predict_proba(self, x: Any) -> Any:
        """The probabilities."""
        probabilities = self.model_.predict_proba(x)
        return np.full_like(probabilities, np.nan) if self.mood == "nan" else probabilities

    def _wait_for_company(self) -> None:
        """Go on when a second process has come as far."""
        Path(self.folder, f"here-{os.getpid()}").touch()
        deadline = time.monotonic() + 90
        while len(list(Path(self.folder).glob("here-*"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)

    def _first_time(self) -> bool:
        """Whether no process was killed here yet; the first one leaves a note."""
        try:
            with Path(self.folder, "killed").open("x") as note:
                note.write(str(os.getpid()))
        except FileExistsError:
            return False
        return True


def with_search(shop: Shop, search: str, *, model: str = "model: {pipeline: linear}", more: str = "") -> Shop:
    """The same shop with a search in its workflow."""
    workflow = shop.defs / "shop" / "returns" / "defs.yaml"
    text = workflow.read_text().partition("  search:")[0]
    line = next(line for line in text.splitlines() if line.startswith("  model:"))
    workflow.write_text(text.replace(line, f"  {model}") + f"  search: {search}\n" + more)
    return replace(shop)


def study_of(shop: Shop) -> Any:
    """The study of its last search."""
    import optuna

    from lakeloop.records.training import StudyState
    from resources.lake.published import WHOLE, TableKey
    from resources.search.storage import study_storage
    from resources.settings import Settings

    state = shop.lake.states().get(TableKey("studies", "shop", "returns"), {}).get(WHOLE)
    storage = study_storage(Settings.from_environment())
    listed = optuna.get_all_study_names(storage)
    prefix = Settings.from_environment().mlflow_name("shop", "returns")
    name = state.typed(StudyState).value.study if state else next(n for n in listed if n.startswith(prefix))
    return optuna.load_study(study_name=name, storage=storage)


def failure(result: Any) -> str:
    """Why a run failed."""
    return "\n".join(
        f"{e.step_failure_data.error.message} {e.step_failure_data.user_failure_data.description if e.step_failure_data.user_failure_data else ''}"
        for e in result.all_events
        if e.is_step_failure
    )


def nested_runs(shop: Shop) -> list[Any]:
    """The MLflow runs of trials, by number."""
    import mlflow

    from resources.settings import Settings

    client = mlflow.MlflowClient(shop.uri)
    experiment = client.get_experiment_by_name(Settings.from_environment().mlflow_name("shop", "returns"))
    trial_runs = [r for r in client.search_runs([experiment.experiment_id], max_results=1000) if "lakeloop.trial" in r.data.tags]
    return sorted(trial_runs, key=lambda r: int(r.data.tags["lakeloop.trial"]))
