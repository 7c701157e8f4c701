"""Renaming a definition: it is copied under the new name, computed there, and then the old one is removed, so that nothing is without it meanwhile."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dagster._core.remote_origin import RemoteInstigatorOrigin

from lakeloop.cli.removal import Place, dagster_instance, instigator_states
from lakeloop.errors import DataError
from lakeloop.project.names import find_named, full_name, kind_of
from lakeloop.project.project import Located
from lakeloop.records.release import ReleaseState
from lakeloop.spec.tables import NAME
from platform_assets.loading import load_definitions
from resources.lake.lake import Lake
from resources.lake.published import States, TableKey
from resources.serving.desired import read_desired
from sensors.all import instigator_names

Step = Literal["copy", "wait", "remove"]
COPIED = {".yaml", ".sql", ".py"}
"""Files that are copied; others are linked, as data may be large."""


@dataclass(frozen=True)
class Renaming:
    """What comes next in a renaming.

    Attributes:
        old: the definition as it is called now.
        domain, name: as it is to be called.
        target: the folder under the new name.
        step: copy it, wait until it is computed under the new name, or remove the old one.
        waiting_for: what isn't there yet under the new name.
    """

    old: Located[Any]
    domain: str
    name: str
    target: Path
    step: Step
    waiting_for: str = ""

    @property
    def label(self) -> str:
        """The new name with its domain."""
        return f"{self.domain}.{self.name}"


def plan_renaming(place: Place, old: str, new: str) -> Renaming:
    """Find out what comes next.

    Raises:
        DataError: there is no such definition, the new name is none or another definition's, or the old one's file defines others too.
    """
    project, _ = load_definitions(place.project.defs)
    located = find_named(project, old)
    domain, separator, name = new.replace("/", ".").partition(".")
    domain, name = (domain, name) if separator else (located.domain, domain)
    if not (NAME.fullmatch(domain) and NAME.fullmatch(name)):
        raise DataError(f"wanted <domain>.<name>, each of lower-case letters, digits and _, found {new!r}")
    if any(other.folder == located.folder and other is not located for other in project.all()):
        raise DataError(f"{located.definition.file} defines others too; rename {full_name(located)} in it by hand")
    target = place.project.defs / domain / name
    there = next((other for other in project.all() if other.id == (domain, name)), None)
    if there is None and not target.exists():
        return Renaming(located, domain, name, target, "copy")
    if there is None or kind_of(there) != kind_of(located) or there is located:
        raise DataError(f"{domain}.{name} is there already, and isn't {full_name(located)} under another name; nothing was changed")
    missing = _missing(place, Lake(place.settings.lake_url).states(), located, there)
    return Renaming(located, domain, name, target, "wait" if missing else "remove", missing)


def copy_definition(place: Place, renaming: Renaming) -> None:
    """Copy a definition under its new name, all of it or nothing; what a person stopped in Dagster is stopped under the new name too.

    Raises:
        DataError: the copy can't be built; it was taken away again.
    """
    old, target = renaming.old, renaming.target
    before = {str(error) for error in load_definitions(place.project.defs)[1]}
    draft = place.settings.home / "removed" / f".{renaming.label}.part"
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(old.folder, draft, copy_function=_copy_file, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (draft / "defs.yaml", draft / "defs.py"):
        if file.is_file():
            text = file.read_text(encoding="utf-8")
            pattern = rf"^(\s+name:\s*['\"]?){old.spec.name}\b" if file.suffix == ".yaml" else rf"(\bname\s*=\s*['\"]){old.spec.name}\b"
            file.write_text(re.sub(pattern, rf"\g<1>{renaming.name}", text, count=1, flags=re.MULTILINE), encoding="utf-8")
    target.parent.mkdir(exist_ok=True)
    shutil.move(draft, target)
    project, errors = load_definitions(place.project.defs)
    new = [str(error) for error in errors if str(error) not in before]
    if new or (renaming.domain, renaming.name) not in {located.id for located in project.all()}:
        shutil.rmtree(target)
        raise DataError("\n".join([f"as {renaming.label} it can't be built, so nothing was changed:", *new]))
    with dagster_instance(place) as instance:
        names = dict(zip(instigator_names(*old.id), instigator_names(renaming.domain, renaming.name), strict=True))
        known = {state.instigator_name for state in instigator_states(instance, renaming.domain, renaming.name)}
        for state in instigator_states(instance, *old.id):
            name = names[state.instigator_name]
            if not state.is_running and name not in known:
                instance.add_instigator_state(state._replace(origin=RemoteInstigatorOrigin(state.origin.repository_origin, name)))


def _copy_file(source: str, target: str) -> None:
    if Path(source).suffix in COPIED:
        shutil.copy2(source, target)
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _missing(place: Place, states: States, old: Located[Any], new: Located[Any]) -> str:
    """What the old name has and the new one hasn't yet; empty when nothing is lost with the old one."""
    stage = {"table": "validated", "view": "features"}.get(kind_of(old))
    if stage is not None:
        return (
            f"{new.domain}.{new.spec.name} isn't computed yet"
            if states.of(TableKey(stage, *old.id)) and not states.of(TableKey(stage, *new.id))
            else ""
        )
    before, now = states.whole(ReleaseState, old), states.whole(ReleaseState, new)
    if before is not None and before.value.champion is not None and (now is None or now.value.champion is None):
        return f"version {before.value.champion} of {full_name(old)} is released, and no version of {full_name(new)} is yet"
    desired = read_desired(place.serving)
    if full_name(old) in desired and full_name(new) not in desired:
        return f"{full_name(old)} is served, and {full_name(new)} isn't yet"
    return ""
