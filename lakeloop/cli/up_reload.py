"""Definitions that change while `lakeloop up` runs: followed by their files, loaded again by Dagster, their errors told in a line each."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lakeloop.cli.up_runs import post
from lakeloop.errors import LakeloopError, SpecError
from lakeloop.project.project import Project
from platform_assets.loading import read_valid
from resources.host.code_server import LOCATION

POLL_S = 2.0
QUIET_S = 1.0
"""Files have to be unchanged for so long before they are read: an editor writes several, and a copied folder comes file by file."""
MOST_LINES = 5
"""Of errors that are told at once; `lakeloop check` has them all."""
_RELOAD = """
mutation Reload($location: String!) {
  reloadRepositoryLocation(repositoryLocationName: $location) {
    __typename
    ... on WorkspaceLocationEntry { locationOrLoadError { __typename ... on PythonError { message } } }
    ... on PythonError { message }
    ... on UnauthorizedError { message }
  }
}"""
_SUFFIXES = (".yaml", ".yml", ".sql", ".py")
"""Of what makes up definitions; files of data may stand beside them."""


class DefinitionsWatch:
    """Keeps Dagster's definitions equal to the files.

    Args:
        defs: the folder of definitions.
        ui: address of Dagster's web server.
    """

    def __init__(self, defs: Path, ui: str) -> None:
        self.defs, self.ui = defs, ui
        self.errors: Sequence[SpecError] = ()
        """Of the definitions that are left out now."""
        self._marks = file_marks(defs)
        self._stopped = threading.Event()

    @property
    def problem(self) -> str:
        """What is left out, for the summary; empty where nothing is."""
        return f"definitions with errors are left out ({len(self.errors)}: lakeloop check)" if self.errors else ""

    def read(self) -> Project:
        """The definitions that pass all checks; an error that is new since the last reading is told, and that there are none any more.

        Raises:
            SpecErrors: an error that belongs to no definition.
        """
        valid = read_valid(self.defs)
        before = {str(error) for error in self.errors}
        new = [error for error in valid.errors if str(error) not in before]
        for error in new[:MOST_LINES]:
            _tell(f"{error} (left out until it is right)")
        if len(new) > MOST_LINES:
            _tell(f"{len(new) - MOST_LINES} more errors in the definitions: lakeloop check")
        if self.errors and not valid.errors:
            _tell("every definition is right again")
        self.errors = valid.errors
        return valid.project

    def start(self) -> None:
        """Follow the files in a thread of its own, until it is stopped or this process ends."""
        threading.Thread(target=self._follow, name="definitions", daemon=True).start()

    def stop(self) -> None:
        """Follow them no longer, and say nothing of what is read just now: the servers are going."""
        self._stopped.set()

    def step(self) -> bool:
        """Look once, and load again if something has changed and has settled; returns whether something had changed."""
        marks = file_marks(self.defs)
        if marks == self._marks:
            return False
        while True:
            time.sleep(QUIET_S)
            again = file_marks(self.defs)
            if again == marks:
                break
            marks = again
        self._marks = marks
        try:
            self.read()
            if not self._stopped.is_set():
                self._reload()
        except LakeloopError as error:
            if not self._stopped.is_set():
                _tell(str(error))
        return True

    def _follow(self) -> None:
        while not self._stopped.wait(POLL_S):
            self.step()

    def _reload(self) -> None:
        """Have Dagster load the definitions again; its own error is told."""
        answer = post(f"{self.ui}/graphql", {"query": _RELOAD, "variables": {"location": LOCATION}})
        entry = (answer.get("data") or {}).get("reloadRepositoryLocation") or {}
        loaded = entry.get("locationOrLoadError") or entry
        if loaded.get("__typename") != "RepositoryLocation":
            reason = " ".join(str(loaded.get("message") or answer).split())
            _tell(f"Dagster could not load the changed definitions, those of before stay: {reason[:600]}")
        else:
            _tell("definitions have changed, and are loaded again")


def file_marks(folder: Path) -> Mapping[str, tuple[int, int]]:
    """Time and size of each file below a folder that is part of a definition."""
    return dict(_marks(str(folder)))


def _marks(folder: str) -> Iterator[tuple[str, tuple[int, int]]]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith((".", "__pycache__")):
                    continue  # what editors and Python leave
                if entry.name.endswith(_SUFFIXES):
                    stat = entry.stat()
                    yield entry.path, (stat.st_mtime_ns, stat.st_size)
                elif entry.is_dir():
                    yield from _marks(entry.path)
    except OSError:  # removed between listing and looking
        return


def _tell(line: str) -> None:
    print(f"lakeloop: {line}", file=sys.stdout, flush=True)
