"""LakeTable: a source, as landed (`raw`) and as typed, deduplicated and checked (`validated`)."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg

from lakeloop.project.project import Located, Project
from lakeloop.spec.personal import personal_of_table
from lakeloop.spec.tables import DatabaseSource, DeltaTableSource, Files, PythonFunction, TableSpec
from platform_assets.assets import Check, stage_asset
from platform_assets.components.base import SpecComponent
from platform_assets.components.scaffolders import LakeTableScaffolder
from platform_assets.stages.metadata import column_schema
from platform_assets.stages.tables import raw, validated

_SOURCE_KINDS = {Files: "file", PythonFunction: "python", DatabaseSource: "sql"}
"""What Dagster shows as the kind of a landing."""


@dg.scaffold_with(LakeTableScaffolder)
class LakeTable(SpecComponent[TableSpec]):
    """A table of the lake: files, a database, a function or an existing Delta table, with columns, keys, rules and expectations."""

    spec_type = TableSpec

    @classmethod
    def assets(cls, project: Project, located: Located[TableSpec]) -> list[dg.AssetsDefinition]:
        """`raw` (unless adopted) and `validated`."""
        spec, found = located.spec, []
        adopted = isinstance(spec.source, DeltaTableSource)
        if not adopted:
            found.append(
                stage_asset(
                    project,
                    located,
                    "raw",
                    lambda platform, _: raw.land(platform, located, now=datetime.now(UTC)),
                    checks=[*Check.of(raw.expectations(spec)), Check(raw.NEW_COLUMNS, False, "the source brings no column that is new")],
                    description=f"{spec.description} As landed, every delivery kept.",
                    kinds={"delta", _SOURCE_KINDS[type(spec.source)]},
                    code_version=raw.CODE_VERSION,
                )
            )
        more = {"known_at": ("timestamp", "When the row could first have been used.")} if spec.event_time else {}
        if not adopted:
            more["ingested_at"] = ("timestamp", "When the row landed in this form.")
        unique = [Check(validated.UNIQUE_KEYS, True, "no key stands in two partitions")] if validated.keys_may_repeat(spec) else []
        accounting = Check(validated.ACCOUNTING, True, "landed = validated + quarantined + duplicates dropped")
        found.append(
            stage_asset(
                project,
                located,
                "validated",
                lambda platform, partitions: validated.validate(platform, located, partitions),
                checks=[*Check.of(validated.suite(spec)), accounting, *unique],
                description=f"{spec.description} One row per {', '.join(spec.keys)}; typed, deduplicated, checked.",
                schema=column_schema(spec.columns, personal_of_table(spec), more),
                kinds={"delta", "greatexpectations"},
                code_version=validated.CODE_VERSION,
            )
        )
        return found
