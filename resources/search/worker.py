"""A process that runs trials of a study beside others: `python -m resources.search.worker <number>`, with the job on standard input.

It reads the training set from the lake, so that no code is transferred. It ends when the budget is used up, or when standard input ends, which
means that the process that started it has ended.
"""

from __future__ import annotations

import os
import sys
import threading

import resources.host.fewer_collections  # noqa: F401
from resources.lake.lake import Lake
from resources.search.job import SearchJob, Trials, select_rows
from resources.settings import Settings


def main() -> None:
    """Read the job, then run trials."""
    line = bytearray()
    while not line.endswith(b"\n"):
        part = os.read(0, 65536)
        if not part:
            return
        line += part
    threading.Thread(target=_end_with_starter, daemon=True).start()
    job = SearchJob.from_json(line.decode())
    rows = Lake(job.lake).read((job.table, job.version), columns=columns_of(job), order=[job.time, *job.keys])
    Trials(job, select_rows(rows, job), Settings.from_environment(), worker=int(sys.argv[1]), parallel=True).run()


def columns_of(job: SearchJob) -> list[str]:
    """The columns of the training set that a job reads."""
    return list(dict.fromkeys([*job.features, job.label, job.time, job.split, *job.groups]))


def _end_with_starter() -> None:
    while os.read(0, 4096):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
