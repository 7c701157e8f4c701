"""Named points at which state changes, where a test can have the process die. They do nothing unless a test says so.

`LAKELOOP_CRASH_AT=<point>:<how>[:<n>]` ends the process when it passes a point for the n-th (first) time: by `kill` (SIGKILL), `term`
(SIGTERM), or `raise` (an exception). `docs/crashes.md` lists what was tested.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import cache

POINTS = {
    "lake.before_beside": "a batch has passed its checks, nothing of it is written",
    "lake.before_commit": "quarantine and superseded rows are written, the table itself isn't",
    "lake.after_commit": "a table's new version is committed, its verdict isn't listed",
    "lake.after_verdict": "a table's verdict is listed, its asset isn't reported",
    "lake.before_record": "a model, an evaluation, a release or a deployment is made, its verdict isn't listed",
    "lake.before_append": "a row of a report is about to be appended",
    "lake.after_append": "a row of a report is appended",
    "mlflow.run_open": "an MLflow run is open, nothing is logged",
    "mlflow.run_closing": "all is logged, the MLflow run is still open",
    "search.trial_drawn": "a trial has its parameters, nothing is fitted",
    "search.trial_scored": "a trial is scored, it hasn't ended",
    "search.trial_run_open": "an ended trial's MLflow run is open, nothing is logged",
    "study.searched": "the trials have ended, what they gained isn't measured",
    "study.reported": "the rows of the trials and the search are written, the study isn't listed",
    "model.fitted": "a model is fitted, not logged",
    "model.logged": "a model is logged, not registered",
    "model.registered": "a model version is registered, its MLflow run still open",
    "evaluation.reported": "the rows of the report are written, plots and metrics aren't logged",
    "release.decided": "a decision is written, no alias has moved",
    "release.promoted": "the champion's alias has moved, the challenger's hasn't",
    "release.tagged": "both aliases stand, the release isn't listed",
    "order.written": "an order to roll back or to promote is written, no alias has moved",
    "order.moved": "the champion's alias has moved by an order, the release isn't listed",
    "deployment.stated": "it is stated what should serve, nobody has waited for it",
}
"""Every point: what is done by then, and what isn't."""


class Crash(Exception):
    """What `raise` raises: an error that no code expects."""


watch: Callable[[str], None] | None = None
"""What a test has done each time a point is passed, besides or in place of dying there."""
_passes: dict[str, int] = {}


@cache
def _requested_crash() -> tuple[str, str, int] | None:
    text = os.environ.get("LAKELOOP_CRASH_AT")
    if not text:
        return None
    point, how, count = [*text.split(":"), "1"][:3]
    if point not in POINTS or how not in ("kill", "term", "raise"):
        raise ValueError(f"LAKELOOP_CRASH_AT: wanted <point>:kill|term|raise[:n] with one of {', '.join(POINTS)}, found {text!r}")
    return point, how, int(count)


def crash_point(name: str) -> None:
    """Pass a point; a process that a test has die here does so."""
    if watch is not None:
        watch(name)
    requested = _requested_crash()
    if requested is None or requested[0] != name:
        return
    _, how, count = requested
    _passes[name] = _passes.get(name, 0) + 1
    if _passes[name] != count:
        return
    print(f"crash point {name}: {how}", file=sys.stderr, flush=True)
    if how == "raise":
        raise Crash(f"requested at {name}")
    os.kill(os.getpid(), signal.SIGKILL if how == "kill" else signal.SIGTERM)
    if how == "term":
        signal.pause()
