"""Brings closed segments to the lake, each once: the rows to `inference_log/<domain>/<workflow>`, a line per segment to its ledger.

It is the only one that writes these tables, and the only part of the log that has the lake's keys.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakeloop.errors import Conflict, DataError
from lakeloop.rows.types import plain_type
from resources.lake.column_encoding import writer_properties
from resources.lake.lake import Lake
from resources.lake.writes import NO_STATISTICS, types_of
from resources.serving.log.segments import CLOSED, OPEN, Segment, is_headless, read_segment
from resources.serving.log.writer import ALIVE

if TYPE_CHECKING:
    import pyarrow as pa

LEDGER = "inference_log/ledger"
DAY = "received_on"
"""The UTC date of `received_at`, by which the log is partitioned."""
MOST_AT_ONCE = 64 * 2**20
"""Bytes of segments that one commit takes; they stand in memory."""
_SET_ASIDE = "corrupt"


@dataclass(frozen=True)
class LogFile:
    """A segment's file, and what it holds, or why that can't be said."""

    path: Path
    boot: str
    number: int
    segment: Segment | None
    reason: str = ""


class Committer:
    """Commits what writers left in a folder.

    Args:
        folder: of the log on this machine.
        lake: where the tables are.

    Raises:
        Conflict: another committer works on the folder.
    """

    def __init__(self, folder: Path, lake: Lake) -> None:
        self.folder, self.lake = folder, lake
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(folder / "committer.lock", os.O_CREAT | os.O_WRONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise Conflict(f"{folder}: another committer of the inference log is at work; there is one per folder") from error

    def close(self) -> None:
        """Let another committer work on the folder."""
        os.close(self._lock)

    def step(self) -> int:
        """Commit every segment that is complete.

        Returns:
            How many rows are in the lake now that weren't.
        """
        rows = 0
        for folder in sorted(path for path in self.folder.glob("*/*") if path.is_dir() and path.parent.name != _SET_ASIDE):
            ended = {boot: _has_ended(boot) for boot in sorted(folder.iterdir()) if boot.is_dir() and not boot.name.startswith(".")}
            workflow = f"{folder.parent.name}/{folder.name}"
            for batch in _batches(ended):
                rows += self._commit(workflow, batch)
            for boot in (boot for boot, has_ended in ended.items() if has_ended):
                (boot / ALIVE).unlink(missing_ok=True)
                boot.rmdir()
        return rows

    def drop_days(self, workflow: str, before: date) -> None:
        """Delete the log's rows of the days before a day; the ledger keeps its lines."""
        table = self.lake.open(f"inference_log/{workflow}")
        if table is not None:
            table.delete(f"{DAY} < '{before.isoformat()}'")

    def compact(self, workflow: str) -> None:
        """Make the many small files of a day few."""
        table = self.lake.open(f"inference_log/{workflow}")
        if table is not None:
            table.optimize.compact()

    def _commit(self, workflow: str, paths: Sequence[Path]) -> int:
        batch = [_read(path) for path in paths]
        path = f"inference_log/{workflow}"
        marks = {f"log:{each.boot}": each.number for each in sorted(batch, key=lambda each: each.number)}
        done = self._done(path, marks)
        fresh = [each.segment for each in batch if each.segment and each.number > done.get(f"log:{each.boot}", 0)]
        rows = self._stack(path, [segment for segment in fresh if segment.rows.num_rows])
        if rows is not None:
            self._append(path, rows, marks, partition_by=[DAY])
        done = self._done(LEDGER, marks)
        listed = [each for each in batch if each.number > done.get(f"log:{each.boot}", 0)]
        if listed:
            self._append(LEDGER, _ledger_rows(workflow, listed), marks)
        for each in batch:
            if each.segment is None:
                aside = self.folder / _SET_ASIDE
                aside.mkdir(exist_ok=True)
                each.path.rename(aside / f"{each.boot}-{each.path.name}")
            else:
                each.path.unlink()
        return 0 if rows is None else int(rows.num_rows)

    def _done(self, path: str, marks: Mapping[str, int]) -> dict[str, int]:
        """The last segment of each boot that a table has."""
        table = self.lake.open(path)
        return {} if table is None else {boot: table.transaction_version(boot) or 0 for boot in marks}

    def _stack(self, path: str, segments: Sequence[Segment]) -> pa.Table | None:
        """The rows of segments as the table takes them: a column whose type has changed goes by another name."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if not segments:
            return None
        table = self.lake.open(path)
        types = {} if table is None else {name: plain_type(kind) for name, kind in types_of(table).items()}
        parts = []
        for segment in segments:
            names = []
            for field in segment.rows.schema:
                name = field.name
                if types.setdefault(name, field.type) != field.type:
                    name = f"{name}__v{segment.header.version}"
                    types.setdefault(name, field.type)
                names.append(name)
            parts.append(segment.rows.rename_columns(names))
        rows = pa.concat_tables(parts, promote_options="default")
        return rows.append_column(DAY, pc.cast(rows["received_at"], pa.date32()))

    def _append(self, path: str, rows: pa.Table, marks: Mapping[str, int], partition_by: Sequence[str] = ()) -> None:
        import deltalake

        self.lake.mark()
        table = self.lake.open(path)
        transactions = [deltalake.Transaction(boot, number) for boot, number in marks.items()]
        deltalake.write_deltalake(
            self.lake.path(path) if table is None else table,
            rows,
            mode="error" if table is None else "append",
            schema_mode=None if table is None else "merge",
            partition_by=list(partition_by) or None,
            writer_properties=writer_properties(rows),
            # Values of the callers' rows don't stand in the table's log.
            configuration=NO_STATISTICS if table is None else None,
            commit_properties=deltalake.CommitProperties(app_transactions=transactions, max_commit_retries=0),
        )


def _has_ended(boot: Path) -> bool:
    """Whether the writer of a folder lives no more."""
    descriptor = os.open(boot / ALIVE, os.O_CREAT | os.O_WRONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _batches(ended: Mapping[Path, bool]) -> Iterator[list[Path]]:
    """Files that nobody writes to, those of a boot in their order."""
    batch: list[Path] = []
    size = 0
    for boot, has_ended in ended.items():
        for path in sorted(boot.iterdir(), key=lambda path: path.stem):
            if path.suffix != CLOSED and not (has_ended and path.suffix == OPEN):
                continue
            if path.suffix == OPEN and is_headless(path):
                path.unlink()  # its writer was killed before it had written a row
                continue
            if batch and size + path.stat().st_size > MOST_AT_ONCE:
                yield batch
                batch, size = [], 0
            batch.append(path)
            size += path.stat().st_size
    if batch:
        yield batch


def _read(path: Path) -> LogFile:
    boot, number = path.parent.name, int(path.stem)
    try:
        return LogFile(path, boot, number, read_segment(path))
    except DataError as error:
        return LogFile(path, boot, number, None, str(error))


def _ledger_rows(workflow: str, batch: Sequence[LogFile]) -> pa.Table:
    import pyarrow as pa

    text, number = pa.string(), pa.int64()
    columns: dict[str, tuple[pa.DataType, list[Any]]] = {
        "workflow": (text, [workflow for _ in batch]),
        "boot": (text, [each.boot for each in batch]),
        "segment": (number, [each.number for each in batch]),
        "version": (text, [each.segment and each.segment.header.version for each in batch]),
        "first_seq": (number, [each.segment and each.segment.header.first_seq for each in batch]),
        "last_seq": (number, [each.segment and each.segment.last_seq for each in batch]),
        "rows": (number, [each.segment.rows.num_rows if each.segment else 0 for each in batch]),
        "dropped": (number, [each.segment and each.segment.dropped for each in batch]),
        "torn_bytes": (number, [each.segment and each.segment.torn_bytes for each in batch]),
        "closed_by": (text, [each.segment.closed_by if each.segment else "set aside" for each in batch]),
        "digest": (text, [each.segment and each.segment.digest for each in batch]),
        "reason": (text, [each.reason for each in batch]),
    }
    return pa.table({name: pa.array(values, kind) for name, (kind, values) in columns.items()})
