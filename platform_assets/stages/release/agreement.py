"""Whether MLflow's alias `champion` and the ledger name the same version. What serves and what predicts is the ledger's, whatever MLflow says."""

from __future__ import annotations

from lakeloop.project.project import Located
from lakeloop.spec.workflow import WorkflowSpec

PROMOTED = "model_is_promoted"
"""The check that says whether the newest model is the champion; a warning, because a refusal is an answer and not an accident."""
AGREES = "mlflow_agrees"
"""The check that nobody has moved the alias by hand."""


def agreement(located: Located[WorkflowSpec], champion: str | None, alias: str | None) -> tuple[str, str]:
    """The outcome of the check and its message, with the two commands that make both say the same.

    Args:
        located: the workflow.
        champion: the version that is released by the ledger.
        alias: the version that MLflow's alias is on.
    """
    if champion == alias:
        return "passed", f"version {champion or 'none'}"
    name = ".".join(located.id)
    promote = f"lakeloop release promote {name}"
    ways = [
        *([f"`{promote} {champion} --reason …` puts MLflow's alias back on version {champion}"] if champion else []),
        *([f"`{promote} {alias} --reason …` releases version {alias}"] if alias else []),
    ]
    return "failed", (
        f"version {champion or 'none'} of {name} is released: it is served, and makes the batch predictions; MLflow's alias champion is on version "
        f"{alias or 'none'}, where no release has put it. {'; '.join(ways)}"
    )
