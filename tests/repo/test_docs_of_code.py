"""Pages of the documentation that say what the code does, held against it."""

from __future__ import annotations

from tests.worlds.places import ROOT


def test_the_page_for_users_names_every_option_and_no_other() -> None:
    import re

    from platform_assets.components.scaffolders import LakeTableParams, MLWorkflowParams

    page = (ROOT / "docs" / "your_own_data.md").read_text()
    tables = [part for part in page.split("\n## ") if part.startswith("What a ")]
    for text, params in zip(tables, (LakeTableParams, MLWorkflowParams), strict=True):
        named = {name.replace("-", "_") for name in re.findall(r"`--([a-z-]+)`", text)}
        assert named == set(params.model_fields)
