"""What each of several processes does that share a study: a module of its own, so that they import little."""

from __future__ import annotations

from resources.settings import Settings


def search(settings: Settings) -> None:
    """Try five values."""
    import optuna

    from resources.search.storage import study_storage

    study = optuna.load_study(study_name="shop.returns", storage=study_storage(settings))
    study.optimize(lambda trial: -((trial.suggest_float("x", -1, 1)) ** 2), n_trials=5)
