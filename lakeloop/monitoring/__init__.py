"""What is asked and answered in production, held against the training window day by day: drift and its alarms. Values in, values out."""
