"""The campaign: `python -m benchmarks.known --seed N --worlds M` runs the worlds of the seeds N to N + M - 1 and counts what was known when."""

from __future__ import annotations

import argparse
import sys
import time

from benchmarks.known.comparison import Counts, compare_world


def main() -> int:
    """Print the counts after each world that knows something too early, and at the end; 1 if there is one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--worlds", type=int, default=100)
    asked = parser.parse_args()
    total, started = Counts(), time.monotonic()
    for seed in range(asked.seed, asked.seed + asked.worlds):
        counts = compare_world(seed)
        total += counts
        if counts.early:
            print(f"seed {seed}: {counts}\n  " + "\n  ".join(counts.examples), flush=True)
    print(f"{asked.worlds} worlds from seed {asked.seed} in {time.monotonic() - started:.0f} s: {total}")
    return 1 if total.early else 0


if __name__ == "__main__":
    sys.exit(main())
