"""Hostile models refused by all that load models: `python -m benchmarks.truth hostile` (a minute); writes the table of docs/models.md.

Each is an honest model's folder with one thing changed (`tests/worlds/hostile`). For batch predictions it takes the place of a version that was
registered, as if somebody had overwritten its files; for the others it is one that is brought.
"""

from __future__ import annotations

import io
import logging
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.page import DOCS, write_between
from lakeloop.errors import DataError
from lakeloop.training.pipelines import TRUSTED_TYPES
from platform_assets.stages.training.version_files import keep_contents, load_version
from resources.lake.lake import Lake
from resources.serving.models import load_models
from resources.tracking.brought_model import check_brought
from resources.tracking.model_files import Trust
from resources.tracking.model_format import load_model, read_contents
from resources.tracking.runs import Tracking
from tests.worlds.code.brought_models import CONTRACT, ROWS
from tests.worlds.hostile.honest import copy, save_all
from tests.worlds.hostile.hostile import FAMILIES

PAGE = DOCS / "models.md"
PLACES = ("registration", "load", "batch predictions", "model server")
WORKFLOW: Any = SimpleNamespace(domain="shop", spec=SimpleNamespace(name="returns"))


class Store:
    """A registry whose versions' files can be overwritten: MLflow's file store, and a lake with the ledger."""

    def __init__(self, root: Path, honest: Mapping[str, Path]) -> None:
        import mlflow

        address = (root / "store").as_uri()
        self.files = {name: copy(folder, root / "versions" / name) for name, folder in honest.items()}
        settings = SimpleNamespace(tracking_uri=address)
        self.platform = _platform(root, settings)
        client = mlflow.MlflowClient(address, registry_uri=address)
        for name, folder in self.files.items():
            client.create_registered_model(name)
            client.create_model_version(name, folder.as_uri())
            contents = read_contents(f"models:/{name}/1", address, Trust(TRUSTED_TYPES))
            keep_contents(self.platform, WORKFLOW, name, "1", contents, "registration")

    def load_in_place_of(self, name: str, folder: Path) -> None:
        """Load a version whose files were overwritten with those of a folder."""
        kept = self.files[name].rename(self.files[name].with_name("kept"))
        try:
            shutil.copytree(folder, self.files[name], symlinks=True, copy_function=_copy)
            load_version(self.platform, WORKFLOW, name, "1")
        finally:
            shutil.rmtree(self.files[name])
            kept.rename(self.files[name])


def _platform(root: Path, settings: SimpleNamespace) -> Any:
    """What of a stage's platform the ledger asks for."""
    tracking = Tracking(tracking_uri=settings.tracking_uri)
    return SimpleNamespace(lake=Lake(str(root / "lake")), settings=settings, tracking=tracking, log=logging.getLogger("hostile"), run_id="")


def _copy(source: str, target: str) -> None:
    """Copy a file; of what is none, only the name."""
    if Path(source).is_file():
        shutil.copy2(source, target)
    else:
        Path(target).touch()


def refused(act: Callable[[], object]) -> bool:
    """Whether something ends in an error of ours."""
    try:
        act()
    except DataError:
        return True
    return False


def main() -> None:
    """Count what is refused, by family and place."""
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    # The server's log says of each model that it has no digests.
    with tempfile.TemporaryDirectory() as folder, redirect_stderr(io.StringIO()):
        counts, ran = _count(Path(folder))
    assert not ran, "something hostile ran"
    lines = [f"| | files | {' | '.join(f'refused by {place}' for place in PLACES)} |", f"|---|---:|{'---:|' * len(PLACES)}"]
    for family in [*FAMILIES, "all"]:
        numbers = [counts[family, what] for what in ("files", *PLACES)]
        lines.append(f"| {family} | {' | '.join(map(str, numbers))} |")
    print("\n".join(lines))
    write_between(PAGE, "hostile models", "\n".join(lines))


def _count(root: Path) -> tuple[Counter[tuple[str, str]], bool]:
    mark, nowhere = root / "it_ran", (root / "nowhere").as_uri()
    honest = save_all(root / "honest")
    store, counts = Store(root, honest), Counter[tuple[str, str]]()
    for family, models in FAMILIES.items():
        for number, (name, base, change) in enumerate(models(mark)):
            folder = copy(honest[base], root / family.replace(" ", "_") / str(number) / base)
            change(folder)
            at_places = {
                "registration": refused(partial(check_brought, str(folder), nowhere, CONTRACT, ROWS)),
                "load": refused(partial(load_model, str(folder))),
                "batch predictions": refused(partial(store.load_in_place_of, base, folder)),
                "model server": bool(load_models([{"name": "a.b", "version": "1", "uri": str(folder)}], nowhere)[1]),
            }
            for place in ["files", *(place for place, is_refused in at_places.items() if is_refused)]:
                counts.update({(family, place): 1, ("all", place): 1})
            for place in (place for place, is_refused in at_places.items() if not is_refused):
                print(f"{name}: not refused by {place}", flush=True)
    return counts, mark.exists()
