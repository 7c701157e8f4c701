"""The rings import inwards only, the rooms of a ring downwards only, nothing goes in circles, and the core stays pure."""

from __future__ import annotations

import ast
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.worlds.imports import ALL, HEAVY, RINGS, imports_of, modules, packages_loaded_by
from tests.worlds.places import ROOT

BANNED = {
    "lakeloop": {"dagster", "resources", "platform_assets", "sensors", "mlflow", "kserve", "pyspark"},
    "resources": {"platform_assets", "sensors"},
    "platform_assets": {"sensors"},
}
OUTSIDE = ("lakeloop/cli", "platform_assets/definitions.py")
"""Assembly and the command line may import everything."""
ROOMS = {
    "lakeloop": "cli report monitoring rollouts online drafting checking search evaluation pipelines project training rows metrics sql windows spec"
    " pipeline_api notices yaml_text python_code masking records fingerprint errors",
    "resources": "dagster_resources notify serving search spark tracking quality sources lake host settings project",
    "platform_assets": "step_process definitions executor components bring loading queries assets spread reasons plan graph stages.registry"
    " stages.release stages.evaluation stages.training stages.features stages.tables"
    " stages.stage stages.publishing stages.check_rows stages.report_rows stages.made_of stages.inputs stages.metadata stages.base",
    "sensors": "all notifications aliases hygiene",
}
"""The rooms of each ring from the top down: a room imports only those after it. A name is a folder, or a module that stands alone."""
FACADES = {"lakeloop.pipeline_api", "lakeloop.pipelines", "lakeloop.frames", "lakeloop.tasks", "lakeloop.warm_start", "lakeloop.spec"}
"""Modules that only pass on names of other rooms, because files of users import them from there."""
MOST_MODULES = 20


def is_outside(path: Path) -> bool:
    return str(path.relative_to(ROOT)).startswith(OUTSIDE)


def room_of(module: str) -> str:
    """The longest entry of the ring's table that a module lies in; empty where there is none."""
    ring, _, rest = module.partition(".")
    return max((entry for entry in ROOMS[ring].split() if f"{rest}.".startswith(f"{entry}.")), key=len, default="")


def all_imports(path: Path) -> frozenset[str]:
    return imports_of(path).loaded | imports_of(path).deferred


@pytest.mark.parametrize("ring", BANNED)
def test_a_ring_imports_inner_rings_only(ring: str) -> None:
    files = [path for path in modules(ring).values() if not is_outside(path)]
    assert files
    tops = {str(path): {name.split(".")[0] for name in all_imports(path)} & BANNED[ring] for path in files}
    assert {path: names for path, names in tops.items() if names} == {}


@pytest.mark.parametrize("ring", ROOMS)
def test_a_room_imports_rooms_below_it_only(ring: str) -> None:
    order = ROOMS[ring].split()
    upward = [
        f"{module} imports {name}"
        for module, path in modules(ring).items()
        for name in (all_imports(path) & ALL.keys()) - FACADES
        if module not in FACADES and name.startswith(f"{ring}.") and room_of(module) and room_of(name)
        if order.index(room_of(name)) < order.index(room_of(module))
    ]
    assert upward == []


def test_the_page_on_rooms_has_the_table_of_today() -> None:
    lines = [f"* `{ring}`: {' > '.join(f'`{room}`' for room in rooms.split())}" for ring, rooms in ROOMS.items()]
    assert "\n".join(lines) in (ROOT / "docs" / "design" / "0006-rooms.md").read_text()


def test_every_module_stands_in_a_room() -> None:
    charters = {"platform_assets.stages"}
    assert [module for module in ALL if "." in module and module not in FACADES | charters and not room_of(module)] == []


def test_no_folder_has_more_than_twenty_modules() -> None:
    sizes = Counter(path.parent for path in modules(*RINGS, "tests", "benchmarks").values() if path.name != "__init__.py")
    assert {str(folder.relative_to(ROOT)): count for folder, count in sizes.items() if count > MOST_MODULES} == {}


def test_no_test_module_imports_another() -> None:
    wrong = [
        f"{module} imports {name}"
        for module, path in modules("tests", "benchmarks").items()
        for name in all_imports(path)
        if name.startswith("tests.") and name.rpartition(".")[2].startswith(("test_", "conftest"))
    ]
    assert wrong == [], "what tests share stands in tests/worlds, fixtures in a conftest.py"


def test_nothing_is_imported_in_a_circle() -> None:
    graph = {module: all_imports(path) & ALL.keys() - {module} for module, path in ALL.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_functions_import_modules_of_ours_only_to_save_start_up_time() -> None:
    """A module of ours is imported within a function only where it loads a heavy package that the module around it doesn't load anyway."""
    needless = [
        f"{module} imports {name} in a function"
        for module, path in ALL.items()
        for name in imports_of(path).deferred & ALL.keys()
        if not (packages_loaded_by(name) - packages_loaded_by(module)) & HEAVY
    ]
    assert needless == [], "import it at the top"


def test_the_core_reads_no_clock_and_no_environment() -> None:
    reads = [
        f"{path.name}:{node.lineno} {node.attr}"
        for path in modules("lakeloop").values()
        if not is_outside(path)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("now", "utcnow", "environ", "getenv")
    ]
    assert reads == []
