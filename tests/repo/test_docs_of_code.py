"""Pages of the documentation that say what the code does, held against it."""

from __future__ import annotations

import re

from lakeloop.evaluation.check_kinds import KINDS
from lakeloop.evaluation.check_kinds import documentation as documentation_of_checks
from lakeloop.metrics.table import BESIDE, metrics_of
from lakeloop.spec.tasks import Answer
from lakeloop.training.pipeline_docs import documentation as documentation_of_pipelines
from tests.worlds.places import ROOT

QUARTERS = Answer("quantile_regression", quantiles=(0.25, 0.5, 0.75))

ABC = Answer("multiclass_classification", classes=("a", "b", "c"))


def test_the_page_for_users_names_every_option_and_no_other() -> None:
    import re

    from platform_assets.components.scaffolders import LakeTableParams, MLWorkflowParams

    page = (ROOT / "docs" / "your_own_data.md").read_text()
    tables = [part for part in page.split("\n## ") if part.startswith("What a ")]
    for text, params in zip(tables, (LakeTableParams, MLWorkflowParams), strict=True):
        named = {name.replace("-", "_") for name in re.findall(r"`--([a-z-]+)`", text)}
        assert named == set(params.model_fields)


def test_the_documentation_of_the_checks_is_what_the_code_says() -> None:
    page = (ROOT / "docs" / "checks.md").read_text()
    unmeasured = re.sub(r"(<!-- leaks: [^\n]*-->\n).*?(<!-- end of leaks -->)", r"\1\2", page, flags=re.DOTALL)
    assert unmeasured == documentation_of_checks(), "run python -m lakeloop.evaluation.check_kinds docs/checks.md, then benchmarks.truth"
    headings = {re.sub(r"[^a-z0-9 -]", "", line[3:].lower()).replace(" ", "-") for line in page.splitlines() if line.startswith("## LL")}
    assert {kind.anchor.split("#")[1] for kind in KINDS.values()} == headings


def test_the_page_of_pipelines_says_what_the_files_do() -> None:
    assert (ROOT / "docs" / "pipelines.md").read_text() == documentation_of_pipelines(), (
        "run python -m lakeloop.training.pipeline_docs docs/pipelines.md"
    )


def test_the_page_of_types_says_how_the_code_lands_them() -> None:
    from lakeloop.rows.type_docs import documentation as documentation_of_types

    assert (ROOT / "docs" / "types.md").read_text() == documentation_of_types(), "run python -m lakeloop.rows.type_docs docs/types.md"


def test_the_page_lists_the_metrics_of_each_task_and_those_that_only_gates_may_name() -> None:
    page = (ROOT / "docs" / "tasks.md").read_text()
    listed = re.findall(r"^\| `(\w+)` \| (`roc_auc`, .*|`mae`, .*) \|$", page, re.M)
    assert {task for task, _ in listed} == {"binary_classification", "regression", "forecasting", "anomaly_detection"}
    for task, text in listed:
        deciding, _, gates = text.partition("; gates only: ")
        known = metrics_of(task)
        assert re.findall(r"`(\w+)`", deciding) == [name for name, metric in known.items() if metric.decides]
        assert re.findall(r"`(\w+)`", gates) == [*(n for n, metric in known.items() if not metric.decides), *BESIDE.get(task, {})]


def test_the_changelog_says_each_thing_once_under_three_headings_of_a_release() -> None:
    releases = re.split(r"^## ", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)[1:]
    bullets = [
        bullet.partition("\n### ")[0].strip() for release in releases for bullet in re.split(r"^\* ", release, flags=re.MULTILINE)[1:]
    ]
    assert len(bullets) > 150 and [bullet for bullet in set(bullets) if bullets.count(bullet) > 1] == []
    for release in releases:
        headings = re.findall(r"^### (.*)$", release, re.MULTILINE)
        assert headings == [name for name in ("Breaking", "Added", "Fixed") if name in headings], release.splitlines()[0]
