"""Batch predictions on Spark: features joined and the MLflow model applied where the rows are; only scores come back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from lakeloop.rows.types import EXACT_INTEGERS
from lakeloop.spec.tasks import to_scores
from resources.spark.asof import SparkFeatureRows, point_in_time_join
from resources.spark.tables import frame_of
from resources.tracking.model_files import REPORT, WRITTEN_BY_DOWNLOAD

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
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
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    if not spine.num_rows:
        return model.predict(pd.DataFrame())
    joined = point_in_time_join(frame_of(spark, spine.append_column(_ROW, pa.array(range(spine.num_rows), pa.int64()))), features, at=at)
    inputs = joined.select(_ROW, *(_input(joined, field).alias(field.name) for field in model.fields))
    # An array takes one number a row as well as several.
    scored = inputs.mapInPandas(_scorer(model), f"{_ROW} long, {_SCORE} array<double>")
    answered = scored.orderBy(_ROW).toArrow()[_SCORE].combine_chunks()
    raw = np.asarray(answered.flatten()).reshape(spine.num_rows, -1)
    return to_scores(raw, model.answer, model.fitted)


def _scorer(model: ServableModel) -> Callable[[Iterator[pd.DataFrame]], Iterator[pd.DataFrame]]:
    """What Spark's workers do with batches of a model's inputs.

    With MLflow's own `spark_udf`, threads of a process load a model from a folder into which another one is still downloading it, and a model is
    told apart from those of other servers by its name and version only. The function names nothing of this project, which the workers may not have: they need MLflow and what the model requires.
    """
    import mlflow

    uri, tracking_uri, names = model.uri, mlflow.get_tracking_uri(), [field.name for field in model.fields]
    files, beside = dict(model.contents.files) if model.contents is not None else {}, {REPORT, WRITTEN_BY_DOWNLOAD}
    method, row, score = model.raw_method, _ROW, _SCORE

    def checked_copy(folder: str) -> str:
        """A folder that was downloaded, if it holds the files that were checked where the model was loaded first, and no others."""
        import hashlib
        from pathlib import Path

        there = {path.relative_to(folder).as_posix(): path for path in Path(folder).rglob("*") if not path.is_dir() or path.is_symlink()}
        for file in sorted(files.keys() | there.keys() - beside):
            digest = hashlib.sha256(there[file].read_bytes()).hexdigest() if file in there and not there[file].is_symlink() else ""
            if digest != files.get(file):
                raise ValueError(f"{uri} was overwritten since it was checked: {file}; nothing was loaded")
        return folder

    def scores(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        import threading

        import mlflow
        import numpy as np
        import pandas as pd

        # A function that is sent is a new one in each task. What a process keeps between them, and locks by, is with a module.
        kept = vars(mlflow).setdefault("_lakeloop_scoring", {"lock": threading.Lock()})
        with kept["lock"]:
            if kept.get("of") != (tracking_uri, uri):
                mlflow.set_tracking_uri(tracking_uri)
                place = checked_copy(mlflow.artifacts.download_artifacts(artifact_uri=uri)) if files else uri
                kept.update(of=(tracking_uri, uri), model=mlflow.pyfunc.load_model(place))
            loaded = kept["model"]
        predict = getattr(loaded.get_raw_model(), method) if method else loaded.predict
        for batch in batches:
            if len(batch):
                answers = np.asarray(predict(batch[names]), np.float64).reshape(len(batch), -1)
                yield pd.DataFrame({row: batch[row], score: list(answers)})

    return scores


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
