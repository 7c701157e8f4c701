"""A real PostgreSQL server for tests: its own folder, an unprivileged user, a free loopback port, stopped by its own process id."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.worlds.servers.ports import free_port

PASSWORD = "s3cret-of-the-test"


ORDERS_TABLE = (
    "CREATE TABLE orders (order_id bigint PRIMARY KEY, ordered_at timestamptz NOT NULL, amount numeric(10,2), updated_at timestamptz)"
)


def binaries() -> Path | None:
    """The folder with `initdb` and `postgres`, the newest of several; None where there is none."""
    folders = [Path(path).parent for path in (shutil.which("initdb"),) if path]
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name.split(".")[0]), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()), None)


@contextmanager
def server() -> Iterator[str]:
    """A server's URL, `postgresql+psycopg2://lakeloop:<password>@127.0.0.1:<port>/postgres`."""
    folder = binaries()
    if folder is None:
        pytest.skip("no PostgreSQL server is installed (looked for initdb on the path and in /usr/lib/postgresql)")
    # PostgreSQL refuses to run as root.
    user = next((name for name in ("postgres", "nobody") if os.geteuid() == 0 and _exists(name)), None)
    identity = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if user else {}
    home = Path(tempfile.mkdtemp(prefix="pg"))
    home.chmod(0o755)
    data = home / "data"
    data.mkdir()
    (home / "password").write_text(PASSWORD)
    if user:
        for path in (home, data, home / "password"):
            shutil.chown(path, user)
    port = free_port()
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": str(home)}
    options = ["-D", str(data), "-U", "lakeloop", "--auth=md5", f"--pwfile={home / 'password'}", "--no-sync", "--encoding=UTF8"]
    subprocess.run([folder / "initdb", *options], cwd=home, env=environment, check=True, capture_output=True, **identity)
    settings = [f"port={port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={home}", "fsync=off", "max_connections=100"]
    with (home / "log").open("wb") as log:
        command = [folder / "postgres", "-D", str(data), *[word for setting in settings for word in ("-c", setting)]]
        process = subprocess.Popen(command, cwd=home, env=environment, stdout=log, stderr=log, **identity)
    try:
        yield _wait(f"postgresql+psycopg2://lakeloop:{PASSWORD}@127.0.0.1:{port}/postgres", process, home / "log")
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)  # a fast shutdown: open sessions are ended
        process.wait(30)
        shutil.rmtree(home, ignore_errors=True)


def _exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> str:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(sa.exc.OperationalError), engine.connect():
            return url
        time.sleep(0.1)
    raise AssertionError(f"PostgreSQL did not start: {log.read_text()[-2000:]}")


def run(engine: sa.Engine, *statements: str) -> None:
    """Execute statements in one transaction."""
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement.replace("%", "%%"))


def order(number: int, day: int, amount: str = "1.50", *, updated: str | None = None, month: int = 3) -> str:
    """An INSERT of an order."""
    at = f"2024-{month:02d}-{day:02d} 10:00:00+01"
    return f"INSERT INTO orders VALUES ({number}, '{at}', {amount}, '{updated or at}')"
