"""The inference log on this machine: records in segments, written before an answer is sent, and committed to the lake by a process beside."""
