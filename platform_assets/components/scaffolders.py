"""`dg scaffold defs`: a definition that says everything once, to be edited."""

from __future__ import annotations

import dagster as dg

_TABLE = """\
type: platform_assets.components.LakeTable
attributes:
  name: {name}
  description: What one row means.
  source: {{files: data/*.csv}}
  keys: [id]
  # event_time: happened_at
  # partitions: {{start: 2024-01-01}}
  columns:
    id: {{type: string, nullable: false, description: What identifies a row.}}
    # happened_at: {{type: timestamp, timezone: Europe/Berlin, description: When it happened.}}
  # rules:
  #   amount_is_positive: amount > 0
  expectations:
    - expect_column_value_lengths_to_be_between: {{column: id, min_value: 1}}
"""
_VIEW = """\
type: platform_assets.components.FeatureView
attributes:
  name: {name}
  description: What these features say of an entity.
  sql: view.sql
  keys: [id]
  # event_time: happened_at
  columns:
    feature: {{type: double, description: What it says.}}
"""
_VIEW_SQL = "SELECT id, CAST(1 AS DOUBLE) AS feature\nFROM {domain}.some_table\n"
_WORKFLOW = """\
type: platform_assets.components.MLWorkflow
attributes:
  name: {name}
  description: What is predicted, and when it is asked.
  task: binary_classification
  spine: spine.sql
  keys: [id]
  label: {{view: some_outcomes, column: happened}}
  features:
    some_view: "*"
  model: {{pipeline: gradient_boosting}}
  split: {{train: 180d, test: 30d, gap: 1d}}
  evaluation: {{primary: roc_auc}}
  gates: {{roc_auc: {{min: 0.6}}, champion: {{max_drop: 0.005}}}}
  partitions: {{start: 2024-01-01}}
  batch: {{}}
  online: {{}}
"""
_SPINE_SQL = "SELECT id, happened_at AS predict_at\nFROM {domain}.some_table\n"


class _FolderScaffolder(dg.Scaffolder):
    files: dict[str, str]

    def scaffold(self, request: dg.ScaffoldRequest) -> None:
        """Write the files into the folder; its name and its parent's are the name and the domain."""
        folder = request.target_path
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in self.files.items():
            (folder / name).write_text(text.format(name=folder.name, domain=folder.parent.name))


class LakeTableScaffolder(_FolderScaffolder):
    """A table from CSV files."""

    files = {"defs.yaml": _TABLE}


class FeatureViewScaffolder(_FolderScaffolder):
    """A view by SQL."""

    files = {"defs.yaml": _VIEW, "view.sql": _VIEW_SQL}


class MLWorkflowScaffolder(_FolderScaffolder):
    """A classification workflow."""

    files = {"defs.yaml": _WORKFLOW, "spine.sql": _SPINE_SQL}
