"""The outside world, thin and typed: the lake, Spark, MLflow, Great Expectations, model serving, settings.

The environment is read in `resources.settings` and nowhere else.
"""
