"""The rings import inwards only, the rooms of a ring downwards only, nothing goes in circles, and the core stays pure."""

import ast
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.worlds.places import ROOT

BANNED = {
    "lakeloop": {"dagster", "resources", "platform_assets", "sensors", "mlflow", "kserve", "pyspark"},
    "resources": {"platform_assets", "sensors"},
    "platform_assets": {"sensors"},
}
OUTSIDE = ("lakeloop/cli", "platform_assets/definitions.py")
"""Assembly and the command line may import everything."""
ROOMS = {
    "lakeloop": "cli report drafting checking search evaluation pipelines project training rows metrics sql spec"
    " pipeline_api notices yaml_text python_code masking records fingerprint errors",
    "resources": "dagster_resources notify serving search spark tracking quality sources lake host settings",
    "platform_assets": "step_process definitions components bring loading assets spread plan graph"
    " stages.registry stages.release stages.evaluation stages.training stages.features stages.tables stages.stage stages.publishing stages.check_rows stages.report_rows stages.inputs stages.metadata stages.base",
    "sensors": "all notifications hygiene",
}
"""The rooms of each ring from the top down: a room imports only those after it. A name is a folder, or a module that stands alone."""
MOST_MODULES = 20
FACADES = {"lakeloop.pipeline_api", "lakeloop.pipelines", "lakeloop.frames", "lakeloop.tasks", "lakeloop.warm_start", "lakeloop.spec"}
"""Modules that only pass on names of other rooms, because files of users import them from there."""


def modules(*rings: str) -> dict[str, Path]:
    """Every module of some rings by its dotted name; a package goes by its folder's."""
    files = [path for ring in rings for path in (ROOT / ring).rglob("*.py")]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


ALL = modules(*BANNED, "sensors")


def imports(path: Path, *, hidden: bool = True) -> set[str]:
    """The modules that a file imports, ours by their full name; without `hidden` only those that are imported when it is loaded."""
    names: set[str] = set()
    nodes: list[ast.AST] = [ast.parse(path.read_text())]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {whole if (whole := f"{node.module}.{alias.name}") in ALL else node.module for alias in node.names}
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        if hidden or not (typing_only or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))):
            nodes += ast.iter_child_nodes(node)
    return names


def is_outside(path: Path) -> bool:
    return str(path.relative_to(ROOT)).startswith(OUTSIDE)


def room_of(module: str) -> str:
    """The longest entry of the ring's table that a module lies in; empty where there is none."""
    ring, _, rest = module.partition(".")
    return max((entry for entry in ROOMS[ring].split() if f"{rest}.".startswith(f"{entry}.")), key=len, default="")


@pytest.mark.parametrize("ring", BANNED)
def test_a_ring_imports_inner_rings_only(ring: str) -> None:
    files = [path for path in modules(ring).values() if not is_outside(path)]
    assert files
    wrong = {str(p): tops & BANNED[ring] for p in files if (tops := {name.split(".")[0] for name in imports(p)}) & BANNED[ring]}
    assert wrong == {}


@pytest.mark.parametrize("ring", ROOMS)
def test_a_room_imports_rooms_below_it_only(ring: str) -> None:
    order = ROOMS[ring].split()
    wrong = []
    for module, path in modules(ring).items():
        here = room_of(module)
        for name in (imports(path) & ALL.keys()) - FACADES:
            there = room_of(name) if name.startswith(f"{ring}.") else ""
            if module not in FACADES and here and there and order.index(there) < order.index(here):
                wrong.append(f"{module} imports {name}")
    assert wrong == []


def test_every_module_stands_in_a_room() -> None:
    assert [module for module in ALL if "." in module and module not in FACADES and not room_of(module)] == [
        "platform_assets.stages",
        "platform_assets.defs",
    ]


def test_no_folder_has_more_than_twenty_modules() -> None:
    sizes = Counter(path.parent for path in modules(*BANNED, "sensors", "tests", "benchmarks").values() if path.name != "__init__.py")
    assert {str(folder.relative_to(ROOT)): count for folder, count in sizes.items() if count > MOST_MODULES} == {}


def test_no_test_module_imports_another() -> None:
    wrong = [
        f"{module} imports {name}"
        for module, path in modules("tests", "benchmarks").items()
        for name in imports(path)
        if name.startswith("tests.") and name.rpartition(".")[2].startswith(("test_", "conftest"))
    ]
    assert wrong == [], "what tests share stands in tests/worlds, fixtures in a conftest.py"


def test_nothing_is_imported_in_a_circle() -> None:
    graph = {module: imports(path, hidden=False) & ALL.keys() - {module} for module, path in ALL.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_the_core_reads_no_clock_and_no_environment() -> None:
    wrong = []
    for path in modules("lakeloop").values():
        if is_outside(path):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in ("now", "utcnow", "environ", "getenv"):
                wrong.append(f"{path.name}:{node.lineno} {node.attr}")
    assert wrong == []
