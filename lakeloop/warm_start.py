"""A façade: pipelines copied under 0.1.0 import this name from here. New ones import `lakeloop.pipeline_api`."""

from lakeloop.training.warm_start import continue_trees

__all__ = ["continue_trees"]
