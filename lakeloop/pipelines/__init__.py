"""Ready-made pipelines: one short file each, which a user may copy and own.

Such a file says in its docstring when to use it, and holds `TASKS` (the tasks that it supports), `estimator(kinds, answer, params, seed)` (an unfitted
scikit-learn estimator) and `search_space(task)` (the default space of a search); where needed, `MOST_ROWS` (per task,
the most rows that it can be fitted on). A file beside a definition with these is a pipeline too. It imports `lakeloop.pipeline_api` and no other
module of ours. `lakeloop.training.pipelines` lists the pipelines.
"""

from lakeloop.training.pipelines import TRUSTED_TYPES, make  # imported from here under 0.1.0

__all__ = ["TRUSTED_TYPES", "make"]
