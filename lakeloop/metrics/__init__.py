"""Numbers with intervals: metrics by task, calibration, thresholds, and the formatting of numbers."""
