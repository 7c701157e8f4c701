"""Which module of ours imports which, read from the files."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.worlds.places import ROOT

RINGS = ("lakeloop", "resources", "platform_assets", "sensors")
HEAVY = {
    "dagster", "dagster_mlflow", "deltalake", "fastapi", "great_expectations", "httpx", "jinja2", "kserve", "matplotlib", "mlflow", "numpy", "optuna",
    "orjson", "pandas", "polars", "pyarrow", "pydantic", "pysail", "pyspark", "rich", "scipy", "skops", "sklearn", "sqlalchemy", "sqlglot", "uvicorn",
}  # fmt: skip
"""Packages that take a process tens of milliseconds to seconds to import (pydantic by way of `lakeloop.spec`, which only help and completion can spare)."""


class Imports(NamedTuple):
    """The modules that a file imports, ours by their full name: when it is loaded, and when a function of it runs; for types only, neither."""

    loaded: frozenset[str]
    deferred: frozenset[str]


def modules(*rings: str) -> dict[str, Path]:
    """Every module of some rings by its dotted name; a package goes by its folder's. The examples' definitions aren't modules."""
    files = [path for ring in rings for path in (ROOT / ring).rglob("*.py") if "defs" not in path.relative_to(ROOT).parts]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


ALL = modules(*RINGS)


@cache
def imports_of(path: Path) -> Imports:
    """What a file imports."""
    loaded: set[str] = set()
    deferred: set[str] = set()
    nodes: list[tuple[ast.AST, bool]] = [(ast.parse(path.read_text()), False)]
    while nodes:
        node, in_function = nodes.pop()
        names: set[str] = set()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.Import):
            names = {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = {whole if (whole := f"{node.module}.{alias.name}") in ALL else node.module for alias in node.names}
        (deferred if in_function else loaded).update(names)
        within = in_function or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        nodes += [(child, within) for child in ast.iter_child_nodes(node)]
    return Imports(frozenset(loaded), frozenset(deferred))


@cache
def packages_loaded_by(module: str) -> frozenset[str]:
    """The packages of others that are loaded with a module of ours, directly or through others."""
    seen: set[str] = set()
    packages: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        parents = [parent for parent in (name.rpartition(".")[0],) if parent in ALL]
        loaded = imports_of(ALL[name]).loaded
        waiting += [*parents, *(loaded & ALL.keys())]
        packages |= {other.partition(".")[0] for other in loaded - ALL.keys()}
    return frozenset(packages)
