"""What a stage is: one record that says everything about it, so that graph, plan, assets, checks, sensors, lineage and summary are read off it.

A stage module ends in `STAGE = Stage(…)`, and `platform_assets.stages.registry` lists it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from lakeloop.project.project import Located, Project
from lakeloop.rows.verdicts import MANY, check_names, describe_expectation
from lakeloop.spec.tables import Expectation, Partitions, TableSpec, ViewSpec
from lakeloop.spec.workflow import WorkflowSpec
from platform_assets.stages.base import Platform, StageResult
from resources.lake.published import States, TableKey

if TYPE_CHECKING:
    import dagster as dg

    from lakeloop.project.lineage import Sources

T = TypeVar("T")
S = TypeVar("S", TableSpec, ViewSpec, WorkflowSpec)
Helper = Callable[[Platform], None]


@dataclass(frozen=True)
class Check:
    """One asset check of a stage.

    Attributes:
        name: of the check, and of the outcome that it shows.
        blocking: whether it stops what follows.
        description: what it says.
        documentation: as Markdown.
        covers: the outcomes that it shows together, of a table with very many; empty for its own.
    """

    name: str
    blocking: bool
    description: str
    documentation: str = ""
    covers: tuple[str, ...] = ()

    @staticmethod
    def of(expectations: Sequence[Expectation]) -> list[Check]:
        """A check for each expectation of a suite; of a suite with more than `MANY`, one for all that block and one for all that warn."""
        named = list(zip(check_names(expectations), expectations, strict=True))
        if len(named) <= MANY:
            return [Check(name, e.severity == "blocking", describe_expectation(e)[:200]) for name, e in named]
        groups = {
            severity: tuple(name for name, expectation in named if expectation.severity == severity) for severity in ("blocking", "warning")
        }
        return [
            Check(
                f"{severity}_expectations",
                severity == "blocking",
                f"{len(names):,} expectations, each a row in reports/checks",
                covers=names,
            )
            for severity, names in groups.items()
            if names
        ]


@dataclass(frozen=True)
class World:
    """What the fingerprint of a stage may depend on.

    Attributes:
        project: every definition.
        states: what is published.
        taken: for workflows that take a registered model by alias or newest, the version that this means now, where it was looked up.
    """

    project: Project
    states: States
    taken: Mapping[tuple[str, str], str] = field(default_factory=dict)
    _once: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def once(self, what: Hashable, compute: Callable[[], T]) -> T:
        """What is the same for each partition of an asset, computed when it is first asked for."""
        if what not in self._once:
            self._once[what] = compute()
        known: T = self._once[what]
        return known


@dataclass(frozen=True)
class Stage(Generic[S]):
    """A stage of a table, view or workflow.

    Attributes:
        name: the first part of its asset keys, and its folder in the lake.
        noun: the kind of definition that has it.
        code_version: raised when it computes something else from the same inputs.
        run: materialises some partitions of a definition (`["whole"]` where it has none).
        reads: the assets that it reads directly.
        expected: the fingerprint that a partition would have if it were materialised now; raises NotPublished where an input is missing.
        describe: what Dagster shows of it.
        exists: whether a definition has this stage.
        group: Dagster's group within a domain; None for one per definition.
        partitions: the partitions of its asset.
        checks: its asset checks.
        schema: its columns.
        kinds: the technologies that Dagster shows.
        tags: of its asset.
        helpers: further steps that run beside it.
        lineage: the columns that each of its columns comes from, of a stage whose columns `lakeloop.project.lineage` doesn't know.
        needs_champion: it has nothing to do until a version is released.
        is_changed: of a stage that reads a source outside the lake, whether that has changed; it has no fingerprint to be expected then.
        config: what a run may be given for it, by key; nothing where it takes none.
        goes_along: further partitions that are made with any that is asked for.
    """

    name: str
    noun: type[S]
    code_version: str
    run: Callable[[Platform, Located[S], Sequence[str]], StageResult]
    reads: Callable[[Project, Located[S]], Iterable[TableKey]]
    describe: Callable[[Located[S]], str]
    expected: Callable[[World, Located[S], str], str] | None = None
    exists: Callable[[Located[S]], bool] = lambda _: True
    group: str | None = None
    partitions: Callable[[Located[S]], Partitions | None] = lambda _: None
    checks: Callable[[Project, Located[S]], Sequence[Check]] = lambda _project, _located: ()
    schema: Callable[[Project, Located[S]], dg.TableSchema] | None = None
    kinds: Callable[[Located[S]], Collection[str]] = lambda _: ("delta",)
    tags: Callable[[Located[S]], Mapping[str, str]] = lambda _: {}
    helpers: Callable[[Located[S]], Sequence[Helper]] = lambda _: ()
    lineage: Callable[[Project, Located[Any]], Sources] | None = None
    needs_champion: bool = False
    config: Mapping[str, dg.Field] = field(default_factory=dict)
    is_changed: Callable[[World, Located[S]], bool] | None = None
    goes_along: Callable[[World, Located[S]], Sequence[str]] = lambda _world, _located: ()
