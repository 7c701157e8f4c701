"""Batch predictions on Spark: features joined and the MLflow model applied where the rows are; only scores come back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lakeloop.rows.types import EXACT_INTEGERS
from lakeloop.spec.tasks import to_scores
from resources.spark.asof import SparkFeatureRows, point_in_time_join
from resources.spark.tables import frame_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame, SparkSession

    from resources.tracking.model_format import Field, ServableModel

_ROW, _SCORE = "_row", "_score"


def score_spine(spark: SparkSession, spine: pa.Table, features: Sequence[SparkFeatureRows], model: ServableModel, *, at: str) -> np.ndarray:
    """The scores of the rows of a spine, in its order: what `ServableModel.predict` gives for the same rows.

    Args:
        spark: the session.
        spine: keys and the time asked about.
        features: what the model's feature spec names, of the same session.
        model: loaded; Spark's workers load it by its URI from the tracking server themselves, so they must reach it.
        at: the spine's time.
    """
    import mlflow
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    import pyspark.sql.functions as F

    if not spine.num_rows:
        return model.predict(pd.DataFrame())
    # An array takes one number a row as well as several.
    udf = mlflow.pyfunc.spark_udf(spark, model.uri, result_type="array<double>")
    joined = point_in_time_join(frame_of(spark, spine.append_column(_ROW, pa.array(range(spine.num_rows), pa.int64()))), features, at=at)
    inputs = [_input(joined, field).alias(field.name) for field in model.fields]
    scored = joined.select(_ROW, *inputs).select(_ROW, udf(*[F.col(field.name) for field in model.fields]).alias(_SCORE))
    answered = scored.orderBy(_ROW).toArrow()[_SCORE].combine_chunks()
    raw = np.asarray(answered.flatten()).reshape(spine.num_rows, -1)
    return to_scores(raw, model.answer, model.fitted)


def _input(frame: DataFrame, field: Field) -> Column:
    """A feature as `lakeloop.training.frames.feature_frame` makes it."""
    import pyspark.sql.functions as F
    from pyspark.sql.types import LongType

    column = F.col(f"`{field.name}`")
    if field.kind == "string":
        return column
    if isinstance(frame.schema[field.name].dataType, LongType):
        told = F.raise_error(F.lit(f"feature {field.name} has integers beyond 2**53, which a double can't tell apart"))
        return F.when(F.abs(column) > EXACT_INTEGERS, told.cast("double")).otherwise(column.cast("double"))
    return column.cast("double")
