"""Connections of a server, bounded: so many at once, and none that says nothing, sends a request or takes an answer slower than anybody real.

uvicorn closes a connection that is idle after an answer. One that never asks, stops in the middle of a head or a body, or doesn't read its answer
is kept for ever, and with some thousands of them a server has no file left to open.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from resources.settings import connection_bounds

LEAST_BYTES = 1024
"""A body that brings fewer within the patience of a server stalls."""
_SLOW = b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: 34\r\n\r\n"
_FULL = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 5\r\nconnection: close\r\ncontent-length: 38\r\n\r\n"
_SLOW_BODY, _FULL_BODY = b'{"error": "the request took long"}', b'{"error": "too many connections here"}'


def bound_connections() -> None:
    """Have every uvicorn server that this process starts bound its connections, as the settings say."""
    import uvicorn.config

    uvicorn.config.HTTP_PROTOCOLS["auto"] = f"{__name__}:BoundedByTheSettings"


def __getattr__(name: str) -> type[Any]:
    """`BoundedByTheSettings`, which uvicorn imports by its name when a server starts."""
    if name != "BoundedByTheSettings":
        raise AttributeError(name)
    return bounded(*connection_bounds())


@cache
def bounded(patience_s: float, most: int) -> type[Any]:
    """Uvicorn's HTTP protocol, bounded.

    Args:
        patience_s: how long the head of a request, each `LEAST_BYTES` of its body, and each part of its answer may take.
        most: connections at once; one more is answered 503.
    """
    from uvicorn.protocols.http.auto import AutoHTTPProtocol

    class BoundedProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]  # chosen by what is installed
        """A connection with a clock."""

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._received, self._unread, self._clock = 0, 0, None
            if len(self.connections) > most:
                transport.write(_FULL + _FULL_BODY)
                transport.close()
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            # The clock of a second request begins with its first byte: until then uvicorn's own for idle connections runs.
            if self._is_waiting() and self.timeout_keep_alive_task is not None:
                self._watch()
            self._received += len(data)
            super().data_received(data)

        def handle_websocket_upgrade(self, *args: Any) -> None:
            self._stop()
            super().handle_websocket_upgrade(*args)

        def _is_waiting(self) -> bool:
            """Whether no request is being answered."""
            return self.cycle is None or bool(self.cycle.response_complete)

        def _stop(self) -> None:
            if self._clock is not None:
                self._clock.cancel()
                self._clock = None

        def _watch(self) -> None:
            self._stop()
            self._received, self._unread = 0, self.transport.get_write_buffer_size()
            self._clock = self.loop.call_later(patience_s, self._look)

        def _look(self) -> None:
            """Close the connection if nothing moved since the last look that should have."""
            self._clock = None
            unread = self.transport.get_write_buffer_size()
            if unread or self.transport.is_closing():
                # An answer that isn't taken, be it whole for the app, or the rest of a connection that was closed.
                if unread >= self._unread > 0 or not unread:
                    self.transport.abort()
                else:
                    self._watch()
            elif self._is_waiting():
                if self.timeout_keep_alive_task is None:
                    self._close_slow()
            elif self.cycle.more_body and not self.flow.read_paused and self._received < LEAST_BYTES:
                self._close_slow()
            else:
                self._watch()

        def _close_slow(self) -> None:
            if self._is_waiting() or not self.cycle.response_started:
                self.transport.write(_SLOW + _SLOW_BODY)
            self.transport.close()
            self._watch()

    return BoundedProtocol
