"""The outside world, thin and typed: the lake, Spark, MLflow, Great Expectations, model serving, settings.

The environment is read in `resources.settings` and nowhere else.
"""

import gc

# What a process of the platform imports stays, a million objects of it: at Python's own threshold they were gone through 1,600 times while
# the rest was imported, a fifth of the time that it takes.
gc.set_threshold(50_000, 20, 20)
