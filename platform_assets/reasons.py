"""Why an asset is stale: what has changed since it was published, for people and for machines. Nothing here decides whether it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lakeloop.errors import DataError, NotPublished, ServiceUnavailable
from lakeloop.fingerprint import Fingerprint
from lakeloop.project.project import Located, Project
from lakeloop.records.tables import SourceState
from lakeloop.spec.partitions import name_span
from platform_assets.graph import dependencies
from platform_assets.stages.registry import definition_of, stage_named
from platform_assets.stages.stage import Stage, World
from platform_assets.stages.tables import raw
from platform_assets.stages.tables.deliveries import digests
from platform_assets.stages.tables.landings import SOURCE
from resources.lake.published import PartitionState, States, TableKey, retired

Kind = Literal["never built", "upstream", "partitions", "source", "definition", "code", "file", "input", "condition", "unknown"]
SHOWN = 3
"""Names of files that are told one by one."""


@dataclass(frozen=True)
class Reason:
    """One thing that has changed.

    Attributes:
        kind: what sort of thing.
        text: for people.
        names: of what changed: keys, files, assets, partitions.
    """

    kind: Kind
    text: str
    names: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """For machines."""
        return {"kind": self.kind, "text": self.text, "names": list(self.names)}


def reasons_for(
    project: Project,
    states: States,
    stale: Mapping[TableKey, Sequence[str]],
    *,
    taken: Mapping[tuple[str, str], str] | None = None,
) -> dict[TableKey, list[Reason]]:
    """Why each of the assets that `stale_assets` finds is stale."""
    world, reads = World(project, states, taken or {}), dependencies(project)
    return {key: _reasons(world, key, names, [before for before in reads[key] if before in stale]) for key, names in stale.items()}


def _reasons(world: World, key: TableKey, names: Sequence[str], stale_inputs: Sequence[TableKey]) -> list[Reason]:
    stage, located, published = stage_named(key.stage), definition_of(world.project, key), world.states.of(key)
    if not published:
        return [Reason("never built", "it was never built")]
    own = _source_reasons(world, located) if stage.is_changed is not None else _own_reasons(stage, world, located, names, published)
    because = [Reason("upstream", f"because {before} is stale", (str(before),)) for before in stale_inputs]
    if because:
        # What an input is now isn't what it will be, and an older record leaves nothing to tell beside it.
        return [*because, *(reason for reason in own if reason.kind not in ("input", "unknown", "condition"))]
    return own or [Reason("unknown", "something changed that isn't noted part by part")]


def _own_reasons(
    stage: Stage[Any], world: World, located: Located[Any], names: Sequence[str], published: Mapping[str, PartitionState[Any]]
) -> list[Reason]:
    """What has changed by the parts of the fingerprints, of all stale partitions together."""
    gone = retired(stage.partitions(located), published)
    if gone:
        return [Reason("partitions", f"its partitions were changed: {name_span(gone)} of before still stand", tuple(gone))]
    reasons: dict[tuple[Kind, str], Reason] = {}
    new = [name for name in names if name not in published]
    if new:
        text = f"{name_span(new)} {'is a new partition' if len(new) == 1 else 'are new partitions'}"
        reasons["partitions", ""] = Reason("partitions", text, tuple(new))
    assert stage.expected is not None
    along = [name for name in stage.goes_along(world, located) if name in published]
    for name in [*(name for name in names if name in published), *along]:
        try:
            wanted = stage.expected(world, located, name)
        except (NotPublished, DataError) as error:
            return [*reasons.values(), Reason("input", str(error))]
        if published[name].fingerprint != wanted:
            for reason in compare_parts(published[name].fingerprint, wanted):
                reasons.setdefault((reason.kind, reason.text), reason)
    return list(reasons.values())


def compare_parts(before: str, now: str) -> list[Reason]:
    """What differs between two fingerprints, by their parts.

    >>> one = Fingerprint("a", {"code": "=1", "definition.split": "x", "input.raw/a/b": "p@3", "value.the champion": "=1"})
    >>> two = Fingerprint("b", {"code": "=2", "definition.gates": "y", "input.raw/a/b": "q@5", "value.the champion": "=2"})
    >>> [reason.text for reason in compare_parts(one, two)]  # doctest: +NORMALIZE_WHITESPACE
    ['this version of Lakeloop computes it otherwise (code version 1 to 2)', 'its definition changed: gates, split',
     'raw/a/b changed (version 3 to 5)', 'the champion changed (1 to 2)']
    """
    old, new = (value.parts if isinstance(value, Fingerprint) else None for value in (before, now))
    if old is None:
        return [Reason("unknown", "its definition, its code or an input changed; it was recorded before the parts were noted")]
    assert new is not None
    changed = [name for name in sorted({*old, *new}) if old.get(name, "").partition("@")[0] != new.get(name, "").partition("@")[0]]
    reasons = []
    keys = tuple(name.partition(".")[2] for name in changed if name.startswith("definition."))
    if "code" in changed:
        versions = f"code version {_said(old.get('code'))} to {_said(new.get('code'))}"
        reasons.append(Reason("code", f"this version of Lakeloop computes it otherwise ({versions})"))
    if keys:
        reasons.append(Reason("definition", f"its definition changed: {', '.join(keys)}", keys))
    for name in changed:
        group, _, subject = name.partition(".")
        if group == "file":
            reasons.append(Reason("file", f"{subject} changed", (subject,)))
        elif group == "input":
            reasons.append(Reason("input", _input_text(subject, old.get(name), new.get(name)), (subject,)))
        elif group == "landed":
            reasons.append(Reason("input", "rows landed for it", ()))
        elif group == "value":
            reasons.append(Reason("condition", f"{subject} changed ({_said(old.get(name))} to {_said(new.get(name))})", (subject,)))
    return reasons


def _input_text(asset: str, before: str | None, now: str | None) -> str:
    if before is None or now is None:
        return f"it reads {asset} now" if before is None else f"it doesn't read {asset} any more"
    old, new = before.partition("@")[2], now.partition("@")[2]
    versions = f" (version {old} to {new})" if old and new and old != new else ""
    return f"{asset} changed{versions}"


def _said(part: str | None) -> str:
    return "none" if part is None else part.removeprefix("=")


def _source_reasons(world: World, located: Located[Any]) -> list[Reason]:
    """What has changed of a source outside the lake: how it is read, or its files, or what a database answers."""
    state = world.states.partition(SourceState, located, SOURCE)
    if state is None:
        return [Reason("never built", "it has never landed")]
    before, now = state.value.files, _digests(located)
    reasons = [reason for reason in compare_parts(state.fingerprint, raw.expected(located.spec, {})) if reason.kind != "unknown"]
    if now is None:
        return reasons
    if state.value.probe is not None:
        changed = [name for name, answer in now.items() if state.value.probe.get(name) != answer]
        query = [Reason("source", "its query changed")] if changed == ["query"] else []
        return [*reasons, *(query or ([Reason("source", "the database has other rows now")] if changed else []))]
    new = [name for name in now if name not in before]
    changed = [name for name in now if name in before and before[name] != now[name]]
    reasons += [Reason("source", f"{_listed(new)} {'is' if len(new) == 1 else 'are'} new", tuple(new))] if new else []
    reasons += [Reason("source", f"{_listed(changed)} changed", tuple(changed))] if changed else []
    return reasons


def _digests(located: Located[Any]) -> Mapping[str, str] | None:
    try:
        return digests(located)
    except (DataError, ServiceUnavailable):
        return None


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - SHOWN} more files" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"
