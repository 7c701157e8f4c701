"""When to act: sensors and schedules. Each is a function of what the lake, the registry and Dagster's runs say."""
