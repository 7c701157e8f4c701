"""LakeTable: a source, as landed (`raw`) and as typed, deduplicated and checked (`validated`)."""

from __future__ import annotations

import dagster as dg

from lakeloop.spec.tables import TableSpec
from platform_assets.components.base import SpecComponent
from platform_assets.components.scaffolders import LakeTableScaffolder


@dg.scaffold_with(LakeTableScaffolder)
class LakeTable(SpecComponent[TableSpec]):
    """A table of the lake: files, a database, a function or an existing Delta table, with columns, keys, rules and expectations."""

    spec_type = TableSpec
