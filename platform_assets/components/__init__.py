"""The three nouns as Dagster components, re-exported where `dg` looks for them."""

from platform_assets.components.feature_view import FeatureView
from platform_assets.components.lake_table import LakeTable
from platform_assets.components.ml_workflow import MLWorkflow

__all__ = ["FeatureView", "LakeTable", "MLWorkflow"]
