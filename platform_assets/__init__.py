"""What exists: the three components, the stages that turn a spec into assets, and `defs/`, the actual tables, views, workflows."""
