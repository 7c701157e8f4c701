"""A source drafted, checked, landed and read back in one process: what the campaigns over many tables share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakeloop.checking.project import load_checked
from lakeloop.errors import LakeloopError
from lakeloop.rows.conform import Conformed, conform
from lakeloop.spec.tables import DeltaTableSource, TableSpec
from platform_assets.components.scaffolders import LakeTableParams, draft_table_files
from platform_assets.loading import read_project
from platform_assets.stages.base import Platform
from platform_assets.stages.tables import raw
from platform_assets.stages.tables.landings import read_landed
from platform_assets.stages.tables.validated import adopt
from resources.lake.lake import Lake
from resources.lake.published import WHOLE, TableKey
from resources.lake.tables import open_delta, read_table
from resources.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Brought:
    """A source that has landed.

    Attributes:
        spec: the definition that was drafted.
        told: what the draft told.
        landed: the rows as they landed; None of an adopted table.
        conformed: the rows as they are validated; None of an adopted table.
        adopted: of an adopted table, its rows in declared columns.
    """

    spec: TableSpec
    told: list[str]
    landed: pa.Table | None = None
    conformed: Conformed | None = None
    adopted: pa.Table | None = None


def bring(params: Mapping[str, Any], place: Path) -> Brought:
    """Draft a table into a folder, check it, land it into a lake beside it, and conform what landed.

    Args:
        params: of the scaffold command.
        place: an empty folder.

    Raises:
        LakeloopError: the source is refused.
        ValueError: the check refuses the draft.
    """
    import pyarrow as pa

    folder = place / "defs" / "x" / "t"
    folder.mkdir(parents=True)
    files, told = draft_table_files(LakeTableParams.model_validate(dict(params)), folder, place)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    errors = load_checked(place / "defs")[1]
    if errors:
        raise ValueError(f"the draft doesn't pass the check: {errors[0]}")
    project, lake = read_project(place / "defs"), Lake(str(place / "lake"))
    platform = Platform(Settings.from_environment(), project, lake, None, None, "run")  # type: ignore[arg-type]  # landing needs no more
    located = project.tables[("x", "t")]
    if isinstance(located.spec.source, DeltaTableSource):
        result = adopt(platform, located)
        if result.refused:
            raise LakeloopError(result.refused)
        table = open_delta(str((folder / located.spec.source.delta).resolve()))
        assert table is not None
        columns = {name: (column.source or [name])[0] for name, column in located.spec.columns.items()}
        return Brought(located.spec, told, adopted=read_table(table, list(columns.values())).rename_columns(list(columns)))
    key = TableKey("raw", "x", "t")
    raw.land(platform, located, now=datetime.now(UTC))
    states = lake.states().of(key)
    partitions = [name for name in states if name != "source"] or [WHOLE]
    parts = list(read_landed(platform, key, states, partitions))
    return Brought(located.spec, told, pa.concat_tables(parts).sort_by("_row"), conform(parts, located.spec))
