"""The other processes of a search on this machine: started, watched, replaced when they die, and always ended."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from typing import IO

from resources.project import DEFS_VARIABLE, PLATFORM_ROOT
from resources.search.job import POLL_S, SearchJob
from resources.search.storage import MOST_RETRIES
from resources.search.study import retry_dead_trials
from resources.settings import Settings


class Pool:
    """Worker processes beside this one, while its `with` block lasts; the normal end of the block waits for them.

    The death of a worker is noticed at once: its trial is queued again, and another process replaces it, as many times as a trial is retried.

    Args:
        job: whose trials.
        count: number of processes.
        first: number of the first; no two workers have the same number at the same time.
        settings: say where the study is.
        log: for warnings.
    """

    def __init__(self, job: SearchJob, count: int, first: int, settings: Settings, log: logging.Logger) -> None:
        self.job, self.settings, self.log = job, settings, log
        self.numbers = range(first, first + count)
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        self.outputs: dict[int, IO[bytes]] = {}
        self.deaths = dict.fromkeys(self.numbers, 0)
        self.done = threading.Event()
        self.problem: Exception | None = None
        self.watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Pool:
        for number in self.numbers:
            self._start(number)
        if self.processes:
            self.watcher.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.processes:
            if kind is None:
                self.done.wait()
            self.done.set()
            self.watcher.join()
        for number, process in self.processes.items():
            process.kill()
            process.wait()
            self._close(number)
        if kind is None and self.problem is not None:
            raise self.problem

    def _start(self, number: int) -> None:
        command = [sys.executable, "-m", "resources.search.worker", str(number)]
        threads = {"OMP_NUM_THREADS": str(self.job.threads), "OPENBLAS_NUM_THREADS": str(self.job.threads)}
        if number in self.processes:
            self._close(number)
        self.outputs[number] = tempfile.TemporaryFile()  # noqa: SIM115
        process = subprocess.Popen(
            command,
            cwd=PLATFORM_ROOT,
            env={**os.environ, **threads, "PYTHONWARNINGS": "ignore", DEFS_VARIABLE: str(self.settings.defs)},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self.outputs[number],
            start_new_session=True,
        )
        self.processes[number] = process
        assert process.stdin
        try:
            process.stdin.write(self.job.to_json().encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:  # it died at once, which the watcher notices
            pass

    def _close(self, number: int) -> None:
        """Close a worker's input and output; closing the input of one that died may find that it never read all of it."""
        stdin = self.processes[number].stdin
        assert stdin
        with suppress(BrokenPipeError):
            stdin.close()
        self.outputs[number].close()

    def _watch(self) -> None:
        """Watch until all have ended; an error (the study can't be reached) is raised at the end of the `with` block."""
        try:
            self._replace_dead_workers()
        except Exception as error:
            self.problem = error
            self.done.set()

    def _replace_dead_workers(self) -> None:
        study = None
        while not self.done.wait(POLL_S):
            codes = {number: process.poll() for number, process in self.processes.items()}
            died = [number for number, code in codes.items() if code not in (None, 0) and self.deaths[number] <= MOST_RETRIES]
            for number in died:
                study = study or self.job.open(self.settings)
                retry_dead_trials(study, study.get_trials(deepcopy=False))
                self.deaths[number] += 1
                self.log.warning(f"worker {number} of the search ended with {codes[number]}; its trial is run again{self._output(number)}")
                if self.deaths[number] <= MOST_RETRIES:
                    self._start(number)
            if not died and all(code is not None for code in codes.values()):
                self.done.set()

    def _output(self, number: int) -> str:
        """The end of a worker's output; withheld where it may hold personal values."""
        stream = self.outputs[number]
        stream.seek(0)
        text = stream.read().decode(errors="replace").strip()
        return f": {text[-500:]}" if text and not self.job.personal else ""
