"""What the campaigns of `benchmarks` found, as small cases, and as much of the campaigns as fits in a test run."""
