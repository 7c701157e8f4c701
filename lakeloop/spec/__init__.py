"""What users write: tables, views, workflows and searches, validated field by field; tasks, partitions and time steps.

Nothing here looks at two definitions together; `lakeloop.project` does.
"""

from lakeloop.spec.tables import Task  # pipelines copied under 0.1.0 import it from here

__all__ = ["Task"]
