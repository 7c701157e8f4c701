"""What people are told of runs: one message per cause, and again only after it was well in between. Decisions alone; nothing is sent here.

A subject (an asset, a check, a workflow's candidate) is in trouble for a cause. The first time a cause is seen it makes a message; until
the subject is well, it makes none again, by a retry, a sensor or a schedule, whatever other causes come in between. Assets
that fail for one cause in one run are one message, and each of them gets well by itself.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from lakeloop.fingerprint import fingerprint

LONGEST_REASON = 700
"""Characters of a reason: what a chat shows without folding. The whole stands behind the link."""
MOST_NAMED = 10
"""Assets that a message names; more are counted."""
MOST_KNOWN = 20
"""Causes that are kept of a subject that isn't well, the newest: a candidate has another one with each version, and a cursor has to end."""
Troubles = Mapping[str, Sequence[str]]
"""Subject -> the causes that it is known to have been in trouble for since it was well."""
_TIME = r"(?:\d+(?:\.\d+)?\s?(?:ns|us|µs|ms|secs?|seconds?|s|min|minutes?|hours?|h)\b\s?)+|\d+:\d\d:\d\d(?:\.\d+)?"
_VOLATILE = [
    (re.compile(pattern), kept)
    for pattern, kept in (
        (r"(?<![0-9A-Za-z])[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?![0-9A-Za-z])", "<id>"),
        # A letter is wanted, so that a decimal of 32 digits stays one.
        (r"(?<![0-9A-Za-z])(?=\d*[a-f])[0-9a-f]{32}(?![0-9A-Za-z])", "<id>"),
        (r"\bat 0x[0-9A-Fa-f]+", "at <address>"),
        # As Python's `tempfile` and `mktemp` call theirs.
        (r"(?<=/)tmp(?:[a-z0-9_]{8}|\.[A-Za-z0-9]{10})(?![A-Za-z0-9_])", "<temporary>"),
        (r"(?<=/proc/)\d+", "<pid>"),
        (r"(?i)\b(pid|process id)\s*[:=#(]?\s*\d+", r"\1 <pid>"),
        # "can't process 3 rows" has a count.
        (r"(?i)((?:\bby|\() ?process) \d+", r"\1 <pid>"),
        (r"(?i)\b(process) \d+(?= (?:waits|exited|ended|died|was|is|has)\b)", r"\1 <pid>"),
        (rf"\b(after|in|for|within|took|waited) (?:{_TIME})", r"\1 <duration> "),
        # A store that is gone is so for each table of it (`open_delta`).
        (r"\b(the store \S+ did not give) \S+", r"\1 <table>"),
        (r"""((?:127\.0\.0\.1|localhost|\[?::1\]?)["')]*(?: \(\S+\))?(?::|,? port[ =]))\d+""", r"\1<port>"),
    )
]
"""What differs from one time to the next though the cause is the same. Other numbers (partitions, versions, counts) tell causes apart."""
_GONE = re.compile(r"(?:went away|did not answer)\b.*", re.DOTALL)
"""Behind it stands what was asked for when a server was gone, or for how long: each step's own, and no part of why."""
_ASKED_FOR = re.compile(r"^[^\s:]+: (?=[^:].* does not answer\b)")
"""The table that was asked for when its database was gone, which every table of it has its own of (`DatabaseReader`)."""


@dataclass(frozen=True)
class StepFailure:
    """A step that failed for good: its asset (`stage/domain/name`) or its own name, and the error's message."""

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
    """What a run left behind, as far as people may have to know."""

    run_id: str
    status: Literal["SUCCESS", "FAILURE", "CANCELED"]
    reason: str = ""
    asked_by: str = ""
    succeeded: Sequence[str] = ()
    failures: Sequence[StepFailure] = ()
    checks: Sequence[CheckOutcome] = ()
    refusals: Sequence[Refusal] = ()


@dataclass(frozen=True)
class Notice:
    """One message: whom it is about, why, what it says, where to look, and which other troubles are only signs of it."""

    subject: str
    cause: str
    title: str
    body: str
    links: Mapping[str, str] = field(default_factory=dict)
    covers: Mapping[str, str] = field(default_factory=dict)

    @property
    def known(self) -> Mapping[str, str]:
        """The troubles that are known to whoever has got this message, by subject: its own, and those that it covers."""
        return {**self.covers, self.subject: self.cause}

    @property
    def subjects(self) -> list[str]:
        """Whom it is about: every subject that is in trouble for its cause."""
        return [subject for subject, cause in self.known.items() if cause == self.cause]

    @property
    def text(self) -> str:
        """Body and links."""
        return "\n".join([self.body, "", *(f"{what}: {url}" for what, url in self.links.items())])


def collect_notices(run: EndedRun, *, ui: str, environment: str, warnings: bool) -> list[Notice]:
    """Every trouble that a run shows, told or not before, one per cause.

    All assets that the absence of a server has stopped are one, and so are a failed check and the failure that it leads to.

    Args:
        run: ended.
        ui: address of Dagster's UI.
        environment: stands in the title.
        warnings: whether checks that block nothing count.
    """
    found = _of_failures(run)
    if run.status == "FAILURE" and not run.failures:
        told = run.reason or "its process ended without saying why"
        what = "See its log; when the cause is mended, start it again."
        cause = fingerprint(normalize_reason(told))
        found.append(_notice(f"run:{run.asked_by}", cause, f"run {run.run_id[:8]} failed", told, what))
    if run.status == "CANCELED":
        reason = run.reason or "Somebody, or the end of the platform, stopped it."
        what = "Start it again if it was not meant to stop."
        found.append(_notice(f"canceled:{run.asked_by}", run.run_id, f"run {run.run_id[:8]} was canceled", reason, what))
    checks = [check for check in run.checks if not check.passed]
    found += [_of_refusal(refusal, checks) for refusal in run.refusals]
    covered = {subject for notice in found for subject in notice.covers}
    judged = [_of_check(check) for check in checks if check.blocking or warnings]
    found += [notice for notice in judged if notice.subject not in covered]
    return [_with_links(notice, run, ui, environment) for notice in found]


def select_new(found: Sequence[Notice], troubles: Troubles) -> list[Notice]:
    """Those that nobody has been told: none of the subjects that they are about is known to be in trouble for that cause.

    A cause that is known of one of its assets and has now reached another is no news; what it has reached is kept by `record_notice` though
    nothing is sent.
    """
    return [notice for notice in found if all(notice.cause not in troubles.get(subject, ()) for subject in notice.subjects)]


def record_notice(notice: Notice, troubles: Troubles) -> dict[str, list[str]]:
    """The troubles that are known once a notice is: those before it, and its own."""
    found = {subject: list(causes) for subject, causes in troubles.items()}
    for subject, cause in notice.known.items():
        before = [other for other in found.get(subject, []) if other != cause]
        found[subject] = [*before, cause][-MOST_KNOWN:]
    return found


def clear_resolved(run: EndedRun, troubles: Troubles) -> dict[str, list[str]]:
    """The troubles that a run has not ended: a materialised asset and a passed check are well again, and their workflow's run with them."""
    well = {*run.succeeded, *(f"{check.asset}#{check.check}" for check in run.checks if check.passed)}
    if run.status == "SUCCESS":
        well.add(f"run:{run.asked_by}")
    return {subject: list(causes) for subject, causes in troubles.items() if subject not in well}


def normalize_reason(reason: str) -> str:
    """A reason without what differs from one time to the next though the cause is the same; for comparing, not for reading.

    >>> normalize_reason("run 0b5f1c9e-3d7a-4f0e-9a68-1f2e3d4c5b6a of partition 2024-03 was killed after 12.3 s (pid 4711)")
    'run <id> of partition 2024-03 was killed after <duration> (pid <pid>)'
    """
    text = _GONE.sub("is gone", _ASKED_FOR.sub("", reason))
    for pattern, kept in _VOLATILE:
        text = pattern.sub(kept, text)
    return " ".join(text.split())


def _of_failures(run: EndedRun) -> list[Notice]:
    """One per cause. An asset of several steps may fail for several reasons, which are its cause together: it is known for one at a time."""
    reasons: dict[str, dict[str, str]] = {}
    for failure in run.failures:
        reasons.setdefault(failure.asset, {}).setdefault(normalize_reason(failure.reason), failure.reason)
    reached: dict[str, list[str]] = {}
    for asset, told in reasons.items():
        reached.setdefault(fingerprint(*sorted(told)), []).append(asset)
    return [_of_cause(run, cause, assets, "\n".join(reasons[assets[0]].values())) for cause, assets in reached.items()]


def _of_cause(run: EndedRun, cause: str, assets: Sequence[str], reason: str) -> Notice:
    first, *others = assets
    if others:
        title = f"{len(assets)} assets failed for one cause"
        more = f" and {len(assets) - MOST_NAMED} more" if len(assets) > MOST_NAMED else ""
        what = f"Failed: {', '.join(assets[:MOST_NAMED])}{more}.\nMend what it says, then materialise them again; "
    else:
        title, what = f"{first} failed", "Mend what it says, then materialise it again; "
    found = _notice(first, cause, title, reason, f"{what}what was published before still stands.", asset=first)
    signs = _signs([check for check in run.checks if check.blocking and not check.passed], assets)
    return replace(found, covers={**dict.fromkeys(others, cause), **signs})


def _signs(checks: Sequence[CheckOutcome], assets: Collection[str]) -> dict[str, str]:
    """The failed checks of some assets as troubles: what stopped a step, and the gates that refused a model."""
    return {f"{check.asset}#{check.check}": _cause(check) for check in checks if check.asset in assets}


def _cause(check: CheckOutcome) -> str:
    """A blocking check fails again for other data, ids in it included; a warning that goes on is one trouble, whatever its numbers."""
    return fingerprint(check.reason) if check.blocking else "failing"


def _of_check(check: CheckOutcome) -> Notice:
    kind = "blocking check" if check.blocking else "check"
    what = "Look at its unexpected rows." + ("" if check.blocking else " It is a warning: the data were published.")
    reason, title = check.reason or "It gave no reason.", f"{kind} {check.check} of {check.asset} failed"
    return _notice(f"{check.asset}#{check.check}", _cause(check), title, reason, what, asset=check.asset)


def _of_refusal(refusal: Refusal, checks: Sequence[CheckOutcome]) -> Notice:
    name = f"{refusal.domain}.{refusal.workflow}"
    what = "The champion before it, if any, stays. Read the evaluation; train on more or better data, or change the gate."
    links = {"Model": refusal.model_url} if refusal.model_url else {}
    asset = f"releases/{refusal.domain}/{refusal.workflow}"
    title = f"version {refusal.candidate} of {name} was not promoted"
    cause = fingerprint(refusal.candidate, refusal.reason)
    found = _notice(f"refused:{name}", cause, title, refusal.reason, what, asset=asset, links=links)
    return replace(found, covers=_signs(checks, {asset, asset.replace("releases/", "evaluations/")}))


def _notice(
    subject: str,
    cause: str,
    title: str,
    reason: str,
    what: str,
    *,
    asset: str = "",
    links: Mapping[str, str] | None = None,
) -> Notice:
    short = reason if len(reason) <= LONGEST_REASON else reason[: LONGEST_REASON - 1] + "…"
    return Notice(subject, cause, title, f"{short}\n{what}", {**({"Asset": asset} if asset.count("/") == 2 else {}), **(links or {})})


def _with_links(notice: Notice, run: EndedRun, ui: str, environment: str) -> Notice:
    links = {"Run": f"{ui}/runs/{run.run_id}"}
    links |= {what: f"{ui}/assets/{target}" if what == "Asset" else target for what, target in notice.links.items()}
    return replace(notice, title=f"[{environment}] {notice.title}", links=links)
