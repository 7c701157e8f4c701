"""Optuna studies: storage, workers, trials, and their MLflow runs."""
