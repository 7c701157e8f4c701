"""An evaluation's findings as rows of the lake's tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakeloop.evaluation.assessment import CANDIDATE, assess
from lakeloop.spec.tasks import Answer
from tests.worlds.questions import ANSWERS, question


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.task)
def test_every_finding_is_a_row_of_a_table_with_the_shared_keys(answer: Answer, tmp_path: Path) -> None:
    from datetime import UTC, datetime

    from platform_assets.stages.evaluation.tables import TABLES, write_tables
    from resources.lake.lake import Lake

    asked = question(answer)
    assessment = assess(asked)
    lake = Lake(str(tmp_path))
    shared = {
        "domain": "shop",
        "workflow": "returns",
        "version": "2",
        "window": "w",
        "at": datetime.now(UTC),
        "run_id": "r",
        "evaluation": "e",
    }
    for _ in range(2):
        write_tables(lake, shared, asked.primary, {"champion": "1"}, assessment)
    for table in TABLES:
        opened = lake.open(table)
        answer = asked.answer
        others = {"thresholds": answer.kind.costs, "classes": answer.classes, "confusion": answer.classes, "coverage": answer.quantiles}
        if not others.get(table.removeprefix("reports/"), True):
            assert opened is None
            continue
        if table == "reports/weak_slices" and not assessment.weak:
            continue
        rows = opened.to_pyarrow_table()
        assert {"domain", "workflow", "version", "segment", "slice", "window"} <= set(rows.column_names)
        assert opened.version() == 0 and rows.num_rows
    (mine,) = [
        r for r in lake.open("reports/metrics").to_pyarrow_table().to_pylist() if (r["model"], r["metric"]) == (CANDIDATE, asked.primary)
    ]
    assert mine["value"] == assessment.own[asked.primary].value
