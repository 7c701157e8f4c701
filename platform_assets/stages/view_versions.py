"""Versions of feature views: free to change until a release cites one, then kept as it was until no release needs it.

A release cites, for every view that its model looks up, its version and what its values mean. A changed meaning under a version that a live or
rollback release cites is refused. Under a new version it is computed, and the old one stays readable where it stood last: as that Delta
version of the same table. It gets no new rows from then on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lakeloop.errors import NotPublished
from lakeloop.spec import ViewSpec
from platform_assets.stages.base import States
from resources.published import WHOLE, PartitionState, Published, TableKey

VERSION_CHECK = "version_is_as_released"
"""The check that a view's definition is the one that releases cite under its version."""
VERSION, MEANING, KEPT, CITES, ROLLBACK = "version", "meaning", "kept", "cites", "rollback"


def cited_views(states: States, spec: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What a training set's feature spec cites, as published now: table path -> [version, meaning]."""
    found = {}
    for view in spec["views"]:
        if view["kind"] != "view":
            continue
        key = TableKey("features", view["domain"], view["name"])
        partitions = states.get(key, {})
        meanings = {str(state.value[MEANING]) for state in partitions.values() if MEANING in state.value}
        found[str(key)] = [view["version"], *sorted(meanings)[:1]]
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
            if model is not None and cited and cited[0] == version and cited[1:] and cited[1] != meaning:
                found.append(f"{release.domain}.{release.name} version {model} ({what})")
    return sorted(found)


def refusal(key: TableKey, spec: ViewSpec, releases: list[str]) -> str:
    """What to tell of a definition that was changed under a cited version."""
    return (
        f"{key.domain}.{key.name} version {spec.version} was changed, and {', '.join(releases)} cite{'s' if len(releases) == 1 else ''} it as it was; "
        f"say version: {spec.version + 1} (the old one is kept beside it), or take the change back"
    )


def kept(done: Mapping[str, PartitionState], version: int) -> dict[str, int]:
    """Where earlier versions of a view stand: version -> Delta version, from its published states before it is computed as `version`."""
    found: dict[str, int] = {}
    for state in done.values():
        for old, where in dict(state.value.get(KEPT, {})).items():
            found[old] = max(found.get(old, where), where)
    for state in done.values():
        old = str(state.value.get(VERSION, 1))
        if old != str(version):
            found[old] = max(found.get(old, -1), state.version)
    return found


def at_version(published: Published, view: Mapping[str, Any]) -> Published:
    """The rows of the version that a feature spec names: the newest publication, or where that version stood last.

    Raises:
        NotPublished: that version isn't kept.
    """
    if view["kind"] != "view" or any(state.value.get(VERSION, 1) == view["version"] for state in published.partitions.values()):
        return published
    places = [dict(state.value.get(KEPT, {})).get(str(view["version"])) for state in published.partitions.values()]
    standing = [place for place in places if place is not None]
    if not standing:
        raise NotPublished(
            f"{published.key}: version {view['version']} is not kept; materialise the view, or train on the version that is defined"
        )
    return replace(published, version=max(standing))


def after_promotion(before: Mapping[str, Any] | None, *, promoted: bool, cites: Mapping[str, Any], champion: str | None) -> dict[str, Any]:
    """What a release's state says of citations after a decision: the promoted model's, and the former one's as the way back."""
    standing = {CITES: (before or {}).get(CITES) or {}, ROLLBACK: (before or {}).get(ROLLBACK)}
    if not promoted:
        return standing
    return {CITES: dict(cites), ROLLBACK: {VERSION: champion, CITES: standing[CITES]} if champion is not None else None}
