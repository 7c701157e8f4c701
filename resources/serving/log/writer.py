"""Writes records of the inference log to segments: at once, bounded, and never in the way of an answer."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from resources.serving.log.record import LogKind, RowLayout
from resources.serving.log.segments import CLOSED, OPEN, SegmentHeader, frame

SYNC_S = 1.0
"""A lost host loses the records of so long."""
STUCK_S = 5.0
"""A disk that takes longer to sync is not written to until it has: a write to it might block the answer."""
CLOSE_S = 2.0
"""A segment with rows is closed after so long, so that they stand in the lake within 10 s."""
CLOSE_BYTES = 16 * 2**20
MOST_BYTES = 2**30
"""Of segments that no committer has taken; further rows are dropped."""
ALIVE = "alive.lock"
_OPENING = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND


class LogWriter:
    """The log of one model in one process.

    Args:
        folder: of the log on this machine; a writer has its own below `domain/name`.
        workflow: `domain/name`.
        version: of the model.
        columns: name and kind of each; one is `received_at`.
        most_bytes: of segments that wait for the committer.
    """

    def __init__(
        self, folder: Path, workflow: str, version: str, columns: Sequence[tuple[str, LogKind]], *, most_bytes: int = MOST_BYTES
    ) -> None:
        self.boot = f"{time.time_ns():x}-{os.urandom(6).hex()}"
        self.folder = folder / workflow / self.boot
        self.layout = RowLayout(tuple(columns))
        self.dropped = 0
        self._workflow, self._version, self._most_bytes = workflow, version, most_bytes
        self._lock = threading.Lock()
        self._segment, self._next_seq, self._dropped_before = 0, 1, 0
        self._descriptor, self._size, self._rows, self._opened = -1, 0, 0, 0.0
        self._syncing_since = 0.0
        self._stop = threading.Event()
        self._to_sync: list[int] = []
        self._is_broken = False
        made = self.folder.with_name(f".{self.boot}")
        made.mkdir(parents=True)
        # Held while the process lives: the committer takes it once there is no writer any more. It sees no folder that has no lock yet.
        self._alive = os.open(made / ALIVE, os.O_CREAT | os.O_WRONLY)
        fcntl.flock(self._alive, fcntl.LOCK_EX)
        made.rename(self.folder)
        self._thread = threading.Thread(target=self._keep, name="inference-log", daemon=True)
        self._thread.start()

    def write(self, rows: Sequence[Sequence[Any]]) -> bool:
        """Write the rows of a request, before it is answered.

        Returns:
            Whether they are written; else they are counted as dropped.
        """
        content = self.layout.pack(rows[0]) if len(rows) == 1 else self.layout.pack_many(rows)
        with self._lock:
            first, count = self._next_seq, len(rows)
            self._next_seq += count
            written = not self._is_stuck() and self._has_file(first) and self._put(frame(content, first, count, self._dropped_here))
            if written:
                self._rows += count
                if self._size >= CLOSE_BYTES:
                    self._close_segment()
            else:
                self.dropped += count
        return written

    def close(self) -> None:
        """Close the last segment; nothing is written afterwards."""
        self._stop.set()
        self._thread.join(STUCK_S)
        with self._lock:
            if self._descriptor < 0 and self._dropped_here:
                self._has_file(self._next_seq)  # an empty one, that says what was dropped
            self._close_segment()
        self._sync()
        os.close(self._alive)

    @property
    def _dropped_here(self) -> int:
        return self.dropped - self._dropped_before

    def _is_stuck(self) -> bool:
        since = self._syncing_since
        return self._is_broken or (bool(since) and time.monotonic() - since > STUCK_S)

    def _has_file(self, first: int) -> bool:
        """Open a segment unless one is."""
        if self._descriptor >= 0:
            return True
        if self._waiting_bytes() >= self._most_bytes:
            return False
        # A number that was dropped since the last segment belongs to this one.
        header = SegmentHeader(self.boot, self._segment + 1, first - self._dropped_here, self._workflow, self._version, self.layout.columns)
        path = self._path(self._segment + 1, OPEN)
        try:
            self._descriptor = os.open(path, _OPENING, 0o600)
        except OSError:
            return False
        self._size = 0
        if self._put(header.to_bytes()):
            self._segment, self._rows, self._opened = self._segment + 1, 0, time.monotonic()
            return True
        os.close(self._descriptor)
        self._descriptor = -1
        with suppress(OSError):
            path.unlink()
        return False

    def _put(self, content: bytes) -> bool:
        """Write all of some bytes, or nothing of them."""
        try:
            written = os.write(self._descriptor, content)
        except OSError:
            written = 0
        if written == len(content):
            self._size += written
            return True
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError:
            # Half a record stands in the file, and nothing may follow it.
            self._is_broken = True
        return False

    def _close_segment(self) -> None:
        """End the segment that is open; where that fails it stays open, and is tried again."""
        if self._descriptor < 0 or self._is_broken or not self._put(frame(b"", self._next_seq, 0, self._dropped_here)):
            return
        self._path(self._segment, OPEN).rename(self._path(self._segment, CLOSED))
        # Synced by the thread: it takes milliseconds, and an answer may be waiting here.
        self._to_sync.append(self._descriptor)
        self._descriptor, self._dropped_before = -1, self.dropped

    def _keep(self) -> None:
        """Once a second: sync, and close what has been open for long."""
        while not self._stop.wait(SYNC_S):
            self._sync()
            with self._lock:
                if self._descriptor >= 0 and time.monotonic() - self._opened >= CLOSE_S:
                    self._close_segment()

    def _sync(self) -> None:
        with self._lock:
            descriptors, self._to_sync = self._to_sync, []
            if self._descriptor >= 0:
                descriptors.append(os.dup(self._descriptor))
        self._syncing_since = time.monotonic()
        for descriptor in descriptors:
            with suppress(OSError):
                os.fdatasync(descriptor)
            os.close(descriptor)
        self._syncing_since = 0.0

    def _waiting_bytes(self) -> int:
        total = 0
        for entry in os.scandir(self.folder):
            with suppress(OSError):
                total += entry.stat().st_size
        return total

    def _path(self, segment: int, ending: str) -> Path:
        return self.folder / f"{segment:08d}{ending}"
