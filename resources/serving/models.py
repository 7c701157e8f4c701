"""Versions in memory, as they answer requests: rows in, the columns of predictions out."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lakeloop.masking import message_of
from resources.serving.answers import Columns, Outputs
from resources.serving.compiled import compiled
from resources.serving.inputs import Batch, Inputs, RequestError
from resources.tracking.model_format import Contents, ServableModel, load_model

if TYPE_CHECKING:
    from lakeloop.online.predictor import Predictor


LARGEST_SINGLE = float(np.finfo(np.float32).max)


class LoadedModel:
    """A version of a model that answers.

    Args:
        model: the model as it was loaded.
        predictor: what computes its scores; the reason, where the model couldn't be compiled and computes them itself.
    """

    def __init__(self, model: ServableModel, predictor: Predictor | str) -> None:
        spec = model.feature_spec
        self.model, self.name, self.version = model, model.name, model.version
        self.inputs = Inputs(model.fields, [*spec.keys, spec.predict_at], spec.personal or ())
        self.outputs = Outputs(model.answer, model.alert_above)
        self.predictor = None if isinstance(predictor, str) else predictor
        self.why_not = predictor if isinstance(predictor, str) else ""
        if self.predictor is not None:
            encoding = self.predictor.encoding
            codes: list[dict[Any, float]] = [{**(encoding.codes[p] or {}), None: math.nan} for p in self.inputs.text_places]
            self._codes = [known.get for known in codes]
            self._unknown = [encoding.unknown[p] for p in self.inputs.text_places]

    def predict(self, batch: Batch) -> Columns:
        """The columns of its predictions, a value per row.

        Raises:
            RequestError: a number is beyond what the model computes with.
        """
        try:
            return self.outputs.columns(self.scores(batch))
        except Exception as error:  # each library has an error of its own for a number that it can't take; others go on
            beyond = np.argwhere(np.isfinite(batch.numbers) & (np.abs(batch.numbers) > LARGEST_SINGLE))
            if not len(beyond):
                raise
            row, place = beyond[0]
            field = self.inputs.numeric[place]
            wanted = f"row {row}: the model computes with single precision, and can't take a number beyond {LARGEST_SINGLE:.4g}"
            raise RequestError(wanted, field=field) from error

    def scores(self, batch: Batch) -> np.ndarray:
        """Its scores, see `lakeloop.spec.tasks`."""
        if self.predictor is None:
            return self.model.predict(self.inputs.frame(batch))
        scores: np.ndarray = self.predictor.scores(self.encoded(batch))
        return scores

    def encoded(self, batch: Batch) -> np.ndarray:
        """Its rows as the predictor takes them: float64 `(rows, inputs)`."""
        if not batch.texts:
            return batch.numbers
        rows = np.empty((batch.count, len(self.inputs.names)), np.float64)
        rows[:, self.inputs.number_places] = batch.numbers
        for place, codes, unknown, texts in zip(self.inputs.text_places, self._codes, self._unknown, batch.texts, strict=True):
            rows[:, place] = [codes(text, unknown) for text in texts]
        return rows

    def example_text(self, name: str) -> str | None:
        """A text that an input takes, for an example: the first that its training saw, None where nobody knows one or it is personal."""
        if self.predictor is None or name in self.inputs.personal:
            return None
        codes = self.predictor.encoding.codes[self.inputs.names.index(name)] or {}
        return next((text for text in codes if isinstance(text, str)), None)

    def warm_up(self) -> None:
        """Predict a row of nulls, so that the first request isn't the slowest."""
        nulls = Batch(1, np.full((1, len(self.inputs.numeric)), np.nan), tuple([None] for _ in self.inputs.textual))
        try:
            self.predict(nulls)
        except Exception as error:  # a model may refuse nulls, and then refuses such requests; it is served all the same
            print(f"{self.name} doesn't accept a row of nulls: {message_of(error, hide=False)[:200]}", file=sys.stderr, flush=True)


def load_models(deployments: Sequence[Mapping[str, Any]], tracking_uri: str) -> tuple[dict[str, LoadedModel], dict[str, str]]:
    """Load what should be served: the models by name, and for the others the reason why they can't be loaded."""
    models, problems = {}, {}
    for deployment in deployments:
        try:
            contents = deployment.get("contents")
            known = Contents.from_record(json.loads(contents)) if contents else None
            if known is None:
                print(
                    f"{deployment['name']}: no digests of its files are known; deployments states them when it is materialised",
                    file=sys.stderr,
                )
            model = load_model(deployment["uri"], tracking_uri, known=known)
            model.name, model.version = deployment["name"], deployment["version"]
            models[model.name] = LoadedModel(model, compiled(model))
        except Exception as error:  # whatever a broken model raises is a state of it, and doesn't end the server
            problems[deployment["name"]] = f"{type(error).__name__}: {message_of(error, hide=False)[:300]}"
    return models, problems
