"""The names that a user's own pipeline imports; they stay here from release to release, and no other module of ours is needed.

A façade, and the only import from the ground upwards: everything in it is defined elsewhere.
"""

from lakeloop.rows.types import Kind
from lakeloop.spec.tables import Task
from lakeloop.spec.tasks import MEDIAN, Answer
from lakeloop.training.pipelines import TRUSTED_TYPES, make
from lakeloop.training.preprocessing import preprocessing
from lakeloop.training.unknown_values import repeat_without_values
from lakeloop.training.warm_start import continue_trees

__all__ = ["MEDIAN", "TRUSTED_TYPES", "Answer", "Kind", "Task", "continue_trees", "make", "preprocessing", "repeat_without_values"]
