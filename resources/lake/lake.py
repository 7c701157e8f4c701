"""The lake: Delta tables under one root URL, published only with a passing verdict.

A batch is checked, committed with its verdict inside the Delta commit, and then listed in `reports/verdicts`. What a consumer may
read is decided here and nowhere else: the newest version that has a passing verdict.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from lakeloop.errors import Conflict, DataError, NotPublished, ServiceUnavailable
from lakeloop.rows.stacking import match_landed_types, stack_tables
from lakeloop.spec.tables import PARTITION
from resources.host.crash_points import crash_point
from resources.lake.column_encoding import writer_properties
from resources.lake.format import check_format, mark_format
from resources.lake.published import WHOLE, PartitionState, Published, States, TableKey
from resources.lake.tables import open_delta, read_table
from resources.lake.verdict_rows import VERDICTS, newest, note_of, past_states, rows_of, states_of
from resources.lake.writes import NO_STATISTICS, keeps_versions, replacement, types_of

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
    from deltalake import DeltaTable

_COMMIT_KEY = "lakeloop"
_APPEND_ATTEMPTS = 20
_APPEND_PAUSE_S = 0.02
_ROWS_AT_ONCE = 65_536
"""That a writer is given."""
_FULL = ("No space left on device", "Disk quota exceeded")


class Lake:
    """Delta tables under one root.

    An object store's address and credentials are read by deltalake from the environment of this process (`AWS_*` for `s3://`), so that
    they never stand in a configuration, which Dagster stores and shows.

    Args:
        url: a folder, or an object-store URL (`s3://…`, `abfss://…`, `gs://…`).
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._is_readable = self._is_marked = False

    def path(self, key: TableKey | str) -> str:
        """URL of a table's root."""
        return f"{self.url}/{key.path if isinstance(key, TableKey) else key}"

    # Reading

    def open(self, key: TableKey | str, version: int | None = None) -> DeltaTable | None:
        """Open a table, at its newest version unless one is named; None when there is no such table.

        Raises:
            FormatError: the lake has a format that this version doesn't read.
            ServiceUnavailable: the store doesn't answer, or doesn't let us in.
        """
        self._check()
        return open_delta(self.path(key), version)

    def states(self) -> States:
        """The last published state of every partition of every table, read from `reports/verdicts`; without retired ones."""
        table = self.open(VERDICTS)
        return States() if table is None else states_of(table.to_pyarrow_table())

    def past_states(self, key: TableKey) -> list[PartitionState[Any]]:
        """Every state that was ever published of a table, the first one first."""
        import pyarrow.compute as pc

        table = self.open(VERDICTS)
        if table is None:
            return []
        rows = table.to_pyarrow_table()
        named = {"stage": key.stage, "domain": key.domain, "name": key.name}
        for column, value in named.items():
            rows = rows.filter(pc.field(column) == value)
        return past_states(rows)

    def states_since(self, known: tuple[object, States] | None) -> tuple[object, States]:
        """The states, read only where the table of verdicts isn't the one that is known already.

        Args:
            known: what the last call returned.

        Returns:
            What tells this version of the table of verdicts from any other, and the states; nobody may change them.
        """
        table = self.open(VERDICTS)
        mark = None if table is None else (self.url, table.metadata().id, table.version())
        if known is not None and known[0] == mark:
            return known
        return mark, States() if table is None else states_of(table.to_pyarrow_table())

    def current(self, key: TableKey, states: Mapping[TableKey, Mapping[str, PartitionState[Any]]] | None = None) -> Published:
        """The newest version of a table that has a passing verdict.

        Raises:
            NotPublished: nothing of this table has passed its checks yet.
        """
        partitions = (self.states() if states is None else states).get(key)
        if not partitions:
            raise NotPublished(f"{key} has no published version: wanted a passing verdict in {VERDICTS}; materialise {key} first")
        return Published(key, max(state.version for state in partitions.values()), partitions)

    def read(
        self,
        published: Published | tuple[TableKey | str, int],
        columns: Sequence[str] | None = None,
        partitions: Iterable[str] | None = None,
        coded: Collection[str] = (),
        where: pc.Expression | None = None,
        order: Sequence[str] = (),
    ) -> pa.Table:
        """Read a pinned version, all of it or some partitions or rows; see `read_table`."""
        key, version = (published.key, published.version) if isinstance(published, Published) else published
        table = self.open(key, version)
        if table is None:
            raise NotPublished(f"no Delta table at {self.path(key)}")
        return read_table(table, columns, partitions, coded, where, order)

    # Writing

    def publish(
        self,
        key: TableKey,
        rows: pa.Table,
        states: Sequence[PartitionState[Any]],
        *,
        mode: Literal["partitions", "append"] = "partitions",
        run_id: str = "",
        after: Mapping[str, PartitionState[Any]] | None = None,
        beside: Mapping[TableKey, pa.Table] | None = None,
        retire: Sequence[str] = (),
        statistics: bool = True,
    ) -> Published:
        """Commit a batch that has passed its checks, then list its verdict.

        Args:
            key: the table.
            rows: the batch; has the column `_partition` unless its one state is for the whole table.
            states: what is published, one a partition; `version` is filled in.
            mode: `partitions` replaces the partitions that `states` name; `append` adds rows.
            run_id: Dagster's run.
            after: the states of the table that the batch was made from; a publication since then is a Conflict.
            beside: tables written before this one and with the same partitions replaced (quarantine, superseded rows).
            retire: published partitions that the table has no more; the commit removes their rows, and their states end with it.
            statistics: whether Delta's log may hold the least and greatest values of columns; not for personal ones.

        Raises:
            Conflict: another commit came between, or the table holds a commit that isn't ours.
        """
        head, standing = self._settle(key)
        if after is not None and newest(after) != newest(standing):
            raise Conflict(f"{key}: another run published version {newest(standing)} meanwhile; nothing was changed")
        partitions = [state.partition for state in states]
        crash_point("lake.before_beside")
        for other, other_rows in (beside or {}).items():
            self._commit(other, other_rows, partitions, "partitions", {}, statistics, retire=retire)
        note = note_of(states, run_id, standing, retire)
        crash_point("lake.before_commit")
        version = self._commit(key, rows, partitions, mode, {_COMMIT_KEY: json.dumps(note)}, statistics, head, retire)
        crash_point("lake.after_commit")
        self._record(key, note, version)
        crash_point("lake.after_verdict")
        return self.current(key)

    def record(
        self,
        key: TableKey,
        states: Sequence[PartitionState[Any]],
        *,
        run_id: str = "",
        after: Mapping[str, PartitionState[Any]] | None = None,
        retire: Sequence[str] = (),
    ) -> None:
        """List a verdict for something that isn't a table of ours: an adopted table's version, a model, a release.

        Of two runs that find the same at once, both after the states `after` (read when not given), one is listed.
        """
        crash_point("lake.before_record")
        standing = self.states().get(key, {}) if after is None else after
        self._record(key, note_of(states, run_id, standing, retire))

    def append(self, path: str, rows: pa.Table, *, partition_by: Sequence[str] = (), once: str = "") -> None:
        """Append rows to a report table; with `once`, at most one append under that id ever lands, retries included."""
        import deltalake

        # An id is only safe against the version in which it was looked for (delta-rs' own retries have let it land twice), so such a commit
        # must be the very next one.
        properties = deltalake.CommitProperties(app_transactions=[deltalake.Transaction(once, 1)], max_commit_retries=0) if once else None
        self.mark()
        for attempt in range(_APPEND_ATTEMPTS):
            # Many writers at once get out of each other's way.
            time.sleep(random.uniform(0, _APPEND_PAUSE_S * attempt))
            table = self.open(path)
            if once and table is not None and table.transaction_version(once) is not None:
                return
            crash_point("lake.before_append")
            try:
                deltalake.write_deltalake(
                    self.path(path) if table is None else table,
                    rows,
                    mode="error" if table is None else "append",
                    partition_by=list(partition_by) or None,
                    commit_properties=properties,
                    schema_mode="merge" if table is not None else None,
                )
                crash_point("lake.after_append")
                return
            except (deltalake.exceptions.DeltaError, OSError) as error:
                self._must_be_outrun(path, table, error)
        raise Conflict(f"{path}: others committed at each of {_APPEND_ATTEMPTS} attempts to append; nothing was written")

    def _check(self) -> None:
        """Refuse a lake whose format this version doesn't read; asked once."""
        if not self._is_readable:
            check_format(self.url)
            self._is_readable = True

    def mark(self) -> None:
        """Write down the format of a lake that is written to; an older lake is refused, not called newer than it is."""
        self._check()
        if not self._is_marked:
            mark_format(self.url)
            self._is_marked = True

    def _commit(
        self,
        key: TableKey,
        rows: pa.Table,
        partitions: Sequence[str],
        mode: str,
        metadata: Mapping[str, str],
        statistics: bool = True,
        head: int | None = None,
        retire: Sequence[str] = (),
    ) -> int:
        """Commit to a table, whose newest version must be `head` if that is given."""
        import deltalake

        self.mark()
        table = self.open(key)
        before = -1 if table is None else table.version()
        if head is not None and before != head:
            raise Conflict(f"{key}: another writer committed while version {head + 1} was written; nothing was changed")
        if table is not None and not statistics:
            table = self._without_statistics(key, table)
            before = table.version()
        split = list(partitions) != [WHOLE]
        if split and PARTITION not in rows.column_names:
            raise DataError(f"{key}: a batch for partitions {', '.join(partitions)} needs the column {PARTITION}")
        if table is not None and mode == "append":
            rows = match_landed_types(rows, types_of(table))
        options: dict[str, Any] = {
            "partition_by": [PARTITION] if split else None,
            "commit_properties": deltalake.CommitProperties(custom_metadata=dict(metadata), max_commit_retries=0),
            "post_commithook_properties": keeps_versions(),
            "writer_properties": writer_properties(rows),
        }
        if table is None:
            # A table that another writer makes meanwhile must not get our rows beside theirs, which `append` would do.
            options |= {"mode": "error", "configuration": None if statistics else NO_STATISTICS}
        else:
            options |= replacement(key, table, rows, partitions, mode, retire)
            if mode == "append" and options["mode"] == "overwrite":
                rows = stack_tables([read_table(table), rows])
        try:
            # As a stream: a table is copied whole before it is written.
            deltalake.write_deltalake(self.path(key) if table is None else table, rows.to_reader(_ROWS_AT_ONCE), **options)
        except (deltalake.exceptions.DeltaError, OSError) as error:
            self._must_be_outrun(key, table, error)
            raise Conflict(f"{key}: another writer committed while version {before + 1} was written; nothing was changed") from error
        # Without retries a commit is the very next version or fails; a newer one may stand by now, of a writer that came after us.
        return before + 1

    def _without_statistics(self, key: TableKey, table: DeltaTable) -> DeltaTable:
        """Keep the log of a table that stands already free of column values from now on; a commit of ours that publishes nothing."""
        import deltalake

        if NO_STATISTICS.items() <= table.metadata().configuration.items():
            return table
        note, before = {"states": [], "run_id": "", "at": datetime.now(UTC).isoformat()}, table.version()
        try:
            # Without retries, as for rows: a commit that was made after another's would hide that the states read before it are old.
            committed = deltalake.CommitProperties(custom_metadata={_COMMIT_KEY: json.dumps(note)}, max_commit_retries=0)
            table.alter.set_table_properties(NO_STATISTICS, commit_properties=committed, post_commithook_properties=keeps_versions())
        except deltalake.exceptions.CommitFailedError as error:
            raise Conflict(f"{key}: another writer committed while its properties were set; nothing was changed") from error
        reopened = self.open(key)
        assert reopened is not None
        if reopened.version() != before + 1:
            raise Conflict(f"{key}: another writer committed after its properties were set; nothing was changed")
        return reopened

    def _must_be_outrun(self, key: TableKey | str, table: DeltaTable | None, error: Exception) -> None:
        """Raise a write's error again unless another writer's commit, or its making of the table, is the cause."""
        from deltalake.exceptions import CommitFailedError

        if any(text in str(error) for text in _FULL):
            raise ServiceUnavailable(
                f"{key}: the disk of {self.path(key)} is full, so nothing was written and what stood there stands; make room and run again"
            ) from error
        made_meanwhile = table is None and self.open(key) is not None
        if not made_meanwhile and not isinstance(error, CommitFailedError):
            raise error

    def _settle(self, key: TableKey) -> tuple[int, Mapping[str, PartitionState[Any]]]:
        """Finish what a crash left between commit and verdict, and refuse a head that isn't ours.

        Returns:
            The newest version (-1 without a table), and the table's states as they are with it.
        """
        table = self.open(key)
        if table is None:
            return -1, {}
        head = table.version()
        states = self.states().get(key, {})
        if newest(states) >= head:
            return max(head, newest(states)), states
        # The history is that of the newest version, whichever is open: if one came between, look again.
        commit = table.history(1)[0]
        again = self.open(key)
        if again is None or again.version() != head:
            return self._settle(key)
        if _COMMIT_KEY in commit:
            self._record(key, json.loads(commit[_COMMIT_KEY]), head)
            return head, self.states().get(key, {})
        raise Conflict(
            f"{key}: version {head} was not written by Lakeloop ({commit.get('operation', 'unknown operation')}); "
            f"wanted version {newest(states)}; restore it, or adopt the table with source: {{delta: …}}"
        )

    def settle(self, key: TableKey) -> None:
        """Finish what a crash left half done: a commit of ours that has no verdict row yet."""
        self._settle(key)

    def _record(self, key: TableKey, note: Mapping[str, Any], version: int | None = None) -> None:
        """List the verdicts of a note, all of them at a version that has been committed, or each at its own."""
        rows = rows_of(key, note, version)
        # The writer of a commit and whoever settles it list it once, and so do two runs that found the same at once.
        once = f"verdict:{key}:{'' if version is None else version}:{note.get('id', '')}"
        if rows.num_rows:
            self.append(VERDICTS, rows, once=once)
