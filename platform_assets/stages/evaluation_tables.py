"""What an evaluation leaves in `reports/*`: one table a kind of finding, all with the same keys, each written once per evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Any

from lakeloop.evaluation.assessment import CHAMPION, Assessment
from lakeloop.spec.tasks import PREDICTION
from resources.lake.lake import Lake

if TYPE_CHECKING:
    import pyarrow as pa

    from lakeloop.metrics.calibration import CalibrationBin

METRICS_TABLE, SLICES_TABLE = "reports/metrics", "reports/slices"
BY = ("domain", "workflow")
_TEXT, _NUMBER, _COUNT, _FLAG = "text", "number", "count", "flag"
_VALUE = {"value": _NUMBER, "low": _NUMBER, "high": _NUMBER, "n": _COUNT}
KEYS = {
    "domain": _TEXT, "workflow": _TEXT, "version": _TEXT, "segment": _TEXT, "slice": _TEXT, "window": _TEXT, "run_id": _TEXT, "evaluation": _TEXT,
}  # fmt: skip
"""What all report tables share, beside `at`; segment and slice are null where a row is of all rows."""
TABLES: Mapping[str, Mapping[str, str]] = {
    METRICS_TABLE: {"model": _TEXT, "metric": _TEXT, **_VALUE},
    SLICES_TABLE: {"slice_by": _TEXT, "metric": _TEXT, **_VALUE},
    "reports/comparisons": {
        "model": _TEXT, "metric": _TEXT, "difference": _NUMBER, "error": _NUMBER, "degrees": _NUMBER, "low": _NUMBER, "high": _NUMBER,
        "rows": _COUNT, "groups": _COUNT,
    },
    "reports/importance": {"feature": _TEXT, "metric": _TEXT, **_VALUE},
    "reports/calibration": {"output": _TEXT, "bin": _COUNT, "predicted": _NUMBER, "observed": _NUMBER, "low": _NUMBER, "high": _NUMBER, "n": _COUNT},
    "reports/thresholds": {
        "threshold": _NUMBER, "flagged": _NUMBER, "precision": _NUMBER, "precision_low": _NUMBER, "precision_high": _NUMBER, "recall": _NUMBER,
        "recall_low": _NUMBER, "recall_high": _NUMBER, "false_positives": _COUNT, "false_negatives": _COUNT, "cost": _NUMBER,
        "cost_low": _NUMBER, "cost_high": _NUMBER,
    },
    "reports/classes": {
        "class": _TEXT, "n": _COUNT, "predicted": _COUNT, "precision": _NUMBER, "precision_low": _NUMBER, "precision_high": _NUMBER,
        "recall": _NUMBER, "recall_low": _NUMBER, "recall_high": _NUMBER, "roc_auc": _NUMBER, "mean_probability": _NUMBER,
    },
    "reports/confusion": {"class": _TEXT, "said": _TEXT, "n": _COUNT},
    "reports/coverage": {
        "bin": _COUNT, "predicted": _NUMBER, "coverage": _NUMBER, "low": _NUMBER, "high": _NUMBER, "width": _NUMBER, "n": _COUNT,
    },
    "reports/over_time": {"period": _TEXT, "metric": _TEXT, **_VALUE},
    "reports/weak_slices": {
        "columns": _TEXT, "rows": _COUNT, "share": _NUMBER, "loss": _NUMBER, "rest": _NUMBER, "p": _NUMBER, "confirmed": _FLAG,
    },
    "reports/model_checks": {"code": _TEXT, "check": _TEXT, "outcome": _TEXT, "message": _TEXT},
}  # fmt: skip
"""Table -> its own columns."""


def write_tables(lake: Lake, shared: Mapping[str, Any], primary: str, champion: str | None, found: Assessment) -> None:
    """Append the rows of an evaluation to every table; a second call with the same `shared["evaluation"]` adds nothing."""
    for table, rows in table_rows(primary, champion, found).items():
        if rows:
            listed = _table(table, [{**shared, **row} for row in rows])
            lake.append(table, listed, partition_by=BY, once=f"{table.split('/')[1]}:{shared['evaluation']}")


def table_rows(primary: str, champion: str | None, found: Assessment) -> dict[str, list[dict[str, Any]]]:
    """The rows of each table without the keys that they share."""

    def named(who: str) -> str:
        return f"champion:{champion}" if who == CHAMPION else who

    return {
        METRICS_TABLE: [{"model": named(who), "metric": v.name, **_value(v)} for who, listed in found.values.items() for v in listed],
        SLICES_TABLE: [dict(row) for row in found.slices],
        "reports/comparisons": [{"model": named(who), "metric": primary, **d.record()} for who, d in found.differences.items()],
        "reports/importance": [{"feature": i.feature, "metric": primary, **_value(i), "n": i.rows} for i in found.importance],
        "reports/calibration": [
            {**asdict(b), "bin": number, "output": b.output or PREDICTION} for number, b in _numbered(found.calibration)
        ],
        "reports/classes": [{**asdict(row), "class": row.name} for row in found.classes],
        "reports/confusion": _confusion(found),
        "reports/coverage": [{"bin": number, **asdict(b)} for number, b in enumerate(found.coverage)],
        "reports/thresholds": [asdict(row) for row in found.thresholds],
        "reports/over_time": [dict(row) for row in found.over_time],
        "reports/weak_slices": [{**asdict(w), "slice": w.name, "columns": ", ".join(w.columns)} for w in found.weak],
        "reports/model_checks": [{"code": c.code, "check": c.kind.name, "outcome": c.outcome, "message": c.message} for c in found.checks],
    }


def _numbered(bins: Sequence[CalibrationBin]) -> Iterator[tuple[int, CalibrationBin]]:
    """Bins with their number within their output."""
    for _, group in groupby(bins, key=lambda found: found.output):
        yield from enumerate(group)


def _confusion(found: Assessment) -> list[dict[str, Any]]:
    names = [row.name for row in found.classes]
    counts = [] if found.confusion is None else found.confusion.tolist()
    return [
        {"class": name, "said": said, "n": n} for name, row in zip(names, counts, strict=True) for said, n in zip(names, row, strict=True)
    ]


def _value(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name, None) for name in _VALUE}


def _table(table: str, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    import pyarrow as pa

    kinds = {_TEXT: pa.string(), _NUMBER: pa.float64(), _COUNT: pa.int64(), _FLAG: pa.bool_()}
    columns = {**KEYS, **TABLES[table]}
    schema = pa.schema([*((name, kinds[kind]) for name, kind in columns.items()), ("at", pa.timestamp("us", tz="UTC"))])
    return pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema=schema)
