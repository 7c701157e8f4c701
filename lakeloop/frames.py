"""A façade: pipelines copied under 0.1.0 import this name from here. New ones import `lakeloop.pipeline_api`."""

from lakeloop.rows.types import Kind

__all__ = ["Kind"]
