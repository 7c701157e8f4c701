"""Servers bound their connections: clients that say nothing, stall or don't read are let go, those that are only slow are not."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import pytest
import uvicorn

from lakeloop.errors import LakeloopError
from resources.host.bounded_connections import bounded
from resources.settings import connection_bounds

PATIENCE_S = 0.4
MOST = 6
LARGE = 64 * 2**20


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers with what it was sent, or with much."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message.get("body", b""), message.get("more_body", False)
    if scope["path"] == "/slow":
        await asyncio.sleep(PATIENCE_S * 3)
    content = b"x" * LARGE if scope["path"] == "/large" else body
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(content)).encode())]})
    await send({"type": "http.response.body", "body": content})


@asynccontextmanager
async def serving(patience_s: float = PATIENCE_S, most: int = MOST) -> AsyncIterator[int]:
    """The app behind bounded connections; gives its port."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, http=bounded(patience_s, most), ws="none", lifespan="off", log_level="critical", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    server.capture_signals = nullcontext  # type: ignore[method-assign]  # pytest's own stay
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await task
        listener.close()


def run(act: Callable[[int], Awaitable[Any]], **bounds: Any) -> Any:
    async def served() -> Any:
        async with serving(**bounds) as port:
            return await act(port)

    return asyncio.run(served())


async def sent(port: int, *parts: bytes, pause_s: float = 0.0) -> tuple[bytes, float]:
    """What a client gets that sends some parts and then waits for the end, and after how many seconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    started = time.monotonic()
    reading = asyncio.create_task(reader.read())
    for part in parts:
        if not reading.done():
            writer.write(part)
            await asyncio.sleep(pause_s)
    answer = await asyncio.wait_for(reading, 10)
    writer.close()
    return answer, time.monotonic() - started


STALLS = {
    "nothing": (),
    "half a head": (b"GET / HTTP/1.1\r\nHost: a\r\n",),
    "a head without its body": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n",),
    "half a body": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"x" * 500,),
    "half a chunk": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",),
}


@pytest.mark.parametrize("what", STALLS)
def test_a_client_that_sends_half_is_let_go_after_the_patience(what: str) -> None:
    answer, seconds = run(lambda port: sent(port, *STALLS[what]))
    assert answer.startswith(b"HTTP/1.1 408 ") and answer.endswith(b'{"error": "the request took long"}')
    assert PATIENCE_S * 0.9 <= seconds < PATIENCE_S * 8


def test_a_body_by_single_bytes_is_a_stall_and_one_by_kibibytes_is_not() -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 20480\r\n\r\n"
    answer, _ = run(lambda port: sent(port, head, *[b"x"] * 20, pause_s=PATIENCE_S / 8))
    assert answer.startswith(b"HTTP/1.1 408 ")
    answer, seconds = run(lambda port: sent(port, head, *[b"x" * 1024] * 20, pause_s=PATIENCE_S / 8))
    assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"x" * 20480) and seconds > PATIENCE_S * 2


def test_an_answer_that_takes_longer_than_the_patience_is_given() -> None:
    answer, seconds = run(lambda port: sent(port, b"GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
    assert answer.startswith(b"HTTP/1.1 200 ") and seconds > PATIENCE_S * 2


def test_a_second_request_that_stalls_on_a_connection_that_was_good_is_let_go() -> None:
    answer, _ = run(lambda port: sent(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"GET / HTTP/1.1\r\nHo", pause_s=0.1))
    assert answer.startswith(b"HTTP/1.1 200 ") and b"HTTP/1.1 408 " in answer


def test_a_client_that_does_not_read_its_answer_is_let_go() -> None:
    async def unread(port: int) -> float:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        loop, started = asyncio.get_running_loop(), time.monotonic()
        await loop.sock_connect(client, ("127.0.0.1", port))
        await loop.sock_sendall(client, b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.sleep(PATIENCE_S * 4)
        received = 0
        with client:
            try:
                while part := await asyncio.wait_for(loop.sock_recv(client, 2**20), 5):
                    received += len(part)
            except ConnectionResetError:
                pass
        assert received < LARGE
        return time.monotonic() - started

    assert run(unread) < 8


def test_one_connection_more_than_there_may_be_is_answered_and_the_others_stay() -> None:
    async def crowd(port: int) -> list[bytes]:
        opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MOST)]
        await asyncio.sleep(0.05)
        refused, _ = await sent(port, b"")
        for _, writer in opened:
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answers = [await asyncio.wait_for(reader.read(), 10) for reader, _ in opened]
        for _, writer in opened:
            writer.close()
        again, _ = await sent(port, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        return [refused, *answers, again]

    refused, *answers = run(crowd, patience_s=20.0)
    assert refused.startswith(b"HTTP/1.1 503 ") and refused.endswith(b'{"error": "too many connections here"}')
    assert len(answers) == MOST + 1 and all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)


def test_the_bounds_are_settings() -> None:
    assert connection_bounds({}) == (30.0, 500)
    assert connection_bounds({"LAKELOOP_STALL_S": "2", "LAKELOOP_CONNECTIONS": "9"}) == (2.0, 9)
    for name in ("LAKELOOP_STALL_S", "LAKELOOP_CONNECTIONS"):
        with pytest.raises(LakeloopError, match=f"{name}: wanted a whole number"):
            connection_bounds({name: "0"})
