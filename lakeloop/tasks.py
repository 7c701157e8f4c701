"""A façade: pipelines copied under 0.1.0 import these names from here. New ones import `lakeloop.pipeline_api`."""

from lakeloop.spec.tasks import MEDIAN, Answer

__all__ = ["MEDIAN", "Answer"]
