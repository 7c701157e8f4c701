"""What the folder of a model may hold: an allow-list by flavour and format, each file read as what it is said to be, before MLflow opens any of them.

MLflow loads whatever `MLmodel` names: a module, a folder of code, a path, a class. So `MLmodel` may say only what is listed here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any

from lakeloop.errors import DataError
from lakeloop.spec.tasks import TASKS
from resources.tracking.mlmodel_file import check_mlmodel, one_line, read_mlmodel
from resources.tracking.onnx_file import check_onnx
from resources.tracking.skops_file import check_skops, untrusted_types, without_standard_library
from resources.tracking.tree_files import check_catboost_binary, check_catboost_json, check_lightgbm, check_xgboost

REPORT = "evaluation/report.html"
"""What Lakeloop adds to a version after it is registered. No loader opens it."""
WRITTEN_BY_DOWNLOAD = "registered_model_meta"
"""MLflow's client writes it into what it has downloaded; it says which version that is."""
WANTED = "wanted skops, LightGBM's text, XGBoost's JSON or UBJSON, CatBoost's own formats, or ONNX, with nothing beside it that runs"
_CODE = re.compile(r"code/(?P<module>[A-Za-z_]\w*_(?P<digest>[0-9a-f]{12}))\.py")
_REQUIREMENT = re.compile(r"\s*(#.*|--?[a-z][\w-]*[ =].*|[A-Za-z0-9][\w.\-]*(\[[\w,.\- ]*\])?\s*([<>=!~;@ ].*)?)?")
_MOST_TEXT = 64 * 2**20
_BESIDE = {
    "MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt", "constraints.txt", "input_example.json", "serving_input_example.json",
    WRITTEN_BY_DOWNLOAD, REPORT,
}  # fmt: skip
"""What any model may hold beside its own file."""


@dataclass(frozen=True)
class Trust:
    """What a model may hold beside numbers.

    Attributes:
        types: names of types; `module.*` are those that a module defines. None where nobody kept them, as for a version that an older release
            registered: then what its own list says counts, without the standard library.
        code: whether it may hold source files of the workflow that fitted it, each named by a hash of its content.
    """

    types: Sequence[str] | None = ()
    code: bool = False


class UnsafeModel(DataError):
    """A model that holds something that isn't on the list."""


def check_files(folder: Path, uri: str, trust: Trust) -> dict[str, str]:
    """Check that a model's folder holds what it may, and nothing else.

    Args:
        folder: as it was downloaded.
        uri: what to call it in messages.
        trust: what it may hold beside numbers.

    Returns:
        The SHA-256 of each file by its path, without what changes after registration.

    Raises:
        UnsafeModel: with the file, or the key of `MLmodel`, and what was wanted.
    """
    files = dict(_walk(folder, uri))
    if "MLmodel" not in files:
        raise UnsafeModel(f"{uri} holds no MLmodel, so it is unknown what it is: {WANTED}")
    try:
        description = read_mlmodel(files["MLmodel"])
        flavour, name = check_mlmodel(description, methods=_methods(), code=trust.code)
    except ValueError as error:
        raise UnsafeModel(f"{uri}: MLmodel {error}") from error
    if name not in files:
        raise UnsafeModel(f"{uri} lacks {name}, which its MLmodel names")
    conf = description["flavors"][flavour]
    tensors = _read(uri, name, lambda path: _check_data(flavour, conf, path), files[name])
    modules = [_check_code(uri, path, files[path]) for path in files if trust.code and _CODE.fullmatch(path)]
    for path in files.keys() - {name} - tensors:
        if path in _BESIDE:
            _read(uri, path, partial(_check_beside, path), files[path])
        elif not (trust.code and _CODE.fullmatch(path)):
            raise UnsafeModel(f"{uri} holds {path}, which {_what(path)}: {WANTED}")
    if missing := tensors - files.keys():
        raise UnsafeModel(f"{uri} lacks {', '.join(sorted(missing))}, where {name} says that its tensors are")
    if name.endswith(".skops"):
        listed = without_standard_library(conf.get("skops_trusted_types") or ()) if trust.types is None else trust.types
        unknown = _read(uri, name, lambda path: untrusted_types(path, [*listed, *(f"{module}.*" for module in modules)]), files[name])
        if unknown:
            raise UnsafeModel(
                f"{uri} holds types that aren't trusted ({name}); read their code, then list them in the workflow file: "
                f"model: {{trusted_types: [{', '.join(unknown)}]}}"
            )
    return {path: _digest(file) for path, file in sorted(files.items()) if path not in (REPORT, WRITTEN_BY_DOWNLOAD)}


def differences(uri: str, files: Mapping[str, str], known: Mapping[str, str]) -> str:
    """How files differ from those that were registered, as a sentence; empty when they don't.

    >>> differences("models:/a/1", {"model.skops": "1f"}, {"model.skops": "1f"})
    ''
    >>> differences("models:/a/1", {"model.skops": "2e", "code/x.py": "3"}, {"model.skops": "1f"})
    'models:/a/1 was overwritten since it was registered: code/x.py was added, model.skops is another file'
    """
    told = {
        **dict.fromkeys(known.keys() - files.keys(), "is gone"),
        **dict.fromkeys(files.keys() - known.keys(), "was added"),
        **dict.fromkeys((path for path in files.keys() & known.keys() if files[path] != known[path]), "is another file"),
    }
    if not told:
        return ""
    return f"{uri} was overwritten since it was registered: " + ", ".join(f"{path} {how}" for path, how in sorted(told.items()))


def _methods() -> set[str]:
    return {"predict", "predict_log_proba", *(method for task in TASKS.values() for method in task.methods)}


def _walk(folder: Path, uri: str, within: str = "") -> Iterator[tuple[str, Path]]:
    """Every file below a folder by its path from there; no link is followed."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        mode, path = entry.stat(follow_symlinks=False).st_mode, f"{within}{entry.name}"
        if S_ISDIR(mode):
            yield from _walk(Path(entry.path), uri, f"{path}/")
        elif S_ISREG(mode):
            yield path, Path(entry.path)
        else:
            raise UnsafeModel(f"{uri} holds {path}, which is a link or a device: wanted files alone")


def _read(uri: str, path: str, check: Callable[[Path], Any], file: Path) -> Any:
    try:
        return check(file)
    except UnsafeModel:
        raise
    except Exception as error:  # readers of hostile files raise many kinds: that one can't be read is what counts
        problem = one_line(error, 300) if type(error) is ValueError else f"{type(error).__name__}: {one_line(error)}"
        raise UnsafeModel(f"{uri} holds {path}, which isn't what it is said to be: {problem}") from error


def _check_data(flavour: str, conf: Mapping[str, Any], path: Path) -> set[str]:
    """Check the file that a flavour loads; the files beside it that it names."""
    if path.name.endswith(".skops"):
        check_skops(path)
    elif flavour == "lightgbm":
        check_lightgbm(path)
    elif flavour == "xgboost":
        check_xgboost(path)
    elif flavour == "catboost":
        (check_catboost_json if conf.get("save_format") == "json" else check_catboost_binary)(path)
    elif flavour == "onnx":
        return check_onnx(path)
    else:
        raise ValueError(f"nothing reads a {path.suffix} file of {flavour}")
    return set()


def _check_code(uri: str, path: str, file: Path) -> str:
    """Check that a source file is the one that its name says; the name of its module."""
    named = _CODE.fullmatch(path)
    assert named is not None
    if hashlib.sha256(file.read_bytes()).hexdigest()[:12] != named["digest"]:
        raise UnsafeModel(f"{uri} holds {path}, which isn't the source that its workflow was fitted with: its content has another hash")
    return named["module"]


def _check_beside(path: str, file: Path) -> None:
    """Check a file that describes a model: YAML, JSON, requirements. Nothing but MLmodel and an input example is read when a model is loaded."""
    import yaml

    if path in (REPORT, "MLmodel"):
        return
    if file.stat().st_size > _MOST_TEXT:
        raise ValueError(f"it has more than {_MOST_TEXT // 2**20} MiB")
    text = file.read_text(encoding="utf-8")
    if path.endswith(".json"):
        json.loads(text)
    elif path.endswith(".txt"):
        for number, line in enumerate(text.splitlines(), 1):
            if not _REQUIREMENT.fullmatch(line):
                raise ValueError(f"line {number} is no requirement: {line[:40]!r}")
    elif not isinstance(yaml.safe_load(text), dict):
        raise ValueError("wanted YAML with names and values")


def _what(path: str) -> str:
    """What a file that isn't on the list is, in words."""
    if path.endswith((".pkl", ".pickle", ".joblib", ".cloudpickle", ".dill")):
        return "is a pickle"
    if path.startswith("code/") or path.endswith((".py", ".pyc", ".so")):
        return "is code that runs when it is loaded"
    return "no such model has"


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
