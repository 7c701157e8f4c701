"""One module per stage: from a spec and the lake's state to published rows. Callable without Dagster; the assets call them."""
