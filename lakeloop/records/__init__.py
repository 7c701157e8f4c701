"""What each stage records of what it published, for the stages after it: one frozen record per stage, kept as JSON with its verdict.

The only place that knows the keys of that JSON. Nothing is computed here.
"""
