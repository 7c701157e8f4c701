"""Measured claims, as ratios in one run: `make bench`."""
