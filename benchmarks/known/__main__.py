"""The campaign: `python -m benchmarks.known --seed N --worlds M` counts what was known when in M random worlds, from the group of seed N on.

With `--state FILE` each group is written down once it is compared, and the same command goes on after the last of them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.known.comparison import Compared, Counts, compare_world


def main() -> int:
    """Print the groups with something known too early, and at the end a line per kind of view; 1 if there is such a group."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of the first group")
    parser.add_argument("--worlds", type=int, default=1000)
    parser.add_argument("--group", type=int, default=50, help="worlds that share a lake, the times of landings and the settings")
    parser.add_argument("--state", type=Path, help="a file with a line per group that was compared")
    asked = parser.parse_args()
    done = [json.loads(line) for line in asked.state.read_text().splitlines()] if asked.state and asked.state.exists() else []
    total: dict[str, Counts] = {}
    for compared in (_restored(entry) for entry in done):
        _add(total, compared)
    worlds, seconds = sum(entry["worlds"] for entry in done), sum(entry["seconds"] for entry in done)
    for seed in _seeds(asked.seed, {entry["seed"] for entry in done}):
        if worlds >= asked.worlds:
            break
        started = time.monotonic()
        compared = compare_world(seed, count=asked.group)
        took = time.monotonic() - started
        _add(total, compared)
        worlds, seconds = worlds + compared.worlds, seconds + took
        if compared.total.early:
            print(f"seed {seed}: {compared.total}\n  " + "\n  ".join(compared.total.examples), flush=True)
        if asked.state:
            _write_down(asked.state, seed, compared, took)
    print(f"{worlds} worlds in {seconds:.0f} s, {worlds / max(seconds, 1e-9):.1f} a second")
    print(f"{'view':<16} {'equal':>10} {'later':>8} {'too early':>9}")
    for name, counts in [*sorted(total.items()), ("all", sum(total.values(), Counts()))]:
        print(f"{name:<16} {counts.equal:>10,} {counts.later:>8,} {counts.early:>9,}")
    return 1 if any(counts.early for counts in total.values()) else 0


def _seeds(first: int, done: set[int]) -> Iterator[int]:
    seed = first
    while True:
        if seed not in done:
            yield seed
        seed += 1


def _add(total: dict[str, Counts], compared: Compared) -> None:
    for name, counts in compared.by_kind.items():
        total[name] = total.get(name, Counts()) + counts


def _write_down(path: Path, seed: int, compared: Compared, seconds: float) -> None:
    by_kind = {name: [counts.equal, counts.later, counts.early] for name, counts in compared.by_kind.items()}
    with path.open("a") as file:
        print(json.dumps({"seed": seed, "worlds": compared.worlds, "seconds": round(seconds, 1), "by_kind": by_kind}), file=file)


def _restored(entry: dict[str, object]) -> Compared:
    by_kind = entry["by_kind"]
    assert isinstance(by_kind, dict)
    return Compared(int(str(entry["worlds"])), {name: Counts(*counts) for name, counts in by_kind.items()})


if __name__ == "__main__":
    sys.exit(main())
