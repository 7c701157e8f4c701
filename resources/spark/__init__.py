"""Spark: sessions on any engine, pinned tables as DataFrames, the point-in-time join and batch scoring."""
