"""Hyperparameter search: the space, time-ordered cross-validation, and the gain of a search. Optuna's storage is in `resources`."""
