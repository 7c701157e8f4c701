"""The compiled predictor of a model that is loaded, proved against the model itself before anybody relies on it."""

from __future__ import annotations

import importlib
from contextlib import suppress

from threadpoolctl import threadpool_limits

from lakeloop.masking import message_of
from lakeloop.online.predictor import Predictor, compile_model
from lakeloop.online.proof import find_difference
from resources.tracking.model_format import ServableModel


def compiled(model: ServableModel) -> Predictor | str:
    """Compile a loaded model, and compare it with `model.predict` on rows at random, which takes 0.5 to 2 s.

    Args:
        model: as `load_model` gives it.

    Returns:
        The predictor, which predicts what `model.predict` does; or a sentence that says why there is none, and each request goes through MLflow.
    """
    try:
        predictor = compile_model(model.raw, model.fields, model.answer, fitted=model.fitted, method=model.method)
        reason = predictor if isinstance(predictor, str) else find_difference(predictor, model.fields, model.predict)
    except Exception as error:  # whatever compiling a model of another library's raises, it can still be served as it is
        reason = f"compiling it failed with {message_of(error, hide=model.holds_personal)[:200]}"
    return reason or predictor


def one_thread() -> threadpool_limits:
    """Keep BLAS and OpenMP of this process to one thread: a row is too little work to share, and workers would take each other's cores.

    Returns:
        What ends the limit where it is used as a context.
    """
    # Only libraries that are loaded are limited; these modules bring those that predict.
    for name in ("sklearn.ensemble", "lightgbm"):
        with suppress(ImportError, OSError):
            importlib.import_module(name)
    return threadpool_limits(1)
