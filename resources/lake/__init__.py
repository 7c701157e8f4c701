"""The lake: Delta tables under one root, written and published only with a passing verdict."""
