"""A sample of the writers of `make chaos`: processes that write one Delta table and are killed all the time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.writers import Write, append, disturbed, publish


@pytest.mark.parametrize(("write", "writers", "commits", "kills"), [(append, 4, 60, 12), (publish, 3, 18, 6)])
def test_no_acknowledged_row_is_lost_and_none_doubled_when_writers_are_killed(
    tmp_path: Path, write: Write, writers: int, commits: int, kills: int
) -> None:
    lost = disturbed(tmp_path, write, writers=writers, commits=commits, kills=kills)
    assert (lost.commits, lost.kills) == (commits, kills)
    assert (lost.lost, lost.doubled, lost.foreign) == (0, 0, 0)
