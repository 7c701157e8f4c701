"""Tags of Dagster runs that say where a run came from and how it ended."""

STOPPED_TAG = "lakeloop/stopped"
"""Of a run that nobody canceled: the platform ended while it ran."""
UP_TAG = "lakeloop/up"
"""Of a run that `lakeloop up` has launched."""
CAUSE_TAG = "lakeloop/cause"
"""Of a run that a sensor has asked for: why."""
