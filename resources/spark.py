"""Spark: a remote (`sc://…`) when one is named, else the embedded engine (Sail), up in a moment and without Java."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from dagster_pyspark import LazyPySparkResource

from lakeloop.errors import ServiceUnavailable
from resources.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_embedded: dict[int, Any] = {}
"""The embedded server of this process, by process id: a forked child must not use its parent's."""


def embedded_remote() -> str:
    """Start the embedded engine once per process, on a free loopback port, and give its address."""
    if os.getpid() not in _embedded:
        os.environ.setdefault("RUST_LOG", "error")
        from pysail.spark import SparkConnectServer

        server = SparkConnectServer(ip="127.0.0.1", port=0)
        server.start(background=True)
        _embedded[os.getpid()] = server
    host, port = _embedded[os.getpid()].listening_address
    return f"sc://{host}:{port}"


class SparkResource(LazyPySparkResource):
    """A Spark session, made at its first use.

    `remote` is a Spark Connect address; without one, `LAKELOOP_SPARK` is asked, and then the embedded engine is used.
    """

    spark_config: dict[str, Any] = {}
    remote: str | None = None

    @property
    def spark_session(self) -> SparkSession:
        """The session, in UTC."""
        if self._spark_session is None:
            address = self.remote or Settings.from_environment().spark_remote or embedded_remote()
            self.spark_config["spark.remote"] = address
            try:
                self._init_session()
                self._spark_session.conf.set("spark.sql.session.timeZone", "UTC")
            except Exception as error:  # pyspark raises whatever gRPC did; the address is what helps.
                raise ServiceUnavailable(f"Spark did not answer at {address}: {error}") from error
        return self._spark_session
