"""Which rows of a training set stay together, and the times that they are split by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lakeloop.spec.workflow import WorkflowSpec
from lakeloop.training.groups import group_hashes, place_groups

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


def slice_column(columns: Sequence[str], column: str, names: Sequence[str]) -> str:
    """The column of a training set that a definition names: of the spine, or a feature by its name in its view.

    Args:
        columns: of the training set, or of some of it.
        column: as named.
        names: of the features.
    """
    return column if column in columns else next(name for name in names if name.endswith(f"__{column}"))


def group_columns(spec: WorkflowSpec, names: Sequence[str]) -> tuple[str, ...]:
    """The columns of a training set whose rows stay together; none where the workflow names none."""
    return tuple(slice_column(spec.keys, column, names) for column in spec.split.group or ())


def groups_of(spec: WorkflowSpec, rows: pa.Table, names: Sequence[str]) -> np.ndarray | None:
    """The group of each row, see `lakeloop.training.groups.group_hashes`; None where the workflow names none."""
    columns = group_columns(spec, names)
    return group_hashes([rows[column] for column in columns]) if columns else None


def split_times(spec: WorkflowSpec, at: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """The times that rows are split by: their own, or of rows without a time those of their group."""
    return place_groups(at, groups) if groups is not None and spec.evaluation.static else at
