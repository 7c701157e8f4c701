"""What a mutant comes to: whether it means something else than the original, and what becomes of it when its stages run on data.

Stages run for real, on a lake of each project's own, from the source to the training set; a mutant's run begins with a copy of that lake.
"""

from __future__ import annotations

import logging
import re
import shutil
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from benchmarks.truth.mutants import TEXT_KEYS, Mutant
from lakeloop.errors import LakeloopError, SpecError
from lakeloop.project.project import Located, Project, parse_sql_file
from lakeloop.spec.partitions import partition_keys
from lakeloop.spec.tables import ViewSpec
from lakeloop.spec.workflow import WorkflowSpec
from lakeloop.sql.query import normalize_sql
from platform_assets.graph import dependencies, partitions_of
from platform_assets.loading import load_definitions
from platform_assets.stages.base import Platform
from platform_assets.stages.registry import definition_of, stage_named
from resources.lake.lake import Lake
from resources.lake.published import WHOLE, TableKey
from resources.settings import Settings
from resources.spark.sessions import SparkResource

STAGES = ("raw", "validated", "features", "training_sets")
"""What is run; a model is not trained."""
UNTOUCHED = ("model", "search", "evaluation", "gates", "batch", "online", "retrain", "forecast", "anomaly", "quantiles", "task")
"""Keys of a workflow that matter after its training set only: a run up to there tells nothing of them."""
OWN = re.compile(r"_.*|ingested_at")
"""Columns that each landing makes anew."""
Fate = Literal["same", "fails", "told", "differs", "not run"]


@dataclass(frozen=True)
class Outcome:
    """What becomes of a mutant that runs.

    Attributes:
        fate: `same` rows; a step `fails`; rows differ and the data tell that this wasn't meant (`told`), or don't (`differs`); or `not run`, where what
            is changed matters after the training set only.
        why: the error, or what the data tell.
    """

    fate: Fate
    why: str = ""


@contextmanager
def changed(defs: Path, mutant: Mutant) -> Iterator[None]:
    """The project with a mutant in it."""
    path = defs / mutant.file
    original = path.read_text(encoding="utf-8")
    path.write_text(mutant.text, encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(original, encoding="utf-8")


def meaning(project: Project) -> Mapping[str, Any]:
    """All that definitions say but what is for people, by kind, domain and name."""
    return {f"{type(located.spec).__name__} {located.domain}.{located.spec.name}": _meaning_of(located) for located in project.all()}


def _meaning_of(located: Located[Any]) -> list[Any]:
    spec = located.spec
    file = spec.spine if isinstance(spec, WorkflowSpec) else spec.sql if isinstance(spec, ViewSpec) else None
    query = ""
    if file is not None:
        try:
            query = normalize_sql(parse_sql_file(located, file).text)
        except SpecError as error:
            query = str(error)
    return [_without_texts(spec.model_dump(mode="json")), query]


def _without_texts(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_texts(part) for key, part in value.items() if key not in TEXT_KEYS}
    return [_without_texts(part) for part in value] if isinstance(value, list) else value


class Judge:
    """Runs the stages of a project and of its mutants."""

    def __init__(self, defs: Path, folder: Path) -> None:
        self.defs, self.folder = defs, folder
        project, errors = load_definitions(defs)
        assert not errors, errors
        self.original = meaning(project)
        self._lake: Path | None = None
        self._rows: Mapping[TableKey, Any] = {}

    def judge(self, mutant: Mutant) -> Outcome:
        """What becomes of a mutant that `check` lets pass."""
        with changed(self.defs, mutant):
            project, _ = load_definitions(self.defs)
            if meaning(project) == self.original:
                return Outcome("same", "it means the same")
        lake = self._built()
        copy = self.folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(lake, copy)
        with changed(self.defs, mutant):
            project, _ = load_definitions(self.defs)
            try:
                run(project, copy)
                rows = _rows_of(project, copy)
            except LakeloopError as error:
                return Outcome("fails", _first_line(error))
            except Exception as error:  # what any library raises: a run would have failed
                return Outcome(
                    "fails", f"{type(error).__name__}: {_first_line(error)} {traceback.extract_tb(error.__traceback__)[-1].name}"
                )
        if rows.keys() == self._rows.keys() and all(_is_equal(rows[key], self._rows[key]) for key in rows):
            return Outcome("not run" if mutant.where.split(".")[0] in UNTOUCHED else "same", "the same rows")
        told = [said for key in rows.keys() & self._rows.keys() for said in _tell(str(key), rows[key], self._rows[key])]
        return Outcome("told", told[0]) if told else Outcome("differs", "other rows")

    def _built(self) -> Path:
        if self._lake is None:
            self._lake = self.folder / "lake"
            project, _ = load_definitions(self.defs)
            run(project, self._lake)
            self._rows = _rows_of(project, self._lake)
        return self._lake


def run(project: Project, lake: Path) -> None:
    """Run every stage up to the training sets.

    Raises:
        LakeloopError: a stage publishes nothing.
    """
    quiet = logging.getLogger("lakeloop.mistakes")
    quiet.disabled = True
    platform = Platform(Settings.from_environment(), project, Lake(str(lake)), SparkResource(), None, "run", log=quiet)  # type: ignore[arg-type]
    for key in dependencies(project):
        if key.stage not in STAGES:
            continue
        spec = partitions_of(project, key)
        names = partition_keys(spec, datetime.now(UTC)) if spec else [WHOLE]
        result = stage_named(key.stage).run(platform, definition_of(project, key), names)
        if result.refused:
            failed = [f"{name}: {outcome[1]}" for name, outcome in result.checks.items() if outcome[0] not in ("passed", "warned")]
            raise LakeloopError(f"{key}: {result.refused}: {'; '.join(failed[:1])}")


def _rows_of(project: Project, folder: Path) -> dict[TableKey, Any]:
    lake = Lake(str(folder))
    keys = [key for key in dependencies(project) if key.stage in STAGES[1:]]
    return {key: _sorted(lake.read(lake.current(key))) for key in keys}


def _sorted(rows: Any) -> Any:
    kept = rows.select(sorted(name for name in rows.column_names if not OWN.fullmatch(name)))
    return kept.sort_by([(name, "ascending") for name in kept.column_names])


def _is_equal(one: Any, other: Any) -> bool:
    import polars as pl

    if one.column_names != other.column_names or one.num_rows != other.num_rows:
        return False
    left, right = pl.from_arrow(one), pl.from_arrow(other)
    assert isinstance(left, pl.DataFrame) and isinstance(right, pl.DataFrame)
    return left.dtypes == right.dtypes and left.equals(right)


MOST_LOST = 0.1
"""The share of rows, or of a column's values, that nobody means to lose by one setting."""


def _tell(name: str, now: Any, before: Any) -> Iterable[str]:
    """What the rows tell of a setting that nobody means: most of a table or of a column is gone."""
    if now.num_rows < (1 - MOST_LOST) * before.num_rows and "training_sets" not in name:
        yield f"{name}: {now.num_rows:,} rows of {before.num_rows:,}"
    for column in set(now.column_names) & set(before.column_names):
        filled, was = 1 - now[column].null_count / max(now.num_rows, 1), 1 - before[column].null_count / max(before.num_rows, 1)
        if filled < was - MOST_LOST:
            yield f"{name}.{column}: {filled:.0%} filled instead of {was:.0%}"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:200]
