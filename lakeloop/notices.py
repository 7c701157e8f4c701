"""Notifications about runs: one message per cause, repeated only after a recovery. This module decides; it sends nothing.

A subject (an asset, a check, a workflow's candidate) is in trouble for a cause. A cause makes a message the first time it is seen, and none
again until the subject has recovered, whether a retry, a sensor or a schedule meets it; alternating causes are reported once each. Assets that
fail for one cause in one run make one message, and each of them recovers by itself.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from lakeloop.fingerprint import fingerprint

LONGEST_REASON = 700
"""Characters of a reason that a chat shows without folding; the link leads to the whole text."""
MOST_NAMED = 10
"""Assets that a message names; the others are counted."""
MOST_KNOWN = 20
"""The newest causes that are kept per subject: a candidate gets another one with each version, and a cursor must not grow without limit."""
Troubles = Mapping[str, Sequence[str]]
"""Subject -> the causes that have been reported since it last recovered."""
_TIME = r"(?:\d+(?:\.\d+)?\s?(?:ns|us|µs|ms|secs?|seconds?|s|min|minutes?|hours?|h)\b\s?)+|\d+:\d\d:\d\d(?:\.\d+)?"
_VOLATILE = [
    (re.compile(pattern), placeholder)
    for pattern, placeholder in (
        (r"(?<![0-9A-Za-z])[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?![0-9A-Za-z])", "<id>"),
        # At least one letter, so that a number of 32 digits stays one.
        (r"(?<![0-9A-Za-z])(?=\d*[a-f])[0-9a-f]{32}(?![0-9A-Za-z])", "<id>"),
        (r"\bat 0x[0-9A-Fa-f]+", "at <address>"),
        # The names of Python's `tempfile` and of `mktemp`.
        (r"(?<=/)tmp(?:[a-z0-9_]{8}|\.[A-Za-z0-9]{10})(?![A-Za-z0-9_])", "<temporary>"),
        (r"(?<=/proc/)\d+", "<pid>"),
        (r"(?i)\b(pid|process id)\s*[:=#(]?\s*\d+", r"\1 <pid>"),
        # "can't process 3 rows" has a count, not a process id.
        (r"(?i)((?:\bby|\() ?process) \d+", r"\1 <pid>"),
        (r"(?i)\b(process) \d+(?= (?:waits|exited|ended|died|was|is|has)\b)", r"\1 <pid>"),
        (rf"\b(after|in|for|within|took|waited) (?:{_TIME})", r"\1 <duration> "),
        # A store that is unreachable fails for each of its tables (`open_delta`).
        (r"\b(the store \S+ did not give) \S+", r"\1 <table>"),
        (r"""((?:127\.0\.0\.1|localhost|\[?::1\]?)["')]*(?: \(\S+\))?(?::|,? port[ =]))\d+""", r"\1<port>"),
    )
]
"""What varies between occurrences of one cause. Other numbers (partitions, versions, counts) distinguish causes."""
_GONE = re.compile(r"(?:went away|did not answer)\b.*", re.DOTALL)
"""When a server is gone, the request and the waiting time that follow: they belong to the step, not to the cause."""
_ASKED_FOR = re.compile(r"^[^\s:]+: (?=[^:].* does not answer\b)")
"""When a database is gone, the table that precedes the message: each of its tables has its own (`DatabaseReader`)."""


@dataclass(frozen=True)
class StepFailure:
    """A step that failed after all retries: its asset (`stage/domain/name`) or its own name, and the error's message."""

    asset: str
    reason: str


@dataclass(frozen=True)
class CheckOutcome:
    """The outcome of an asset check in a run."""

    asset: str
    check: str
    passed: bool
    blocking: bool
    reason: str = ""


@dataclass(frozen=True)
class Refusal:
    """A model version that was not promoted."""

    domain: str
    workflow: str
    candidate: str
    reason: str
    model_url: str = ""


@dataclass(frozen=True)
class EndedRun:
    """The outcome of a run, as far as it may have to be reported.

    `request` identifies what was requested: a fingerprint of the selected assets, or the job's name. Of a run that was killed and that another has
    taken the place of (`RETRIED`), the failure isn't news: the other's end tells.
    """

    run_id: str
    status: Literal["SUCCESS", "FAILURE", "CANCELED", "RETRIED"]
    reason: str = ""
    request: str = ""
    succeeded: Sequence[str] = ()
    failures: Sequence[StepFailure] = ()
    checks: Sequence[CheckOutcome] = ()
    refusals: Sequence[Refusal] = ()


@dataclass(frozen=True)
class Notice:
    """One message: its subject, the cause, the text, where to look, and which other troubles are mere symptoms of it."""

    subject: str
    cause: str
    title: str
    body: str
    links: Mapping[str, str] = field(default_factory=dict)
    covers: Mapping[str, str] = field(default_factory=dict)

    @property
    def known(self) -> Mapping[str, str]:
        """The troubles that this message reports, by subject: its own, and those that it covers."""
        return {**self.covers, self.subject: self.cause}

    @property
    def subjects(self) -> list[str]:
        """Every subject that is in trouble for its cause."""
        return [subject for subject, cause in self.known.items() if cause == self.cause]

    @property
    def text(self) -> str:
        """Body and links."""
        return "\n".join([self.body, "", *(f"{label}: {url}" for label, url in self.links.items())])


def collect_notices(run: EndedRun, *, ui: str, environment: str, warnings: bool) -> list[Notice]:
    """Collect the troubles of a run, reported before or not, one per cause.

    All assets that a missing server stopped share a cause, and so do a failed check and the failure that follows from it.

    Args:
        run: an ended run.
        ui: address of Dagster's UI.
        environment: its name, for the title.
        warnings: whether checks that block nothing count.
    """
    notices = _collect_failures(run)
    if run.status == "FAILURE" and not run.failures:
        reason = run.reason or "its process ended without saying why"
        advice = "See its log; start it again once the cause is fixed."
        cause = fingerprint(normalize_reason(reason))
        notices.append(_make_notice(f"run:{run.request}", cause, f"run {run.run_id[:8]} failed", reason, advice))
    if run.status == "CANCELED":
        reason = run.reason or "A person, or the shutdown of the platform, stopped it."
        advice = "Start it again if it was not meant to stop."
        notices.append(_make_notice(f"canceled:{run.request}", run.run_id, f"run {run.run_id[:8]} was canceled", reason, advice))
    checks = [check for check in run.checks if not check.passed]
    notices += [_refusal_notice(refusal, checks) for refusal in run.refusals]
    covered = {subject for notice in notices for subject in notice.covers}
    check_notices = [_check_notice(check) for check in checks if check.blocking or warnings]
    notices += [notice for notice in check_notices if notice.subject not in covered]
    return [_add_links(notice, run, ui, environment) for notice in notices]


def select_new(notices: Sequence[Notice], troubles: Troubles) -> list[Notice]:
    """Select the notices that are news: for none of their subjects has the cause been reported.

    A known cause that has reached another asset is no news; `record_notice` keeps the asset although nothing is sent.
    """
    return [notice for notice in notices if all(notice.cause not in troubles.get(subject, ()) for subject in notice.subjects)]


def record_notice(notice: Notice, troubles: Troubles) -> dict[str, list[str]]:
    """Add the troubles of a notice to the reported ones."""
    reported = {subject: list(causes) for subject, causes in troubles.items()}
    for subject, cause in notice.known.items():
        earlier = [other for other in reported.get(subject, []) if other != cause]
        reported[subject] = [*earlier, cause][-MOST_KNOWN:]
    return reported


def clear_resolved(run: EndedRun, troubles: Troubles) -> dict[str, list[str]]:
    """Drop the troubles that a run has resolved: materialised assets and passed checks have recovered, and so has the run of a success."""
    recovered = {*run.succeeded, *(f"{check.asset}#{check.check}" for check in run.checks if check.passed)}
    if run.status == "SUCCESS":
        recovered.add(f"run:{run.request}")
    return {subject: list(causes) for subject, causes in troubles.items() if subject not in recovered}


def normalize_reason(reason: str) -> str:
    """Drop what varies between occurrences of one cause; for comparing reasons, not for reading them.

    >>> normalize_reason("run 0b5f1c9e-3d7a-4f0e-9a68-1f2e3d4c5b6a of partition 2024-03 was killed after 12.3 s (pid 4711)")
    'run <id> of partition 2024-03 was killed after <duration> (pid <pid>)'
    """
    text = _GONE.sub("is gone", _ASKED_FOR.sub("", reason))
    for pattern, placeholder in _VOLATILE:
        text = pattern.sub(placeholder, text)
    return " ".join(text.split())


def _collect_failures(run: EndedRun) -> list[Notice]:
    """One notice per cause. The steps of one asset may fail for several reasons, which together are its cause: a subject has one at a time."""
    reasons: dict[str, dict[str, str]] = {}
    for failure in run.failures:
        reasons.setdefault(failure.asset, {}).setdefault(normalize_reason(failure.reason), failure.reason)
    assets_by_cause: dict[str, list[str]] = {}
    for asset, asset_reasons in reasons.items():
        assets_by_cause.setdefault(fingerprint(*sorted(asset_reasons)), []).append(asset)
    return [_failure_notice(run, cause, assets, "\n".join(reasons[assets[0]].values())) for cause, assets in assets_by_cause.items()]


def _failure_notice(run: EndedRun, cause: str, assets: Sequence[str], reason: str) -> Notice:
    first, *others = assets
    if others:
        title = f"{len(assets)} assets failed for one cause"
        more = f" and {len(assets) - MOST_NAMED} more" if len(assets) > MOST_NAMED else ""
        advice = f"Failed: {', '.join(assets[:MOST_NAMED])}{more}.\nFix the cause, then materialise them again; "
    else:
        title, advice = f"{first} failed", "Fix the cause, then materialise it again; "
    notice = _make_notice(first, cause, title, reason, f"{advice}what was published before is still valid.", asset=first)
    symptoms = _find_symptoms([check for check in run.checks if check.blocking and not check.passed], assets)
    return replace(notice, covers={**dict.fromkeys(others, cause), **symptoms})


def _find_symptoms(checks: Sequence[CheckOutcome], assets: Collection[str]) -> dict[str, str]:
    """The failed checks of some assets as troubles: those that stopped a step, and the gates that refused a model."""
    return {f"{check.asset}#{check.check}": _check_cause(check) for check in checks if check.asset in assets}


def _check_cause(check: CheckOutcome) -> str:
    """The cause of a failed check: by its reason, ids included, if it blocks; a warning that persists is one cause, whatever its numbers."""
    return fingerprint(check.reason) if check.blocking else "failing"


def _check_notice(check: CheckOutcome) -> Notice:
    kind = "blocking check" if check.blocking else "check"
    advice = "Look at its unexpected rows." + ("" if check.blocking else " It is a warning: the data were published.")
    reason, title = check.reason or "It gave no reason.", f"{kind} {check.check} of {check.asset} failed"
    return _make_notice(f"{check.asset}#{check.check}", _check_cause(check), title, reason, advice, asset=check.asset)


def _refusal_notice(refusal: Refusal, checks: Sequence[CheckOutcome]) -> Notice:
    name = f"{refusal.domain}.{refusal.workflow}"
    advice = "The previous champion, if any, stays. Read the evaluation; train on more or better data, or change the gate."
    links = {"Model": refusal.model_url} if refusal.model_url else {}
    asset = f"releases/{refusal.domain}/{refusal.workflow}"
    title = f"version {refusal.candidate} of {name} was not promoted"
    cause = fingerprint(refusal.candidate, refusal.reason)
    notice = _make_notice(f"refused:{name}", cause, title, refusal.reason, advice, asset=asset, links=links)
    return replace(notice, covers=_find_symptoms(checks, {asset, asset.replace("releases/", "evaluations/")}))


def _make_notice(
    subject: str,
    cause: str,
    title: str,
    reason: str,
    advice: str,
    *,
    asset: str = "",
    links: Mapping[str, str] | None = None,
) -> Notice:
    short = reason if len(reason) <= LONGEST_REASON else reason[: LONGEST_REASON - 1] + "…"
    return Notice(subject, cause, title, f"{short}\n{advice}", {**({"Asset": asset} if asset.count("/") == 2 else {}), **(links or {})})


def _add_links(notice: Notice, run: EndedRun, ui: str, environment: str) -> Notice:
    links = {"Run": f"{ui}/runs/{run.run_id}"}
    links |= {label: f"{ui}/assets/{target}" if label == "Asset" else target for label, target in notice.links.items()}
    return replace(notice, title=f"[{environment}] {notice.title}", links=links)
