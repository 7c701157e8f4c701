"""Versions of feature views: free to change until a release cites one, then kept as it was until no release needs it.

A release cites, for every view that its model looks up, its version and what its values mean. A changed meaning under a version that a live or
rollback release cites is refused. Under a new version it is computed, and the old one stays readable where it stood last: as that Delta
version of the same table. It gets no new rows from then on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lakeloop.errors import NotPublished
from lakeloop.records.features import FeatureLookup, FeatureSpec
from lakeloop.spec.tables import ViewSpec
from resources.lake.published import WHOLE, PartitionState, Published, States, TableKey

VERSION_CHECK = "version_is_as_released"
"""The check that a view's definition is the one that releases cite under its version."""
VERSION, MEANING, KEPT, CITES, ROLLBACK = "version", "meaning", "kept", "cites", "rollback"
FEATURES = "feature_spec"
"""In the value of a release's state: what the champion looks up, whatever the workflow's definition says meanwhile."""
UPSTREAM = "+"
"""Between the two parts of a meaning: of the view's own definition, and of the views that it reads. One that reads tables only has the first."""


def cited_views(states: States, spec: FeatureSpec) -> dict[str, list[Any]]:
    """What a training set's feature spec cites, as published now: table path -> [version, meaning]."""
    found = {}
    for view in spec.views:
        if view.kind != "view":
            continue
        key = TableKey("features", view.domain, view.name)
        of_it = [state for state in _standing(states.get(key, {})) if _version(state) == view.version and MEANING in state.value]
        newest = max(of_it, key=lambda state: state.version, default=None)
        found[str(key)] = [view.version, *([str(newest.value[MEANING])] if newest else [])]
    return found


def citations(states: States, key: TableKey, version: int, meaning: str) -> list[str]:
    """The live and rollback releases that cite a version of a view with another meaning, as `<domain>.<workflow> version <n> (…)`."""
    found = []
    for release, partitions in states.items():
        state = partitions.get(WHOLE)
        if release.stage != "releases" or state is None:
            continue
        back = state.value.get(ROLLBACK) or {}
        for what, model, cites in (
            ("live", state.value.get("champion"), state.value.get(CITES)),
            ("rollback", back.get(VERSION), back.get(CITES)),
        ):
            cited = (cites or {}).get(str(key))
            if model is not None and cited and cited[0] == version and cited[1:] and not _same(cited[1], meaning):
                found.append(f"{release.domain}.{release.name} version {model} ({what})")
    return sorted(found)


def _same(cited: str, meaning: str) -> bool:
    """Whether a meaning is the cited one. A release made before upstream views counted cites the first part only."""
    return cited == (meaning if UPSTREAM in cited else meaning.partition(UPSTREAM)[0])


def refusal(key: TableKey, spec: ViewSpec, releases: list[str], reads: Sequence[str] = ()) -> str:
    """What to tell of a definition that was changed under a cited version, itself or by one of the views that it `reads`."""
    changed = f"was changed, or a view that it reads ({', '.join(reads)})" if reads else "was changed"
    return (
        f"{key.domain}.{key.name} version {spec.version} {changed}, and {', '.join(releases)} cite{'s' if len(releases) == 1 else ''} it as it was; "
        f"say version: {spec.version + 1} (the old one is kept beside it), or take the change back"
    )


def kept(done: Mapping[str, PartitionState], version: int) -> dict[str, int]:
    """Where earlier versions of a view stand: version -> Delta version, from its published states before it is computed as `version`.

    A version stands where all partitions were of it. While they are recomputed one after another the table holds two versions, and neither of
    them is kept there.
    """
    found: dict[str, int] = {}
    for state in done.values():
        for old, where in dict(state.value.get(KEPT, {})).items():
            found[old] = max(found.get(old, where), where)
    standing = _standing(done)
    versions = {_version(state) for state in standing}
    if len(versions) == 1 and (old := versions.pop()) != version:
        found[str(old)] = max(state.version for state in standing)
    return found


def kept_at(partitions: Mapping[str, PartitionState], view: FeatureLookup) -> int | None:
    """The Delta version at which the version that a feature spec names stands still; None where it is the published one, or isn't kept."""
    if view.kind != "view" or all(_version(state) == view.version for state in _standing(partitions)):
        return None
    places = (dict(state.value.get(KEPT, {})).get(str(view.version)) for state in partitions.values())
    return max((place for place in places if place is not None), default=None)


def at_version(published: Published, view: FeatureLookup) -> Published:
    """The rows of the version that a feature spec names: the newest publication if all of it is of that version, or where it stood last.

    Raises:
        NotPublished: some partitions are of another version, and that version isn't kept.
    """
    if view.kind != "view":
        return published
    others: dict[int, list[str]] = {}
    for state in _standing(published.partitions):
        if _version(state) != view.version:
            others.setdefault(_version(state), []).append(state.partition)
    if not others:
        return published
    place = kept_at(published.partitions, view)
    if place is None:
        found = "; ".join(f"version {version} in {', '.join(sorted(names))}" for version, names in sorted(others.items()))
        raise NotPublished(
            f"{published.key}: version {view.version} is not kept, and not all partitions are of it: found {found}; materialise these "
            f"partitions of {published.key} if version {view.version} is what is defined, or train on the version that is"
        )
    return replace(published, version=place)


def _version(state: PartitionState) -> int:
    return int(state.value.get(VERSION, 1))


def _standing(partitions: Mapping[str, PartitionState]) -> list[PartitionState]:
    """The partitions whose rows the table still has: a publication of the whole replaced those from before the view lost its partitions."""
    whole = partitions.get(WHOLE)
    return [state for state in partitions.values() if whole is None or state.version >= whole.version]


def after_promotion(
    before: Mapping[str, Any] | None,
    *,
    promoted: bool,
    cites: Mapping[str, Any],
    champion: str | None,
    features: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What a release's state says of lookups after a decision: what the live model looks up and cites, and what the former one as the way back.

    Args:
        before: the value of the state before.
        promoted: whether the candidate was.
        cites: what the candidate cites.
        champion: the version that was live before.
        features: the candidate's feature spec; None where it isn't known.
    """
    standing = {name: (before or {}).get(name) for name in (CITES, FEATURES, ROLLBACK)}
    standing[CITES] = standing[CITES] or {}
    if not promoted:
        return standing
    return {CITES: dict(cites), FEATURES: features, ROLLBACK: {VERSION: champion, CITES: standing[CITES]} if champion is not None else None}
