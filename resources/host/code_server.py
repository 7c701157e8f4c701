"""Dagster's code server, which loads the definitions again when it is asked to; takes the options of `dagster api grpc`.

`lakeloop up` starts one for its web server and its daemon, on a socket that no other user can open.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from stat import S_ISDIR
from typing import Any

import resources.host.fewer_collections  # noqa: F401
from lakeloop.fingerprint import fingerprint

LOCATION = "lakeloop"
START_S = 120.0


def make_socket(home: Path) -> Path:
    """The path of a new socket in a folder that only this user can open; a short one, since it may have some hundred bytes.

    It is the same each time for the state that `home` holds, so that an `up` that was killed leaves nothing that piles up.
    """
    folder = Path(tempfile.gettempdir()) / f"lakeloop-{os.getuid()}-{fingerprint(str(home))[:12]}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    state = folder.lstat()
    if not S_ISDIR(state.st_mode) or state.st_uid != os.getuid() or state.st_mode & 0o077:
        folder = Path(tempfile.mkdtemp(prefix="lakeloop-"))
    socket = folder / "code"
    socket.unlink(missing_ok=True)
    return socket


def server_command(socket: Path, definitions: Path, target: Sequence[str]) -> list[str]:
    """The command of a server.

    Args:
        socket: that it listens on.
        definitions: the folder whose Python files are imported anew at each loading.
        target: what to load, as options of Dagster: `-m module -a attribute`, or `-f file`.
    """
    return [
        sys.executable, "-m", "resources.host.code_server", "--definitions", str(definitions), "--socket", str(socket),
        "--location-name", LOCATION, "--lazy-load-user-code", "--use-python-environment-entry-point", *target,
    ]  # fmt: skip


def write_workspace(path: Path, socket: Path) -> Path:
    """Write the workspace file that names the server to Dagster's web server and daemon; in JSON, which is YAML too."""
    path.write_text(json.dumps({"load_from": [{"grpc_server": {"socket": str(socket), "location_name": LOCATION}}]}, indent=2) + "\n")
    return path


def wait_for_socket(arguments: list[str]) -> list[str]:
    """Wait until the socket exists that `--after SOCKET` at the start of some arguments names; returns the other arguments.

    Dagster's web server and daemon are started together with the code server, to import meanwhile, and would list a location that doesn't
    answer yet as broken.
    """
    if arguments[:1] != ["--after"]:
        return arguments
    deadline = time.monotonic() + START_S
    while not Path(arguments[1]).exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return arguments[2:]


def forget_modules(folder: Path) -> None:
    """Forget the modules that were imported from below a folder, so that they are imported again."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and Path(file).is_relative_to(folder):
            del sys.modules[name]
    # The importer remembers what a folder holds, and would miss a file that was just added.
    importlib.invalidate_caches()


def make_reloadable(definitions: Path) -> None:
    """Give Dagster's code server its `ReloadCode`, for which Dagster itself starts a second process that imports everything again."""
    from dagster._core.definitions.reconstruct import ReconstructableJob
    from dagster._grpc import server
    from dagster._grpc.__generated__ import dagster_api_pb2

    class ReloadableServer(server.DagsterApiServer):
        def __init__(self, *, loadable_target_origin: Any, location_name: str | None, **options: Any) -> None:
            super().__init__(loadable_target_origin=loadable_target_origin, location_name=location_name, **options)
            self._location_name = location_name

        def ReloadCode(self, request: Any, context: Any) -> Any:
            """Load the definitions again. Where that fails, what was loaded before stays, and who asked gets the error."""
            import grpc

            with self._reload_lock:
                forget_modules(definitions)
                try:
                    loaded = server.LoadedRepositories(
                        self._loadable_target_origin,
                        entry_point=self._entry_point,
                        container_image=self._container_image,
                        container_context=self._container_context,
                        defs_state_info=self._defs_state_info,
                        code_location_name=self._location_name,
                    )
                except Exception as error:  # whatever a user's own code raises
                    self._logger.exception("The definitions can't be loaded; those of before stay")
                    context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error.__cause__ or error))
                self._loaded_repositories, self._serializable_load_error = loaded, None
                # Equal for the same job of other definitions.
                ReconstructableJob.get_repository_definition.cache_clear()
                ReconstructableJob.get_definition.cache_clear()
                # Dagster's web server and daemon follow this, and ask for everything again when it changes.
                self._server_id = str(uuid.uuid4())
            return dagster_api_pb2.ReloadCodeReply()

    server.DagsterApiServer = ReloadableServer  # type: ignore[misc, assignment]  # the name that Dagster's command imports


def main() -> None:
    """Run the server."""
    import grpc._common
    from dagster._cli.api import api_cli

    from resources.host.dagster_sqlite import keep_connections

    keep_connections()
    # The main thread waits for the server's end, which wakes it. That it looks up ten times a second meanwhile takes 0.1 s of a core a minute.
    grpc._common.MAXIMUM_WAIT_TIMEOUT = 1.0
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--definitions", type=Path, required=True)
    own, arguments = parser.parse_known_args()
    make_reloadable(own.definitions)
    api_cli(["grpc", *arguments])


if __name__ == "__main__":
    main()
