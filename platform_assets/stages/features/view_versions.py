"""Versions of feature views: free to change until a release cites one, then kept as it was until no release needs it.

A release cites, for every view that its model looks up, its version and what its values mean. A changed meaning under a version that a live or
rollback release cites is refused. Under a new version it is computed, and the old one stays readable where it stood last: as that Delta
version of the same table. It gets no new rows from then on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lakeloop.errors import NotPublished
from lakeloop.records.features import FeatureLookup, FeatureSpec
from lakeloop.records.release import ReleaseState
from lakeloop.records.tables import ViewState
from lakeloop.records.training import Citation
from lakeloop.spec.tables import ViewSpec
from resources.lake.published import WHOLE, PartitionState, Published, States, TableKey

VERSION_CHECK = "version_is_as_released"
"""The check that a view's definition is the one that releases cite under its version."""
UPSTREAM = "+"
"""Between the two parts of a meaning: of the view's own definition, and of the views that it reads. One that reads tables only has the first."""

ViewStates = Mapping[str, PartitionState[Any]]
"""What is published of a view, by partition."""


def cited_views(states: States, spec: FeatureSpec) -> dict[str, Citation]:
    """What a training set's feature spec cites, as published now, by table path."""
    views = {TableKey(ViewState.stage, lookup.domain, lookup.name): lookup.version for lookup in spec.views if lookup.kind == "view"}
    return {str(key): Citation(version, _published_meaning(states.of(key), version)) for key, version in views.items()}


def _published_meaning(partitions: ViewStates, version: int) -> str | None:
    """What the values of a version mean by its newest partition; None where that isn't recorded."""
    known = [state for state in _standing(partitions) if state.value.version == version and state.value.meaning is not None]
    newest = max(known, key=lambda state: state.version, default=None)
    return newest.value.meaning if newest else None


def releases_that_cite(states: States, key: TableKey, version: int, meaning: str) -> list[str]:
    """The live and rollback releases that cite a version of a view with another meaning, as `<domain>.<workflow> version <n> (…)`."""
    return sorted(
        f"{release.domain}.{release.name} version {model} ({role})"
        for release, partitions in states.items()
        if release.stage == ReleaseState.stage and WHOLE in partitions
        for role, model, cites in _models_in_use(partitions[WHOLE].typed(ReleaseState).value)
        if _means_something_else(cites.get(str(key)), version, meaning)
    )


def _models_in_use(release: ReleaseState) -> Iterator[tuple[str, str, Mapping[str, Citation]]]:
    """The live version and the one before it, each with what it cites."""
    if release.champion is not None:
        yield "live", release.champion, release.cites
    if release.rollback is not None:
        yield "rollback", release.rollback.version, release.rollback.cites


def _means_something_else(cited: Citation | None, version: int, meaning: str) -> bool:
    """Whether a version is cited with another meaning. A release made before upstream views counted cites the first part only."""
    if cited is None or cited.version != version or cited.meaning is None:
        return False
    return cited.meaning != (meaning if UPSTREAM in cited.meaning else meaning.partition(UPSTREAM)[0])


def refusal(key: TableKey, spec: ViewSpec, releases: list[str], reads: Sequence[str] = ()) -> str:
    """What to tell of a definition that was changed under a cited version, itself or by one of the views that it `reads`."""
    changed = f"was changed, or a view that it reads ({', '.join(reads)})" if reads else "was changed"
    return (
        f"{key.domain}.{key.name} version {spec.version} {changed}, and {', '.join(releases)} cite{'s' if len(releases) == 1 else ''} it as it was; "
        f"say version: {spec.version + 1} (the old one is kept beside it), or take the change back"
    )


def kept_versions(published: ViewStates, version: int) -> dict[str, int]:
    """Where earlier versions of a view stand: version -> Delta version, from its published states before it is computed as `version`.

    A version stands where all partitions were of it. While they are recomputed one after another the table holds two versions, and neither of
    them is kept there.
    """
    kept: dict[str, int] = {}
    for state in published.values():
        for earlier, place in state.typed(ViewState).value.kept.items():
            kept[earlier] = max(kept.get(earlier, place), place)
    standing = _standing(published)
    versions = {state.value.version for state in standing}
    if len(versions) == 1 and (only := versions.pop()) != version:
        kept[str(only)] = max(state.version for state in standing)
    return kept


def kept_at(partitions: ViewStates, lookup: FeatureLookup) -> int | None:
    """The Delta version at which the version that a feature spec names stands still; None where it is the published one, or isn't kept."""
    if lookup.kind != "view" or all(state.value.version == lookup.version for state in _standing(partitions)):
        return None
    places = (state.typed(ViewState).value.kept.get(str(lookup.version)) for state in partitions.values())
    return max((place for place in places if place is not None), default=None)


def at_version(published: Published, lookup: FeatureLookup) -> Published:
    """The rows of the version that a feature spec names: the newest publication if all of it is of that version, or where it stood last.

    Raises:
        NotPublished: some partitions are of another version, and that version isn't kept.
    """
    if lookup.kind != "view":
        return published
    others: dict[int, list[str]] = {}
    for state in _standing(published.partitions):
        if state.value.version != lookup.version:
            others.setdefault(state.value.version, []).append(state.partition)
    if not others:
        return published
    place = kept_at(published.partitions, lookup)
    if place is None:
        standing = "; ".join(f"version {version} in {', '.join(sorted(names))}" for version, names in sorted(others.items()))
        raise NotPublished(
            f"{published.key}: version {lookup.version} is not kept, and not all partitions are of it: found {standing}; materialise these "
            f"partitions of {published.key} if version {lookup.version} is what is defined, or train on the version that is"
        )
    return replace(published, version=place)


def _standing(partitions: ViewStates) -> list[PartitionState[ViewState]]:
    """The partitions whose rows the table still has: a publication of the whole replaced those from before the view lost its partitions."""
    whole = partitions.get(WHOLE)
    return [state.typed(ViewState) for state in partitions.values() if whole is None or state.version >= whole.version]
