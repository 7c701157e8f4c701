"""The column whose rows stay together in a drafted split: of a person, a machine, a shop that the label belongs to."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lakeloop.drafting.label_profile import LabelProfile
from lakeloop.evaluation.entities import EntityColumn, repeated_columns
from lakeloop.metrics.classes import one_hot
from lakeloop.spec.tables import TableSpec

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Group:
    """The column by which rows are split, None where they are not; and notes that say why, or why not."""

    column: str | None = None
    reason: str = ""
    notes: tuple[str, ...] = ()


def find_group(table: TableSpec, rows: pa.Table, label: LabelProfile, *, without: Collection[str], in_time: bool) -> Group:
    """Find the column whose rows must be on one side of a split.

    Args:
        table: the table that is drafted from.
        rows: its rows, in declared types.
        label: what is predicted.
        without: columns that can't be it: the label, the time.
        in_time: rows are split by time; they may know their entities by design, so that these are only told.
    """
    columns = {name: rows[name] for name in table.columns if name not in without and table.keys != [name]}
    truth = one_hot(np.nan_to_num(label.values), len(label.classes)) if label.classes else label.values.copy()
    truth[np.isnan(label.values)] = np.nan
    entities = [column for column in repeated_columns(columns, truth) if column.is_entity]
    if not entities:
        return Group()
    best = _coarsest(entities, rows)
    others = tuple(
        f"{each.sentence}: it looks like an entity too, and rows of one may be on both sides" for each in entities if each is not best
    )
    if in_time:
        why = f"not split by it, since the test is of later rows of those that are known by then; for new ones write split: {{group: {best.name}}}"
        return Group(notes=(f"{best.sentence}: {why}",))
    if table.columns[best.name].personal:
        why = "not split by it, since it is personal; a view with a hash of it can be split by, otherwise the test is too good"
        return Group(notes=(f"{best.sentence}: {why}", *others))
    return Group(
        best.name, f"{best.sentence}: all rows of one are on the same side of every split, so that the test is of new ones", others
    )


def _coarsest(entities: Sequence[EntityColumn], rows: pa.Table) -> EntityColumn:
    """The one that the label belongs to most, or another one that it is part of, as a person of a family."""
    frame = rows.select([each.name for each in entities]).to_pandas()
    best = max(entities, key=lambda each: each.agreement)
    for other in sorted(entities, key=lambda each: -each.entities):
        if other.entities < best.entities and (frame.groupby(best.name)[other.name].nunique(dropna=False) <= 1).all():
            best = other
    return best
