"""Voiding the evidence of a released version: it goes on serving until a successor is released, and counts in no comparison."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from lakeloop.errors import DataError
from lakeloop.project.project import Located
from lakeloop.records.release import ReleaseState
from lakeloop.spec.workflow import WorkflowSpec
from platform_assets.stages.base import key_of
from platform_assets.stages.release.decision_rows import append_decision
from resources.lake.lake import Lake
from resources.lake.published import WHOLE, PartitionState


def void_release(lake: Lake, located: Located[WorkflowSpec], version: str, reason: str, *, who: str | None, at: datetime) -> str:
    """Record that the evidence of the version that is in use, or of the best release so far, is void, and why; done again, it changes nothing.

    The next evaluation compares its model with no champion, and a version that passes its gates and beats the baselines takes its place.

    Returns:
        What was done, in a sentence.

    Raises:
        DataError: nothing is released, or another version is; or there is no reason.
    """
    states, name = lake.states(), ".".join(located.id)
    release = states.whole(ReleaseState, located)
    if not reason.strip():
        raise DataError("reason: wanted why its evidence is void, such as --reason 'registered is counted after the ride', found nothing")
    if release is None or release.value.champion is None:
        raise DataError(f"no version of {name} is released, so that there is none to void")
    champion, before = release.value.champion, release.value.voided or {}
    if version not in (champion, release.value.best):
        best = f" or the best release so far, {release.value.best}" if release.value.best not in (None, champion) else ""
        raise DataError(
            f"wanted the version of {name} that is released, {champion}{best}, found {version}; others count in no comparison anyway"
        )
    if version in before:
        return f"version {version} of {name} is void already: {before[version]}"
    record = replace(release.value, voided={**before, version: reason.strip()})
    key = key_of(ReleaseState.stage, located)
    state = PartitionState(WHOLE, release.fingerprint, -1, release.rows, value=record)
    append_decision(
        lake,
        {
            "domain": located.domain, "workflow": located.spec.name, "action": "void", "candidate": version, "version_before": champion,
            "version_after": champion, "reason": reason.strip(), "evidence": "{}", "who": who,
        },
        at,
        once=f"void:{name}:{version}:{release.value.decided_at}",
    )  # fmt: skip
    lake.record(key, [state], after=states.of(key))
    return (
        f"the evidence of version {version} of {name} is void: it goes on serving until another version is released, and none is compared with it. "
        f"Next: lakeloop materialize {name}"
    )
