"""Tags of Dagster runs that say what started a run and how it ended."""

STOPPED_TAG = "lakeloop/stopped"
"""On a run that nobody canceled: the platform stopped while it ran."""
UP_TAG = "lakeloop/up"
"""On a run that `lakeloop up` launched."""
CAUSE_TAG = "lakeloop/cause"
"""On a run that a sensor requested: why."""
