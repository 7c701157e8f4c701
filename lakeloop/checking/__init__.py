"""What is wrong with definitions, by file, line and key, before anything runs."""
