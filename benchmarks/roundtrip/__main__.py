"""The campaign: `python -m benchmarks.roundtrip --count 1000 --state FILE` goes on after the seeds that FILE lists.

Anything else than equal, quarantined or refused is printed with its seed, and makes it exit with 1. `--programs postgresql,spark,r` takes the writers
that need a program of their own, which is started here, instead of those of this process; their outcomes want a file of their own.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from benchmarks.roundtrip.cases import WRITERS, Case, run
from benchmarks.roundtrip.programs import PROGRAMS
from benchmarks.roundtrip.writers import Writer

KINDS = ("equal", "quarantined", "refused", "wrong")


def main() -> int:
    """Run a campaign; the number of wrong outcomes decides the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=math.inf)
    parser.add_argument("--state", type=Path, help="a file of the outcomes so far, by seed")
    parser.add_argument("--programs", default="", help=f"of {', '.join(PROGRAMS)}, separated by commas")
    options = parser.parse_args()
    done: dict[str, list[str]] = json.loads(options.state.read_text()) if options.state and options.state.is_file() else {}
    began = time.monotonic()
    with ExitStack() as stack:
        writers: dict[str, Writer] = {}
        for program in filter(None, options.programs.split(",")):
            writers |= stack.enter_context(PROGRAMS[program]())
        for seed in range(options.first, options.first + options.count):
            if str(seed) in done:
                continue
            if time.monotonic() - began > options.seconds:
                break
            case = Case(seed, writers=writers or WRITERS)
            outcome = run(case)
            done[str(seed)] = [outcome.kind, outcome.told[:300], case.writer]
            if outcome.kind == "wrong":
                print(f"{case}: {outcome.told[:600]}", flush=True)
            if options.state:
                options.state.write_text(json.dumps(done))
        print(table_of(done))
    sys.stdout.flush()
    # A client of a server that has ended says goodbye for minutes.
    os._exit(int(any(kind == "wrong" for kind, *_ in done.values())))


def table_of(done: dict[str, list[str]]) -> str:
    """The outcomes by writer, as a table in Markdown."""
    counts: Counter[tuple[str, str]] = Counter((entry[2] if len(entry) > 2 else "", entry[0]) for entry in done.values())
    lines = [f"| writer | {' | '.join(KINDS)} |", "|---" * (len(KINDS) + 1) + "|"]
    for writer in [*sorted({writer for writer, _ in counts}), "all"]:
        numbers = [sum(count for (name, kind), count in counts.items() if kind == wanted and writer in (name, "all")) for wanted in KINDS]
        lines.append(f"| {writer} | {' | '.join(f'{number:,}' for number in numbers)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
