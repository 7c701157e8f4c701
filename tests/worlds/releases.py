"""The stored worlds of releases: a project with its lake, its Dagster home, and what its MLflow server kept.

`make_release_world` makes one; `docs/design/0005-releases.md` says what is in it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from resources.lake.lake import Lake

PACKED = sorted(Path(__file__).parent.glob("release_*.tar.xz"))
SERVED_WITHIN_S = 120


@dataclass(frozen=True)
class World:
    """A stored world in a folder."""

    root: Path

    @classmethod
    def unpack(cls, packed: Path, root: Path) -> World:
        """Unpack one; nothing in it is changed to fit the folder."""
        with tarfile.open(packed) as archive:
            archive.extractall(root, filter="data")
        return cls(root)

    @property
    def expected(self) -> dict[str, Any]:
        """What the release itself said of it, see `make_release_world.describe`."""
        return dict(json.loads((self.root / "expected.json").read_text()))

    @property
    def defs(self) -> Path:
        """The folder of definitions."""
        return self.root / "platform_assets" / "defs"

    @property
    def home(self) -> Path:
        """The folder of local state."""
        return self.root / ".lakeloop" / "dev"

    @property
    def dagster_home(self) -> Path:
        """Dagster's home."""
        return self.home / "dagster"

    @property
    def lake(self) -> Lake:
        """The lake."""
        from resources.lake.lake import Lake

        return Lake(str(self.home / "lake"))

    def environment(self, uri: str) -> dict[str, str]:
        """The variables by which Lakeloop finds it, with an MLflow server's address."""
        return {
            "LAKELOOP_ENV": "dev", "LAKELOOP_HOME": str(self.root / ".lakeloop"), "LAKELOOP_LAKE": self.lake.url, "LAKELOOP_MLFLOW": uri,
            "DAGSTER_HOME": str(self.dagster_home), "SHOP_DB": f"sqlite:///{self.root / 'shop.db'}",
        }  # fmt: skip

    def states(self) -> list[dict[str, Any]]:
        """What is published: a record for each partition of each table or stage, in order."""
        return [
            {"asset": str(key), "partition": name, "fingerprint": state.fingerprint, "version": state.version, "rows": state.rows}
            for key, partitions in sorted(self.lake.states().items())
            for name, state in sorted(partitions.items())
        ]

    def tables(self) -> dict[str, dict[str, int]]:
        """The newest version of each Delta table of the lake and its number of rows, by path."""
        import deltalake

        lake = self.home / "lake"
        tables = {log.parent.relative_to(lake).as_posix(): deltalake.DeltaTable(log.parent) for log in sorted(lake.glob("**/_delta_log"))}
        return {path: {"version": table.version(), "rows": table.to_pyarrow_table().num_rows} for path, table in tables.items()}

    def materialisations(self) -> dict[str, dict[str, str]]:
        """The data and code version of each asset's latest materialisation, as Dagster has them."""
        import dagster as dg

        versions = {}
        with dg.DagsterInstance.from_config(str(self.dagster_home)) as instance:
            for key in sorted(instance.all_asset_keys()):
                event = instance.get_latest_materialization_event(key)
                if event is not None and event.asset_materialization is not None:
                    tags = event.asset_materialization.tags or {}
                    versions["/".join(key.path)] = {name: tags[f"dagster/{name}"] for name in ("data_version", "code_version")}
        return versions

    def mlflow_server(self) -> AbstractContextManager[tuple[str, Any]]:
        """Start an MLflow server on what the one of the release kept; gives its address and its process."""
        from tests.worlds.servers.mlflow_server import server

        return server(self.home / "mlflow")

    @contextmanager
    def endpoint(self, uri: str) -> Iterator[str]:
        """Serve what the release stated should be served; gives the endpoint's address."""
        folder = self.home / "serving"
        command = [sys.executable, "-m", "resources.serving.supervisor", "--dir", str(folder), "--port", "0", "--tracking-uri", uri]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **self.environment(uri)})
        try:
            wanted = {path.stem for path in (folder / "desired").glob("*.json")}
            deadline, status = time.monotonic() + SERVED_WITHIN_S, {}
            while {name for name, model in status.get("models", {}).items() if model["state"] == "ready"} != wanted:
                failed = any(model["state"] == "failed" for model in status.get("models", {}).values())
                if failed or process.poll() is not None or time.monotonic() > deadline:
                    raise TimeoutError(f"wanted {wanted} served, found {status}\n{(folder / 'log').read_text()[-4000:]}")
                time.sleep(0.2)
                status = json.loads((folder / "status.json").read_text()) if (folder / "status.json").exists() else {}
            yield str(status["address"])
        finally:
            process.terminate()
            process.wait(40)


def frame_of(rows: list[dict[str, Any]], model: Any) -> pd.DataFrame:
    """Rows of a stored request as the frame that a model takes."""
    import pandas as pd

    kinds = {field.name: "float64" if field.kind == "double" else "object" for field in model.fields}
    return pd.DataFrame({name: pd.Series([row[name] for row in rows], dtype=kind) for name, kind in kinds.items()})
