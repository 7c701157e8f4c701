"""Entity keys of two tables as integer codes that both share, so that a join compares and sorts numbers.

Rows in runs of equal keys, as in tables that are written in key order, get codes that rise with the rows; then nothing needs sorting.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lakeloop.errors import DataError
from lakeloop.rows.types import lake_type

if TYPE_CHECKING:
    import pyarrow as pa

Array = np.ndarray
_LONG_RUNS = 4
"""The average run of equal keys from which it is faster to look up each run once."""


def entity_codes(spine: pa.Table, rows: pa.Table, keys: Sequence[str], where: str) -> tuple[Array, Array]:
    """Encode the entities of both tables as integers.

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
        spine_type, rows_type = lake_type(spine.schema.field(key).type), lake_type(rows.schema.field(key).type)
        if spine_type != rows_type:
            raise DataError(f"{where}: the key {key!r} is {rows_type} there and {spine_type} in the spine")
        key_left, key_right, size = _encode_key(_key_column(spine, key), _key_column(rows, key))
        if left is None or right is None:
            left, right = key_left, key_right
        else:
            left = np.where((left >= 0) & (key_left >= 0), left * size + key_left, -1)
            right = np.where((right >= 0) & (key_right >= 0), right * size + key_right, -1)
            # Dense again, so that many keys never overflow.
            left, right = _renumber(left, right)
    assert left is not None and right is not None
    return left, right


def to_one_array(values: pa.ChunkedArray) -> pa.Array:
    """A column as one array, without a copy if it has one chunk; `combine_chunks` always copies."""
    return values.chunk(0) if values.num_chunks == 1 else values.combine_chunks()


def _renumber(left: Array, right: Array) -> tuple[Array, Array]:
    """Renumber codes in the order of their first appearance in `right`; -1 stays, and a code that only `left` has becomes -1."""
    count = len(right)
    starts = np.concatenate(([0], np.flatnonzero(right[1:] != right[:-1]) + 1)) if count else np.zeros(0, np.int64)
    in_runs = len(starts) * _LONG_RUNS <= count
    heads = right[starts] if in_runs else right
    values, first, inverse = np.unique(heads, return_index=True, return_inverse=True)
    numbers = np.empty(len(values), np.int64)
    is_code = values >= 0
    numbers[~is_code] = -1
    numbers[np.flatnonzero(is_code)[np.argsort(first[is_code])]] = np.arange(int(is_code.sum()))
    new_right = np.repeat(numbers[inverse], np.diff(starts, append=count)) if in_runs else numbers[inverse]
    if not len(values):
        return np.full(len(left), -1), new_right
    positions = np.minimum(np.searchsorted(values, left), len(values) - 1)
    return np.where((values[positions] == left) & (left >= 0), numbers[positions], -1), new_right


def _encode_key(spine: pa.Array, rows: pa.Array) -> tuple[Array, Array, int]:
    """Encode a key of both tables by the dictionary of the feature rows; also returns the dictionary's size."""
    import pyarrow as pa
    import pyarrow.compute as pc

    right, dictionary = _encode(rows)
    if pa.types.is_dictionary(spine.type):
        return _map_dictionary(spine, pc.index_in(spine.dictionary, value_set=dictionary)), right, len(dictionary)
    left = _codes_of(pc.index_in(spine, value_set=dictionary))
    if spine.null_count:
        left = np.where(np.asarray(pc.is_null(spine)), -1, left)
    return left, right, len(dictionary)


def _encode(values: pa.Array) -> tuple[Array, pa.Array]:
    """Encode values by a dictionary, -1 for null; rows sorted at write come in runs of equal keys, and only the first of a run is looked up.

    Returns:
        The codes and the dictionary.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(values.type):
        # A dictionary may hold a value twice, or null.
        encoded = values.dictionary.dictionary_encode()
        return _map_dictionary(values, encoded.indices), encoded.dictionary
    count = len(values)
    if values.null_count == 0 and count > 1:
        starts = np.concatenate(([0], np.flatnonzero(np.asarray(pc.not_equal(values[1:], values[:-1]))) + 1))
        if len(starts) * _LONG_RUNS <= count:
            heads = values.take(pa.array(starts)).dictionary_encode()
            lengths = np.diff(starts, append=count)
            return np.repeat(_codes_of(heads.indices), lengths), heads.dictionary
    encoded = values.dictionary_encode()
    return _codes_of(encoded.indices), encoded.dictionary


def _map_dictionary(values: pa.DictionaryArray, codes: pa.Array) -> Array:
    """Map each value to the code of its dictionary entry; -1 for null."""
    # Null indices point at an additional entry after the dictionary.
    entry_codes = np.append(_codes_of(codes), -1)
    indices = values.indices
    return np.asarray(entry_codes[np.asarray(indices.cast("int64").fill_null(len(codes)) if indices.null_count else indices)])


def _codes_of(indices: pa.Array) -> Array:
    """Arrow indices as int64, -1 for null."""
    import pyarrow.compute as pc

    return np.asarray(pc.fill_null(indices, -1) if indices.null_count else indices).astype(np.int64, copy=False)


def _key_column(table: pa.Table, name: str) -> pa.Array:
    """A key column in its plain type, or as a dictionary of that type."""
    import pyarrow as pa

    values = to_one_array(table[name])
    kind = lake_type(values.type)
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        raise DataError(f"the key {name!r} is {kind}: wanted a string, an integer, a date or a timestamp")
    if pa.types.is_dictionary(values.type):
        return pa.DictionaryArray.from_arrays(values.indices, values.dictionary.cast(kind))
    return values.cast(kind) if values.type != kind else values
