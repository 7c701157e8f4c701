"""Mutation testing of the modules that decide: small changes to each, and the share that the module's own tests detect (`make mutation`).

A mutant is a module with one change: a comparison turned or moved across its bound, another operator, a constant off by one, a condition
that always or never holds, a statement left out. It is detected when a test fails or doesn't end. Each mutant runs in a forked process,
behind an import hook, so that no file changes. `benchmarks.explained_mutants` lists those that no test can or need detect, with the reason.
"""

from __future__ import annotations

import argparse
import ast
import copy
import hashlib
import importlib
import importlib.util
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, TypeVar

from benchmarks.explained_mutants import EXPLAINED

ROOT = Path(__file__).resolve().parent.parent
TESTS: Mapping[str, tuple[str, ...]] = {
    "lakeloop/rows/history.py": ("tests/core/rows/test_history.py",),
    "lakeloop/rows/asof.py": ("tests/core/rows/test_asof.py",),
    "lakeloop/rows/conform.py": ("tests/core/rows/test_conform.py",),
    "lakeloop/training/splits.py": ("tests/core/training/test_splits.py",),
    "lakeloop/training/labels.py": ("tests/core/training/test_labels.py",),
    "lakeloop/evaluation/decisions.py": ("tests/core/evaluation/test_decisions.py",),
    "lakeloop/sql/reach.py": ("tests/core/sql/test_reach.py",),
}
"""The modules, each with its tests; its doctests run too."""
SAMPLE = 40
LEAST_SHARE = 0.9
"""Share of a module's mutants that its tests must detect; each of the others must be explained."""
SLOWDOWN = 10
"""A mutant whose tests take this many times the module's own processor time doesn't end."""
LEAST_SECONDS = 10
"""The least limit of processor time: that of short runs varies."""
MOST_SECONDS = 600
"""Limit of elapsed time, for a mutant that waits for ever. It is high, because a busy machine is slow."""
SHORTEST_CONTEXT = 12
"""Least number of characters of the code that names a mutant."""
PRELOADED = (
    "duckdb", "hypothesis.strategies", "numpy", "polars", "pyarrow.compute", "pydantic", "pytest", "scipy.special", "sqlglot.optimizer.scope",
)  # fmt: skip
"""Imported before the fork, to save each process the time. Imported only: a process that has used Polars can't be forked."""


@dataclass(frozen=True)
class Mutant:
    """A module with one change.

    Attributes:
        module: its file.
        function: the function with the change; `<module>` outside of functions.
        line: the line of the change.
        before: the smallest expression around the change that occurs once in the function, as `ast.unparse` writes it, or the statement.
        after: the same after the change.
        code: the compiled module.
    """

    module: str
    function: str
    line: int
    before: str
    after: str
    code: CodeType

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What identifies the mutant, wherever its line moves."""
        return self.module, self.function, self.before, self.after


COMPARISONS: Mapping[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
OPERATORS: Mapping[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
EXTREMES = {"min": "max", "minimum": "maximum", "min_horizontal": "max_horizontal", "argmin": "argmax"}
OPPOSITES = EXTREMES | {"any": "all", "any_horizontal": "all_horizontal", "is_null": "is_not_null", "floor": "ceil", "eq": "ne"}
OTHER_NAMES: Mapping[str, str] = OPPOSITES | {other: name for name, other in OPPOSITES.items()}
"""Functions and methods, and the one that each is easily confused with."""
OTHER_CHOICES: Mapping[str, Mapping[str, str]] = {
    "keep": {"first": "last", "last": "first"},
    "side": {"left": "right", "right": "left"},
    "how": {"left": "inner", "inner": "left", "anti": "semi", "semi": "anti"},
}
"""Keyword arguments that choose by a string. Other strings stay: almost all are names of columns or for people to read."""
OMITTED = frozenset(
    {"abs", "astype", "cast", "drop_null", "drop_nulls", "fill_null", "over", "removesuffix", "replace", "sort", "unique", "upper"}
)
"""Methods whose result is of the same kind as the object, so that the code runs without the call."""

Place = tuple[ast.AST, str, int | None]
"""Where a node is: its parent, the field, and the index if the field is a list."""
Node = TypeVar("Node", bound=ast.AST)
_SIMPLE_STATEMENTS = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr, ast.Return, ast.Raise, ast.Continue, ast.Break)
_EXPRESSION_PARTS = (ast.expr, ast.keyword, ast.comprehension, ast.arguments)


def make_mutants(module: str) -> list[Mutant]:
    """Make all mutants of a module, in the order of its code; of changes that give the same program only the first."""
    file = ROOT / module
    tree = ast.parse(file.read_text())
    programs, made = {ast.unparse(tree)}, []
    for path in list(_find_places(tree, ())):
        node, context = _node_at(path[-1]), _find_context(path)
        before = ast.unparse(_node_at(context)).strip()
        for changed in _propose_changes(node, path):
            _replace(path[-1], ast.fix_missing_locations(ast.copy_location(changed, node)))
            program = ast.unparse(tree)
            if program not in programs:
                programs.add(program)
                code = compile(tree, str(file), "exec", dont_inherit=True)
                made.append(Mutant(module, _function_name(path), node.lineno, before, ast.unparse(_node_at(context)).strip(), code))
            _replace(path[-1], node)
    return made


def take_sample(made: Sequence[Mutant], size: int, seed: int) -> list[Mutant]:
    """Choose mutants by a hash of what identifies them, so that a change of one function leaves the sample of the others as it was."""
    counts: Counter[tuple[str, ...]] = Counter()
    ranks = []
    for mutant in made:
        counts[mutant.key] += 1
        ranks.append(hashlib.sha256(repr((seed, *mutant.key, counts[mutant.key])).encode()).digest())
    chosen = sorted(range(len(made)), key=lambda number: ranks[number])[:size]
    return [made[number] for number in sorted(chosen)]


def _find_places(node: ast.AST, path: tuple[Place, ...]) -> Iterator[tuple[Place, ...]]:
    """The places of all statements and expressions that may change, each as the path to it from the module."""
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "bases", "format_spec"):
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or _has_no_effect(child):
                continue
            place: tuple[Place, ...] = (*path, (node, field, index))
            if isinstance(child, ast.stmt | ast.expr):
                yield place
            yield from _find_places(child, place)


def _has_no_effect(node: ast.AST) -> bool:
    """Whether no test could detect a change of a node: docstrings, imports, assertions for the type checker, memory that is freed early."""
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    return isinstance(node, ast.Import | ast.ImportFrom | ast.Assert | ast.Delete)


def _propose_changes(node: ast.AST, path: tuple[Place, ...]) -> Iterator[ast.stmt | ast.expr]:
    """The nodes that may take a node's place."""
    if isinstance(node, ast.stmt):
        if _can_be_omitted(node, path):
            yield ast.Pass()
        if isinstance(node, ast.Return) and node.value is not None:
            yield ast.Return(ast.Constant(None))
        if isinstance(node, ast.AugAssign) and type(node.op) in OPERATORS:
            yield _copy_with(node, op=OPERATORS[type(node.op)]())
        return
    if _is_strict_zip(path):
        return
    if path[-1][1] in ("test", "ifs"):
        yield from (ast.Constant(True), ast.Constant(False))
    match node:
        case ast.Compare():
            for place, operator in enumerate(node.ops):
                for other in COMPARISONS[type(operator)]:
                    yield _copy_with(node, ops=[*node.ops[:place], other(), *node.ops[place + 1 :]])
        case ast.BinOp() if type(node.op) in OPERATORS:
            yield _copy_with(node, op=OPERATORS[type(node.op)]())
        case ast.BoolOp():
            yield _copy_with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
            for place in range(len(node.values)):
                rest = [*node.values[:place], *node.values[place + 1 :]]
                yield rest[0] if len(rest) == 1 else _copy_with(node, values=rest)
        case ast.UnaryOp():
            yield node.operand
        case ast.IfExp():
            yield from (node.body, node.orelse)
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() | float() as number):
            yield from (ast.Constant(number + 1), ast.Constant(number - 1))
        case ast.Constant(value=str() as text):
            parent = path[-1][0]
            choices = OTHER_CHOICES.get(parent.arg or "", {}) if isinstance(parent, ast.keyword) else {}
            if text in choices:
                yield ast.Constant(choices[text])
        case ast.Call():
            yield from _propose_calls(node)


def _is_strict_zip(path: tuple[Place, ...]) -> bool:
    """Whether a place is the value of `zip(…, strict=…)`, an assertion."""
    call, keyword = (path[-2][0], path[-1][0]) if len(path) > 1 else (None, None)
    is_strict = isinstance(keyword, ast.keyword) and keyword.arg == "strict"
    return is_strict and isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "zip"


def _propose_calls(call: ast.Call) -> Iterator[ast.expr]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""
    if name in OTHER_NAMES:
        field = "attr" if isinstance(call.func, ast.Attribute) else "id"
        yield _copy_with(call, func=_copy_with(call.func, **{field: OTHER_NAMES[name]}))
    if name in (*EXTREMES, *EXTREMES.values()) and len(call.args) > 1:
        for place in range(len(call.args)):
            yield _copy_with(call, args=[*call.args[:place], *call.args[place + 1 :]])
    if name == "where" and len(call.args) == 3:
        yield _copy_with(call, args=[call.args[0], call.args[2], call.args[1]])
    if name in OMITTED and isinstance(call.func, ast.Attribute):
        yield call.func.value


def _can_be_omitted(node: ast.stmt, path: tuple[Place, ...]) -> bool:
    """Whether the code still runs without a statement; that a name isn't bound any more would be too easy to detect."""
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        name = node.targets[0].id
        function = next((parent for parent, _, _ in reversed(path) if isinstance(parent, ast.FunctionDef)), None)
        parts = list(ast.walk(function)) if function else []
        bindings = [part.lineno for part in parts if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store) and part.id == name]
        bindings += [part.lineno for part in parts if isinstance(part, ast.arg) and part.arg == name]
        return min(bindings, default=node.lineno) < node.lineno
    if isinstance(node, ast.Assign):
        return isinstance(node.targets[0], ast.Subscript)
    return isinstance(node, ast.AugAssign | ast.Expr | ast.Raise | ast.Continue | ast.Break)


def _copy_with(node: Node, **fields: object) -> Node:
    """A copy of a node with other fields, and the same children otherwise."""
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _node_at(place: Place) -> Any:
    parent, field, index = place
    value = getattr(parent, field)
    return value if index is None else value[index]


def _replace(place: Place, node: ast.AST) -> None:
    parent, field, index = place
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node


def _find_context(path: tuple[Place, ...]) -> Place:
    """The place of the smallest expression around a node that occurs once in the function, or of the statement."""
    text = ast.unparse(next(parent for parent, _, _ in reversed(path) if isinstance(parent, ast.FunctionDef | ast.Module)))
    for place in reversed(path):
        node = _node_at(place)
        if isinstance(node, _SIMPLE_STATEMENTS) or not isinstance(place[0], (*_SIMPLE_STATEMENTS, *_EXPRESSION_PARTS)):
            return place
        if len(ast.unparse(node)) >= SHORTEST_CONTEXT and text.count(ast.unparse(node)) == 1:
            return place
    raise AssertionError("the parts of a module are statements")


def _function_name(path: tuple[Place, ...]) -> str:
    return ".".join(parent.name for parent, _, _ in path if isinstance(parent, ast.FunctionDef | ast.ClassDef)) or "<module>"


class _MutantLoader(SourceFileLoader):
    """Finds and loads one module, from a mutant's code."""

    def __init__(self, name: str, mutant: Mutant) -> None:
        super().__init__(name, str(ROOT / mutant.module))
        self.code = mutant.code

    def get_code(self, fullname: str) -> CodeType:
        """The mutant's code."""
        return self.code

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The module's spec; None for every other module."""
        return importlib.util.spec_from_file_location(fullname, self.path, loader=self) if fullname == self.name else None


def _run_tests(module: str, mutant: Mutant | None) -> int:
    """Run the tests of a module in this process; 0 if they pass."""
    import pytest
    from hypothesis import Phase, settings

    name = module.removesuffix(".py").replace("/", ".")
    assert name not in sys.modules, f"{name} is imported, so no mutant can take its place"
    if mutant:
        sys.meta_path.insert(0, _MutantLoader(name, mutant))
    # The same examples in each run, none stored in the checkout, and none shrunk, because nobody reads them.
    settings.register_profile("mutation", deadline=None, derandomize=True, database=None, phases=(Phase.explicit, Phase.generate))
    options = ["-x", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-profile=mutation", "--rootdir", str(ROOT)]
    return int(pytest.main([*options, *(str(ROOT / file) for file in (module, *TESTS[module]))]))


def _fork(module: str, mutant: Mutant | None, seconds: int, log: Path) -> int:
    """Start a process that runs the tests of a module within a limit of processor time; its number."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        status = _run_tests(module, mutant)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _run_variants(module: str, variants: Sequence[Mutant | None], seconds: int, jobs: int, log: Path) -> list[tuple[bool, float]]:
    """Run the tests on variants of a module, None being the module itself.

    Returns:
        For each variant whether its tests passed, and the seconds of processor time that they took.
    """
    results, running = {}, dict[int, tuple[int, float]]()
    waiting = list(enumerate(variants))[::-1]
    sys.stdout.flush()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                number, variant = waiting.pop()
                running[_fork(module, variant, seconds, log)] = number, time.monotonic() + MOST_SECONDS
            process, status, usage = os.wait4(-1, os.WNOHANG)
            if process in running:
                results[running.pop(process)[0]] = status == 0, usage.ru_utime + usage.ru_stime
                continue
            time.sleep(0.01)
            for process, (_, end) in running.items():
                if time.monotonic() > end:
                    os.kill(process, signal.SIGKILL)
    finally:
        for process in running:
            os.kill(process, signal.SIGKILL)
    return [results[number] for number in range(len(variants))]


def find_undetected(module: str, mutants: Sequence[Mutant], jobs: int) -> list[Mutant]:
    """Run a module's tests on its mutants, and return those for which all pass.

    Raises:
        SystemExit: the module itself doesn't pass its tests.
    """
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        ((passed, seconds),) = _run_variants(module, [None], MOST_SECONDS, 1, log)
        if not passed:
            raise SystemExit(f"{module} doesn't pass its own tests:\n{log.read_text()}")
        limit = max(round(SLOWDOWN * seconds), LEAST_SECONDS)
        results = _run_variants(module, mutants, limit, jobs, log)
    return [mutant for mutant, (passed, _) in zip(mutants, results, strict=True) if passed]


def main() -> int:
    """Print a table of the modules; 1 if a module's tests detect fewer than 9 of 10 mutants, or one of the others isn't explained."""
    parser = argparse.ArgumentParser(description="Mutation testing of the modules that decide.")
    parser.add_argument("modules", nargs="*", metavar="module", help=f"any of {', '.join(TESTS)}; default: all")
    parser.add_argument("--sample", type=int, default=SAMPLE, help="mutants per module, 0 for all; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the sample; default: %(default)s")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes side by side; default: %(default)s")
    options = parser.parse_args()
    if unknown := set(options.modules) - set(TESTS):
        parser.error(f"wanted any of {', '.join(TESTS)}, found {', '.join(sorted(unknown))}")
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    for name in PRELOADED:
        importlib.import_module(name)
    explained = {(entry.module, entry.function, entry.before, entry.after) for entry in EXPLAINED}
    complaints = []
    print("| module | made | detected | explained | share |\n|---|--:|--:|--:|--:|")
    for module in options.modules or TESTS:
        made = make_mutants(module)
        mutants = take_sample(made, options.sample or len(made), options.seed)
        undetected = find_undetected(module, mutants, options.jobs)
        unexplained = [mutant for mutant in undetected if mutant.key not in explained]
        share = 1 - len(undetected) / len(mutants)
        print(
            f"| {module} | {len(mutants)} | {len(mutants) - len(undetected)} | {len(undetected) - len(unexplained)} | {share:.2f} |",
            flush=True,
        )
        if share < LEAST_SHARE:
            complaints.append(f"{module}: wanted a share of at least {LEAST_SHARE}, found {share:.2f}")
        complaints += [
            f"{mutant.module}:{mutant.line}: neither detected nor explained, in {mutant.function}: {mutant.before} -> {mutant.after}"
            for mutant in unexplained
        ]
        complaints += [
            f"{module}: explained, but no mutant any more, in {function}: {before} -> {after}"
            for file, function, before, after in sorted(explained - {mutant.key for mutant in made})
            if file == module
        ]
    print(*complaints, sep="\n", file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
