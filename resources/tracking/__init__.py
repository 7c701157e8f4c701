"""MLflow: its server, runs, registry and model format. Every tag of ours is named here."""
