"""`lakeloop up` where something fails: it doesn't call itself ready, says what is missing, and with `--once` exits with 1."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.worlds.places import ROOT
from tests.worlds.servers.ports import free_port
from tests.worlds.shop import make_shop


def test_what_failed_and_what_was_not_computed_is_told_at_the_end(tmp_path: Path) -> None:
    defs = make_shop(tmp_path)
    query = defs / "shop" / "basket" / "view.sql"
    query.write_text(query.read_text().replace("amount_eur FROM", "raise_error(concat('no amount', order_id)) AS amount_eur FROM"))
    own = ("LAKELOOP_", "DAGSTER_HOME")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    environment |= {f"LAKELOOP_{what}_PORT": str(free_port()) for what in ("UI", "MLFLOW", "SERVING", "GRPC")}
    done = subprocess.run(
        [sys.executable, "-m", "lakeloop.cli", "up", "--once"], cwd=ROOT, timeout=300, capture_output=True, text=True,
        env={**environment, "LAKELOOP_HOME": str(tmp_path / "home"), "LAKELOOP_DEFS": str(defs)},
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert "Not ready: features/shop/basket failed, and 5 assets were not computed." in lines, done.stdout
    assert not any(line.startswith("ready") for line in lines)
    # They are the last: what failed, why, and what to do.
    why, what = lines[lines.index("Not ready: features/shop/basket failed, and 5 assets were not computed.") + 1 :][:2]
    assert why.startswith("  features/shop/basket: ") and "no amount" in why
    assert what.startswith("What was published before stands. Mend the cause, and start `lakeloop up` again;") and "/runs/" in what
    assert lines[lines.index(what) :] == [what, "stopping …"]
    table = [line.split() for line in lines if line.split()[:1] and line.split()[0].count("/") == 2]
    became = {columns[0]: " ".join(columns[2:-1]) for columns in table if len(columns) > 3}
    assert became["features/shop/basket"] == "FAILED"
    assert became["models/shop/returns"] == "not computed"


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        ({"version": "2", "state": "ready", "message": ""}, ""),
        ({"version": "1", "state": "ready", "failed_version": "2", "message": "it is broken (next attempt in 10 s)"}, "shop.returns version 2 is not served: it is broken (next attempt in 10 s)"),
        ({"version": "2", "state": "failed", "message": "it is broken"}, "shop.returns version 2 is not served: it is broken"),
        ({"version": "2", "state": "loading", "message": ""}, "shop.returns version 2 is not served: it isn't loaded yet"),
        (None, "shop.returns version 2 is not served: it isn't loaded yet"),
    ],
)  # fmt: skip
def test_a_model_that_is_not_served_is_told_with_the_reason(home: Path, tmp_path: Path, model: dict[str, str] | None, problem: str) -> None:
    from lakeloop.cli.up_summary import unserved
    from resources.serving.desired import Deployment, write_desired, write_json
    from resources.settings import Settings

    settings = replace(Settings.from_environment(), home=tmp_path)
    assert unserved(settings) == []
    write_desired(tmp_path / "serving", Deployment("shop.returns", "2", "models:/shop.returns/2"))
    models = {"shop.returns": model} if model else {}
    write_json(tmp_path / "serving" / "status.json", {"at": time.time(), "pid": os.getpid(), "address": "", "models": models})
    assert unserved(settings) == ([problem] if problem else [])


def test_ctrl_c_that_python_drops_is_noticed_at_the_next_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lakeloop.cli import up
    from resources.host.servers import Servers

    class Finalised:
        """What somebody's Ctrl-C meets in the middle of."""

        def __del__(self) -> None:
            up._interrupt()

    dropped: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda error: dropped.append(error.exc_type))
    monkeypatch.setattr(up, "_asked_to_stop", threading.Event())
    with up._only_one(tmp_path) as lock:
        servers = Servers(tmp_path, {}, lambda: up.look(tmp_path, lock))
        servers.check()
        Finalised()
        assert dropped == [KeyboardInterrupt]
        with pytest.raises(KeyboardInterrupt):
            servers.check()


def test_a_home_that_is_moved_or_removed_while_the_platform_is_up_ends_it_in_a_sentence(tmp_path: Path) -> None:
    from lakeloop.cli import up
    from lakeloop.errors import LakeloopError

    home = tmp_path / "home"
    with up._only_one(home) as lock:
        up.look(home, lock)
        home.rename(tmp_path / "elsewhere")
        with pytest.raises(LakeloopError, match="was moved or removed while the platform was up; everything was stopped"):
            up.look(home, lock)
        # A folder that something has made in its place isn't it.
        home.mkdir()
        (home / up.LOCK).touch()
        with pytest.raises(LakeloopError, match="start `lakeloop up` there"):
            up.look(home, lock)


def test_servers_end_though_another_process_holds_their_pipe(tmp_path: Path) -> None:
    from resources.host.servers import Servers

    servers = Servers(tmp_path, dict(os.environ))
    children = [servers.start(name, [sys.executable, "-c", "import time; time.sleep(60)"]) for name in ("one", "two")]
    held = [os.dup(child.process.stdin.fileno()) for child in children if child.process.stdin]
    started = time.monotonic()
    servers.stop()
    assert time.monotonic() - started < 15 and not servers.children
    for descriptor in held:
        os.close(descriptor)
