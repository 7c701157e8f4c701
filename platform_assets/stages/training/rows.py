"""The rows that models are fitted on and judged by, which of them may depend on each other, and how a published model was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakeloop.metrics.intervals import group_codes
from lakeloop.records.training import ModelState, TrainingSetState
from lakeloop.rows.types import Kind
from lakeloop.search.space import with_params
from lakeloop.spec.clocks import to_local
from lakeloop.spec.workflow import Model, WorkflowSpec
from lakeloop.training.frames import feature_frame, feature_kinds
from lakeloop.training.groups import own_groups
from lakeloop.training.labels import label_numbers
from platform_assets.stages.base import key_of
from platform_assets.stages.training.groups import group_columns, groups_of, slice_column, split_times
from platform_assets.stages.training.training_set import LABEL, SPLIT
from resources.host.memory import release_memory
from resources.lake.lake import Lake
from resources.lake.published import PartitionState

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    from lakeloop.project.project import Located


FIT_SPLITS = ("train", "validation")
"""Nothing is chosen on the validation window (a search only measures on it what it gained), so the model is fitted on it too and is not a month
older than need be."""


@dataclass(frozen=True)
class FitData:
    """What a model is fitted on.

    Attributes:
        frame: the features of each row, as `feature_frame` makes them.
        label: of each row, as numbers.
        at: when each row was asked, `datetime64[us]`, UTC; of rows without a time that stay together, their common place.
        kinds: the features and what they are, in order.
        groups: of the rows, None where the workflow names none.
    """

    frame: pd.DataFrame
    label: np.ndarray
    at: np.ndarray
    kinds: Mapping[str, Kind]
    groups: np.ndarray | None = None


def model_of(located: Located[WorkflowSpec], state: PartitionState[ModelState]) -> Model:
    """How the model of a published state was made: as its workflow says, with the parameters that a search came to."""
    search = state.value.search
    return with_params(located.spec.model, search.taken if search is not None else {})


def fit_rows(lake: Lake, located: Located[WorkflowSpec], training: PartitionState[Any], names: list[str]) -> pa.Table:
    """The rows of a training set that a model is fitted on, with some of its columns, the label and the split; in order of time and keys.

    An order makes a training repeatable: samples are evenly spaced, and trees draw rows by their place.
    """
    import pyarrow.compute as pc

    return lake.read(
        (key_of(TrainingSetState.stage, located), training.version),
        columns=list(dict.fromkeys([*names, LABEL, SPLIT])),
        where=pc.field(SPLIT).isin(FIT_SPLITS),
        order=[located.spec.predict_at, *located.spec.keys],
    )


def read_fit_data(lake: Lake, located: Located[WorkflowSpec], training: PartitionState[TrainingSetState]) -> FitData:
    """Read what the model of a training set is fitted on."""
    spec, names = located.spec, training.value.feature_spec.names
    table = fit_rows(lake, located, training, [*names, spec.predict_at, *group_columns(spec, names)])
    groups = groups_of(spec, table, names)
    data = FitData(
        feature_frame(table, names),
        label_numbers(table[LABEL], spec.answer),
        split_times(spec, times_of(table[spec.predict_at]), groups),
        feature_kinds(table.schema, names),
        groups,
    )
    size = table.nbytes
    del table
    release_memory(size)
    return data


PERIODS = {"day": "datetime64[D]", "week": "datetime64[W]"}
"""What rows may be clustered by beside a key or feature: the time that they ask at, of a forecast by the clocks of its zone."""


def times_of(column: pa.ChunkedArray) -> np.ndarray:
    """Timestamps as NumPy's, in microseconds UTC."""
    times: np.ndarray = column.to_numpy().astype("datetime64[us]")
    return times


def clusters_of(spec: WorkflowSpec, test: pa.Table, names: list[str]) -> np.ndarray | None:
    """Codes of the rows that may depend on each other, as the workflow says: without a cluster those of a group of the split.

    Days and weeks stay times, since their neighbours may depend on each other, too.
    """
    by = spec.evaluation.cluster
    if by is None:
        groups = groups_of(spec, test, names)
        return None if groups is None else group_codes(own_groups(groups))
    if by in PERIODS:
        zone = spec.forecast.timezone if spec.forecast else None
        periods: np.ndarray = to_local(times_of(test[spec.predict_at]), zone).astype(PERIODS[by])
        return periods
    return group_codes(test[slice_column(test.column_names, by, names)].to_pandas().astype(str).to_numpy(dtype=str))
