"""The code that a workflow's model comes from: what it has to offer, checked without running it; where it stands, and how it is imported.

`pipeline: file.py` and `file.py:name` are files beside the definition, each on its own: what several share belongs into an installed package.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

from lakeloop.errors import DataError, LakeloopError, SpecError, nearest
from lakeloop.python_code import definition_of, load, problem_with, source_of, tree_of
from lakeloop.spec.tables import Task
from lakeloop.spec.tasks import TASKS
from lakeloop.spec.workflow import MODEL_SOURCES, Model

PIPELINE_ARGUMENTS = ("kinds", "answer", "params", "seed")
TRAIN_ARGUMENTS, TRAIN_KEYWORDS = ("frame", "label"), ("answer", "params", "seed")
CONTINUED_ARGUMENTS, CONTINUED_KEYWORDS = ("champion", "fresh", "frame", "label"), ("trees", "limit")
TRAIN_CALL = "f(frame, label, *, answer, params, seed)"


@dataclass(frozen=True)
class ModelCode:
    """Code of the user's own behind a model.

    Attributes:
        module: the name that it is imported by; for a file, of its content too, so that two versions can live in one process.
        file: beside the definition; None for an installed module.
        value: what the definition names: a module, a class or a function.
    """

    module: str
    file: Path | None
    value: Any

    @property
    def shipped(self) -> dict[str, str]:
        """Source by module name of what has to travel inside the model, so that it loads where the definition isn't."""
        return {self.module: self.file.read_text(encoding="utf-8")} if self.file else {}


def reference_of(model: Model) -> tuple[str, str]:
    """The key that says what the model is, and what stands there."""
    return next((key, str(value)) for key in MODEL_SOURCES if (value := getattr(model, key)) is not None)


def model_code(model: Model, folder: Path) -> ModelCode | None:
    """Import the user's own code behind a model; None for a ready-made pipeline or a registered model.

    Args:
        model: as the workflow says.
        folder: of the definition.

    Raises:
        DataError: the code can't be imported, or has no such name.
    """
    key, reference = reference_of(model)
    if key == "registered" or (key == "pipeline" and not reference.endswith(".py")):
        return None
    where, _, name = reference.partition(":")
    if not where.endswith(".py"):
        value = load(reference, folder)
        return ModelCode(str(getattr(value, "__module__", where)), None, value)
    module = import_file(folder / where)
    if name and not hasattr(module, name):
        raise DataError(f"model.{key}: {where} has no {name!r}; {nearest(name, vars(module))}")
    return ModelCode(module.__name__, folder / where, getattr(module, name) if name else module)


def model_source(model: Model, folder: Path) -> str:
    """The source behind a model, for its fingerprint; empty for a registered one."""
    key, reference = reference_of(model)
    if key == "registered":
        return ""
    if key == "pipeline" and not reference.endswith(".py"):
        return ""
    return source_of(reference, folder)


def import_file(path: Path) -> ModuleType:
    """Import a file by a name of its own content; the same content is imported once.

    Raises:
        DataError: it can't be read, or raises.
    """
    try:
        source = path.read_bytes()
    except OSError as error:
        raise DataError(f"can't read {path.name}: {error}") from error
    name = f"{re.sub(r'[^0-9A-Za-z_]', '_', path.stem)}_{hashlib.sha256(source).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a user's file does when it is run
        del sys.modules[name]
        raise told(error, f"can't import {path.name}", path) from error
    return module


def told(error: Exception, what: str, path: Path | None) -> LakeloopError:
    """An exception of a user's code, with the line of their file that it came from."""
    if isinstance(error, LakeloopError):
        return error
    line, trace = None, error.__traceback__
    while trace is not None:
        if path is not None and Path(trace.tb_frame.f_code.co_filename).name == path.name:
            line = trace.tb_lineno
        trace = trace.tb_next
    where = f" ({path.name} line {line})" if path is not None and line else ""
    return DataError(f"{what}: {type(error).__name__}{where}", told=str(error).strip()[:500])


def check_code(model: Model, task: Task, folder: Path) -> None:
    """Check that the user's own code is there and offers what it has to, as far as reading it can tell.

    Raises:
        SpecError: with the key, what was wanted, and the nearest match.
    """
    key, reference = reference_of(model)
    if key == "pipeline":
        problem = _pipeline_problem(reference, task, folder, continued=model.warm_start is not None)
    else:
        problem = problem_with(reference, folder) or _problem(key, reference, task, folder)
    if problem:
        raise SpecError(problem, key=key)


def _problem(key: str, reference: str, task: Task, folder: Path) -> str:
    found = definition_of(reference, folder)
    if key == "train":
        if isinstance(found, ast.ClassDef):
            return f"{reference} is a class: wanted a function {TRAIN_CALL}; a class stands under estimator"
        return _arguments_problem(found, reference, TRAIN_ARGUMENTS, TRAIN_KEYWORDS, TRAIN_CALL) if found else ""
    if isinstance(found, ast.FunctionDef):
        return f"{reference} is a function: wanted a class with fit and predict; a function stands under train"
    if isinstance(found, ast.ClassDef) and not found.bases:
        asked = TASKS[task].asks
        methods = {node.name for node in found.body if isinstance(node, ast.FunctionDef)}
        wanted = ["fit", *([] if methods.intersection(asked) else [asked[-1]])]
        missing = [name for name in wanted if name not in methods]
        if missing:
            return f"{reference} has no {' and no '.join(missing)}: wanted a scikit-learn-style estimator for a {task}"
    return ""


def _pipeline_problem(reference: str, task: Task, folder: Path, *, continued: bool) -> str:
    path = folder / reference
    if not path.is_file():
        return f"no file {reference!r} beside the definition; {nearest(reference, [p.name for p in folder.glob('*.py')])}"
    try:
        tree = tree_of(path)
    except (SyntaxError, UnicodeDecodeError) as error:
        return f"can't read {path.name}: {error}"
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    wanted: list[tuple[str, Sequence[str], Sequence[str]]] = [("estimator", PIPELINE_ARGUMENTS, ()), ("search_space", ("task",), ())]
    wanted += [("continued", CONTINUED_ARGUMENTS, CONTINUED_KEYWORDS)] if continued else []
    for name, positional, keywords in wanted:
        call = f"{name}({', '.join([*positional, *(['*', *keywords] if keywords else [])])})"
        if name not in functions:
            why = ", which warm_start asks for" if name == "continued" else ""
            return f"{reference} has no function {call}{why}; {nearest(name, functions)}"
        problem = _arguments_problem(functions[name], f"{reference}:{name}", positional, keywords, call)
        if problem:
            return problem
    tasks = _tasks(tree)
    if tasks is None:
        return f"{reference} has no TASKS: wanted a tuple of what it can do, such as TASKS = ({task!r},)"
    for name in tasks:
        if name not in get_args(Task):
            return f"{reference}: TASKS names no task {name!r}; {nearest(str(name), get_args(Task))}"
    return "" if task in tasks else f"{reference} is for {', '.join(tasks)}, not for {task}"


def _tasks(tree: ast.Module) -> Sequence[str] | None:
    for node in tree.body:
        if not isinstance(node, (ast.Assign, ast.AnnAssign)) or node.value is None:
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(isinstance(target, ast.Name) and target.id == "TASKS" for target in targets):
            try:
                found = ast.literal_eval(node.value)
            except (ValueError, TypeError):
                return None
            return [str(name) for name in found] if isinstance(found, (tuple, list)) else None
    return None


def _arguments_problem(
    node: ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef,
    reference: str,
    positional: Sequence[str],
    keywords: Sequence[str],
    call: str,
) -> str:
    """Whether a function can be called with so many positional arguments and some keywords."""
    if not isinstance(node, ast.FunctionDef):
        return f"{reference} is no plain function: wanted {call}"
    arguments = node.args
    given = [a.arg for a in [*arguments.posonlyargs, *arguments.args]]
    if len(given) < len(positional) and arguments.vararg is None:
        return f"{reference} takes ({', '.join(given)}): wanted {call}"
    by_name = {
        *[a.arg for a in arguments.args[max(0, len(positional) - len(arguments.posonlyargs)) :]],
        *[a.arg for a in arguments.kwonlyargs],
    }
    for name in keywords:
        if name not in by_name and arguments.kwarg is None:
            return f"{reference} takes no {name!r}: wanted {call}; {nearest(name, by_name)}"
    required = [a for a in given[: len(given) - len(arguments.defaults)][len(positional) :] if a not in keywords]
    required += [a.arg for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d is None and a.arg not in keywords]
    return f"{reference} also wants {', '.join(required)}: it is called as {call}" if required else ""
