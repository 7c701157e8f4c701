"""`MLmodel`, the file that says what MLflow loads: which of its keys a model may have, and with which values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOST_BYTES = 16 * 2**20
_KEYS = {
    "artifact_path", "flavors", "metadata", "mlflow_version", "model_id", "model_size_bytes", "model_uuid", "prompts", "run_id",
    "saved_input_example_info", "signature", "is_signature_from_type_hint", "type_hint_from_example", "utc_time_created",
}  # fmt: skip
_PYFUNC_KEYS = {"loader_module", "model_path", "data", "env", "python_version", "predict_fn", "code"}
_EXAMPLE_FILES = {"artifact_path": "input_example.json", "serving_input_path": "serving_input_example.json"}
_ENVIRONMENTS = ("conda.yaml", "python_env.yaml")
LIGHTGBM_CLASSES = tuple(f"lightgbm.sklearn.LGBM{name}" for name in ("Classifier", "Regressor", "Ranker", "Model"))
_XGBOOST_CLASSES = (
    "xgboost.core.Booster",
    *(f"xgboost.sklearn.XGB{name}" for name in ("Classifier", "Regressor", "Ranker", "RFClassifier", "RFRegressor")),
)


@dataclass(frozen=True)
class Flavour:
    """A library whose models are read.

    Attributes:
        keys: of its section that may have a value.
        data: the key that names the model's file.
        file: the only name that the file may have, of a section.
    """

    keys: frozenset[str]
    data: str
    file: Callable[[Mapping[str, Any]], str]


def _skops_only(section: Mapping[str, Any]) -> str:
    _must_be(section, "serialization_format", ("skops",))
    return "model.skops"


def _lightgbm(section: Mapping[str, Any]) -> str:
    _must_be(section, "model_class", ("lightgbm.basic.Booster", *LIGHTGBM_CLASSES))
    return "model.lgb" if section["model_class"] == "lightgbm.basic.Booster" else _skops_only(section)


def _xgboost(section: Mapping[str, Any]) -> str:
    _must_be(section, "model_class", _XGBOOST_CLASSES)
    _must_be(section, "model_format", ("ubj", "json", "xgb"))
    return f"model.{section['model_format']}"


def _catboost(section: Mapping[str, Any]) -> str:
    _must_be(section, "model_type", ("CatBoost", "CatBoostClassifier", "CatBoostRegressor", "CatBoostRanker"))
    _must_be(section, "save_format", ("cbm", "json"))
    return "model.cb"


def _onnx(section: Mapping[str, Any]) -> str:
    options, providers = section.get("onnx_session_options") or {}, section.get("providers") or []
    if set(options) - {"inter_op_num_threads", "intra_op_num_threads", "execution_mode", "graph_optimization_level"}:
        raise ValueError(
            f"onnx.onnx_session_options: wanted threads, execution_mode and graph_optimization_level, found {', '.join(options)}"
        )
    if not all(isinstance(name, str) and name.isalnum() for name in providers):
        raise ValueError("onnx.providers: wanted names")
    return "model.onnx"


FLAVOURS: Mapping[str, Flavour] = {
    "sklearn": Flavour(
        frozenset({"pickled_model", "serialization_format", "sklearn_version", "skops_trusted_types", "code"}), "pickled_model", _skops_only
    ),
    "lightgbm": Flavour(
        frozenset({"data", "model_class", "lgb_version", "serialization_format", "skops_trusted_types"}), "data", _lightgbm
    ),
    "xgboost": Flavour(frozenset({"data", "model_class", "model_format", "xgb_version"}), "data", _xgboost),
    "catboost": Flavour(frozenset({"data", "model_type", "save_format", "catboost_version"}), "data", _catboost),
    "onnx": Flavour(frozenset({"data", "onnx_version", "onnx_session_options", "providers"}), "data", _onnx),
}


def one_line(error: BaseException, most: int = 200) -> str:
    """An error's message as one line, cut off where it is long."""
    return " ".join(str(error).split())[:most]


def read_mlmodel(path: Path) -> dict[str, Any]:
    """Read the file as MLflow does.

    Raises:
        ValueError: it is no YAML, or no mapping.
    """
    import yaml

    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"has more than {MOST_BYTES // 2**20} MiB")
    try:
        with path.open(encoding="utf-8") as stream:
            description = yaml.safe_load(stream)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"is no YAML: {one_line(error)}") from error
    if not isinstance(description, dict):
        raise ValueError(f"says {str(description)[:40]!r}: wanted names and values")
    return description


def check_mlmodel(description: Mapping[str, Any], *, methods: Collection[str], code: bool) -> tuple[str, str]:
    """Check that it says nothing but what a model of a known flavour may say.

    Args:
        description: the file's content.
        methods: those that a model may be asked by.
        code: whether the folder `code` may hold modules to import.

    Returns:
        The flavour, and the name of the file that it loads.

    Raises:
        ValueError: with the key, what was wanted, and what was found.
    """
    _only(description, _KEYS, "")
    sections = description.get("flavors")
    if not isinstance(sections, dict) or not all(isinstance(section, dict) for section in sections.values()):
        raise ValueError("has no flavors: wanted python_function and one of " + ", ".join(FLAVOURS))
    names = [name for name in sections if name in FLAVOURS]
    if len(names) != 1 or sections.keys() != {"python_function", *names}:
        raise ValueError(f"has the flavors {', '.join(map(str, sections))}: wanted python_function and one of {', '.join(FLAVOURS)}")
    flavour, section, pyfunc = FLAVOURS[names[0]], sections[names[0]], sections["python_function"]
    loader = pyfunc.get("loader_module")
    if loader != f"mlflow.{names[0]}":
        raise ValueError(f"is loaded by {loader!r}: wanted mlflow.{names[0]}, which runs no code that is in the model")
    for name, values, keys in ((names[0], section, flavour.keys), ("python_function", pyfunc, _PYFUNC_KEYS)):
        if values.get("code") not in ((None, "code") if code else (None,)):
            raise ValueError(f"{name}.code: it brings code, which runs when it is loaded: wanted none, found {str(values['code'])[:80]!r}")
        _only(values, keys | {"code"}, f"{name}.")
    file = flavour.file(section)
    for name, values, key in (
        (names[0], section, flavour.data),
        ("python_function", pyfunc, "data"),
        ("python_function", pyfunc, "model_path"),
    ):
        if values.get(key, file) != file:
            raise ValueError(f"{name}.{key}: wanted {file}, found {str(values[key])[:80]!r}")
    if flavour.data not in section:
        raise ValueError(f"{names[0]}.{flavour.data}: wanted {file}, found nothing")
    _must_be({"predict_fn": "predict", **pyfunc}, "predict_fn", sorted(methods))
    _check_environment(pyfunc.get("env"))
    _check_example(description.get("saved_input_example_info"))
    return names[0], file


def _only(values: Mapping[str, Any], keys: Collection[str], where: str) -> None:
    """Refuse keys that aren't listed and say something."""
    strange = [str(key) for key, value in values.items() if key not in keys and value]
    if strange:
        raise ValueError(
            f"has {', '.join(f'{where}{key}'[:80] for key in strange)}, which nothing here loads: wanted {', '.join(sorted(keys))}"
        )


def _must_be(values: Mapping[str, Any], key: str, wanted: Collection[str]) -> None:
    if values.get(key) not in wanted:
        raise ValueError(f"{key}: wanted {' or '.join(wanted)}, found {str(values.get(key))[:80]!r}")


def _check_environment(env: object) -> None:
    files = list(env.values()) if isinstance(env, dict) else [env]
    if any(file is not None and file not in _ENVIRONMENTS for file in files):
        raise ValueError(f"python_function.env: wanted {' and '.join(_ENVIRONMENTS)}, found {str(env)[:80]}")


def _check_example(example: object) -> None:
    """Check that the input example, which MLflow reads with the model, lies where it belongs."""
    if example is None:
        return
    if not isinstance(example, dict):
        raise ValueError("saved_input_example_info: wanted names and values")
    for key, file in _EXAMPLE_FILES.items():
        if example.get(key, file) != file:
            raise ValueError(f"saved_input_example_info.{key}: wanted {file}, found {str(example[key])[:80]!r}")
