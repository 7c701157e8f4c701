"""From a frame of features to a fitted model: frames, labels, splits, pipelines and their registry, baselines, warm start.

Fits and scores, and measures nothing: metrics are in `lakeloop.metrics`. Nothing is logged or stored here.
"""
