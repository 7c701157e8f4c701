"""Orders: what a person has done with a released version, past the gates. Pure: which version an order means, or why it means none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lakeloop.errors import DataError, nearest
from lakeloop.records.release import Action, ReleaseState


@dataclass(frozen=True)
class Ask:
    """What a person asks for.

    Attributes:
        action: to roll back, or to promote.
        version: that shall be the champion; None for the last champion before this one.
        reason: why.
        who: asks.
    """

    action: Action
    version: str | None
    reason: str
    who: str


@dataclass(frozen=True)
class Known:
    """What is known of a workflow's versions.

    Attributes:
        name: of the workflow, as messages say it.
        release: its state; None while nothing was decided.
        past: the versions that were champion, the last one first.
        versions: that are registered, in rising order.
        alias: the version that MLflow's alias `champion` names.
    """

    name: str
    release: ReleaseState | None
    past: Sequence[str]
    versions: Sequence[str]
    alias: str | None

    @property
    def champion(self) -> str | None:
        """The version that is released."""
        return self.release.champion if self.release else None


@dataclass(frozen=True)
class Plan:
    """What comes of an order: the version that is the champion then, or None where nothing is to be done, and a sentence."""

    version: str | None
    sentence: str


def plan_order(ask: Ask, known: Known, obstacle: Callable[[str], str] = lambda _: "") -> Plan:
    """Which version an order makes the champion.

    Args:
        ask: the order.
        known: of the workflow.
        obstacle: why a version can't be used any more; empty where it can.

    Returns:
        The version. None where all is as it is asked for: the same order given twice changes nothing.

    Raises:
        DataError: there is no reason, or no such version; it can't be loaded; or only the other order may release it.
    """
    if not ask.reason.strip():
        raise DataError(f"reason: wanted why version {ask.version or '…'} of {known.name} shall be the champion, found nothing")
    if ask.version is not None and ask.version not in known.versions:
        raise DataError(f"no version {ask.version!r} of {known.name} is registered; {nearest(ask.version, known.versions)}")
    version, sentence = _rollback(ask, known, obstacle) if ask.action == "rollback" else _promotion(ask, known)
    if version is not None and (why := obstacle(version)):
        raise DataError(f"version {version} of {known.name} can't be released: {why}; nothing was moved")
    return Plan(version, sentence)


def _promotion(ask: Ask, known: Known) -> tuple[str | None, str]:
    version = ask.version
    if version is None:
        raise DataError(f"wanted the version of {known.name} to promote, found none; {nearest('', known.versions)}")
    if version == known.champion and known.alias == version:
        return None, f"version {version} of {known.name} is the champion already"
    if version == known.champion:
        return version, f"MLflow's alias champion of {known.name} goes from version {known.alias or 'none'} back to the champion, {version}"
    return version, f"version {version} of {known.name} is promoted, in place of {known.champion or 'none'}"


def _rollback(ask: Ask, known: Known, obstacle: Callable[[str], str]) -> tuple[str | None, str]:
    release, champion = known.release, known.champion
    if release is None or champion is None:
        raise DataError(f"no version of {known.name} is released, so that there is none to roll back")
    again = f"lakeloop release promote {known.name}"
    if ask.version is None:
        if release.ordered is not None and release.ordered.action == "rollback":
            return None, (
                f"{known.name} was rolled back already, to version {champion}, by {release.ordered.who} ({release.ordered.reason}); to go back "
                "further, name the version: --to"
            )
        earlier = [version for version in known.past if version != champion]
        told = []
        for version in earlier:
            why = release.barred(version) or ("" if version in known.versions else "it isn't registered any more") or obstacle(version)
            if not why:
                return version, f"{known.name} goes back from version {champion} to {version}"
            told.append(f"version {version}: {why}")
        listed = "; ".join(told) or "there was no champion before it"
        raise DataError(f"no champion of {known.name} before {champion} can be released again: {listed}. Another version: {again} VERSION")
    if ask.version == champion:
        return None, f"version {champion} of {known.name} is the champion already"
    if ask.version not in known.past:
        raise DataError(
            f"version {ask.version} of {known.name} was never the champion; to release it past its gates: {again} {ask.version}"
        )
    if why := release.barred(ask.version):
        raise DataError(
            f"version {ask.version} of {known.name} isn't rolled back to: {why}; to release it all the same: {again} {ask.version}"
        )
    return ask.version, f"{known.name} goes back from version {champion} to {ask.version}"
