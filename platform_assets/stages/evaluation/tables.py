"""What an evaluation leaves in `reports/*`: one table a kind of finding, all with the same keys, each written once per evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Any

from lakeloop.evaluation.assessment import Assessment
from lakeloop.spec.tasks import PREDICTION
from platform_assets.stages.report_rows import COUNT, FLAG, NUMBER, TEXT, append_report
from resources.lake.lake import Lake

if TYPE_CHECKING:
    from lakeloop.metrics.calibration import CalibrationBin

METRICS_TABLE, SLICES_TABLE = "reports/metrics", "reports/slices"
_VALUE = {"value": NUMBER, "low": NUMBER, "high": NUMBER, "n": COUNT}
TABLES: Mapping[str, Mapping[str, str]] = {
    METRICS_TABLE: {"model": TEXT, "metric": TEXT, **_VALUE},
    SLICES_TABLE: {"slice_by": TEXT, "metric": TEXT, **_VALUE},
    "reports/comparisons": {
        "model": TEXT, "metric": TEXT, "difference": NUMBER, "error": NUMBER, "degrees": NUMBER, "low": NUMBER, "high": NUMBER,
        "rows": COUNT, "groups": COUNT,
    },
    "reports/importance": {"feature": TEXT, "metric": TEXT, **_VALUE},
    "reports/calibration": {"output": TEXT, "bin": COUNT, "predicted": NUMBER, "observed": NUMBER, "low": NUMBER, "high": NUMBER, "n": COUNT},
    "reports/thresholds": {
        "threshold": NUMBER, "flagged": NUMBER, "precision": NUMBER, "precision_low": NUMBER, "precision_high": NUMBER, "recall": NUMBER,
        "recall_low": NUMBER, "recall_high": NUMBER, "false_positives": COUNT, "false_negatives": COUNT, "cost": NUMBER,
        "cost_low": NUMBER, "cost_high": NUMBER,
    },
    "reports/classes": {
        "class": TEXT, "n": COUNT, "predicted": COUNT, "precision": NUMBER, "precision_low": NUMBER, "precision_high": NUMBER,
        "recall": NUMBER, "recall_low": NUMBER, "recall_high": NUMBER, "roc_auc": NUMBER, "mean_probability": NUMBER,
    },
    "reports/confusion": {"class": TEXT, "said": TEXT, "n": COUNT},
    "reports/coverage": {
        "bin": COUNT, "predicted": NUMBER, "coverage": NUMBER, "low": NUMBER, "high": NUMBER, "width": NUMBER, "n": COUNT,
    },
    "reports/over_time": {"period": TEXT, "metric": TEXT, **_VALUE},
    "reports/weak_slices": {
        "columns": TEXT, "rows": COUNT, "share": NUMBER, "loss": NUMBER, "rest": NUMBER, "p": NUMBER, "confirmed": FLAG,
    },
    "reports/model_checks": {"code": TEXT, "check": TEXT, "outcome": TEXT, "message": TEXT},
}  # fmt: skip
"""Table -> its own columns."""


def write_tables(lake: Lake, shared: Mapping[str, Any], primary: str, versions: Mapping[str, str | None], assessment: Assessment) -> None:
    """Append the rows of an evaluation to every table; a second call with the same `shared["evaluation"]` adds nothing."""
    for table, rows in table_rows(primary, versions, assessment).items():
        if rows:
            once = f"{table.split('/')[1]}:{shared['evaluation']}"
            append_report(lake, table, {"evaluation": TEXT, **TABLES[table]}, [{**shared, **row} for row in rows], once=once)


def table_rows(primary: str, versions: Mapping[str, str | None], assessment: Assessment) -> dict[str, list[dict[str, Any]]]:
    """The rows of each table without the keys that they share; `versions` are those of the champion and of the best release."""

    def named(who: str) -> str:
        return f"{who}:{versions[who]}" if who in versions else who

    return {
        METRICS_TABLE: [{"model": named(who), "metric": v.name, **_value(v)} for who, listed in assessment.values.items() for v in listed],
        SLICES_TABLE: [dict(row) for row in assessment.slices],
        "reports/comparisons": [
            *({"model": named(who), "metric": primary, **d.record()} for who, d in assessment.differences.items()),
            *(
                {"model": who, "metric": metric, **d.record()}
                for who, by_metric in assessment.baselines.items()
                for metric, d in by_metric.items()
                if metric != primary
            ),
        ],
        "reports/importance": [{"feature": i.feature, "metric": primary, **_value(i), "n": i.rows} for i in assessment.importance],
        "reports/calibration": [
            {**asdict(b), "bin": number, "output": b.output or PREDICTION} for number, b in _numbered(assessment.calibration)
        ],
        "reports/classes": [{**asdict(row), "class": row.name} for row in assessment.classes],
        "reports/confusion": _confusion(assessment),
        "reports/coverage": [{"bin": number, **asdict(b)} for number, b in enumerate(assessment.coverage)],
        "reports/thresholds": [asdict(row) for row in assessment.thresholds],
        "reports/over_time": [dict(row) for row in assessment.over_time],
        "reports/weak_slices": [
            {**{name: value for name, value in asdict(w).items() if name != "harder"}, "slice": w.name, "columns": ", ".join(w.columns)}
            for w in assessment.weak
        ],
        "reports/model_checks": [
            {"code": c.code, "check": c.kind.name, "outcome": c.outcome, "message": c.message} for c in assessment.checks
        ],
    }


def _numbered(bins: Sequence[CalibrationBin]) -> Iterator[tuple[int, CalibrationBin]]:
    """Bins with their number within their output."""
    for _, group in groupby(bins, key=lambda row: row.output):
        yield from enumerate(group)


def _confusion(assessment: Assessment) -> list[dict[str, Any]]:
    names = [row.name for row in assessment.classes]
    counts = [] if assessment.confusion is None else assessment.confusion.tolist()
    return [
        {"class": name, "said": said, "n": n} for name, row in zip(names, counts, strict=True) for said, n in zip(names, row, strict=True)
    ]


def _value(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name, None) for name in _VALUE}
