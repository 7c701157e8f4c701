"""A stage as somebody would add one: `sizes` of every table, how many rows it has. One module; the registry gets its last line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from lakeloop.fingerprint import fingerprint
from lakeloop.project.lineage import ColumnRef, Sources
from lakeloop.project.project import Located, Project
from lakeloop.records.base import CheckedState
from lakeloop.rows.verdicts import Verdict
from lakeloop.spec.tables import TableSpec
from platform_assets.stages.base import Platform, StageResult, key_of
from platform_assets.stages.publishing import Judgement, fresh_result, plan_work, publish_batch, refuse_batch, settled_states
from platform_assets.stages.stage import Check, Stage, World
from resources.lake.published import WHOLE

COUNTED = "rows_are_counted"


@dataclass(frozen=True)
class SizeState(CheckedState):
    stage: ClassVar[str] = "sizes"

    counted: int


def expected(world: World, located: Located[TableSpec], partition: str) -> str:
    states = world.states.of(key_of("validated", located))
    return fingerprint("sizes", {name: state.fingerprint for name, state in states.items()})


def measure(platform: Platform, located: Located[TableSpec], partitions: Sequence[str]) -> StageResult:
    key = key_of(SizeState.stage, located)
    states = settled_states(platform, key)
    work = plan_work(SizeState, key, states, {WHOLE: expected(World(platform.project, states), located, WHOLE)})
    if not work.stale:
        return fresh_result(work)
    counted = sum(state.rows for state in states.of(key_of("validated", located)).values())
    judgement = Judgement(Verdict(passed=True), {COUNTED: ("passed", f"{counted} rows")})
    refusal = refuse_batch(platform, work, judgement)
    record = SizeState(counted=counted, checks=judgement.checks)
    return refusal or publish_batch(platform, work, judgement, pa.table({"counted": [counted]}), lambda _: record, suite=[])


def lineage(project: Project, located: Located[TableSpec]) -> Sources:
    return {"counted": tuple(ColumnRef("validated", *located.id, name) for name in sorted(located.spec.keys))}


STAGE = Stage(
    name="sizes",
    noun=TableSpec,
    code_version="1",
    group="tables",
    run=measure,
    reads=lambda project, located: (key_of("validated", located),),
    expected=expected,
    checks=lambda project, located: (Check(COUNTED, True, "rows were counted"),),
    describe=lambda located: f"How many rows {located.spec.name} has.",
    lineage=lineage,
)
