"""Models that somebody else registered: which version is meant, and whether it keeps the contract that a workflow's own models keep.

Everything is read before anything is loaded: format, types, code, signature, feature spec; then a few rows are predicted.
"""

from __future__ import annotations

import zipfile
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
from resources.tracking.model_format import METADATA, ServableModel, load_model, refuse_pickles
from resources.tracking.registry import Registry

if TYPE_CHECKING:
    import pandas as pd

LOADERS = ("mlflow.sklearn", "mlflow.lightgbm", "mlflow.xgboost", "mlflow.catboost", "mlflow.onnx", "mlflow.pyfunc.model")
"""What loads a model's data without running code that is in it (code files are looked at apart)."""


@dataclass(frozen=True)
class Contract:
    """What a workflow wants of a model.

    Attributes:
        workflow: `<domain>.<name>`.
        answer: what it has to answer.
        kinds: the features that there are, by name.
        feature_spec: how they are looked up.
        trusted_types: what the workflow trusts beyond the usual.
    """

    workflow: str
    answer: Answer
    kinds: Mapping[str, Kind]
    feature_spec: FeatureSpec
    trusted_types: Sequence[str] = ()


@dataclass(frozen=True)
class BroughtModel:
    """A version that may be taken.

    Attributes:
        name, version: in the registry.
        features: its inputs, in its order.
        trained_until: what it was trained on ends before this time; None where nobody said so.
    """

    name: str
    version: str
    features: list[str]
    trained_until: str | None

    @property
    def uri(self) -> str:
        """As MLflow loads it."""
        return f"models:/{self.name}/{self.version}"


def version_meant(registry: Registry, model: Model) -> str:
    """The version that a workflow names: by number, by alias as it stands now, or the newest.

    Raises:
        DataError: there is no such model, version or alias.
    """
    name = str(model.registered)
    versions = registry.versions(name)
    if not versions:
        raise DataError(f"model.registered: no registered model {name!r} with a version; {nearest(name, registry.names())}")
    if model.alias is not None:
        found = registry.version_of(name, model.alias)
        if found is None:
            raise DataError(f"model.alias: {name} has no alias {model.alias!r}; {nearest(model.alias, registry.aliases(name))}")
        return found
    if model.version is not None:
        if model.version not in versions:
            raise DataError(f"model.version: {name} has no version {model.version}; there are {', '.join(map(str, versions))}")
        return str(model.version)
    return str(versions[-1])


def check_brought(uri: str, tracking_uri: str, contract: Contract, rows: pd.DataFrame) -> BroughtModel:
    """Hold a registered version against what a workflow wants.

    Args:
        uri: `models:/<name>/<version>`.
        tracking_uri: of the MLflow server.
        contract: what is wanted.
        rows: some rows with all features, as `feature_frame` makes them; they are predicted.

    Raises:
        DataError: it isn't safe to load, lacks a signature or a feature spec, takes or looks up other features, or answers something else;
            with the lines that add what is missing.
    """
    import mlflow

    mlflow.set_tracking_uri(tracking_uri)
    folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri))
    info = mlflow.models.Model.load(str(folder))
    _check_safe(folder, info, uri, contract)
    described = (info.metadata or {}).get(METADATA)
    missing = [
        what
        for what, there in (
            ("signature", info.signature is not None and info.signature.inputs is not None),
            ("feature spec", isinstance(described, Mapping) and isinstance(described.get("feature_spec"), Mapping)),
        )
        if not there
    ]
    if missing:
        raise DataError(f"{uri} has no {' and no '.join(missing)}, so that nobody knows what to look up for it. {_lines(uri, contract)}")
    assert described is not None
    features = _check_inputs(info.signature, uri, contract)
    feature_spec = _read_feature_spec(described["feature_spec"], uri)
    _check_feature_spec(feature_spec, features, uri, contract)
    if Answer.from_record(described) != contract.answer:
        raise DataError(f"{uri} says that it answers {described.get('task')!r}, the workflow wants {contract.answer.record()}")
    loader = info.flavors["python_function"]
    if (
        contract.answer.kind.gives_probabilities
        and loader["loader_module"] == "mlflow.sklearn"
        and loader.get("predict_fn", "predict") == "predict"
    ):
        raise DataError(f"{uri} answers with classes (its pyfunc_predict_fn is predict): wanted probabilities. {_lines(uri, contract)}")
    _check_answers(load_model(str(folder)), rows[features], uri, contract)
    name, _, version = uri.removeprefix("models:/").partition("/")
    return BroughtModel(name, version, features, feature_spec.trained_until)


def _lines(uri: str, contract: Contract) -> str:
    return (
        "These lines make a new version with the same files and what is missing:\n\n"
        f"    from platform_assets.bring import describe\n    describe({uri!r}, {contract.workflow!r})\n"
    )


def _check_safe(folder: Path, info: Any, uri: str, contract: Contract) -> None:
    """Refuse what would run code when it is loaded, unless the workflow trusts that very code."""
    again = (
        f"Log it again with serialization_format='skops' and **contract_of({contract.workflow!r}) (from platform_assets.bring), "
        "or in a library's own text format"
    )
    try:
        refuse_pickles(folder, uri)
    except DataError as error:
        raise DataError(f"{error}. {again}") from error
    loader = info.flavors.get("python_function", {}).get("loader_module")
    if loader not in LOADERS:
        raise DataError(f"{uri} is loaded by {loader!r}: wanted one of {', '.join(LOADERS)}, which run no code that is in the model")
    trusted = {*TRUSTED_TYPES, *contract.trusted_types}
    for path in sorted(folder.rglob("*.py")):
        if path.stem not in {name.partition(".")[0] for name in trusted}:
            raise DataError(
                f"{uri} brings code ({path.relative_to(folder)}), which runs when it is loaded; read it, then trust it in the workflow file: "
                f"model: {{trusted_types: [{path.stem}]}}"
            )
    for path in (path for path in folder.rglob("*") if path.is_file() and zipfile.is_zipfile(path)):
        with zipfile.ZipFile(path) as archive:
            if "schema.json" not in archive.namelist():
                raise DataError(f"{uri} holds an archive ({path.name}) that isn't of skops, so that nobody knows what it runs. {again}")
        import skops.io

        unknown = sorted(set(skops.io.get_untrusted_types(file=str(path))) - trusted)
        if unknown:
            raise DataError(
                f"{uri} holds types that aren't trusted ({path.name}); read their code, then list them in the workflow file: "
                f"model: {{trusted_types: [{', '.join(unknown)}]}}"
            )


def _check_inputs(signature: Any, uri: str, contract: Contract) -> list[str]:
    """The inputs, each of which is a feature by name and type; everything that isn't is told at once."""
    if not signature.inputs.has_input_names():
        raise DataError(f"{uri} takes an array without names: wanted a column per feature. {_lines(uri, contract)}")
    wrong, types = [], dict(zip(signature.inputs.input_names(), signature.inputs.input_types(), strict=True))
    for name, kind in types.items():
        found = getattr(kind, "name", str(kind))
        if name not in contract.kinds:
            wrong.append(f"no feature {name!r}; {nearest(name, contract.kinds)}")
        elif found != contract.kinds[name]:
            wrong.append(f"{name} is a {found}, the workflow has a {contract.kinds[name]}")
    if wrong:
        raise DataError(f"the signature of {uri} doesn't fit the features of {contract.workflow}: {'. '.join(wrong)}")
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


def _check_answers(model: ServableModel, rows: pd.DataFrame, uri: str, contract: Contract) -> None:
    import numpy as np

    try:
        raw = np.asarray(model.answered(rows))
    except Exception as error:  # whatever a foreign model does
        raise DataError(f"{uri} raised a {type(error).__name__} when it predicted {len(rows)} rows", detail=str(error)[:500]) from error
    what = f"{uri}: predict"
    if contract.answer.kind.label == "binary" and raw.ndim == 1 and np.issubdtype(raw.dtype, np.number):
        if len(raw) and np.isin(raw, (0, 1)).all():
            raise DataError(f"{what} gave nothing but 0 and 1 for {len(raw)} rows: wanted the probability of the positive class")
        raw = np.column_stack([1 - raw, raw])
    check_raw(raw, len(rows), contract.answer, what, model.fitted)
