"""Honest models of each flavour that can be brought, as folders: what MLflow saves, and for libraries that aren't installed, what they would."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from lakeloop.training.pipelines import TRUSTED_TYPES
from tests.worlds.code.brought_models import CONTRACT, LABEL, ROWS, SPEC, estimator

NAMES = ["items", "amount", "country"]
NUMBERS = ["items", "amount"]


def save_all(root: Path) -> dict[str, Path]:
    """Save one model of each flavour and format below a folder; gives their folders by name."""
    folders = {name: root / name for name in ("sklearn", "lightgbm", "xgboost_json", "xgboost_ubj", "onnx", "catboost")}
    _save_sklearn(folders["sklearn"])
    _save_lightgbm(folders["lightgbm"])
    model = xgboost_model()
    _save_plain(folders["xgboost_json"], "xgboost", "model.json", json.dumps(model).encode(), _xgboost("json"))
    _save_plain(folders["xgboost_ubj"], "xgboost", "model.ubj", ubjson(model), _xgboost("ubj"))
    _save_plain(folders["onnx"], "onnx", "model.onnx", onnx_model(), {"onnx_version": "1.19.0", "providers": ["CPUExecutionProvider"]})
    binary = b"CBM1" + struct.pack("<I", 64) + bytes(64)
    about = {"catboost_version": "1.2", "model_type": "CatBoostClassifier", "save_format": "cbm"}
    _save_plain(folders["catboost"], "catboost", "model.cb", binary, about)
    return folders


def copy(honest: Path, folder: Path) -> Path:
    """A copy of a model's folder, to be changed."""
    return Path(shutil.copytree(honest, folder))


def _metadata() -> dict[str, Any]:
    return {"lakeloop": {"task": "binary_classification", "feature_spec": SPEC, "fingerprint": "0123456789abcdef"}}


def _signature(names: list[str]) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    inputs = Schema([ColSpec(CONTRACT.kinds[name], name, required=False) for name in names])
    return ModelSignature(inputs=inputs, outputs=Schema([ColSpec("double")]))


def _save_sklearn(folder: Path) -> None:
    import mlflow

    mlflow.sklearn.save_model(
        estimator(NAMES),
        str(folder),
        serialization_format="skops",
        skops_trusted_types=list(TRUSTED_TYPES),
        signature=_signature(NAMES),
        input_example=ROWS.head(2),
        pyfunc_predict_fn="predict_proba",
        pip_requirements=["scikit-learn>=1.5", "skops"],
        metadata=_metadata(),
    )


def _save_lightgbm(folder: Path) -> None:
    import lightgbm
    import mlflow

    data = lightgbm.Dataset(ROWS[NUMBERS], LABEL, params={"min_data_in_leaf": 2, "verbose": -1})
    booster = lightgbm.train({"objective": "binary", "verbose": -1, "num_leaves": 3, "min_data_in_leaf": 2}, data, 3)
    mlflow.lightgbm.save_model(booster, str(folder), signature=_signature(NUMBERS), pip_requirements=["lightgbm"], metadata=_metadata())


def _xgboost(model_format: str) -> dict[str, Any]:
    return {"xgb_version": "3.1.0", "model_class": "xgboost.core.Booster", "model_format": model_format}


def _save_plain(folder: Path, flavour: str, file: str, content: bytes, section: Mapping[str, Any]) -> None:
    """Save what a library would, without the library."""
    folder.mkdir(parents=True)
    (folder / file).write_bytes(content)
    (folder / "requirements.txt").write_text(f"{flavour}\n")
    description = {
        "flavors": {
            flavour: {"data": file, "code": None, **section},
            "python_function": {"data": file, "loader_module": f"mlflow.{flavour}", "python_version": "3.11.7"},
        },
        "metadata": _metadata(),
        "mlflow_version": "3.17.2",
        "model_uuid": "m-0123",
        "signature": _signature(NUMBERS).to_dict(),
        "utc_time_created": "2026-11-30 08:49:16.279872",
    }
    (folder / "MLmodel").write_text(yaml.safe_dump(description))


def xgboost_model() -> dict[str, Any]:
    """One tree with one split, as XGBoost writes it."""
    tree = {
        "base_weights": [0.0, -0.5, 0.5], "categories": [], "categories_nodes": [], "categories_segments": [], "categories_sizes": [],
        "default_left": [1, 0, 0], "id": 0, "left_children": [1, -1, -1], "loss_changes": [3.2, 0.0, 0.0],
        "parents": [2147483647, 0, 0], "right_children": [2, -1, -1], "split_conditions": [2.5, -0.5, 0.5], "split_indices": [0, 0, 0],
        "split_type": [0, 0, 0], "sum_hessian": [5.0, 2.5, 2.5],
        "tree_param": {"num_deleted": "0", "num_feature": "2", "num_nodes": "3", "size_leaf_vector": "1"},
    }  # fmt: skip
    booster = {
        "model": {
            "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": "1"},
            "iteration_indptr": [0, 1],
            "tree_info": [0],
            "trees": [tree],
        },
        "name": "gbtree",
    }
    learner = {
        "attributes": {},
        "feature_names": NUMBERS,
        "feature_types": ["float", "float"],
        "gradient_booster": booster,
        "learner_model_param": {"base_score": "5E-1", "boost_from_average": "1", "num_class": "0", "num_feature": "2", "num_target": "1"},
        "objective": {"name": "binary:logistic", "reg_loss_param": {"scale_pos_weight": "1"}},
    }
    return {"learner": learner, "version": [3, 1, 0]}


def ubjson(value: Any) -> bytes:
    """A value as UBJSON, arrays of numbers with their type as XGBoost writes them."""
    if isinstance(value, str):
        return b"S" + _text(value)
    if isinstance(value, int):
        return b"l" + struct.pack(">i", value)
    if isinstance(value, float):
        return b"d" + struct.pack(">f", value)
    if isinstance(value, dict):
        return b"{" + b"".join(_text(name) + ubjson(item) for name, item in value.items()) + b"}"
    if value and all(isinstance(item, float) for item in value):
        return b"[$d#L" + struct.pack(">q", len(value)) + b"".join(struct.pack(">f", item) for item in value)
    return b"[#L" + struct.pack(">q", len(value)) + b"".join(map(ubjson, value))


def _text(value: str) -> bytes:
    return b"L" + struct.pack(">q", len(value.encode())) + value.encode()


def field(number: int, content: bytes | int | str) -> bytes:
    """A field of a protocol buffer."""
    if isinstance(content, int):
        return _varint(number << 3) + _varint(content)
    content = content.encode() if isinstance(content, str) else content
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def tensor(name: str, *, elsewhere: str = "") -> bytes:
    """A tensor of two floats, or one whose numbers lie in a file."""
    numbers = field(13, field(1, "location") + field(2, elsewhere)) + field(14, 1) if elsewhere else field(9, struct.pack("<2f", 0.5, -0.5))
    return field(1, 2) + field(2, 1) + field(8, name) + numbers


def onnx_model(weights: bytes | None = None, *more_nodes: bytes) -> bytes:
    """A model that multiplies its input by two weights."""
    multiply = field(1, "x") + field(1, "w") + field(2, "y") + field(4, "MatMul")
    graph = b"".join(field(1, node) for node in (multiply, *more_nodes)) + field(2, "g") + field(5, weights or tensor("w"))
    return field(1, 9) + field(2, "hand") + field(7, graph) + field(8, field(2, 17))
