"""Aggregates over moving frames, in numpy: each frame is added up from its parts, and nothing is ever subtracted. No SQL and no engine here."""
