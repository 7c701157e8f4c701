"""The user's code that a workflow's model is made from: where it is, how it is imported, and checks of what it must define, without running it.

`pipeline: file.py` and `file.py:name` are files beside the definition. Each stands alone: what several of them share belongs in an installed
package.
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
from lakeloop.python_code import definition_of, find_problem, load_reference, parse_file, source_of
from lakeloop.spec.tables import Task
from lakeloop.spec.tasks import TASKS
from lakeloop.spec.workflow import MODEL_SOURCES, Model

PIPELINE_ARGUMENTS = ("kinds", "answer", "params", "seed")
TRAIN_ARGUMENTS, TRAIN_KEYWORDS = ("frame", "label"), ("answer", "params", "seed")
CONTINUED_ARGUMENTS, CONTINUED_KEYWORDS = ("champion", "fresh", "frame", "label"), ("trees", "limit")
TRAIN_CALL = "f(frame, label, *, answer, params, seed)"


@dataclass(frozen=True)
class ModelCode:
    """The user's own code that a model is made from.

    Attributes:
        module: the name that it is imported by; a file's name includes a hash of its content, so that one process can hold two versions.
        file: beside the definition; None for an installed module.
        value: what the definition names: a module, a class or a function.
    """

    module: str
    file: Path | None
    value: Any

    @property
    def shipped(self) -> dict[str, str]:
        """Source by module name of the files that are stored inside the model, so that it loads where there is no definition."""
        return {self.module: self.file.read_text(encoding="utf-8")} if self.file else {}


def reference_of(model: Model) -> tuple[str, str]:
    """The key that declares what the model is made from, and its value."""
    return next((key, str(value)) for key in MODEL_SOURCES if (value := getattr(model, key)) is not None)


def import_model_code(model: Model, folder: Path) -> ModelCode | None:
    """Import the user's own code that a model is made from; None for a ready-made pipeline or a registered model.

    Args:
        model: as the workflow declares it.
        folder: of the definition.

    Raises:
        DataError: the code can't be imported, or doesn't define the name.
    """
    key, reference = reference_of(model)
    if key == "registered" or (key == "pipeline" and not reference.endswith(".py")):
        return None
    where, _, name = reference.partition(":")
    if not where.endswith(".py"):
        value = load_reference(reference, folder)
        return ModelCode(str(getattr(value, "__module__", where)), None, value)
    module = import_file(folder / where)
    if name and not hasattr(module, name):
        raise DataError(f"model.{key}: {where} has no {name!r}; {nearest(name, vars(module))}")
    return ModelCode(module.__name__, folder / where, getattr(module, name) if name else module)


def model_source(model: Model, folder: Path) -> str:
    """The source of the user's code that a model is made from, for its fingerprint; empty when there is none."""
    key, reference = reference_of(model)
    if key == "registered" or (key == "pipeline" and not reference.endswith(".py")):
        return ""
    return source_of(reference, folder)


def import_file(path: Path) -> ModuleType:
    """Import a file under a name with a hash of its content; the same content is imported once.

    Raises:
        DataError: the file can't be read, or raises.
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
    except Exception as error:  # a user's file may raise anything when it runs
        del sys.modules[name]
        raise user_code_error(error, f"can't import {path.name}", path) from error
    return module


def user_code_error(error: Exception, what: str, path: Path | None) -> LakeloopError:
    """The error to raise for an exception of a user's code, with the line of their file that it came from.

    Args:
        error: the exception; one of ours is returned as it is.
        what: what was being done, the beginning of the message.
        path: the user's file.
    """
    if isinstance(error, LakeloopError):
        return error
    line, trace = None, error.__traceback__
    while trace is not None:
        if path is not None and Path(trace.tb_frame.f_code.co_filename).name == path.name:
            line = trace.tb_lineno
        trace = trace.tb_next
    where = f" ({path.name} line {line})" if path is not None and line else ""
    return DataError(f"{what}: {type(error).__name__}{where}", detail=str(error).strip()[:500])


def check_code(model: Model, task: Task, folder: Path) -> None:
    """Check, by reading it, that the user's own code exists and defines what it must.

    Raises:
        SpecError: with the key, what was wanted, and the nearest match.
    """
    key, reference = reference_of(model)
    if key == "pipeline":
        problem = _pipeline_problem(reference, task, folder, continued=model.warm_start is not None)
    else:
        problem = find_problem(reference, folder) or _definition_problem(key, reference, task, folder)
    if problem:
        raise SpecError(problem, key=key)


def _definition_problem(key: str, reference: str, task: Task, folder: Path) -> str:
    """What is wrong with the class or function that a reference names; empty when nothing is."""
    definition = definition_of(reference, folder)
    if key == "train":
        if isinstance(definition, ast.ClassDef):
            return f"{reference} is a class: wanted a function {TRAIN_CALL}; a class is declared as estimator"
        return _arguments_problem(definition, reference, TRAIN_ARGUMENTS, TRAIN_KEYWORDS, TRAIN_CALL) if definition else ""
    if isinstance(definition, ast.FunctionDef):
        return f"{reference} is a function: wanted a class with fit and predict; a function is declared as train"
    if isinstance(definition, ast.ClassDef) and not definition.bases:
        answering = TASKS[task].methods
        methods = {node.name for node in definition.body if isinstance(node, ast.FunctionDef)}
        required = ["fit", *([] if methods.intersection(answering) else [answering[-1]])]
        missing = [name for name in required if name not in methods]
        if missing:
            return f"{reference} has no {' and no '.join(missing)}: wanted a scikit-learn-style estimator for a {task}"
    return ""


def _pipeline_problem(reference: str, task: Task, folder: Path, *, continued: bool) -> str:
    """What is wrong with the file of a pipeline; empty when nothing is."""
    path = folder / reference
    if not path.is_file():
        return f"no file {reference!r} beside the definition; {nearest(reference, [p.name for p in folder.glob('*.py')])}"
    try:
        tree = parse_file(path)
    except (SyntaxError, UnicodeDecodeError) as error:
        return f"can't read {path.name}: {error}"
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    required: list[tuple[str, Sequence[str], Sequence[str]]] = [("estimator", PIPELINE_ARGUMENTS, ()), ("search_space", ("task",), ())]
    required += [("continued", CONTINUED_ARGUMENTS, CONTINUED_KEYWORDS)] if continued else []
    for name, positional, keywords in required:
        call = f"{name}({', '.join([*positional, *(['*', *keywords] if keywords else [])])})"
        if name not in functions:
            why = ", which warm_start needs" if name == "continued" else ""
            return f"{reference} has no function {call}{why}; {nearest(name, functions)}"
        problem = _arguments_problem(functions[name], f"{reference}:{name}", positional, keywords, call)
        if problem:
            return problem
    return _tasks_problem(_declared_tasks(tree), reference, task)


def _tasks_problem(tasks: Sequence[str] | None, reference: str, task: Task) -> str:
    if tasks is None:
        return f"{reference} has no TASKS: wanted a tuple of what it can do, such as TASKS = ({task!r},)"
    for name in tasks:
        if name not in get_args(Task):
            return f"{reference}: TASKS names no task {name!r}; {nearest(str(name), get_args(Task))}"
    return "" if task in tasks else f"{reference} is for {', '.join(tasks)}, not for {task}"


def _declared_tasks(tree: ast.Module) -> Sequence[str] | None:
    """The names in the file's tuple TASKS; None when there is no such literal."""
    for node in tree.body:
        if not isinstance(node, (ast.Assign, ast.AnnAssign)) or node.value is None:
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(isinstance(target, ast.Name) and target.id == "TASKS" for target in targets):
            try:
                tasks = ast.literal_eval(node.value)
            except (ValueError, TypeError):
                return None
            return [str(name) for name in tasks] if isinstance(tasks, (tuple, list)) else None
    return None


def _arguments_problem(
    node: ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef,
    reference: str,
    positional: Sequence[str],
    keywords: Sequence[str],
    call: str,
) -> str:
    """Why a function can't be called with these positional and keyword arguments; empty when it can."""
    if not isinstance(node, ast.FunctionDef):
        return f"{reference} is no plain function: wanted {call}"
    arguments = node.args
    names = [a.arg for a in [*arguments.posonlyargs, *arguments.args]]
    if len(names) < len(positional) and arguments.vararg is None:
        return f"{reference} takes ({', '.join(names)}): wanted {call}"
    by_name = {
        *[a.arg for a in arguments.args[max(0, len(positional) - len(arguments.posonlyargs)) :]],
        *[a.arg for a in arguments.kwonlyargs],
    }
    for name in keywords:
        if name not in by_name and arguments.kwarg is None:
            return f"{reference} takes no {name!r}: wanted {call}; {nearest(name, by_name)}"
    required = [a for a in names[: len(names) - len(arguments.defaults)][len(positional) :] if a not in keywords]
    required += [a.arg for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d is None and a.arg not in keywords]
    return f"{reference} also requires {', '.join(required)}: it is called as {call}" if required else ""
