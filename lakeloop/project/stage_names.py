"""The stages by name, as far as definitions have to know them: as a table's first name in SQL, and as names that no domain can have."""

from __future__ import annotations

STAGES = (
    "raw", "validated", "features", "training_sets", "studies", "models", "evaluations", "releases", "predictions", "deployments",
)  # fmt: skip
"""Every stage, in the order of the graph."""
STAGES_WITH_ROWS = ("raw", "validated", "features", "training_sets", "predictions")
"""The stages whose rows a query can read."""
REPORTS, INFERENCE_LOG = "reports", "inference_log"
RESERVED_DOMAINS = frozenset({*STAGES, REPORTS, INFERENCE_LOG})
"""First names of tables in SQL; a domain with such a name would make `name.name` mean two things."""
