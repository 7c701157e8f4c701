"""Models that consist of others: pipelines, calibrated classifiers, transformed labels, an estimator per quantile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lakeloop.online.columns import Columns, compile_columns, plain_columns
from lakeloop.online.encoding import CannotCompile, Estimate, Input, Part
from lakeloop.online.heads import compile_head, compile_transform
from lakeloop.online.histogram_trees import histogram_sums, inverse_link
from lakeloop.online.libraries import understand_foreign

_HISTOGRAM_TREES = ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor")


def understand(model: Any, inputs: Sequence[Input], method: str) -> Part:
    """What a method of a fitted model makes of its inputs.

    Raises:
        CannotCompile: with the reason.
    """
    kind = _kind(model)
    if kind == "FrozenEstimator":
        return understand(model.estimator, inputs, method)
    if kind == "CalibratedClassifierCV" and method == "predict_proba":
        return _calibrated(model, inputs)
    if kind == "TransformedTargetRegressor":
        return understand(model.regressor_, inputs, method).then(_inverse(model))
    if kind == "Pipeline":
        return _pipeline(model, inputs, method)
    if (foreign := understand_foreign(model, inputs)) is not None:
        return foreign
    return _last(model, plain_columns(inputs), method)


def _kind(model: Any) -> str:
    """The name of scikit-learn's class; empty for those of others."""
    return type(model).__name__ if type(model).__module__.startswith("sklearn.") else ""


def _pipeline(model: Any, inputs: Sequence[Input], method: str) -> Part:
    steps = [step for _, step in model.steps if step is not None and not (isinstance(step, str) and step == "passthrough")]
    columns = compile_columns(steps[0], inputs) if _kind(steps[0]) == "ColumnTransformer" else None
    if columns is not None:
        steps = steps[1:]
    elif any(each.kind == "string" for each in inputs):
        raise CannotCompile(f"its first step is a {type(steps[0]).__name__}, and strings are known only in a ColumnTransformer")
    else:
        columns = plain_columns(inputs)
    for step in steps[:-1]:
        columns = replace(columns, matrix=_after(columns.matrix, compile_transform(step)), sources=None)
    return _last(steps[-1], columns, method)


def _after(first: Estimate, second: Estimate) -> Estimate:
    return lambda rows: second(first(rows))


def _last(estimator: Any, columns: Columns, method: str) -> Part:
    """The last step of a model; histogram trees may read the inputs themselves."""
    kind = _kind(estimator)
    if kind in _HISTOGRAM_TREES:
        finish = inverse_link(estimator, method)
        flat = estimator.n_trees_per_iteration_ == 1
        return histogram_sums([estimator], columns).then((lambda sums: finish(sums[:, 0])) if flat else finish)
    if (kind == "MultiOutputRegressor" and method == "predict") or (kind == "VotingRegressor" and method == "transform"):
        members = list(estimator.estimators_)
        if all(_kind(member) in _HISTOGRAM_TREES for member in members):
            links = {inverse_link(member, "predict") for member in members}
            if len(links) == 1:
                return histogram_sums(members, columns).then(links.pop())
        return Part(columns.encoding, columns.matrix).then(_side_by_side([_of_columns(member, "predict") for member in members]))
    return Part(columns.encoding, columns.matrix).then(_of_columns(estimator, method))


def _of_columns(estimator: Any, method: str) -> Estimate:
    """What a method does to columns, through what wraps it."""
    if _kind(estimator) == "FrozenEstimator":
        return _of_columns(estimator.estimator, method)
    if _kind(estimator) == "TransformedTargetRegressor":
        return _after(_of_columns(estimator.regressor_, method), _inverse(estimator))
    return compile_head(estimator, method)


def _side_by_side(members: Sequence[Estimate]) -> Estimate:
    return lambda columns: np.stack([member(columns) for member in members], axis=1)


def _inverse(model: Any) -> Callable[[np.ndarray], np.ndarray]:
    """What turns the predictions of a TransformedTargetRegressor's own regressor into the label's unit."""
    transformer = model.transformer_
    if _kind(transformer) == "FunctionTransformer" and isinstance(transformer.inverse_func, np.ufunc) and not transformer.inv_kw_args:
        function: Callable[[np.ndarray], np.ndarray] = transformer.inverse_func
        return function
    if _kind(transformer) == "StandardScaler" and transformer.with_mean and transformer.with_std and len(transformer.scale_) == 1:
        scale, mean = transformer.scale_, transformer.mean_
        return lambda scaled: scaled * scale + mean
    raise CannotCompile(f"its label goes through a {type(transformer).__name__}, which isn't known here")


def _calibrated(model: Any, inputs: Sequence[Input]) -> Part:
    """A classifier with a curve per class from its sums, or its probabilities, to the frequencies that were observed."""
    if len(model.calibrated_classifiers_) != 1:
        raise CannotCompile(f"it is the mean of {len(model.calibrated_classifiers_)} calibrated classifiers")
    (calibrated,) = model.calibrated_classifiers_
    classes = list(calibrated.classes)
    of_column = [classes.index(each) for each in calibrated.estimator.classes_]
    curves = [_curve(each) for each in calibrated.calibrators]
    method = "decision_function" if hasattr(calibrated.estimator, "decision_function") else "predict_proba"
    part = understand(calibrated.estimator, inputs, method)
    if len(classes) == 2:
        if len(curves) != 1:
            raise CannotCompile("it has two classes and more than one curve")
        return part.then(lambda sums: _at_most_one(curves[0](sums if sums.ndim == 1 else sums[:, 1])))

    def probabilities(sums: np.ndarray) -> np.ndarray:
        by_class = np.zeros((len(sums), len(classes)))
        for place, curve, column in zip(of_column, curves, range(sums.shape[1]), strict=True):
            by_class[:, place] = curve(sums[:, column])
        total = by_class.sum(axis=1)[:, np.newaxis]
        # Where every curve gives 0, the classes are equally probable.
        return _at_most_one(np.divide(by_class, total, out=np.full_like(by_class, 1 / len(classes)), where=total != 0))

    return part.then(probabilities)


def _at_most_one(shares: np.ndarray) -> np.ndarray:
    return np.where((shares > 1.0) & (shares <= 1.0 + 1e-5), 1.0, shares)


def _curve(calibrator: Any) -> Callable[[np.ndarray], np.ndarray]:
    from scipy.special import expit

    if _kind(calibrator) == "_SigmoidCalibration":
        slope, shift = calibrator.a_, calibrator.b_
        return lambda sums: expit(-(slope * sums + shift))
    if _kind(calibrator) == "IsotonicRegression" and calibrator.out_of_bounds == "clip" and len(calibrator.y_thresholds_) > 1:
        at, values, least, most = calibrator.X_thresholds_, calibrator.y_thresholds_, calibrator.X_min_, calibrator.X_max_
        return lambda sums: np.interp(np.clip(sums, least, most), at, values)
    own: Callable[[np.ndarray], np.ndarray] = calibrator.predict
    return own
