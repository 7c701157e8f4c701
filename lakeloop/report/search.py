"""The report's section on a search: its gain, the best parameters, the number of trials."""

from __future__ import annotations

from lakeloop.metrics.wording import format_number
from lakeloop.records.training import SearchResult
from lakeloop.report.page import Paragraph, Section, Table
from lakeloop.search.gain import Gain


def gain_section(search: SearchResult) -> Section:
    """The section of an evaluation's page about the search.

    Args:
        search: what it found.
    """
    gain = Gain(**search.gain)
    rows = [
        [name, str(search.own.get(name, "–")), f"{value:.4g}" if isinstance(value, float) else str(value)]
        for name, value in search.best.items()
    ]
    trials = ", ".join(f"{count:,} {what}" for what, count in search.counts.items() if count)
    return Section(
        "search",
        "What the search gained",
        [
            Paragraph(gain.sentence),
            Table(["parameter", "without the search", "best"], rows, ["without the search", "best"]),
            Paragraph(
                f"Trials: {trials}. The best reached {gain.metric} {format_number(search.best_value)} in cross-validation within the training window, which is "
                "slightly optimistic, as the best of many always is.",
                quiet=True,
            ),
        ],
    )
