"""LightGBM's C library, called without its Python package around it, and trees in the text that it reads."""

from __future__ import annotations

import ctypes
import importlib
import threading
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from lakeloop.online.encoding import CannotCompile
from lakeloop.online.tree import Tree, compares, constant

_ZERO, _BEYOND_ZERO = 1e-35, 1e-30
"""LightGBM takes numbers up to the first for 0 (`kZeroThreshold` in its meta.h); where a threshold lies there, they are moved to the second."""
_AS_IT_IS, _RAW, _FLOAT64, _ALL, _ROW_MAJOR = 0, 1, 1, -1, 1
_ONE_THREAD = b"num_threads=1"


class Booster:
    """A model of LightGBM's, called through its C library on one thread; a single row by the library's own short way."""

    def __init__(self, booster: Any, *, outputs: int, raw: bool, iterations: int = _ALL) -> None:
        # The handle and the library are private to LightGBM's Python package; their functions are its documented C interface.
        self._booster, self._library, self._handle = booster, _library(), booster._handle
        self._outputs, self._features, self._kind, self._iterations = outputs, booster.num_feature(), _RAW if raw else _AS_IT_IS, iterations
        self._buffers = threading.local()
        self._one = self._library.LGBM_BoosterPredictForMatSingleRowFast
        fast = ctypes.c_void_p()
        _check(
            self._library.LGBM_BoosterPredictForMatSingleRowFastInit(
                self._handle, self._kind, 0, iterations, _FLOAT64, ctypes.c_int32(self._features), _ONE_THREAD, ctypes.byref(fast)
            )
        )
        self._fast = fast
        weakref.finalize(self, self._library.LGBM_FastConfigFree, fast)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Its outputs for some rows, `(rows, outputs)`.

        Args:
            rows: float64 in C order, `(rows, features)`.
        """
        return self._predict_one(rows) if len(rows) == 1 else self._predict_many(rows)

    def _predict_one(self, rows: np.ndarray) -> np.ndarray:
        try:
            row, out, call = self._buffers.of_thread
        except AttributeError:
            row, out, length = np.empty(self._features), np.empty((1, self._outputs)), ctypes.c_int64()
            # Made once for a thread: a pointer to an array takes longer to make than a row to copy.
            pointers = (self._fast, ctypes.c_void_p(row.ctypes.data), ctypes.byref(length), ctypes.c_void_p(out.ctypes.data))
            call = (pointers, length)
            self._buffers.of_thread = (row, out, call)
        row[:] = rows[0]
        if self._one(*call[0]):
            _check(-1)
        answer: np.ndarray = out.copy()
        return answer

    def _predict_many(self, rows: np.ndarray) -> np.ndarray:
        rows = np.ascontiguousarray(rows, np.float64)
        out, length = np.empty((len(rows), self._outputs)), ctypes.c_int64()
        _check(
            self._library.LGBM_BoosterPredictForMat(
                self._handle, ctypes.c_void_p(rows.ctypes.data), _FLOAT64, ctypes.c_int32(len(rows)), ctypes.c_int32(self._features), _ROW_MAJOR,
                self._kind, 0, self._iterations, _ONE_THREAD, ctypes.byref(length), ctypes.c_void_p(out.ctypes.data),
            )
        )  # fmt: skip
        return out


class LightgbmSums:
    """The sums of some trees, one per output."""

    def __init__(self, trees: Sequence[Sequence[Tree]], features: int) -> None:
        """Take trees per output, in the order in which they are added up.

        Raises:
            CannotCompile: LightGBM's library can't be loaded here, or a threshold is so close to zero that it can't tell it from zero.
        """
        self._near_zero = _near_zero([tree for of_output in trees for tree in of_output])
        booster = load_lightgbm().Booster(model_str=lightgbm_text(trees, max(features, 1)))
        self._sums = Booster(booster, outputs=len(trees), raw=True)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """The sums for some rows, `(rows, outputs)`."""
        if self._near_zero.size:
            values = rows[:, self._near_zero]
            tiny = (np.abs(values) <= _ZERO) & (values != 0)
            if tiny.any():
                rows = rows.copy()
                rows[:, self._near_zero] = np.where(tiny, np.copysign(_BEYOND_ZERO, values), values)
        return self._sums(rows)


def _near_zero(trees: Sequence[Tree]) -> np.ndarray:
    """The features with a threshold that LightGBM takes for zero."""
    features: set[int] = set()
    for tree in trees:
        numeric, size = compares(tree), np.abs(tree.threshold)
        if (numeric & (size <= _BEYOND_ZERO) & (size > 0)).any():
            raise CannotCompile("a threshold of its trees is so close to zero that LightGBM, which evaluates them, can't tell it from zero")
        features.update(tree.feature[numeric & (size == 0)].tolist())
    return np.array(sorted(features), np.intp)


def lightgbm_text(trees: Sequence[Sequence[Tree]], features: int) -> str:
    """Trees as LightGBM's text format; outputs with fewer trees get trees of nothing but 0.

    Args:
        trees: per output.
        features: how many there are.
    """
    rounds = max(len(of_output) for of_output in trees)
    nothing = constant(0.0)
    in_order = [of_output[number] if number < len(of_output) else nothing for number in range(rounds) for of_output in trees]
    head = {
        "version": "v4",
        "num_class": len(trees),
        "num_tree_per_iteration": len(trees),
        "label_index": 0,
        "max_feature_idx": features - 1,
        "feature_names": " ".join(f"f{number}" for number in range(features)),
        "feature_infos": " ".join(["none"] * features),
    }
    lines = ["tree", *(f"{name}={value}" for name, value in head.items()), ""]
    for number, tree in enumerate(in_order):
        lines += [f"Tree={number}", *_tree_lines(tree), "", ""]
    return "\n".join([*lines, "end of trees", ""])


def _tree_lines(tree: Tree) -> list[str]:
    inner = ~tree.is_leaf
    leaves = tree.value[tree.is_leaf]
    if not inner.any():
        return ["num_leaves=1", "num_cat=0", f"leaf_value={float(leaves[0])!r}", "is_linear=0", "shrinkage=1"]
    # A leaf is named by ~n, a node by n, each counted by itself.
    names = np.where(inner, np.cumsum(inner) - 1, ~(np.cumsum(tree.is_leaf) - 1))
    thresholds = tree.threshold.astype(np.float64).copy()
    kinds = 8 + 2 * tree.missing_left.astype(np.int64)  # 8: NaN is missing; 2: what is missing goes left
    words: list[int] = []
    borders = [0]
    for number, (node, codes) in enumerate(sorted(tree.categories.items())):
        thresholds[node], kinds[node] = number, 9
        bits = sum(1 << code for code in set(codes))
        words += [bits >> shift & 0xFFFFFFFF for shift in range(0, max(bits.bit_length(), 1), 32)]
        borders.append(len(words))
    of_categories = {"cat_boundaries": borders, "cat_threshold": words} if tree.categories else {}
    arrays: dict[str, Sequence[Any]] = {
        "split_feature": tree.feature[inner].tolist(),
        "threshold": [repr(value) for value in thresholds[inner].tolist()],
        "decision_type": kinds[inner].tolist(),
        "left_child": names[tree.left[inner]].tolist(),
        "right_child": names[tree.right[inner]].tolist(),
        "leaf_value": [repr(value) for value in leaves.tolist()],
        **of_categories,
    }
    sizes = [f"num_leaves={len(leaves)}", f"num_cat={len(tree.categories)}"]
    return [*sizes, *(f"{name}={' '.join(map(str, values))}" for name, values in arrays.items()), "is_linear=0", "shrinkage=1"]


def load_lightgbm() -> Any:
    """LightGBM's package, whose library wants OpenMP's of the system.

    Raises:
        CannotCompile: it can't be loaded.
    """
    try:
        return importlib.import_module("lightgbm")
    except (ImportError, OSError) as error:
        raise CannotCompile(f"LightGBM's library can't be loaded here ({str(error)[:100]}); install libgomp1 (macOS: libomp)") from error


def _library() -> Any:
    lightgbm = load_lightgbm()
    return lightgbm.basic._LIB


def _check(code: int) -> None:
    if code:
        raise RuntimeError(_library().LGBM_GetLastError().decode())
