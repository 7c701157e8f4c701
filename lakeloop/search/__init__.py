"""Hyperparameter search: the space, time-ordered cross-validation, and what a search gained. Optuna's storage is in `resources`."""
