"""The versions of an adopted Delta table: which of them can be read, when each was committed, and the history of its rows that follows.

The first version that has rows is history, with those committed within ten minutes after it or up to `bulk_loaded_until`: its rows are known
at their event time plus `known_delay`. What a later version changes is known from its commit on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import accumulate
from typing import TYPE_CHECKING

from lakeloop.errors import DataError
from lakeloop.project.project import Located
from lakeloop.rows.history import merge_history
from lakeloop.rows.landings import TOGETHER, choose_landings
from lakeloop.spec.tables import TableSpec
from platform_assets.stages.inputs import adopted_frame, checked_url
from resources.lake.adopted import AdoptedTable, is_of_declared_types, open_adopted, read_declared, source_of
from resources.lake.published import Published
from resources.lake.tables import open_delta

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True)
class AdoptedVersion:
    """A version of an adopted table, and when it was committed, never before an earlier one."""

    version: int
    at: datetime


def find_versions(published: Published, spec: TableSpec) -> list[AdoptedVersion]:
    """The versions up to the checked one that can still be read and have the declared columns, from the loading of history on."""
    url, where = checked_url(published), str(published.key)
    checked = open_adopted(url, where, published.version)
    # Of the newest version: that of an older one counts the versions back from itself, over the commits that came after it.
    newest = open_delta(url)
    commits = newest.history() if newest is not None else []
    moments = {int(each["version"]): datetime.fromtimestamp(each["timestamp"] / 1000, UTC) for each in commits if "timestamp" in each}
    current = AdoptedVersion(published.version, moments.get(published.version, datetime.fromtimestamp(0, UTC)))
    versions = [current]
    # Back from the checked version: what was vacuumed once isn't there before either.
    for number in sorted((each for each in moments if each < published.version), reverse=True):
        if number + 1 != versions[-1].version or not _is_readable(url, number, checked, spec):
            break
        versions.append(AdoptedVersion(number, moments[number]))
    in_order = accumulate(reversed(versions), lambda before, each: replace(each, at=max(each.at, before.at)))
    return _from_loading(list(in_order), spec.bulk_loaded_until)


def choose_versions(versions: Sequence[AdoptedVersion]) -> list[AdoptedVersion]:
    """The version of the loading of history, and of the later ones those that are read: of many evenly spread ones, the newest among them."""
    by_moment = {each.at: each for each in versions[1:]}
    return [versions[0], *(by_moment[at] for at in choose_landings(by_moment))]


def read_known_rows(published: Published, spec: TableSpec, columns: Sequence[str], keys: Sequence[str]) -> pa.Table:
    """The rows of an adopted table with an event time, each version of a row from when it was known.

    Args:
        published: the checked version.
        spec: the table.
        columns: that are wanted; `known_at` may be one.
        keys: by which rows are looked up: a row whose key changed ends under the old one.

    Returns:
        The columns; a row that vanished has a version of nulls.

    Raises:
        DataError: the table isn't there any more.
    """
    identity = list(dict.fromkeys([*spec.keys, *keys]))
    declared = list(dict.fromkeys([*(name for name in columns if name != "known_at"), *identity, str(spec.event_time)]))
    versions = choose_versions(find_versions(published, spec))
    history: pa.Table | None = None
    for each in versions:
        rows = read_version(published, each.version, spec, declared)
        if len(versions) == 1:
            return rows.select(list(columns))
        landed = each.at if history is not None else None
        history = merge_history(history, rows, keys=identity, event_time=str(spec.event_time), columns=declared, landed=landed).rows
    assert history is not None
    return history.select(list(columns))


def known_frame(
    spark: SparkSession, located: Located[TableSpec], published: Published, columns: Sequence[str], keys: Sequence[str]
) -> DataFrame:
    """The rows of `read_known_rows` as a DataFrame; `_order` says when a version was committed, which decides between equal times."""
    import pyspark.sql.functions as F

    spec, identity = located.spec, list(dict.fromkeys([*located.spec.keys, *keys, str(located.spec.event_time)]))
    wanted = list(dict.fromkeys([*columns, *identity]))
    versions = choose_versions(find_versions(published, spec))
    frames = [adopted_frame(spark, located, replace(published, version=each.version), None, None).select(*wanted) for each in versions]
    order = F.lit(versions[0].at)
    result = frames[0].withColumn("_order", order)
    for each, before, now in zip(versions[1:], frames, frames[1:], strict=False):
        order = F.lit(each.at)
        changed = now.exceptAll(before).withColumn("known_at", F.greatest("known_at", order)).withColumn("_order", order)
        gone = before.select(*identity).exceptAll(now.select(*identity)).withColumn("known_at", order).withColumn("_order", order)
        nulls = [F.lit(None).cast(now.schema[name].dataType).alias(name) for name in wanted if name not in (*identity, "known_at")]
        result = result.unionByName(changed).unionByName(gone.select("*", *nulls))
    return result.select(*columns, "_order")


def read_version(published: Published, version: int, spec: TableSpec, declared: Sequence[str]) -> pa.Table:
    """The declared columns of a version, and `known_at` by the table's rule."""
    import pyarrow as pa
    import pyarrow.compute as pc

    adopted = open_adopted(checked_url(published), str(published.key), version)
    rows = read_declared(adopted, {name: spec.columns[name] for name in declared})
    event = rows[spec.event_time].cast(pa.timestamp("us", tz="UTC"))
    return rows.append_column("known_at", pc.add(event, pa.scalar(spec.known_delay, pa.duration("us"))))


def _is_readable(url: str, version: int, checked: AdoptedTable, spec: TableSpec) -> bool:
    """Whether an older version has rows, the declared columns of types like those of the checked version, and its files."""
    try:
        older = open_adopted(url, checked.shown, version)
    except DataError:
        return False
    sources = [source_of(name, column) for name, column in spec.columns.items()]
    are_alike = all(older.types.get(name) == checked.types[name] for name in sources)
    return (are_alike or is_of_declared_types(older, spec.columns)) and bool(older.files) and not older.missing_files()


def _from_loading(versions: Sequence[AdoptedVersion], bulk_loaded_until: datetime | None) -> list[AdoptedVersion]:
    """The version with which the loading of history ended, and those after it."""
    until = max(versions[0].at + TOGETHER, bulk_loaded_until) if bulk_loaded_until else versions[0].at + TOGETHER
    loaded = [each for each in versions if each.at <= until]
    return [loaded[-1], *versions[len(loaded) :]]
