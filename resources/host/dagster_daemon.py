"""Dagster's daemon beside a code server that says when its definitions have changed; takes the options of `dagster-daemon`."""

from __future__ import annotations

import os
import sys

import resources.host.fewer_collections  # noqa: F401
from resources.host.code_server import wait_for_socket

WATCH_S = 5.0
"""Between two questions to the code server whether its definitions are the same. At Dagster's own 1 s they took 0.3 s of a core a minute."""
REFRESH_S = 3600
"""Between two copies of all definitions from the code server. Changes are followed by `WATCH_S`; Dagster copies them each minute all the same."""


KILLED_S = 15
"""Between two looks for runs that were killed, to start them once more; Dagster's own 5 s are for many runs a minute."""


def watch_less_often() -> None:
    """Set how often a client of the code server asks whether its definitions have changed."""
    from dagster._grpc import server_watcher

    server_watcher.WATCH_INTERVAL = WATCH_S  # type: ignore[assignment]  # any number will do


def main() -> None:
    """Run the daemon."""
    # Read when it is imported.
    os.environ.setdefault("DAGSTER_EVENT_LOG_CONSUMER_DAEMON_INTERVAL_SECONDS", str(KILLED_S))
    from dagster._daemon import cli, controller

    from resources.host.dagster_sqlite import keep_connections

    keep_connections()
    watch_less_often()
    controller.RELOAD_WORKSPACE_INTERVAL = REFRESH_S
    sys.argv[1:] = wait_for_socket(sys.argv[1:])
    cli.main()


if __name__ == "__main__":
    main()
