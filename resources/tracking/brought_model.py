"""Models that were registered elsewhere: which version a workflow names, and whether it keeps the contract of the workflow's own models.

Everything is checked before anything is loaded: format, types, code, signature, feature spec; then a few rows are predicted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakeloop.errors import DataError, nearest
from lakeloop.records.features import FeatureSpec
from lakeloop.rows.types import Kind
from lakeloop.spec.tasks import Answer
from lakeloop.spec.workflow import Model
from lakeloop.training.fitting import check_raw
from lakeloop.training.pipelines import TRUSTED_TYPES
from resources.tracking.model_files import Trust, UnsafeModel, check_files
from resources.tracking.model_format import METADATA, Contents, ServableModel, load_model
from resources.tracking.registry import Registry

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.models import Model as MlflowModel
    from mlflow.types import Schema


@dataclass(frozen=True)
class Contract:
    """What a workflow requires of a model.

    Attributes:
        workflow: `<domain>.<name>`.
        answer: what it has to predict.
        kinds: the types of the available features, by name.
        feature_spec: how they are looked up.
        trusted_types: types that the workflow trusts beyond the usual ones.
    """

    workflow: str
    answer: Answer
    kinds: Mapping[str, Kind]
    feature_spec: FeatureSpec
    trusted_types: Sequence[str] = ()


@dataclass(frozen=True)
class BroughtModel:
    """A version that keeps the contract.

    Attributes:
        name, version: in the registry.
        features: its inputs, in its order.
        trained_until: what it was trained on ends before this time; None where that isn't known.
        contents: what it holds, as it was checked.
    """

    name: str
    version: str
    features: list[str]
    trained_until: str | None
    contents: Contents

    @property
    def uri(self) -> str:
        """The address by which MLflow loads it."""
        return f"models:/{self.name}/{self.version}"


def resolve_version(registry: Registry, model: Model) -> str:
    """Find the version that a workflow names: by number, by its alias at present, or the newest.

    Raises:
        DataError: there is no such model, version or alias.
    """
    name = str(model.registered)
    versions = registry.versions(name)
    if not versions:
        raise DataError(f"model.registered: no registered model {name!r} with a version; {nearest(name, registry.names())}")
    if model.alias is not None:
        version = registry.version_of(name, model.alias)
        if version is None:
            raise DataError(f"model.alias: {name} has no alias {model.alias!r}; {nearest(model.alias, registry.aliases(name))}")
        return version
    if model.version is not None:
        if model.version not in versions:
            raise DataError(f"model.version: {name} has no version {model.version}; there are {', '.join(map(str, versions))}")
        return str(model.version)
    return str(versions[-1])


def check_brought(uri: str, tracking_uri: str, contract: Contract, rows: pd.DataFrame) -> BroughtModel:
    """Check that a registered version keeps a workflow's contract.

    Args:
        uri: `models:/<name>/<version>`.
        tracking_uri: of the MLflow server.
        contract: what the workflow requires.
        rows: some rows with all features, as `feature_frame` makes them; they are predicted.

    Raises:
        DataError: it isn't safe to load, lacks a signature or a feature spec, takes or looks up other features, or predicts something else;
            with the lines of Python that add what is missing.
    """
    import mlflow

    mlflow.set_tracking_uri(tracking_uri)
    folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri))
    contents = _check_safe(folder, uri, contract)
    info = mlflow.models.Model.load(str(folder))
    inputs, description = _check_complete(info, uri, contract)
    features = _check_inputs(inputs, uri, contract)
    feature_spec = _read_feature_spec(description["feature_spec"], uri)
    _check_feature_spec(feature_spec, features, uri, contract)
    if Answer.from_record(description) != contract.answer:
        raise DataError(f"{uri} says that it answers {description.get('task')!r}, the workflow wants {contract.answer.record()}")
    _check_probabilities(info, uri, contract)
    _check_predictions(load_model(str(folder), known=contents), rows[features], uri, contract)
    name, _, version = uri.removeprefix("models:/").partition("/")
    return BroughtModel(name, version, features, feature_spec.trained_until, contents)


def _fix(uri: str, contract: Contract) -> str:
    """The lines of Python that add what is missing, as part of a message."""
    return (
        "These lines create a new version with the same files and what is missing:\n\n"
        f"    from platform_assets.bring import describe\n    describe({uri!r}, {contract.workflow!r})\n"
    )


def _check_complete(info: MlflowModel, uri: str, contract: Contract) -> tuple[Schema, Mapping[str, Any]]:
    """Check that it has a signature and a feature spec; the inputs of the one, and the description that holds the other."""
    description = (info.metadata or {}).get(METADATA)
    inputs = None if info.signature is None else info.signature.inputs
    has_feature_spec = isinstance(description, Mapping) and isinstance(description.get("feature_spec"), Mapping)
    if inputs is None or description is None or not has_feature_spec:
        missing = [part for part, is_there in (("signature", inputs is not None), ("feature spec", has_feature_spec)) if not is_there]
        raise DataError(f"{uri} has no {' and no '.join(missing)}, so it is unknown what to look up for it. {_fix(uri, contract)}")
    return inputs, description


def _check_probabilities(info: MlflowModel, uri: str, contract: Contract) -> None:
    """Check that a classifier isn't set up to return classes where the workflow wants probabilities."""
    loader = info.flavors["python_function"]
    returns_classes = loader["loader_module"] == "mlflow.sklearn" and loader.get("predict_fn", "predict") == "predict"
    if contract.answer.kind.gives_probabilities and returns_classes:
        raise DataError(f"{uri} answers with classes (its pyfunc_predict_fn is predict): wanted probabilities. {_fix(uri, contract)}")


def _check_safe(folder: Path, uri: str, contract: Contract) -> Contents:
    """What a version holds, once nothing in it can run code when it is loaded.

    Raises:
        UnsafeModel: it holds something that isn't on the list, or types that neither Lakeloop nor the workflow trusts.
    """
    trust = Trust(tuple(sorted({*TRUSTED_TYPES, *contract.trusted_types})))
    try:
        return Contents(check_files(folder, uri, trust), trust)
    except UnsafeModel as error:
        raise UnsafeModel(
            f"{error}. Log it again with serialization_format='skops' and **contract_of({contract.workflow!r}) (from platform_assets.bring), "
            "or in a library's own format"
        ) from error


def _check_inputs(inputs: Schema, uri: str, contract: Contract) -> list[str]:
    """Check that each input is a feature by name and type, and report all that aren't at once; the names of the inputs."""
    if not inputs.has_input_names():
        raise DataError(f"{uri} takes an array without names: wanted a column per feature. {_fix(uri, contract)}")
    problems, types = [], dict(zip([str(name) for name in inputs.input_names()], inputs.input_types(), strict=True))
    for name, input_type in types.items():
        kind = getattr(input_type, "name", str(input_type))
        if name not in contract.kinds:
            problems.append(f"no feature {name!r}; {nearest(name, contract.kinds)}")
        elif kind != contract.kinds[name]:
            problems.append(f"{name} is a {kind}, the workflow has a {contract.kinds[name]}")
    if problems:
        raise DataError(f"the signature of {uri} doesn't fit the features of {contract.workflow}: {'. '.join(problems)}")
    return list(types)


def _read_feature_spec(values: Mapping[str, Any], uri: str) -> FeatureSpec:
    try:
        return FeatureSpec.from_record(values)
    except DataError as error:
        raise DataError(f"the feature spec of {uri} can't be read: {error}") from error


def _check_feature_spec(spec: FeatureSpec, features: list[str], uri: str, contract: Contract) -> None:
    """Check that it looks up for its inputs what the workflow looks up."""
    wanted = contract.feature_spec
    for field, theirs, ours in (("keys", list(spec.keys), list(wanted.keys)), ("predict_at", spec.predict_at, wanted.predict_at)):
        if theirs != ours:
            raise DataError(f"the feature spec of {uri} says {field} {theirs!r}, the workflow {ours!r}")
    rules, wanted_rules = spec.rules(), wanted.rules()
    if set(rules) != set(features):
        raise DataError(f"the feature spec of {uri} looks up {', '.join(rules)}, its signature takes {', '.join(features)}")
    for name in features:
        for field, value in wanted_rules[name].items():
            if rules[name][field] != value:
                raise DataError(f"the feature spec of {uri} says of {name}: {field} {rules[name][field]!r}, the workflow {value!r}")


def _check_predictions(model: ServableModel, rows: pd.DataFrame, uri: str, contract: Contract) -> None:
    """Predict some rows, and check the shape and the values of what comes back."""
    import numpy as np

    try:
        raw = np.asarray(model.predict_raw(rows))
    except Exception as error:  # whatever a foreign model does
        raise DataError(f"{uri} raised a {type(error).__name__} when it predicted {len(rows)} rows", detail=str(error)[:500]) from error
    source = f"{uri}: predict"
    if contract.answer.kind.label == "binary" and raw.ndim == 1 and np.issubdtype(raw.dtype, np.number):
        if len(raw) and np.isin(raw, (0, 1)).all():
            raise DataError(f"{source} gave nothing but 0 and 1 for {len(raw)} rows: wanted the probability of the positive class")
        raw = np.column_stack([1 - raw, raw])
    check_raw(raw, len(rows), contract.answer, source, model.fitted)
