"""The embedded engine against Spark on a JVM: random queries over hostile values, run on both and compared value by value."""
