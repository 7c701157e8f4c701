"""Every tag of ours in MLflow, on runs and on model versions. They are stored for as long as a registry exists, so a tag keeps its name.

Tags that MLflow and dagster-mlflow define (`mlflow.parentRunId`, `dagster_run_id`) keep theirs where they are used.
"""

# On the run of a Dagster run and workflow, and on a model version
DOMAIN_TAG = "lakeloop.domain"
WORKFLOW_TAG = "lakeloop.workflow"

# On a registered model
RETIRED_TAG = "lakeloop.retired"
"""When its workflow was removed (ISO 8601)."""

# On that run: which process has it open
PID_TAG = "lakeloop.pid"
HOST_TAG = "lakeloop.host"
PROCESS_STARTED_TAG = "lakeloop.process_started"

# On the run of a trial, which is nested under the run of its Dagster run
STUDY_TAG = "lakeloop.study"
TRIAL_TAG = "lakeloop.trial"
"""The trial's number."""
TRIAL_STATE_TAG = "lakeloop.trial_state"
"""Logged with everything else of a trial, so that a run without it was left half written."""
REASON_TAG = "lakeloop.reason"
"""Why the trial failed."""

# On a dataset that a run was given
DELTA_VERSION_TAG = "delta_version"

# On a model version
FINGERPRINT_TAG = "lakeloop.fingerprint"
READY_TAG = "lakeloop.ready"
"""Set in the request that makes the version; one without it doesn't count."""
TRAINING_SET_TAG = "training_set_version"
TRAINING_TAG = "lakeloop.training"
"""How it was trained, in a sentence, where its workflow asks for a warm start."""
ROWS_FITTED_TAG = "rows_fitted"
CONTINUED_FROM_TAG = "continued_from"
"""The version whose trees it continues."""
REGISTERED_TAG = "lakeloop.registered"
"""The URI of the registered model that it refers to."""
DESCRIBED_FROM_TAG = "described_from"
"""The URI of the version that it repeats, with a signature and a feature spec."""
REPORT_TAG = "lakeloop.report"
"""The address of its evaluation report."""
DECISION_TAG = "lakeloop.decision"
ORDERED_TAG = "lakeloop.promoted_by"
"""Who released it by an order, when and why."""
WITHDRAWN_TAG = "lakeloop.rolled_back_by"
"""Who took it back, when and why."""


def metric_tag(metric: str) -> str:
    """The tag of a model version that holds a metric of its evaluation on test rows.

    >>> metric_tag("roc_auc")
    'test_roc_auc'
    """
    return f"test_{metric}"
