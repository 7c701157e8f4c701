"""The whole flights walk, `lakeloop up --once`, with its lake in an object store and its databases in PostgreSQL, both real and local.

`python -m benchmarks.walk` uses both; `object-store` or `postgresql` as arguments choose. Everything lives in a temporary folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from resources.project import PLATFORM_ROOT, PORTS
from tests.worlds.servers import object_store, postgres
from tests.worlds.servers.ports import free_ports

STORES = ("object-store", "postgresql")


def main(chosen: list[str]) -> int:
    """Run the walk; its exit code is that of `lakeloop up`."""
    import sqlalchemy as sa

    unknown = set(chosen) - set(STORES)
    if unknown:
        raise SystemExit(f"wanted {' or '.join(STORES)}, found {', '.join(sorted(unknown))}")
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ports = dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))
        environment = {**os.environ, **ports, "LAKELOOP_HOME": str(home / "home")}
        if "object-store" in (chosen or STORES):
            store = stack.enter_context(object_store.object_store(home / "store"))
            environment |= {**store.environment, "LAKELOOP_LAKE": f"{store.url}/flights"}
        if "postgresql" in (chosen or STORES):
            url = stack.enter_context(postgres.server())
            with sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool).connect() as connection:
                for name in ("dagster", "mlflow"):
                    connection.execute(sa.text(f"CREATE DATABASE {name}"))
                    environment[f"LAKELOOP_{name.upper()}_DB"] = sa.make_url(url).set(database=name).render_as_string(hide_password=False)
        started = time.monotonic()
        done = subprocess.run([sys.executable, "-m", "lakeloop.cli", "up", "--once"], cwd=PLATFORM_ROOT, env=environment)
        print(
            f"the walk on {' and '.join(chosen or STORES)} ended with {done.returncode} after {time.monotonic() - started:.0f} s",
            flush=True,
        )
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
