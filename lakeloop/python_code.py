"""Python code that definitions name: `module:function`, or `file.py:function` beside the definition."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from lakeloop.errors import DataError, nearest


def load_reference(reference: str, folder: Path) -> Any:
    """What a reference names, imported.

    Args:
        reference: `module:name`, or `file.py:name` with a file relative to the folder.
        folder: of the definition.

    Raises:
        DataError: there is no such module, file or name.
    """
    where, _, name = reference.partition(":")
    try:
        module = load_file(folder / where) if where.endswith(".py") else importlib.import_module(where)
    except (ImportError, OSError) as error:
        raise DataError(f"{reference}: can't import {where}: {error}") from error
    if not hasattr(module, name):
        raise DataError(f"{reference}: {where} has no {name!r}; {nearest(name, vars(module))}")
    return getattr(module, name)


def load_file(path: Path) -> ModuleType:
    """Run a Python file as a module that isn't kept: what it defines travels to Spark's workers by value.

    Raises:
        ImportError: it is no Python file; what the file itself raises comes through.
    """
    spec = importlib.util.spec_from_file_location(f"lakeloop_{path.parent.name}_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def source_of(reference: str, folder: Path) -> str:
    """The source of the file that a reference names, found without importing it; the reference itself where there is none."""
    path = _file(reference, folder)
    return path.read_text(encoding="utf-8") if path and path.is_file() else reference


def find_problem(reference: str, folder: Path) -> str:
    """What is wrong with a reference, found without importing what it names; empty when nothing is."""
    where, _, name = reference.partition(":")
    if not name.isidentifier():
        return f"wanted module:name or file.py:name, found {reference!r}"
    path = _file(reference, folder)
    if where.endswith(".py") and not (path and path.is_file()):
        return f"no file {where!r} beside the definition; {nearest(where, [p.name for p in folder.glob('*.py')])}"
    if path is None:
        return f"no module {where!r} is installed"
    if path.suffix != ".py":
        return ""
    try:
        names = _top_level_names(parse_file(path))
    except (SyntaxError, UnicodeDecodeError) as error:
        return f"can't read {path.name}: {error}"
    return "" if name in names or not names.isdisjoint({"*", "__getattr__"}) else f"{where} has no {name!r}; {nearest(name, names)}"


def definition_of(reference: str, folder: Path) -> ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | None:
    """The class or function that a reference names, read and not run; None where it isn't defined in that very file."""
    name, path = reference.partition(":")[2], _file(reference, folder)
    if path is None or path.suffix != ".py":
        return None
    found = [
        node
        for node in parse_file(path).body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and node.name == name
    ]
    return found[-1] if found else None


def parse_file(path: Path) -> ast.Module:
    """The syntax tree of a file.

    Raises:
        SyntaxError: it isn't Python.
    """
    return ast.parse(path.read_text(encoding="utf-8"))


def _file(reference: str, folder: Path) -> Path | None:
    where = reference.partition(":")[0]
    if where.endswith(".py"):
        return folder / where
    try:
        found = importlib.util.find_spec(where)
    except (ImportError, ValueError):
        return None
    return Path(found.origin) if found and found.origin else None


def _top_level_names(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names
