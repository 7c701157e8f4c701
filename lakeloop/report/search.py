"""The report's section on a search: its gain, the best parameters, the number of trials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lakeloop.metrics.wording import format_number
from lakeloop.report.page import Paragraph, Section, Table
from lakeloop.search.gain import Gain


def gain_section(study: Mapping[str, Any]) -> Section:
    """The section of an evaluation's page about the search.

    Args:
        study: of the study's state: `gain`, `best`, `best_value`, `own`, `counts`.
    """
    gain, counts = Gain(**study["gain"]), study["counts"]
    rows = [
        [name, str(study["own"].get(name, "–")), f"{value:.4g}" if isinstance(value, float) else str(value)]
        for name, value in study["best"].items()
    ]
    trials = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    return Section(
        "search",
        "What the search gained",
        [
            Paragraph(gain.sentence),
            Table(["parameter", "without the search", "best"], rows, ["without the search", "best"]),
            Paragraph(
                f"Trials: {trials}. The best reached {gain.metric} {format_number(study['best_value'])} in cross-validation within the training window, which is "
                "slightly optimistic, as the best of many always is.",
                quiet=True,
            ),
        ],
    )
