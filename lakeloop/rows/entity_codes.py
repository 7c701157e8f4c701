"""Entity keys of two tables as integers that both share, so that a join compares and sorts numbers.

Rows that stand in runs of equal keys, as tables written in order of their keys do, get codes that rise with the rows: then nothing is sorted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lakeloop.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

Array = np.ndarray
_LONG_RUNS = 4
"""Rows in a run of equal keys, on average, from which looking up each run once is the faster way."""


def entity_codes(spine: pa.Table, rows: pa.Table, keys: Sequence[str], where: str) -> tuple[Array, Array]:
    """Integers that tell entities apart, for the rows of both sides.

    Args:
        spine: rows with the keys; plain or dictionary-encoded.
        rows: rows with the keys; plain or dictionary-encoded.
        keys: the columns that together name an entity.
        where: the name of `rows`, for messages.

    Returns:
        For each row of the spine and of `rows` a code from 0; -1 for a null key, or one that only the spine has.

    Raises:
        DataError: a key's type differs between the two, or is a floating-point or decimal number.
    """
    left = right = None
    for key in keys:
        a, b = _plain_type(spine.schema.field(key).type), _plain_type(rows.schema.field(key).type)
        if a != b:
            raise DataError(f"{where}: the key {key!r} is {b} there and {a} in the spine")
        one, two, size = _codes(_keys(spine, key), _keys(rows, key))
        if left is None or right is None:
            left, right = one, two
        else:
            left = np.where((left >= 0) & (one >= 0), left * size + one, -1)
            right = np.where((right >= 0) & (two >= 0), right * size + two, -1)
            # Kept dense, so that many keys never overflow.
            left, right = _dense(left, right)
    assert left is not None and right is not None
    return left, right


def to_one_array(values: pa.ChunkedArray) -> pa.Array:
    """A column as one array, without a copy where it is one already; `combine_chunks` always copies."""
    return values.chunk(0) if values.num_chunks == 1 else values.combine_chunks()


def _dense(left: Array, right: Array) -> tuple[Array, Array]:
    """Codes numbered anew by where they first appear in `right`; -1 stays, and what only `left` has becomes it."""
    count = len(right)
    starts = np.concatenate(([0], np.flatnonzero(right[1:] != right[:-1]) + 1)) if count else np.zeros(0, np.int64)
    in_runs = len(starts) * _LONG_RUNS <= count
    heads = right[starts] if in_runs else right
    values, first, inverse = np.unique(heads, return_index=True, return_inverse=True)
    number = np.empty(len(values), np.int64)
    known = values >= 0
    number[~known] = -1
    number[np.flatnonzero(known)[np.argsort(first[known])]] = np.arange(int(known.sum()))
    place = np.minimum(np.searchsorted(values, left), max(len(values) - 1, 0))
    hit = (values[place] == left) & (left >= 0) if len(values) else np.zeros(len(left), bool)
    dense = number[inverse]
    return np.where(hit, number[place], -1) if len(values) else np.full(len(left), -1), (
        np.repeat(dense, np.diff(starts, append=count)) if in_runs else dense
    )


def _codes(spine: pa.Array, rows: pa.Array) -> tuple[Array, Array, int]:
    """Dictionary codes of the feature rows' keys, and the spine's keys in the same codes."""
    import pyarrow as pa
    import pyarrow.compute as pc

    right, dictionary = _encode(rows)
    if pa.types.is_dictionary(spine.type):
        return _through(spine, pc.index_in(spine.dictionary, value_set=dictionary)), right, len(dictionary)
    left = _nullable(pc.index_in(spine, value_set=dictionary))
    if spine.null_count:
        left = np.where(np.asarray(pc.is_null(spine)), -1, left)
    return left, right, len(dictionary)


def _encode(values: pa.Array) -> tuple[Array, pa.Array]:
    """Dictionary codes, -1 for null, and the dictionary.

    Rows that were sorted at write stand in runs of equal keys, so only the first of each run is looked up.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(values.type):
        # A dictionary may hold a value twice, or null.
        encoded = values.dictionary.dictionary_encode()
        return _through(values, encoded.indices), encoded.dictionary
    count = len(values)
    if values.null_count == 0 and count > 1:
        starts = np.concatenate(([0], np.flatnonzero(np.asarray(pc.not_equal(values[1:], values[:-1]))) + 1))
        if len(starts) * _LONG_RUNS <= count:
            heads = values.take(pa.array(starts)).dictionary_encode()
            lengths = np.diff(starts, append=count)
            return np.repeat(_nullable(heads.indices), lengths), heads.dictionary
    encoded = values.dictionary_encode()
    return _nullable(encoded.indices), encoded.dictionary


def _through(values: pa.DictionaryArray, codes: pa.Array) -> Array:
    """The code of each value, from those of the dictionary; -1 for null."""
    # Null indices point at one more place behind the dictionary.
    found = np.append(_nullable(codes), -1)
    indices = values.indices
    return np.asarray(found[np.asarray(indices.cast("int64").fill_null(len(codes)) if indices.null_count else indices)])


def _nullable(indices: pa.Array) -> Array:
    import pyarrow.compute as pc

    return np.asarray(pc.fill_null(indices, -1) if indices.null_count else indices).astype(np.int64, copy=False)


def _keys(table: pa.Table, name: str) -> pa.Array:
    """A key column in its plain type, or as a dictionary of that type."""
    import pyarrow as pa

    values = to_one_array(table[name])
    wanted = _plain_type(values.type)
    if pa.types.is_floating(wanted) or pa.types.is_decimal(wanted):
        raise DataError(f"the key {name!r} is {wanted}: wanted a string, an integer, a date or a timestamp")
    if pa.types.is_dictionary(values.type):
        return pa.DictionaryArray.from_arrays(values.indices, values.dictionary.cast(wanted))
    return values.cast(wanted) if values.type != wanted else values


def _plain_type(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_integer(kind):
        return pa.int64()
    return pa.timestamp("us", tz="UTC") if pa.types.is_timestamp(kind) and kind.tz else kind
