"""One way to name a table, view or workflow on every surface: `domain.name`, `domain/name`, or the name alone where it is unique.

Names within SQL and definitions are resolved by `Project.find`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

from lakeloop.errors import DataError, SpecError, SpecErrors, nearest
from lakeloop.project.project import Located, Project
from lakeloop.spec.tables import TableSpec, ViewSpec

Kind = Literal["table", "view", "workflow"]
KINDS: tuple[Kind, ...] = ("table", "view", "workflow")


def kind_of(located: Located[Any]) -> Kind:
    """What a definition defines."""
    return "table" if isinstance(located.spec, TableSpec) else "view" if isinstance(located.spec, ViewSpec) else "workflow"


def full_name(located: Located[Any]) -> str:
    """`domain.name`, as messages and SQL have it."""
    return ".".join(located.id)


def split_name(text: str) -> tuple[str | None, str]:
    """The domain, if a text has one, and the rest.

    >>> split_name("shop/orders"), split_name("orders")
    (('shop', 'orders'), (None, 'orders'))
    """
    owner, separator, name = text.strip().replace("/", ".").partition(".")
    return (owner, name) if separator else (None, owner)


def find_named(
    project: Project, text: str, *, kinds: Collection[Kind] = KINDS, domain: str | None = None, errors: Collection[SpecError] = ()
) -> Located[Any]:
    """Find the definition that a text names: as `domain.name`, as `domain/name`, or by its name alone.

    Args:
        project: all definitions.
        text: what a person wrote.
        kinds: the kinds of definitions that may be meant.
        domain: where a name alone is looked for first; elsewhere it must be unique.
        errors: of definitions that couldn't be read. Those in a folder of the name are raised if nothing else has it.

    Returns:
        The definition with its place.

    Raises:
        DataError: nothing has that name, and the message has the nearest match; or several have it, and the message lists them.
        SpecErrors: its definition couldn't be read.
    """
    wanted = [located for located in project.all() if kind_of(located) in kinds]
    matches = _find_matches(wanted, text, domain)
    if len(matches) == 1:
        return matches[0]
    noun = ", ".join(kind for kind in KINDS if kind in kinds)
    noun = " or ".join(noun.rsplit(", ", 1))
    if matches:
        listed = " or ".join(f"{kind_of(located)} {full_name(located)}" for located in matches)
        raise DataError(f"{text!r} names several: {listed}; wanted one of them, as <domain>.<name>")
    owner, name = split_name(text)
    if own := [error for error in errors if Path(error.file).parts[-2:-1] == (name,) and owner in (None, *Path(error.file).parts[-3:-2])]:
        raise SpecErrors(own)
    others = _find_matches([located for located in project.all() if kind_of(located) not in kinds], text, domain)
    if others:
        listed = " and ".join(f"{full_name(located)} is a {kind_of(located)}" for located in others)
        raise DataError(f"wanted a {noun}, and {listed}; {nearest('', map(full_name, wanted))}")
    raise DataError(f"no {noun} {text!r}; {nearest(*_names_like(wanted, text))}")


def _find_matches(definitions: Collection[Located[Any]], text: str, domain: str | None) -> list[Located[Any]]:
    """The definitions that a text may mean: those of `domain` only, where a name alone is there."""
    owner, name = split_name(text)
    if owner is not None:
        return [located for located in definitions if located.id == (owner, name)]
    namesakes = [located for located in definitions if located.spec.name == name]
    return [located for located in namesakes if located.domain == domain] or namesakes


def _names_like(definitions: Collection[Located[Any]], text: str) -> tuple[str, list[str]]:
    """A text in one spelling, and the names that could have been meant: with their domains if the text has one or they need it."""
    owner, name = split_name(text)
    if owner is not None:
        return f"{owner}.{name}", [full_name(located) for located in definitions]
    counts = Counter(located.spec.name for located in definitions)
    return name, [located.spec.name if counts[located.spec.name] == 1 else full_name(located) for located in definitions]
