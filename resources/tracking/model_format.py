"""Models in the MLflow model format: logged with signature and feature spec, stored without pickle, loaded for predictions."""

from __future__ import annotations

import importlib.metadata
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakeloop.errors import DataError
from lakeloop.records.features import FeatureSpec
from lakeloop.rows.types import Kind
from lakeloop.spec.tasks import Answer, fitted_classes, scoring_method, to_scores
from resources.tracking.model_files import Trust, UnsafeModel, check_files, differences
from resources.tracking.registry import Registry
from resources.tracking.tags import DELTA_VERSION_TAG, FINGERPRINT_TAG, REGISTERED_TAG

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from mlflow.entities import DatasetInput
    from mlflow.models import ModelSignature
    from mlflow.pyfunc import PyFuncModel

    from resources.tracking.runs import RunHandle

METADATA = "lakeloop"
_REQUIREMENTS = ("mlflow", "scikit-learn", "skops", "numpy", "pandas")
_STORABLE = (
    "(wanted scikit-learn's parts, arrays, plain values, and classes or functions at the top level of a module that can be imported)"
)
_ADD = "platform_assets.bring.describe adds it, see docs/models.md"


@dataclass(frozen=True)
class Field:
    """An input of a model; null is allowed unless it is required."""

    name: str
    kind: Kind
    required: bool = False


@dataclass(frozen=True)
class LoggedModel:
    """A model as logged: its URI and the run that logged it."""

    uri: str
    model_id: str
    run_id: str


@dataclass(frozen=True)
class Contents:
    """What a version holds: the SHA-256 of each file by its path, and what it may hold beside numbers."""

    files: Mapping[str, str] = field(default_factory=dict)
    trust: Trust = field(default_factory=Trust)

    def record(self) -> dict[str, Any]:
        """Plain JSON values."""
        types = self.trust.types
        return {"files": dict(self.files), "types": None if types is None else list(types), "code": self.trust.code}

    @classmethod
    def from_record(cls, values: Mapping[str, Any]) -> Contents:
        """The contents of some JSON values."""
        types = values["types"]
        return cls(values["files"], Trust(None if types is None else tuple(types), code=values["code"]))


class ServableModel:
    """A loaded model: what it takes, one score per row, and of which files it was loaded."""

    def __init__(
        self,
        name: str,
        version: str,
        answer: Answer,
        fields: tuple[Field, ...],
        feature_spec: FeatureSpec,
        model: PyFuncModel,
        uri: str = "",
        fitted: Sequence[int] | None = None,
        contents: Contents | None = None,
    ) -> None:
        self.name, self.version, self.uri = name, version, uri
        self.answer, self.fitted, self.contents = answer, fitted, contents
        self.fields, self.feature_spec = fields, feature_spec
        self._model = model

    @property
    def alert_above(self) -> float | None:
        """The score above which a row is an alert; None where the model flags none."""
        return self.feature_spec.alert_threshold

    @property
    def holds_personal(self) -> bool:
        """Whether an input is personal, so that no message about a row may be stored."""
        return bool(self.feature_spec.personal)

    @property
    def raw(self) -> Any:
        """The object inside: a fitted estimator, or what the model's own library loaded; None where MLflow gives no access to it."""
        try:
            return self._model.get_raw_model()  # type: ignore[no-untyped-call]  # MLflow declares no types there
        except NotImplementedError:
            return None

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """Its scores, see `lakeloop.spec.tasks`: float64, in the order of the rows.

        Args:
            frame: the model's inputs, as `feature_frame` makes them.
        """
        import numpy as np

        if not len(frame):
            return np.empty((0, *([len(self.answer.numbers)] if self.answer.numbers else [])), np.float64)
        return to_scores(self.predict_raw(frame), self.answer, self.fitted)

    def predict_raw(self, frame: pd.DataFrame) -> Any:
        """What the model itself returns, whatever its shape is."""
        inputs = frame[[field.name for field in self.fields]]
        return getattr(self.raw, self.raw_method)(inputs) if self.raw_method else self._model.predict(inputs)

    @property
    def method(self) -> str:
        """The method of `raw` whose answers `predict` makes scores of."""
        loader = self._model.metadata.flavors["python_function"]
        return self.raw_method or str(loader.get("predict_fn", "predict"))

    @cached_property
    def raw_method(self) -> str | None:
        """The method of `raw` that gives scores where MLflow's `predict` doesn't: its flavour only tells outliers from inliers."""
        return scoring_method(self.raw, self.answer) if self.answer.kind.label == "none" else None


def log_model(
    run: RunHandle,
    estimator: Any,
    *,
    name: str,
    frame: pd.DataFrame,
    kinds: Mapping[str, Kind],
    answer: Answer,
    feature_spec: FeatureSpec,
    fingerprint: str,
    datasets: Sequence[tuple[str, str, int]] = (),
    trusted_types: Sequence[str] = (),
    own_module: str | None = None,
    shipped: Mapping[str, str] | None = None,
) -> LoggedModel:
    """Log a fitted scikit-learn estimator to a run.

    Args:
        run: the open run.
        estimator: fitted.
        name: of the logged model.
        frame: a few rows as input example, without personal values.
        kinds: the inputs with their types, for the signature.
        answer: what it predicts for a row.
        feature_spec: what to look up for the inputs; stored in the model.
        fingerprint: of the model.
        datasets: (name, table URL, Delta version) of what it was trained on.
        trusted_types: types beyond those that skops trusts.
        own_module: the module that the workflow itself names, whose types are therefore trusted.
        shipped: source code, by module name, of what isn't installed where the model is loaded; it is stored in the model.

    Raises:
        DataError: a type in the model isn't trusted, or it was stored without a signature.
    """
    import mlflow

    fitted = fitted_classes(estimator) if answer.classes else None
    with tempfile.TemporaryDirectory() as folder:
        for module, source in (shipped or {}).items():
            Path(folder, f"{module}.py").write_text(source, encoding="utf-8")
        info = mlflow.sklearn.log_model(
            estimator,
            name=name,
            serialization_format="skops",
            skops_trusted_types=trusted_among(estimator, trusted_types, own_module),
            signature=_signature(kinds, answer, fitted),
            input_example=frame.astype({column: "float64" for column, kind in kinds.items() if kind == "double"}),
            code_paths=[str(path) for path in sorted(Path(folder).iterdir())] or None,
            pip_requirements=[f"{package}=={importlib.metadata.version(package)}" for package in _REQUIREMENTS],
            pyfunc_predict_fn="predict" if answer.kind.label == "none" else scoring_method(estimator, answer),
            metadata={
                METADATA: {
                    **answer.record(),
                    "fitted_classes": fitted,
                    "feature_spec": feature_spec.record(),
                    "fingerprint": fingerprint,
                    "kinds": dict(kinds),
                }
            },
        )
    if info.signature is None:
        raise DataError(f"the model {name} was stored without a signature")
    if datasets:
        run.client.log_inputs(run.run_id, [_dataset_input(*dataset) for dataset in datasets])
    return LoggedModel(info.model_uri, info.model_id, run.run_id)


def _signature(kinds: Mapping[str, Kind], answer: Answer, fitted: Sequence[int] | None) -> ModelSignature:
    """The inputs, none of them required, and a double for each number of a prediction."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    inputs = Schema([ColSpec(kind, column, required=False) for column, kind in kinds.items()])
    names = list(answer.numbers)
    if fitted is not None:
        names = [names[place] for place in fitted]
    return ModelSignature(inputs=inputs, outputs=Schema([ColSpec("double", name) for name in names] or [ColSpec("double")]))


def _dataset_input(name: str, url: str, version: int) -> DatasetInput:
    """A Delta table at a version, as a run lists what it was trained on."""
    import mlflow
    from mlflow.entities import DatasetInput, InputTag

    source = mlflow.data.delta_dataset_source.DeltaDatasetSource(path=url, delta_table_version=version)
    # MLflow itself makes datasets of this class, although `profile` is abstract in its base.
    dataset = mlflow.data.meta_dataset.MetaDataset(source, name=name, digest=str(version))  # type: ignore[abstract]
    tags = [InputTag("mlflow.data.context", "training"), InputTag(DELTA_VERSION_TAG, str(version))]
    return DatasetInput(dataset._to_mlflow_entity(), tags)


def trusted_among(estimator: Any, trusted_types: Sequence[str], own_module: str | None = None) -> list[str]:
    """The types to trust when a model is stored: those listed, and the types in it that the workflow's own module defines.

    Raises:
        DataError: the model holds other types, or can't be stored without pickle at all.
    """
    import skops.io

    try:
        untrusted = skops.io.get_untrusted_types(data=skops.io.dumps(estimator))
    except Exception as error:  # skops has no error of its own for what it can't store
        raise DataError(f"the model can't be stored without pickle: {type(error).__name__}: {error} {_STORABLE}") from error
    not_importable = [name for name in untrusted if "<" in name or name.startswith("__main__.")]
    if not_importable:
        raise DataError(f"the model can't be stored without pickle: {', '.join(not_importable)} {_STORABLE}")
    own = [name for name in untrusted if own_module and name.startswith(f"{own_module}.")]
    unknown = sorted(set(untrusted) - set(own) - set(trusted_types))
    if unknown:
        raise DataError(
            "the model holds types that aren't trusted; read their code, then list them in the workflow file: "
            f"model: {{trusted_types: [{', '.join(unknown)}]}}"
        )
    return [*trusted_types, *own]


def load_model(uri: str, tracking_uri: str | None = None, *, known: Contents | None = None) -> ServableModel:
    """Load a model through MLflow, from `models:/<name>/<version>`, a run, or a local folder.

    Args:
        uri: of the model.
        tracking_uri: of the MLflow server.
        known: what it held when it was registered, from the ledger; without it, nobody can tell whether it was overwritten.

    Raises:
        UnsafeModel: it holds what isn't on the list (`model_files`), or something else than when it was registered.
        DataError: it lacks a signature, or wasn't made by a workflow.
    """
    import mlflow

    if tracking_uri:
        mlflow.set_tracking_uri(tracking_uri)
    path = uri if Path(uri).is_dir() else mlflow.artifacts.download_artifacts(artifact_uri=uri)
    trust = known.trust if known is not None else Trust(None, code=_is_fitted_here(uri, Path(path)))
    files = check_files(Path(path), uri, trust)
    if known is not None and (problem := differences(uri, files, known.files)):
        raise UnsafeModel(
            f"{problem}; wanted what was checked then. Fit or register a new version, and find out who writes to MLflow's artifacts"
        )
    info = mlflow.models.Model.load(path)
    described = (info.metadata or {}).get(METADATA)
    if info.signature is None or info.signature.inputs is None:
        raise DataError(f"the model {uri} has no signature, so its inputs are unknown; {_ADD}")
    if described is None:
        raise DataError(f"the model {uri} has no feature spec, so it is unknown what to look up for it; {_ADD}")
    fields = tuple(Field(c.name, "string" if c.type.name == "string" else "double", bool(c.required)) for c in info.signature.inputs.inputs)
    name, version = _name_and_version(uri)
    fitted, answer, spec = (
        described.get("fitted_classes"),
        Answer.from_record(described),
        FeatureSpec.from_record(described["feature_spec"]),
    )
    return ServableModel(name, version, answer, fields, spec, mlflow.pyfunc.load_model(path), uri, fitted, Contents(files, trust))


def read_contents(uri: str, tracking_uri: str, trust: Trust) -> Contents:
    """What a registered version holds, once it is checked; nothing is loaded.

    Raises:
        UnsafeModel: a file isn't on the list of what a model may hold.
    """
    import mlflow

    mlflow.set_tracking_uri(tracking_uri)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder))
        return Contents(check_files(path, uri, trust), trust)


def _is_fitted_here(uri: str, folder: Path) -> bool:
    """Whether a version says that its workflow fitted it, so that it may hold the workflow's own source; not one that refers to another's."""
    name, version = _name_and_version(uri)
    if not version or not uri.startswith("models:/") or not (folder / "code").is_dir():
        return False
    import mlflow

    tags = Registry(mlflow.get_tracking_uri()).tags_of(name, version)
    return REGISTERED_TAG not in tags and FINGERPRINT_TAG in tags


def _name_and_version(uri: str) -> tuple[str, str]:
    if uri.startswith("models:/"):
        name, _, version = uri.removeprefix("models:/").partition("/")
        return name, version
    return Path(uri).name, ""
