"""Rules by which the values of a view are known or computed, where they aren't told by its definition alone.

A rule that was corrected gives other values for rows that landed long ago. It is listed here with a name and a number, for the views that it
concerns: their fingerprints have it as a part, so that these views are stale and `lakeloop plan --why` names the rule; and they are computed
anew for all times, as with a changed definition. So a corrected engine is told, too.
"""

from __future__ import annotations

from lakeloop.project.known_floor import known_floor
from lakeloop.project.project import Located, Project, TableRef, spec_of, upstream
from lakeloop.project.sql_tables import columns_of, may_hold_nan
from lakeloop.spec.tables import TableSpec, ViewSpec, render_duration
from lakeloop.sql.causal import reads_no_later_row
from lakeloop.sql.moved_values import has_guarded_numbers, has_mixed_numbers, has_moved_values
from lakeloop.sql.query import parse_query

KNOWN_DELAY = "nothing is known before the known_delay of what is read"
MOVING_FRAMES = "the computation of moving windows"
GUARDED_NUMBERS = "the computation of whole numbers, sums and NaN"
MIXED_NUMBERS = "the computation of doubles beside decimals, and of zeros within arrays"
FUNCTIONS = "the computation of functions"


def corrected_rules(project: Project, located: Located[ViewSpec]) -> dict[str, str]:
    """The rules that were corrected and concern a view, by name with what they say of it; none for most views."""
    return {**_known_delay(project, located), **engine_rules(project, located)}


def engine_rules(project: Project, located: Located[ViewSpec]) -> dict[str, str]:
    """What the embedded engine computed otherwise than Spark in earlier releases.

    Until 0.4.0 it slid windows over doubles by subtraction, got the bounds of intervals over dates wrong, went on with the lowest bits of whole numbers that
    left their type, and compared NaN by its sign. Until 0.5.0 it compared doubles with decimals in 15 digits behind the point, and told -0.0 from
    0.0 in arrays and maps. What a function computes can't be read without its session, so that each function is concerned.
    """
    if located.spec.sql is None:
        return {FUNCTIONS: "each operation as Spark's"}
    query = parse_query((located.folder / located.spec.sql).read_text(), located.spec.sql)
    refs = {table.parts: project.find_rows(located.domain, ".".join(table.parts)) for table in query.tables}
    schemas = {parts: dict(columns_of(project, ref)) for parts, ref in refs.items() if ref is not None}
    moved = "over" in query.text.lower() and has_moved_values(query.text, schemas)
    has_nan = any(may_hold_nan(project, ref) for ref in refs.values() if ref is not None)
    guarded = has_guarded_numbers(query.text, schemas, has_nan=has_nan)
    return {
        **({MOVING_FRAMES: "each frame from its own values"} if moved else {}),
        **({GUARDED_NUMBERS: "an error beyond their type, and one NaN"} if guarded else {}),
        **({MIXED_NUMBERS: "as doubles, with one zero"} if has_mixed_numbers(query.text, schemas) else {}),
    }


def _known_delay(project: Project, located: Located[ViewSpec]) -> dict[str, str]:
    floor = known_floor(project, located)
    if located.spec.event_time is None or not floor:
        return {}
    if located.spec.known_at is None and floor <= located.spec.delay and not waits_for_rows(project, located):
        return {}
    return {KNOWN_DELAY: render_duration(floor)}


def waits_for_rows(project: Project, located: Located[ViewSpec]) -> bool:
    """Whether a value may be computed from rows of a later time than its own, so that it isn't known before these are complete.

    A function may read anything. Only tables with a `known_delay` matter: the others are complete when they land.
    """
    spec = located.spec
    if spec.known_delay == "ignored":
        return False
    delayed = {ref: spec_of(project, ref) for ref in upstream(project, located) if not ref.is_stage}
    delayed = {ref: each for ref, each in delayed.items() if isinstance(each, TableSpec) and each.event_time and each.known_delay}
    if not delayed:
        return False
    if spec.sql is None or spec.event_time is None or len(delayed) > 1 or any(_waits(project, ref) for ref in upstream(project, located)):
        return True
    ref, table = next(iter(delayed.items()))
    query = parse_query((located.folder / spec.sql).read_text(), spec.sql)
    names = [name.parts for name in query.tables if project.find_rows(located.domain, ".".join(name.parts)) == ref]
    return len(names) != 1 or not reads_no_later_row(query, names[0], str(table.event_time), spec.event_time)


def _waits(project: Project, ref: TableRef) -> bool:
    """Whether a view that is read waits for rows itself: what is read beside it is to be of the same moment."""
    if ref.kind != "view":
        return False
    view = project.views[(ref.domain, ref.name)]
    return waits_for_rows(project, view) or (view.spec.event_time is None and bool(known_floor(project, view)))
