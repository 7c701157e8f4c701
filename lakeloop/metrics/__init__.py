"""Numbers with intervals: metrics by task, calibration, thresholds, and how numbers are worded."""
