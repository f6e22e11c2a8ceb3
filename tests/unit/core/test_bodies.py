"""Bodies as aiohttp's client gives them, from a server whose every byte is scripted."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from fastgw.core.bodies import BodyTooLong, pieces, whole
from tests.support.canned import Answer, canned, chunk, ok, stream, stream_head

PAUSES = pytest.mark.parametrize("pause", [0, 0.05], ids=["at once", "later"])


def read(answer: Answer, work: Callable[[aiohttp.ClientResponse], Awaitable[Any]]) -> Any:
    """What `work` makes of this answer; there is no time limit but that of the test."""

    async def main() -> Any:
        limits = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(timeout=limits) as session, session.get(server.origin) as response:
            return await work(response)

    with canned() as server:
        server.answer = answer
        return asyncio.run(main())


@PAUSES
@pytest.mark.parametrize(
    ("parts", "body"),
    [
        ([ok({})], b"{}"),
        ([stream_head(), chunk(b"one"), chunk(b"two"), b"0\r\n\r\n"], b"onetwo"),
        ([b"HTTP/1.1 200 OK\r\n\r\n", b"until ", b"the end"], b"until the end"),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], b""),
    ],
)
def test_a_whole_body(parts: list[bytes], body: bytes, pause: float) -> None:
    assert read([piece for part in parts for piece in (part, pause)], whole) == body


@PAUSES
@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (b"zz\r\n", "Invalid character in chunk size"),
        (b"", "not completed|closed|connection lost"),
        (b"5\r\nab", "not completed|closed|connection lost"),
    ],
)
def test_a_body_that_breaks_off(broken: bytes, reason: str, pause: float) -> None:
    answer = [stream_head(), pause, chunk(b"one"), pause, broken]
    with pytest.raises(aiohttp.ClientError, match=reason):
        read(answer, whole)


@pytest.mark.parametrize("turns", range(12))
def test_a_reader_that_comes_late(turns: int) -> None:
    """The connection is lost at any moment between two reads."""

    async def slowly(response: aiohttp.ClientResponse) -> bytes:
        data = b""
        async for piece in pieces(response):
            data += piece
            for _ in range(turns):
                await asyncio.sleep(0)
        return data

    with pytest.raises(aiohttp.ClientError):
        read([stream_head() + chunk(b"one"), 0.05, chunk(b"two") + b"zz\r\n"], slowly)


def test_a_reader_that_comes_when_all_is_over() -> None:
    async def late(response: aiohttp.ClientResponse) -> bytes:
        assert response.connection is not None
        assert response.connection.protocol is not None
        while response.connection.protocol.transport is not None:
            await asyncio.sleep(0.001)
        return await whole(response)

    with pytest.raises(aiohttp.ClientError):
        read([stream_head(), 0.05, chunk(b"one") + b"zz\r\n"], late)


def test_no_more_than_wanted() -> None:
    assert read(stream(b"x" * 1000), lambda response: whole(response, 1000)) == b"x" * 1000
    with pytest.raises(BodyTooLong):
        read(stream(b"x" * 1001), lambda response: whole(response, 1000))


def test_a_connection_that_serves_on_keeps_no_body() -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        for _ in range(3):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")
            await asyncio.sleep(0.02)
            writer.write(b"{}")
        await reader.read()
        writer.close()

    async def main() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server, aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            for _ in range(3):
                async with session.get(url) as response:
                    assert await whole(response) == b"{}"
            gc.collect()
            assert connections == 1
            kept = [thing for thing in gc.get_objects() if type(thing) is aiohttp.StreamReader]
            assert kept == [response.content]

    asyncio.run(main())
