"""Optuna's own pictures of a study, as SVG: its history, parallel coordinates, and the importances of parameters."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from lakeloop.report.plots import as_svg

if TYPE_CHECKING:
    from optuna import Study

LEAST_COMPLETE = 4
"""Complete trials that parallel coordinates and importances need."""


def draw_study(study: Study, metric: str, seed: int) -> dict[str, str]:
    """Draw history, parallel coordinates and importances; the last two only when there are enough trials.

    Args:
        study: with at least one complete trial.
        metric: the name of its value.
        seed: of the forest that estimates importances.
    """
    import matplotlib
    import optuna
    from matplotlib import pyplot
    from optuna.trial import TrialState
    from optuna.visualization import matplotlib as visualization

    matplotlib.use("agg")
    complete = [trial for trial in study.get_trials(deepcopy=False) if trial.state == TrialState.COMPLETE]
    pictures: dict[str, str] = {}
    with (
        warnings.catch_warnings(),
        matplotlib.rc_context({"text.parse_math": False, "svg.fonttype": "none", "svg.hashsalt": metric}),
    ):  # Optuna sets the style of all figures
        warnings.simplefilter("ignore")
        pictures["history"] = _svg(pyplot, visualization.plot_optimization_history(study, target_name=metric))
        varied = _varied_params(complete)
        if len(complete) >= LEAST_COMPLETE and varied:
            pictures["parallel coordinates"] = _svg(pyplot, visualization.plot_parallel_coordinate(study, target_name=metric))
            evaluator = optuna.importance.FanovaImportanceEvaluator(seed=seed)
            pictures["importances"] = _svg(
                pyplot, visualization.plot_param_importances(study, evaluator=evaluator, params=varied, target_name=metric)
            )
    return pictures


def _varied_params(complete: list[Any]) -> list[str]:
    """Parameters that all trials have, with more than one value."""
    names = set.intersection(*(set(trial.params) for trial in complete)) if complete else set()
    return sorted(name for name in names if len({repr(trial.params[name]) for trial in complete}) > 1)


def _svg(pyplot: Any, axes: Any) -> str:
    figure = axes.figure
    figure.set_size_inches(9, 4.5)
    text = as_svg(figure, bbox_inches="tight")
    pyplot.close(figure)
    return text
