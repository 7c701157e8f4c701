"""Spark: sessions on the embedded engine (Sail, up in a moment and without Java), on a cluster, or on this machine's JVM."""

from __future__ import annotations

import atexit
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any, Literal, Protocol
from urllib.parse import unquote, urlsplit

from dagster_pyspark import LazyPySparkResource
from pydantic import Field, PrivateAttr

from lakeloop.errors import LakeloopError, ServiceUnavailable
from resources.settings import Settings
from resources.spark.plan_guard import make_interceptor
from resources.spark.tables import embedded_sessions, sessions_here

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Size = Literal["small", "large"]
"""What a session is asked for: `large` from the number of rows on at which joins leave this process."""

CONNECT_PORT = 15002
PATIENCE_S = 10.0
"""How long an address may take to accept a connection."""
_JVM_HERE = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "8",
}
"""For `local[n]`: nothing listens beyond loopback, and not 200 tasks to a join on one machine."""
_embedded: dict[int, Any] = {}
"""The embedded server of this process, by process id: a forked child must not use its parent's."""


class Engine(Protocol):
    """Who runs Spark: gives the address of a session to a domain that needs one of a size."""

    def open_session(self, domain: str, size: Size) -> str:
        """Address of a session: `sc://host:port` (Spark Connect) or `local[n]` (this machine's JVM)."""


class EmbeddedEngine:
    """One Sail server per process, on a free loopback port, for every domain and size."""

    def open_session(self, domain: str, size: Size) -> str:
        """Start the server if this process has none, and give its address."""
        if os.getpid() not in _embedded:
            os.environ.setdefault("RUST_LOG", "error")
            from resources.spark.sail import SparkConnectServer

            server = SparkConnectServer(ip="127.0.0.1", port=0)
            server.start(background=True)
            _embedded[os.getpid()] = server
        host, port = _embedded[os.getpid()].listening_address
        return f"sc://{host}:{port}"


@dataclass(frozen=True)
class RemoteEngine:
    """Servers that somebody else runs, by a template of their address.

    Attributes:
        template: may have `{domain}` and `{size}`, so that each team has its own: `sc://{domain}-{size}.spark:15002`.
    """

    template: str = field(repr=False)

    def open_session(self, domain: str, size: Size) -> str:
        """Fill the template in.

        >>> RemoteEngine("sc://{domain}.spark:15002").open_session("flights", "small")
        'sc://flights.spark:15002'
        """
        try:
            return self.template.format(domain=domain, size=size)
        except (KeyError, IndexError, ValueError):
            # Without the cause: what stands between braces may be part of a token.
            raise LakeloopError(
                f"LAKELOOP_SPARK: wanted an address such as sc://{{domain}}-{{size}}.spark:15002 or local[2], found {_shown(self.template)!r}"
            ) from None


class SparkResource(LazyPySparkResource):
    """Spark sessions, each made at its first use.

    `remote` is an address or a template of one (see `RemoteEngine`); without it `LAKELOOP_SPARK` is asked, and then the embedded engine
    is used.
    """

    spark_config: dict[str, Any] = {}
    remote: str | None = Field(default=None, repr=False)
    _sessions: dict[str, SparkSession] = PrivateAttr(default_factory=dict)

    @property
    def engine(self) -> Engine:
        """Who runs Spark here."""
        template = self.remote or Settings.from_environment().spark_remote
        return RemoteEngine(template) if template else EmbeddedEngine()

    def session(self, domain: str, size: Size = "small") -> SparkSession:
        """The session of a domain, in UTC.

        Raises:
            ServiceUnavailable: nobody answers at its address.
        """
        address = self.engine.open_session(domain, size)
        if address not in self._sessions:
            is_embedded = isinstance(self.engine, EmbeddedEngine)
            session = self._sessions[address] = _connect(address, self.spark_config, is_embedded=is_embedded)
            if is_embedded:
                embedded_sessions.add(session)
            if is_embedded or address.startswith("local"):
                sessions_here.add(session)
        return self._sessions[address]

    def version(self, domain: str) -> str:
        """The name and version of what computes for a domain: `sail 0.7.2`, `spark 4.0.1`."""
        if isinstance(self.engine, EmbeddedEngine):
            return f"sail {metadata.version('pysail')}"
        return f"spark {self.session(domain).version}"

    @property
    def spark_session(self) -> SparkSession:
        """The session of whoever has no domain, such as an asset of somebody's own."""
        return self.session("default")


def _shown(address: str) -> str:
    """An address without its parameters, which may hold a token, and without a user.

    >>> _shown("sc://me:secret@host/;token=secret")
    'sc://host:15002'
    """
    scheme, separator, rest = address.partition(";")[0].partition("://")
    host = rest.partition("/")[0].rpartition("@")[2]
    port = "" if re.search(r":[^\]:]+$", host) else f":{CONNECT_PORT}"
    return f"{scheme}://{host}{port}" if separator else scheme


def _said(error: Exception, address: str) -> str:
    """What an error says, without the parameters of an address."""
    text = str(error).replace(address, _shown(address))
    for parameter in address.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if value and name not in ("use_ssl", "user_id", "user_agent", "session_id"):
            text = text.replace(value, "…").replace(unquote(value), "…")
    return text


def _require_answer(address: str) -> None:
    """Knock once: a Connect client would try for ten minutes at an address where nobody is."""
    try:
        parts = urlsplit(address)
        socket.create_connection((parts.hostname or "", parts.port or CONNECT_PORT), timeout=PATIENCE_S).close()
    except (OSError, ValueError) as error:
        raise ServiceUnavailable(f"Spark did not answer at {_shown(address)}: {_said(error, address)}") from None


def _connect(address: str, config: Mapping[str, Any], *, is_embedded: bool) -> SparkSession:
    from pyspark.sql import SparkSession

    local = address.startswith("local")
    if local:
        # A process that used Spark Connect marks its environment, and those that it starts would wait for a remote too.
        os.environ.pop("SPARK_CONNECT_MODE_ENABLED", None)
    else:
        _require_answer(address)
    try:
        builder: Any = SparkSession.builder.master(address) if local else _connect_builder(address, is_embedded=is_embedded)
        for name, value in {"spark.sql.session.timeZone": "UTC", **(_JVM_HERE if local else {}), **config}.items():
            builder = builder.config(name, value)
        # `getOrCreate` would give the first session again for another address.
        session: SparkSession = builder.getOrCreate() if local else builder.create()
        session.conf.set("spark.sql.session.timeZone", "UTC")
    except Exception as error:  # pyspark raises whatever gRPC or Java did; the address is what helps.
        # Without the cause, which may say the address with its token.
        raise ServiceUnavailable(f"Spark did not answer at {_shown(address)}: {_said(error, address)}") from None
    if not local:
        atexit.register(_leave, session, address)
    return session


def _connect_builder(address: str, *, is_embedded: bool) -> Any:
    """A builder of Connect sessions that take messages of any size: a batch of a wide result may have more than pyspark's 128 MiB."""
    from pyspark.sql.connect.client import DefaultChannelBuilder
    from pyspark.sql.connect.session import SparkSession

    os.environ["SPARK_CONNECT_MODE_ENABLED"] = "1"  # as `SparkSession.builder.remote` does; functions and types go by it
    sizes = [(f"grpc.max_{way}_message_length", -1) for way in ("send", "receive")]
    channel = DefaultChannelBuilder(address, sizes)
    if is_embedded:
        channel.add_interceptor(make_interceptor())
    return SparkSession.builder.channelBuilder(channel)


def _leave(session: SparkSession, address: str) -> None:
    """At a process's end: a client of a server that is gone by then would say goodbye to it for ten minutes."""
    try:
        _require_answer(address)
    except ServiceUnavailable:
        session.client.close()
