"""How long after the event time of its row a value of a view is known at the earliest, by the tables and views that it reads."""

from __future__ import annotations

from datetime import timedelta

from lakeloop.project.project import Located, Project, TableRef, located_of, spec_of, upstream
from lakeloop.spec.tables import TableSpec, ViewSpec


def known_floor(project: Project, located: Located[ViewSpec]) -> timedelta:
    """How long after the event time of its row a value of a view is known at the earliest.

    The greatest `known_delay` of the tables, also of those that its views read, and the greatest `delay` of these views; nothing where the view
    says that what it reads is known before its row is complete.
    """
    if located.spec.known_delay == "ignored":
        return timedelta(0)
    return max((_delay_of(project, ref) for ref in upstream(project, located)), default=timedelta(0))


def delayed_inputs(project: Project, located: Located[ViewSpec]) -> dict[TableRef, timedelta]:
    """The tables and views that a view reads whose rows are known only some time after their event, with how long; none where it ignores that."""
    if located.spec.known_delay == "ignored":
        return {}
    return {ref: delay for ref in upstream(project, located) if (delay := _delay_of(project, ref))}


def _delay_of(project: Project, ref: TableRef) -> timedelta:
    if ref.kind in ("training_sets", "predictions"):
        return timedelta(0)
    spec = spec_of(project, ref)
    if isinstance(spec, TableSpec):
        return spec.known_delay if spec.event_time else timedelta(0)
    return max(spec.delay, known_floor(project, located_of(project, ref)))
