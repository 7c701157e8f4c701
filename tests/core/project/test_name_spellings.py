"""Every surface that takes the name of a definition takes each of its spellings, and tells the same of one that is unknown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lakeloop.errors import DataError, LakeloopError
from tests.worlds.shop import make_shop


def copied(defs: Path, name: str) -> str:
    """What `lakeloop copy-pipeline` does."""
    from lakeloop.cli.main import main

    target = defs / "shop" / "returns" / "linear.py"
    target.unlink(missing_ok=True)
    assert main(["copy-pipeline", "linear", name, "--defs", str(defs)]) == 0
    return str(target.exists())


def contract(defs: Path, name: str) -> str:
    """What a model is logged with."""
    from platform_assets.bring import contract_of

    return str(contract_of(name, defs=defs)["metadata"])


def drafted(defs: Path, name: str) -> str:
    """What `dg scaffold defs` drafts of a table."""
    from platform_assets.components.scaffolders import MLWorkflowParams, draft_workflow_files

    return str(draft_workflow_files(MLWorkflowParams(table=name, label="returned"), defs, "other", "mine"))


@pytest.mark.parametrize(("surface", "name"), [(copied, "returns"), (contract, "returns"), (drafted, "orders")])
def test_each_spelling_means_the_same(tmp_path: Path, surface: Callable[[Path, str], str], name: str) -> None:
    defs = make_shop(tmp_path)
    answers = [surface(defs, text) for text in (f"shop.{name}", f"shop/{name}", name)]
    assert answers[0] == answers[1] == answers[2]


@pytest.mark.parametrize(("surface", "noun", "name"), [(contract, "workflow", "returns"), (drafted, "table", "orders")])
def test_an_unknown_name_is_told_with_the_nearest(tmp_path: Path, surface: Callable[[Path, str], str], noun: str, name: str) -> None:
    with pytest.raises(DataError, match=f"no {noun} 'shop/{name}s'; did you mean 'shop.{name}'"):
        surface(make_shop(tmp_path), f"shop/{name}s")


def test_a_definition_that_can_not_be_read_is_told_with_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from lakeloop.cli.main import main

    defs = make_shop(tmp_path)
    for name in ("returns", "orders"):
        (defs / "shop" / name / "defs.yaml").write_text("type: platform_assets.components.MLWorkflow\n")
    with pytest.raises(LakeloopError, match=r"defs/shop/orders/defs.yaml:1: .*wanted a mapping"):
        drafted(defs, "shop.orders")
    assert main(["copy-pipeline", "linear", "returns", "--defs", str(defs)]) == 1
    assert "defs/shop/returns/defs.yaml:1" in capsys.readouterr().err
