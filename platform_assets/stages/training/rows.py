"""The rows that models are fitted on and judged by, which of them may depend on each other, and how a published model was made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeloop.records.training import ModelState
from lakeloop.search.space import with_params
from lakeloop.spec.workflow import Model, WorkflowSpec
from platform_assets.stages.base import key_of
from platform_assets.stages.training.training_set import LABEL, SPLIT
from resources.lake.lake import Lake
from resources.lake.published import PartitionState

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from lakeloop.project.project import Located


FIT_SPLITS = ("train", "validation")
"""Nothing is chosen on the validation window (a search only measures on it what it gained), so the model is fitted on it too and is not a month
older than need be."""


SEARCH = "search"
"""In the value of a model's state: what its search found."""


def model_of(located: Located[WorkflowSpec], state: PartitionState[ModelState]) -> Model:
    """How the model of a published state was made: as its workflow says, with the parameters that a search found for it."""
    return with_params(located.spec.model, state.value.search.best if state.value.search else {})


def fit_rows(lake: Lake, located: Located[WorkflowSpec], training: PartitionState, names: list[str]) -> pa.Table:
    """The rows of a training set that a model is fitted on, with some of its columns, the label and the split; in order of time and keys.

    An order makes a training repeatable: samples are evenly spaced, and trees draw rows by their place.
    """
    import pyarrow.compute as pc

    return lake.read(
        (key_of("training_sets", located), training.version),
        columns=list(dict.fromkeys([*names, LABEL, SPLIT])),
        where=pc.field(SPLIT).isin(FIT_SPLITS),
        order=[located.spec.predict_at, *located.spec.keys],
    )


PERIODS = {"day": "datetime64[D]", "week": "datetime64[W]"}
"""What rows may be clustered by beside a key or feature: the time that they ask at."""


def times_of(column: pa.ChunkedArray) -> np.ndarray:
    """Timestamps as NumPy's, in microseconds UTC."""
    return column.to_numpy().astype("datetime64[us]")


def clusters_of(spec: WorkflowSpec, test: pa.Table, names: list[str]) -> np.ndarray | None:
    """Codes of the rows that may depend on each other, as the workflow says."""
    from lakeloop.metrics.intervals import group_codes

    by = spec.evaluation.cluster
    if by is None:
        return None
    if by in PERIODS:
        return group_codes(times_of(test[spec.predict_at]).astype(PERIODS[by]))
    return group_codes(test[slice_column(test, by, names)].to_pandas().astype(str).to_numpy(dtype=str))


def slice_column(test: pa.Table, column: str, names: list[str]) -> str:
    """The column of the rows that a slice or cluster names: of the spine, or a feature by its name in its view."""
    if column in test.column_names:
        return column
    return next(name for name in names if name.endswith(f"__{column}"))
