"""The pool over real connections, plain and TLS."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trustme
import uvloop

from fastgw.core.errors import UpstreamFailure
from fastgw.core.fiber import Fiber, park
from fastgw.upstream.connection import UpstreamConnection
from fastgw.upstream.pool import LINGER_SECONDS, MAX_VISITED, Origin, Pool, Pools, PoolSettings

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
_OPENED: dict[Pool, tuple[Pools, Origin]] = {}
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def serve_ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(ANSWER)
    except (asyncio.IncompleteReadError, OSError):
        writer.close()


@asynccontextmanager
async def opened(
    settings: PoolSettings, handler: Handler = serve_ok, tls: ssl.SSLContext | None = None, **server: ssl.SSLContext
) -> AsyncIterator[Pool]:
    listening = await asyncio.start_server(handler, "127.0.0.1", 0, **server)
    port = listening.sockets[0].getsockname()[1]
    pools = Pools(asyncio.get_running_loop(), settings)
    origin = Origin("https" if tls else "http", "127.0.0.1", port, tls)
    pool = pools.get(origin)
    _OPENED[pool] = pools, origin
    try:
        yield pool
    finally:
        del _OPENED[pool]
        await pools.close()
        listening.close()


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """On the loop of the product; whatever is lost without being closed is an error."""

    async def checked() -> None:
        problems: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: problems.append(context))
        await scenario()
        await asyncio.sleep(0)
        gc.collect()
        assert problems == []

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(checked())
    gc.collect()


async def exchange(connection: UpstreamConnection) -> bytes:
    """One request and its answer."""
    over = asyncio.Event()
    bodies: list[bytes] = []

    async def body() -> None:
        connection.send(fiber, b"POST / HTTP/1.1\r\nhost: x\r\n\r\n", streaming=False)
        try:
            await park()
            bodies.append(connection.answer.take())
        finally:
            connection.finish()
            over.set()

    fiber = Fiber(asyncio.get_running_loop())
    fiber.start(body())
    await asyncio.wait_for(over.wait(), 20)
    return bodies[0]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


def test_the_most_recent_connection_is_reused() -> None:
    async def scenario() -> None:
        async with opened(PoolSettings()) as pool:
            assert pool.take() is None
            first, second = await pool.dial(), await pool.dial()
            assert await exchange(first) == b"ok"
            assert await exchange(second) == b"ok"
            assert pool.take() is second
            assert pool.take() is first
            assert pool.take() is None
            assert len(pool.connections) == 2

    run(scenario)


def test_idle_connections_are_bounded_in_number_and_time() -> None:
    async def scenario() -> None:
        async with opened(PoolSettings(max_idle=1, idle_timeout=0.5)) as pool:
            first, second = await pool.dial(), await pool.dial()
            await exchange(first)
            await exchange(second)
            assert not second.alive
            assert pool.connections == {first}
            await until(lambda: not pool.connections)
            assert pool.take() is None

    run(scenario)


def test_a_connection_past_its_time_is_not_handed_out() -> None:
    async def scenario() -> None:
        async with opened(PoolSettings(idle_timeout=10)) as pool:
            connection = await pool.dial()
            await exchange(connection)
            connection.idle_since -= 11
            assert pool.take() is None
            assert not connection.alive

    run(scenario)


def test_without_a_limit_an_idle_connection_never_expires() -> None:
    async def scenario() -> None:
        async with opened(PoolSettings(idle_timeout=0)) as pool:
            connection = await pool.dial()
            await exchange(connection)
            connection.idle_since -= 100_000
            assert pool.take() is connection

    run(scenario)


def test_a_connection_that_the_peer_closed_is_replaced_although_the_loop_has_not_seen_it() -> None:
    async def scenario() -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        pools = Pools(asyncio.get_running_loop(), PoolSettings())
        pool = pools.get(Origin("http", "127.0.0.1", listener.getsockname()[1], None))
        connection = await pool.dial()
        peer, _ = listener.accept()
        pool.release(connection)
        connection.idle_since -= 2
        assert connection.usable(asyncio.get_running_loop().time())
        peer.close()
        # No turn of the loop in between: only the kernel knows.
        assert pool.take() is None
        await pools.close()
        listener.close()

    run(scenario)


def test_a_tail_that_arrives_stops_the_clock() -> None:
    async def answer_in_two(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n")
        await finished.wait()
        writer.write(b"0\r\n\r\n")
        await reader.read()
        writer.close()

    async def scenario() -> None:
        async with opened(PoolSettings(), answer_in_two) as pool:
            connection = await pool.dial()

            async def body() -> None:
                connection.send(fiber, b"POST / HTTP/1.1\r\nhost: x\r\n\r\n", streaming=True)
                await park()
                connection.finish()
                finished.set()

            fiber = Fiber(asyncio.get_running_loop())
            fiber.start(body())
            await until(lambda: finished.is_set() and not connection.lingering)
            assert not kept_pools(pool)._lingering.due
            assert pool.take() is connection

    finished = asyncio.Event()
    run(scenario)


def test_a_tail_is_waited_for_and_not_for_ever() -> None:
    async def answer_in_two(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n")
        if not (await reader.read(1)):
            ended.set()
        writer.close()

    async def scenario() -> None:
        async with opened(PoolSettings(), answer_in_two) as pool:
            connection = await pool.dial()
            seen = asyncio.Event()

            async def body() -> None:
                connection.send(fiber, b"POST / HTTP/1.1\r\nhost: x\r\n\r\n", streaming=True)
                await park()
                connection.finish()
                seen.set()

            fiber = Fiber(asyncio.get_running_loop())
            fiber.start(body())
            await asyncio.wait_for(seen.wait(), 20)
            assert connection.lingering
            assert pool.take() is None
            await asyncio.wait_for(ended.wait(), LINGER_SECONDS + 20)
            assert not connection.alive

    ended = asyncio.Event()
    run(scenario)


def test_what_a_configuration_no_longer_names_is_let_go_of() -> None:
    async def scenario() -> None:
        async with opened(PoolSettings(idle_timeout=0)) as kept:
            pools = kept_pools(kept)
            origin = kept_origin(kept)
            other = await asyncio.start_server(serve_ok, "127.0.0.1", 0)
            elsewhere = Origin("http", "127.0.0.1", other.sockets[0].getsockname()[1], None)
            gone = pools.get(elsewhere)
            idle, busy, staying = await gone.dial(), await gone.dial(), await kept.dial()
            await exchange(idle)
            await exchange(staying)
            pools.renew()
            assert pools.get(origin) is kept
            pools.retire_unused()
            assert not idle.alive
            assert busy.alive
            assert await exchange(busy) == b"ok", "a request of the old configuration ends as it began"
            assert not busy.alive, "and leaves nothing behind"
            assert gone.take() is None
            assert staying.alive
            assert len(pools) == 1
            assert pools.get(elsewhere) is not gone
            other.close()

    run(scenario)


def test_origins_that_only_redirects_lead_to_are_bounded() -> None:
    async def scenario() -> None:
        async with opened(PoolSettings(idle_timeout=0)) as first:
            pools, origin = kept_pools(first), kept_origin(first)
            assert pools.visit(origin) is first, "no second pool for an origin of the configuration"
            wandered = [pools.visit(Origin("http", "127.0.0.1", port, None)) for port in range(1, MAX_VISITED + 2)]
            assert len(pools) == 1 + MAX_VISITED
            assert pools.visit(Origin("http", "127.0.0.1", 2, None)) is wandered[1]
            assert pools.visit(Origin("http", "127.0.0.1", 1, None)) is not wandered[0]
            assert pools.get(Origin("http", "127.0.0.1", 2, None)) is wandered[1], "it is in the configuration now"
            assert len(pools) == 1 + MAX_VISITED
            pools.renew()
            pools.get(origin)
            pools.retire_unused()
            assert len(pools) == 1

    run(scenario)


def kept_pools(pool: Pool) -> Pools:
    return _OPENED[pool][0]


def kept_origin(pool: Pool) -> Origin:
    return _OPENED[pool][1]


@pytest.mark.parametrize(
    ("host", "port", "words"), [("127.0.0.1", 1, "Connection refused"), ("nobody.invalid", 80, "nobody.invalid:80")]
)
def test_what_cannot_be_reached(host: str, port: int, words: str) -> None:
    async def scenario() -> None:
        pools = Pools(asyncio.get_running_loop(), PoolSettings(connect_timeout=2))
        with pytest.raises(UpstreamFailure) as caught:
            await pools.get(Origin("http", host, port, None)).dial()
        assert caught.value.status == 502
        assert words in caught.value.message
        assert caught.value.retryable
        await pools.close()

    run(scenario)


def test_a_dial_that_is_cancelled_leaves_nothing_behind() -> None:
    async def scenario() -> None:
        async with opened(PoolSettings()) as pool:
            loop = asyncio.get_running_loop()
            for turns in range(12):
                task = loop.create_task(pool.dial())
                for _ in range(turns):
                    await asyncio.sleep(0)
                if not task.cancel():
                    (await task).close()
            await until(lambda: not pool.connections)

    run(scenario)


def test_closing_twice_is_closing_once() -> None:
    async def scenario() -> None:
        async with opened(PoolSettings()) as pool:
            connection = await pool.dial()
            connection.close()
            connection.close()
            pool.close()
            assert not pool.connections

    run(scenario)


# -- TLS


def contexts() -> tuple[trustme.CA, ssl.SSLContext]:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    return authority, server


def test_a_tls_connection_is_used_again() -> None:
    authority, server = contexts()
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    async def scenario() -> None:
        async with opened(PoolSettings(), tls=trusting, ssl=server) as pool:
            connection = await pool.dial()
            assert await exchange(connection) == b"ok"
            assert await exchange(connection) == b"ok"
            await asyncio.sleep(0.05)
            # Session tickets have arrived meanwhile: they are no reason to distrust the connection.
            connection.idle_since -= 2
            assert pool.take() is connection

    run(scenario)


def test_an_unknown_authority_is_told_as_such() -> None:
    _, server = contexts()

    async def scenario() -> None:
        async with opened(PoolSettings(), tls=ssl.create_default_context(), ssl=server) as pool:
            with pytest.raises(UpstreamFailure, match="certificate"):
                await pool.dial()
            assert not pool.connections

    run(scenario)


def test_tls_towards_a_peer_that_speaks_none() -> None:
    async def scenario() -> None:
        async with opened(PoolSettings(connect_timeout=2), tls=ssl.create_default_context()) as pool:
            with pytest.raises(UpstreamFailure) as caught:
                await pool.dial()
            assert caught.value.type == "transport_error"

    run(scenario)


# -- socket options


@pytest.mark.parametrize("idle", [0, 61])
def test_keepalive_of_sockets(idle: int) -> None:
    async def scenario() -> None:
        async with opened(PoolSettings(keepalive=(idle, 31, 4))) as pool:
            connection = await pool.dial()
            raw = connection.transport.get_extra_info("socket")
            assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert bool(raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)) == bool(idle)
            if idle:
                names = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
                assert [raw.getsockopt(socket.IPPROTO_TCP, name) for name in names] == [61, 31, 4]

    run(scenario)


def test_keepalive_beyond_what_the_system_takes() -> None:
    async def scenario() -> None:
        async with opened(PoolSettings(keepalive=(86_400, 2**40, 1000))) as pool:
            connection = await pool.dial()
            raw = connection.transport.get_extra_info("socket")
            names = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            assert [raw.getsockopt(socket.IPPROTO_TCP, name) for name in names] == [32767, 32767, 127]

    run(scenario)
