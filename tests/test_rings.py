"""The rings import inwards only, and the core stays pure."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BANNED = {
    "lakeloop": {"dagster", "resources", "platform_assets", "sensors", "mlflow", "kserve", "pyspark"},
    "resources": {"platform_assets", "sensors"},
    "platform_assets": {"sensors"},
}
EXCEPTIONS = {"lakeloop/cli.py", "lakeloop/up.py", "lakeloop/up_runs.py", "lakeloop/up_summary.py", "platform_assets/definitions.py"}


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("ring", BANNED)
def test_a_ring_imports_inner_rings_only(ring: str) -> None:
    files = [p for p in (ROOT / ring).rglob("*.py") if str(p.relative_to(ROOT)) not in EXCEPTIONS]
    assert files
    wrong = {str(p.relative_to(ROOT)): imported(p) & BANNED[ring] for p in files if imported(p) & BANNED[ring]}
    assert wrong == {}


def test_the_core_reads_no_clock_and_no_environment() -> None:
    wrong = []
    for path in (ROOT / "lakeloop").rglob("*.py"):
        if str(path.relative_to(ROOT)) in EXCEPTIONS:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in ("now", "utcnow", "environ", "getenv"):
                wrong.append(f"{path.name}:{node.lineno} {node.attr}")
    assert wrong == []
