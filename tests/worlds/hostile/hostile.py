"""A table of models that hold what runs code, or lies about what it is: each an honest model's folder with one thing changed.

What would run, runs `mkdir` of a folder, so that whoever loads one sees whether it did.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import marshal
import os
import pickle
import socket
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from tests.worlds.hostile.honest import field, onnx_model, tensor, ubjson, xgboost_model

Change = Callable[[Path], None]


class Ran:
    """What makes a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def hostile_models(mark: Path) -> Iterator[tuple[str, str, Change]]:
    """A name, the honest model to copy, and what to change in the copy.

    Args:
        mark: the folder that comes to be where anything hostile runs.
    """
    for models in FAMILIES.values():
        yield from models(mark)


def _put(path: str, content: bytes) -> Change:
    def change(folder: Path) -> None:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    return change


def _described(**changes: Any) -> Change:
    """A change of values in MLmodel, by dotted key; None takes a key away."""

    def change(folder: Path) -> None:
        description = yaml.safe_load((folder / "MLmodel").read_text())
        for dotted, value in changes.items():
            *parents, last = dotted.split("__")
            section = description
            for name in parents:
                section = section.setdefault(name, {})
            if value is None:
                section.pop(last, None)
            else:
                section[last] = value
        (folder / "MLmodel").write_text(yaml.safe_dump(description))

    return change


def _both(*changes: Change) -> Change:
    def change(folder: Path) -> None:
        for each in changes:
            each(folder)

    return change


def pickled(mark: Path) -> Mapping[str, bytes]:
    """What runs code when it is loaded, in the wrappings that loaders look through."""
    plain = {f"protocol {number}": pickle.dumps(Ran(mark), number) for number in range(6)}
    newest, buffer = plain["protocol 5"], io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("model.pkl")
        info.size = len(newest)
        archive.addfile(info, io.BytesIO(newest))
    torch = io.BytesIO()
    with zipfile.ZipFile(torch, "w") as zipped:
        zipped.writestr("archive/data.pkl", newest)
    objects, several = io.BytesIO(), io.BytesIO()
    np.save(objects, np.array([Ran(mark)], dtype=object), allow_pickle=True)
    np.savez(several, a=np.array([Ran(mark)], dtype=object))
    return {
        **plain,
        "after text": b"# a comment\n" + plain["protocol 0"],
        "gzip": gzip.compress(newest),
        "bz2": bz2.compress(newest),
        "xz": lzma.compress(newest),
        "zlib": zlib.compress(newest),
        "tar": buffer.getvalue(),
        "zip": torch.getvalue(),
        "npy": objects.getvalue(),
        "npz": several.getvalue(),
        "marshal": marshal.dumps(compile("import os", "m", "exec")),
    }


def _pickles(mark: Path) -> Iterator[tuple[str, str, Change]]:
    for name, content in pickled(mark).items():
        yield f"pickle, {name}, as model.skops", "sklearn", _put("model.skops", content)
        yield f"pickle, {name}, as model.lgb", "lightgbm", _put("model.lgb", content)
        yield f"pickle, {name}, beside the model", "lightgbm", _put("weights.bin", content)
    newest = pickle.dumps(Ran(mark))
    for base, path in (
        ("xgboost_json", "model.json"), ("xgboost_ubj", "model.ubj"), ("onnx", "model.onnx"), ("catboost", "model.cb"),
        ("sklearn", "input_example.json"), ("sklearn", "serving_input_example.json"), ("sklearn", "conda.yaml"), ("sklearn", "python_env.yaml"),
        ("sklearn", "requirements.txt"), ("sklearn", "constraints.txt"), ("sklearn", "MLmodel"), ("lightgbm", "data/model.pkl"), ("lightgbm", ".cache"),
        ("lightgbm", "evaluation/more.html"), ("lightgbm", "model.pkl"), ("lightgbm", "model.joblib"),
    ):  # fmt: skip
        yield f"pickle as {path} of {base}", base, _put(path, newest)
    yield "text pickle as requirements", "sklearn", _put("requirements.txt", pickle.dumps(Ran(mark), 0))
    for form in ("pickle", "cloudpickle", "joblib", ""):
        sections = _described(
            flavors__sklearn__serialization_format=form,
            flavors__sklearn__pickled_model="model.pkl",
            flavors__python_function__model_path="model.pkl",
        )
        yield f"declared as {form or 'nothing'}", "sklearn", _both(_put("model.pkl", newest), sections)
    yield (
        "pickle that is declared as skops",
        "sklearn",
        _both(
            _put("model.pkl", newest),
            _described(flavors__sklearn__pickled_model="model.pkl", flavors__python_function__model_path="model.pkl"),
        ),
    )
    yield (
        "a class of LightGBM's as a pickle",
        "lightgbm",
        _both(
            _put("model.pkl", newest),
            _described(
                flavors__lightgbm__model_class="lightgbm.sklearn.LGBMClassifier",
                flavors__lightgbm__serialization_format="cloudpickle",
                flavors__lightgbm__data="model.pkl",
                flavors__python_function__data="model.pkl",
            ),
        ),
    )


def _rewritten(edit: Callable[[dict[str, bytes]], None] = lambda _: None, **options: Any) -> Change:
    """A change of the members of a skops archive."""

    def change(folder: Path) -> None:
        path = folder / "model.skops"
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        edit(members)
        with zipfile.ZipFile(path, "w", **options) as archive:
            for name, content in members.items():
                archive.writestr(name, content)

    return change


def _schema(**values: Any) -> Change:
    """A schema of another object, as somebody who knows skops would write it; MLmodel trusts everything in it."""
    types = [
        "os.system",
        "posix.system",
        "os.mkdir",
        "posix.mkdir",
        "builtins.eval",
        "subprocess.Popen",
        "operator.methodcaller",
        "functools.partial",
    ]
    schema = {"protocol": 2, "_skops_version": "0.16.0", **values}
    return _both(
        _rewritten(lambda members: (members.clear(), members.update({"schema.json": json.dumps(schema).encode()}))),  # type: ignore[func-returns-value]
        _described(flavors__sklearn__skops_trusted_types=types),
    )


def _archives(mark: Path) -> Iterator[tuple[str, str, Change]]:
    newest = pickle.dumps(Ran(mark))
    objects = pickled(mark)["npy"]

    def first(suffix: str, content: bytes) -> Callable[[dict[str, bytes]], None]:
        def edit(members: dict[str, bytes]) -> None:
            members[next(name for name in members if name.endswith(suffix))] = content

        return edit

    def more(name: str, content: bytes) -> Change:
        return _rewritten(lambda members: members.update({name: content}))

    yield "skops with a pickle beside the schema", "sklearn", more("data.pkl", newest)
    yield "skops with a pickle under a number", "sklearn", more("999.bin", newest)
    yield "skops with a module", "sklearn", more("__main__.py", b"import os\n")
    yield "skops with a member outside", "sklearn", more("../../evil.npy", b"")
    yield "skops with objects for numbers", "sklearn", _rewritten(first(".npy", objects))
    yield "skops with a pickle for numbers", "sklearn", _rewritten(first(".npy", newest))
    yield "skops without a schema", "sklearn", _rewritten(lambda members: members.pop("schema.json") and None)
    yield "skops with a schema that is no JSON", "sklearn", more("schema.json", b"{")
    yield "skops with a schema that is a list", "sklearn", more("schema.json", b"[]")
    yield "skops with a schema nested deeply", "sklearn", more("schema.json", b'{"a":' * 100_000 + b"1" + b"}" * 100_000)
    yield (
        "skops without its numbers",
        "sklearn",
        _rewritten(lambda members: [members.pop(name) for name in list(members) if name != "schema.json"] and None),
    )
    yield "skops packed otherwise", "sklearn", _rewritten(compression=zipfile.ZIP_LZMA)

    def around(before: bytes, after: bytes) -> Change:
        def change(folder: Path) -> None:
            path = folder / "model.skops"
            path.write_bytes(before + path.read_bytes() + after)

        return change

    yield "skops after a pickle", "sklearn", around(newest, b"")
    yield "skops after a script", "sklearn", around(b"#!/bin/sh\nexit\n", b"")
    yield "skops before a pickle", "sklearn", around(b"", newest)

    def comment(folder: Path) -> None:
        with zipfile.ZipFile(folder / "model.skops", "a") as archive:
            archive.comment = newest

    yield "skops with a pickle as its comment", "sklearn", comment

    def twice(folder: Path) -> None:
        import warnings

        with zipfile.ZipFile(folder / "model.skops", "a") as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            archive.writestr("schema.json", b"{}")

    yield "skops with two schemas", "sklearn", twice

    text = {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": json.dumps(str(mark))}
    arguments = {"__class__": "tuple", "__module__": "builtins", "__loader__": "TupleNode", "content": [text]}
    for module, name in (("os", "system"), ("os", "mkdir"), ("builtins", "eval"), ("subprocess", "Popen"), ("shutil", "rmtree")):
        function = {
            "__class__": "function",
            "__module__": "types",
            "__loader__": "FunctionNode",
            "content": {"module_path": module, "function": name},
        }
        yield f"skops of {module}.{name}", "sklearn", _schema(**function)
        yield (
            f"skops of an object of {module}.{name}",
            "sklearn",
            _schema(**{"__class__": name, "__module__": module, "__loader__": "ObjectNode", "content": text}),
        )
    partial = {
        "func": {"__class__": "mkdir", "__module__": "os", "__loader__": "TypeNode"},
        "args": arguments,
        "kwds": text,
        "namespace": text,
    }
    yield (
        "skops of a partial call",
        "sklearn",
        _schema(__class__="partial", __module__="functools", __loader__="PartialNode", content=partial),
    )
    yield (
        "skops of a method caller",
        "sklearn",
        _schema(__class__="methodcaller", __module__="operator", __loader__="OperatorFuncNode", attrs=arguments),
    )
    yield "skops of a loader that nobody knows", "sklearn", _schema(__class__="x", __module__="y", __loader__="PickleNode")
    yield "skops of protocol 0", "sklearn", _schema(__class__="system", __module__="os", __loader__="FunctionNode", protocol=0, content={})


def _links(mark: Path) -> Iterator[tuple[str, str, Change]]:
    outside = mark.parent / "outside"

    def link(path: str, target: str, content: bytes | None = None) -> Change:
        def change(folder: Path) -> None:
            outside.mkdir(exist_ok=True)
            (outside / "model.skops").write_bytes(content or b"")
            place = folder / path
            place.unlink(missing_ok=True)
            place.symlink_to(target)

        return change

    yield "a link to a file elsewhere", "sklearn", link("model.skops", str(outside / "model.skops"), b"PK")
    yield "a link to the parent", "sklearn", link("model.skops", "../sklearn/model.skops")
    yield "a link to nothing", "sklearn", link("input_example.json", "/nowhere/at/all")
    yield "a link to a folder", "sklearn", link("code", str(outside))
    yield "MLmodel is a link", "sklearn", link("MLmodel", str(outside / "model.skops"))
    yield "a link to the password file", "sklearn", link("conda.yaml", "/etc/passwd")

    def pipe(folder: Path) -> None:
        (folder / "requirements.txt").unlink()
        os.mkfifo(folder / "requirements.txt")

    def bind(folder: Path) -> None:
        before = Path.cwd()
        os.chdir(folder)  # the path of a socket may have some hundred bytes
        try:
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind("s")
        finally:
            os.chdir(before)

    yield "a pipe that never ends", "sklearn", pipe
    yield "a socket", "sklearn", bind


def _keys(mark: Path) -> Iterator[tuple[str, str, Change]]:
    for module in (
        "mlflow.pyfunc.model",
        "mlflow.pytorch",
        "mlflow.lightgbm",
        "os",
        "builtins",
        "code.evil",
        "evil",
        "mlflow.sklearn.evil",
        "tests.worlds.hostile.evil",
    ):
        yield f"loaded by {module}", "sklearn", _described(flavors__python_function__loader_module=module)
    for key, values in {
        "flavors__python_function__code": ("code", "../outside", "/tmp"),
        "flavors__sklearn__code": ("code", "../outside"),
        "flavors__python_function__model_path": ("../outside/model.skops", "/etc/passwd", "other.skops", "code/../model.skops"),
        "flavors__python_function__data": ("..", "/etc", "other"),
        "flavors__sklearn__pickled_model": ("../outside/model.skops", "/etc/passwd", "model.pkl"),
        "flavors__python_function__predict_fn": ("__class__", "__init__", "get_raw_model", "score"),
        "flavors__python_function__env": ("../conda.yaml", {"conda": "/etc/passwd"}),
        "flavors__python_function__config": ({"a": 1}, "../config.yaml"),
        "flavors__python_function__model_code_path": ("model.py",),
        "flavors__python_function__artifacts": ({"a": {"path": "artifacts/a", "uri": "/etc/passwd"}},),
        "flavors__python_function__python_model": ("python_model.pkl",),
        "saved_input_example_info__artifact_path": ("../../secret.json", "/etc/passwd"),
        "saved_input_example_info__serving_input_path": ("../x.json",),
        "flavors__pytorch": ({"model_data": "data"},),
        "flavors__keras": ({"data": "data", "keras_module": "os"},),
        "flavors__sklearn__extra_files": ([{"path": "extra_files/x.sh"}],),
        "resources": ({"api_version": "1"},),
        "auth_policy": ({"system_auth_policy": {}},),
        "flavors": ([], {"python_function": {}}, {"sklearn": {}}),
    }.items():  # fmt: skip
        for value in values:
            yield f"{key.replace('__', '.')} is {str(value)[:30]}", "sklearn", _described(**{key: value})
    yield "a class of XGBoost's that is none", "xgboost_json", _described(flavors__xgboost__model_class="os.system")
    yield "a class of LightGBM's that is none", "lightgbm", _described(flavors__lightgbm__model_class="os.system")
    yield "a type of CatBoost's that is none", "catboost", _described(flavors__catboost__model_type="evil")
    for name, text in {
        "MLmodel that makes objects": f"!!python/object/apply:os.mkdir ['{mark}']\n",
        "MLmodel with an object among its values": f"flavors: {{python_function: !!python/object/apply:os.mkdir ['{mark}']}}\n",
        "MLmodel that is empty": "",
        "MLmodel that is a list": "- a\n",
        "MLmodel nested deeply": "[" * 5000,
        "MLmodel that is no text": "\x00\x01",
    }.items():
        yield name, "sklearn", _put("MLmodel", text.encode())


def _code(mark: Path) -> Iterator[tuple[str, str, Change]]:
    source = f"import os\nos.mkdir({str(mark)!r})\n".encode()
    own = f"code/mine_{hashlib.sha256(source).hexdigest()[:12]}.py"
    paths = (
        "code/evil.py", "code/evil/__init__.py", own, "code/__pycache__/evil.cpython-311.pyc", "code/sklearn.py", "evil.py", "sitecustomize.py",
        "evil.pth", "code/evil.so", "setup.py", "extra_files/run.sh", "model.skops.py", "code/mine_0123456789ab.py",
    )  # fmt: skip
    for path in paths:
        yield f"code as {path}", "sklearn", _put(path, source)
    declared = _described(flavors__python_function__code="code", flavors__sklearn__code="code")
    yield "code that MLmodel declares", "sklearn", _both(_put("code/evil.py", source), declared)
    yield "code that looks like a workflow's own", "sklearn", _both(_put(own, source), declared)


def _edited(path: str, before: str, after: str) -> Change:
    def change(folder: Path) -> None:
        text = (folder / path).read_text()
        assert before in text, before
        (folder / path).write_text(text.replace(before, after, 1))

    return change


def _trees(mark: Path) -> Iterator[tuple[str, str, Change]]:
    newest = pickle.dumps(Ran(mark))

    def appended(path: str, content: bytes) -> Change:
        def change(folder: Path) -> None:
            (folder / path).write_bytes((folder / path).read_bytes() + content)

        return change

    yield "LightGBM with a child out of range", "lightgbm", _edited("model.lgb", "left_child=", "left_child=999 ")
    yield "LightGBM with a feature out of range", "lightgbm", _edited("model.lgb", "max_feature_idx=1", "max_feature_idx=-1")
    yield "LightGBM with more leaves than it has", "lightgbm", _edited("model.lgb", "num_leaves=", "num_leaves=9")
    yield "LightGBM with fewer trees than it says", "lightgbm", _edited("model.lgb", "tree_sizes=", "tree_sizes=1 ")
    yield "LightGBM that is cut off", "lightgbm", _edited("model.lgb", "end of trees", "")
    yield "LightGBM with a line of something else", "lightgbm", _edited("model.lgb", "Tree=0", "import os; os.system('x')\nTree=0")
    yield "LightGBM before a pickle", "lightgbm", appended("model.lgb", newest)
    yield "LightGBM before a control character", "lightgbm", appended("model.lgb", b"\x1b[2J")
    model = xgboost_model()
    tree = model["learner"]["gradient_booster"]["model"]["trees"][0]
    for name, file, content in (
        ("XGBoost's old format", "model.ubj", b"binf" + bytes(200)),
        ("XGBoost's older format", "model.ubj", struct.pack("<f", 0.5) + bytes(200)),
        ("UBJSON before a pickle", "model.ubj", ubjson(model) + newest),
        ("UBJSON nested deeply", "model.ubj", b"[" * 5000 + b"]" * 5000),
        ("UBJSON with a text beyond its end", "model.ubj", b"{L" + struct.pack(">q", 2**40) + b"a"),
        ("UBJSON with an array beyond its end", "model.ubj", b"{" + b"i\x01a" + b"[$d#L" + struct.pack(">q", 2**40)),
        ("UBJSON of something else", "model.ubj", ubjson({"a": 1})),
        ("JSON of something else", "model.json", b'{"learner": []}'),
        ("JSON before a pickle", "model.json", json.dumps(model).encode() + newest),
        ("JSON nested deeply", "model.json", b'{"learner":' * 100_000 + b"1" + b"}" * 100_000),
        (
            "a tree that leads outside",
            "model.json",
            json.dumps(model).replace(json.dumps(tree["left_children"]), "[7, -1, -1]", 1).encode(),
        ),
        ("a tree without children", "model.json", json.dumps(model).replace(json.dumps(tree["right_children"]), "[]", 1).encode()),
    ):
        yield f"XGBoost: {name}", f"xgboost_{file.rpartition('.')[2]}", _put(file, content)
    yield "CatBoost that is longer than it says", "catboost", _put("model.cb", b"CBM1" + struct.pack("<I", 2**31) + bytes(10))


def _onnx(mark: Path) -> Iterator[tuple[str, str, Change]]:
    newest = pickle.dumps(Ran(mark))
    within = (
        field(1, "x") + field(4, "If") + field(5, field(1, "then_branch") + field(6, field(5, tensor("s", elsewhere="../../etc/passwd"))))
    )
    for name, content in {
        "tensors in another folder": onnx_model(tensor("w", elsewhere="../../../etc/passwd")),
        "tensors at an absolute path": onnx_model(tensor("w", elsewhere="/etc/passwd")),
        "tensors in a file that is missing": onnx_model(tensor("w", elsewhere="weights")),
        "tensors of a branch elsewhere": onnx_model(None, within),
        "tensors nowhere": onnx_model(tensor("w", elsewhere="a/../b")),
        "before a pickle": onnx_model() + newest,
        "after a pickle": newest + onnx_model(),
        "with an archive behind it": onnx_model() + pickled(mark)["zip"],
        "without a graph": field(1, 9) + field(8, field(2, 17)),
        "of another message": field(3, "x") * 3,
        "cut off": onnx_model()[:-9],
    }.items():
        yield f"ONNX {name}", "onnx", _put("model.onnx", content)
    yield (
        "ONNX with a library of operators",
        "onnx",
        _described(flavors__onnx__onnx_session_options={"extra_session_config": {"a": "/tmp/x.so"}}),
    )
    yield (
        "ONNX with a provider's own options",
        "onnx",
        _described(flavors__onnx__providers=[["TensorrtExecutionProvider", {"trt_engine_cache_path": "/"}]]),
    )


def _beside(mark: Path) -> Iterator[tuple[str, str, Change]]:
    yield "conda.yaml that makes objects", "sklearn", _put("conda.yaml", f"a: !!python/object/apply:os.mkdir ['{mark}']\n".encode())
    yield "requirements that are a script", "sklearn", _put("requirements.txt", b"$(touch /tmp/x)\n")
    yield "an input example that is a page", "sklearn", _put("input_example.json", b"<html><script>alert(1)</script></html>")
    yield "a file without a name that is known", "sklearn", _put("notes.md", b"hello")
    yield "no MLmodel", "sklearn", lambda folder: (folder / "MLmodel").unlink()
    yield "no model", "sklearn", lambda folder: (folder / "model.skops").unlink()


FAMILIES: Mapping[str, Callable[[Path], Iterator[tuple[str, str, Change]]]] = {
    "pickles, by name, wrapping and declaration": _pickles,
    "archives of skops": _archives,
    "links, pipes, sockets": _links,
    "keys of MLmodel": _keys,
    "code beside the model": _code,
    "files of tree libraries": _trees,
    "ONNX": _onnx,
    "other files": _beside,
}
"""What is hostile, by what it abuses."""
