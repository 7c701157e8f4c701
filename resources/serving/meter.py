"""Counts of requests by model, version and status, over all workers, as Prometheus reads them.

Each worker counts in memory and writes its counts beside those of the others once a second, into the file of its slot. A worker that starts goes
on from what its slot had, so that nothing is counted down by a swap. A worker that is killed loses up to a second; the inference log doesn't.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from resources.serving.desired import write_json

BUCKETS_S = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Upper ends of the histogram's buckets: a compiled model answers in less than a millisecond, one of 10,000 rows in some tenths of a second."""
WRITE_S = 1.0


class Meter:
    """The counts of one worker.

    Args:
        file: of its slot, in a folder of all slots; None keeps them in memory.
    """

    def __init__(self, file: Path | None = None) -> None:
        self.file = file
        self.requests: Counter[tuple[str, str, str, str, str]] = Counter()
        self.rows: Counter[tuple[str, str, str]] = Counter()
        self.seconds: Counter[tuple[str, str, str]] = Counter()
        self.buckets: dict[tuple[str, str, str], list[int]] = {}
        self.in_flight = 0
        self._is_changed = False
        if file is not None and file.exists():
            self._add(json.loads(file.read_text()))
            self.in_flight = 0

    def count(self, model: str, version: str, leg: str, protocol: str, status: str, *, rows: int, seconds: float) -> None:
        """Count a request that was answered."""
        key = (model, version, leg)
        self.requests[model, version, leg, protocol, status] += 1
        self.rows[key] += rows
        self.seconds[key] += seconds  # type: ignore[assignment]  # a Counter adds up whatever adds up
        if key not in self.buckets:
            self.buckets[key] = [0] * (len(BUCKETS_S) + 1)
        self.buckets[key][bisect_left(BUCKETS_S, seconds)] += 1
        self._is_changed = True

    def write(self) -> None:
        """Write the counts for the other workers, if there are new ones."""
        if self.file is not None and self._is_changed:
            self._is_changed = False
            write_json(self.file, self._record())

    def text(self) -> tuple[bytes, str]:
        """The counts of all workers as Prometheus reads them, with the media type."""
        from prometheus_client import CollectorRegistry
        from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

        whole = Meter()
        whole._add(self._record())
        for file in self.file.parent.glob("*.json") if self.file is not None else ():
            if file != self.file:
                whole._add(json.loads(file.read_text()))
        registry = CollectorRegistry()
        registry.register(whole)  # type: ignore[arg-type]  # `collect` is all that it takes
        return generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4

    def collect(self) -> Iterator[Any]:
        """The families of metrics, as Prometheus's client collects them."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        names = ["model", "version", "leg"]
        requests = CounterMetricFamily("lakeloop_requests", "Requests that were answered.", labels=[*names, "protocol", "status"])
        for labels, count in sorted(self.requests.items()):
            requests.add_metric(labels, count)
        rows = CounterMetricFamily("lakeloop_rows", "Rows that were predicted.", labels=names)
        for key, count in sorted(self.rows.items()):
            rows.add_metric(key, count)
        latency = HistogramMetricFamily("lakeloop_request_duration_seconds", "From the head of a request to its answer.", labels=names)
        for key, counts in sorted(self.buckets.items()):
            ends = [*map(str, BUCKETS_S), "+Inf"]
            cumulative = [(end, float(sum(counts[: place + 1]))) for place, end in enumerate(ends)]
            latency.add_metric(key, cumulative, sum_value=self.seconds[key])
        yield from (requests, rows, latency)
        yield GaugeMetricFamily("lakeloop_requests_in_flight", "Requests that are being answered.", value=self.in_flight)

    def _record(self) -> dict[str, Any]:
        return {
            "requests": [[*key, value] for key, value in self.requests.items()],
            "rows": [[*key, value] for key, value in self.rows.items()],
            "seconds": [[*key, value] for key, value in self.seconds.items()],
            "buckets": [[*key, value] for key, value in self.buckets.items()],
            "in_flight": self.in_flight,
        }

    def _add(self, record: dict[str, Any]) -> None:
        for name in ("requests", "rows", "seconds"):
            counter: Counter[Any] = getattr(self, name)
            for *key, value in record[name]:
                counter[tuple(key)] += value
        for *key, counts in record["buckets"]:
            before = self.buckets.get(tuple(key), [0] * (len(BUCKETS_S) + 1))
            self.buckets[tuple(key)] = [a + b for a, b in zip(before, counts, strict=True)]
        self.in_flight += record["in_flight"]
