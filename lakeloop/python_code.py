"""Python code that definitions refer to: `module:function`, or `file.py:function` beside the definition."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from lakeloop.errors import DataError, nearest


def load_reference(reference: str, folder: Path) -> Any:
    """Import the object that a reference names.

    Args:
        reference: `module:name`, or `file.py:name` with a file relative to the folder.
        folder: the folder of the definition.

    Raises:
        DataError: there is no such module, file or name.
    """
    source, _, name = reference.partition(":")
    try:
        module = load_file(folder / source) if source.endswith(".py") else importlib.import_module(source)
    except (ImportError, OSError) as error:
        raise DataError(f"{reference}: can't import {source}: {error}") from error
    if not hasattr(module, name):
        raise DataError(f"{reference}: {source} has no {name!r}; {nearest(name, vars(module))}")
    return getattr(module, name)


def load_file(path: Path) -> ModuleType:
    """Run a Python file as a module that isn't registered: its definitions are sent to Spark's workers by value.

    Raises:
        ImportError: it isn't a Python file; errors that the file itself raises are passed on.
    """
    spec = importlib.util.spec_from_file_location(f"lakeloop_{path.parent.name}_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def source_of(reference: str, folder: Path) -> str:
    """The source of the file that a reference names, without importing it; the reference itself if there is no file."""
    path = _find_file(reference, folder)
    return path.read_text(encoding="utf-8") if path and path.is_file() else reference


def find_problem(reference: str, folder: Path) -> str:
    """Find the error of a reference without importing it; empty if it has none."""
    source, _, name = reference.partition(":")
    if not name.isidentifier():
        return f"wanted module:name or file.py:name, found {reference!r}"
    path = _find_file(reference, folder)
    if source.endswith(".py") and not (path and path.is_file()):
        return f"no file {source!r} beside the definition; {nearest(source, [p.name for p in folder.glob('*.py')])}"
    if path is None:
        return f"no module {source!r} is installed"
    if path.suffix != ".py":
        return ""
    try:
        names = _top_level_names(parse_file(path))
    except (SyntaxError, UnicodeDecodeError) as error:
        return f"can't read {path.name}: {error}"
    return "" if name in names or not names.isdisjoint({"*", "__getattr__"}) else f"{source} has no {name!r}; {nearest(name, names)}"


def definition_of(reference: str, folder: Path) -> ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | None:
    """The syntax tree of the class or function that a reference names; None if that file doesn't define it."""
    name, path = reference.partition(":")[2], _find_file(reference, folder)
    if path is None or path.suffix != ".py":
        return None
    definitions = [
        node
        for node in parse_file(path).body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and node.name == name
    ]
    return definitions[-1] if definitions else None


def parse_file(path: Path) -> ast.Module:
    """Parse a file into a syntax tree.

    Raises:
        SyntaxError: the file isn't Python.
    """
    return ast.parse(path.read_text(encoding="utf-8"))


def _find_file(reference: str, folder: Path) -> Path | None:
    source = reference.partition(":")[0]
    if source.endswith(".py"):
        return folder / source
    try:
        spec = importlib.util.find_spec(source)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.origin else None


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
