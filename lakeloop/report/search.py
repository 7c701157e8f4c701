"""The report's section on a search: its gain, the best parameters, the number of trials."""

from __future__ import annotations

from typing import Any

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
    sources = [search.own, search.best, *([search.used] if gain.kept and search.used is not None else [])]
    columns = ["without the search", "best", "kept"][: len(sources)]
    rows = [[name, *(_value(source.get(name, "–")) for source in sources)] for name in search.best]
    trials = ", ".join(f"{count:,} {what}" for what, count in search.counts.items() if count)
    return Section(
        "search",
        "What the search gained",
        [
            Paragraph(gain.sentence),
            Table(["parameter", *columns], rows, columns),
            Paragraph(
                f"Trials: {trials}. The best reached {gain.metric} {format_number(search.best_value)} in cross-validation within the training window, which is "
                "slightly optimistic, as the best of many always is.",
                quiet=True,
            ),
        ],
    )


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
