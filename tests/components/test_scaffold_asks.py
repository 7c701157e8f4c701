"""`dg scaffold defs` on a terminal asks for what is missing; without a terminal it never waits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.worlds.scaffolded import scaffold

CODE = """\
import sys
from pathlib import Path
from dagster.components.component_scaffolding import scaffold_object
root = Path(sys.argv[1])
scaffold_object(root / "platform_assets/defs/shop" / sys.argv[2], "platform_assets.components.MLWorkflow", None, "yaml", root)
"""


def asked(project: Path, name: str, answers: str) -> str:
    """Run the scaffold on a terminal of its own, with answers typed beforehand; what it said."""
    mine, its = os.openpty()
    os.write(mine, answers.encode())
    terminal = {**os.environ, "TERM": "xterm"}  # readline shows no prompt on a terminal without a kind
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, str(project), name], stdin=its, stdout=its, stderr=its, close_fds=True, env=terminal
    )
    os.close(its)
    said = b""
    while True:
        try:
            part = os.read(mine, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        said += part
    process.wait(60)
    os.close(mine)
    return said.decode()


def test_table_label_and_pipeline_are_asked_for_on_a_terminal(project: Path) -> None:
    from tests.worlds.shop import orders, write_orders

    write_orders(project / "in" / "orders.csv", orders())
    scaffold(project, "LakeTable", "shop/orders", source=str(project / "in" / "orders.csv"))
    said = asked(project, "late", "orders\nreturned\nlinear\n")
    assert "Table" in said and "Label" in said and "Pipeline, of anomaly, forecasting, gradient_boosting, linear" in said
    text = (project / "platform_assets/defs/shop/late/defs.yaml").read_text()
    assert "label: {view: late_outcomes, column: returned}" in text and "pipeline: linear" in text
    asked(project, "odd", "orders\n\n\n")
    assert "task: anomaly_detection" in (project / "platform_assets/defs/shop/odd/defs.yaml").read_text()


def test_without_a_terminal_nothing_is_asked(project: Path) -> None:
    process = subprocess.run([sys.executable, "-c", CODE, str(project), "late"], stdin=subprocess.PIPE, capture_output=True, timeout=60)
    assert process.returncode == 0 and b"Table" not in process.stdout
    assert "some_view" in (project / "platform_assets/defs/shop/late/defs.yaml").read_text()


@pytest.mark.parametrize("params", [{"label": "x"}, {"table": "orders"}, {"task": "forecasting"}, {"task": "anomaly_detection"}])
def test_half_of_what_is_needed_is_an_error_without_a_terminal(project: Path, params: dict[str, str]) -> None:
    import click

    with pytest.raises(click.ClickException, match="wanted --table and --label together"):
        scaffold(project, "MLWorkflow", "shop/late", **params)
