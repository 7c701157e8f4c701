"""Columns that give the label together, or by their absence, among the possible inputs of a draft: they are left out, each with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lakeloop.drafting.label_profile import Feature, LabelProfile
from lakeloop.evaluation.absence import absence_tells
from lakeloop.evaluation.relations import MOST_ROWS, find_relations
from lakeloop.spec.tasks import TASKS
from lakeloop.training.frames import evenly_spaced

if TYPE_CHECKING:
    import pyarrow as pa


def without_what_made_it(features: Sequence[Feature], rows: pa.Table, label: LabelProfile, *, labelled_by: str) -> list[Feature]:
    """The same features, of which those that say the label by their absence or together are left out.

    Args:
        features: possible inputs.
        rows: typed rows.
        label: what is predicted.
        labelled_by: the label's own column, for the notes.
    """
    import pyarrow.compute as pc

    kind = TASKS[label.task].label
    is_known = np.flatnonzero(~np.isnan(label.values))
    classes = None if kind == "number" else label.classes or (f"not {label.positive}", label.positive or "it")
    reasons = {}
    for feature in features:
        if feature.is_used and rows[feature.name].null_count:
            told = absence_tells(np.asarray(pc.is_null(rows[feature.name]))[is_known], label.values[is_known], classes)
            if told:
                reasons[feature.name] = f"says {labelled_by} by its absence: {told}; put it in if that is known before it is asked for"
    if kind != "none":
        picked = is_known[evenly_spaced(len(is_known), MOST_ROWS)]
        columns = {f.name: _values(rows[f.name].take(picked)) for f in features if f.is_used and f.name not in reasons}
        for relation in find_relations(columns, label.values[picked], is_class=kind != "number"):
            for name in relation.columns:
                others = " and ".join(other for other in relation.columns if other != name)
                reasons[name] = (
                    f"says {labelled_by} together with {others} ({relation.text}): put it in if it is known before it is asked for"
                )
    return [replace(feature, is_used=False, note=reasons[feature.name]) if feature.name in reasons else feature for feature in features]


def _values(column: pa.ChunkedArray) -> np.ndarray:
    """Numbers and booleans as float64, anything else as objects."""
    import pyarrow as pa

    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return np.array(column.to_pylist(), dtype=object)
    numbers = column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column
    return np.asarray(numbers.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=float)
