"""The inputs of linear models and detectors: numbers imputed and scaled, strings one column per frequent value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lakeloop.rows.types import Kind

MOST_CATEGORIES = 50
"""The most columns for one string feature; rarer values share the last."""


def preprocessing(kinds: Mapping[str, Kind], *first: Any) -> Any:
    """An unfitted transformer of a feature frame: numbers imputed and scaled, strings one-hot; unknown and rare values share a column.

    Args:
        kinds: the features and their kinds, in order.
        first: transformers of the numbers that precede the imputing.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = [name for name, kind in kinds.items() if kind == "double"]
    strings = [name for name, kind in kinds.items() if kind == "string"]
    fill = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    encode = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=MOST_CATEGORIES, sparse_output=False)
    return ColumnTransformer([("numbers", make_pipeline(*first, fill, StandardScaler()), numbers), ("strings", encode, strings)])
