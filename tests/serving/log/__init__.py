"""The inference log: records, segments, what the committer makes of them, and what a kill leaves."""
