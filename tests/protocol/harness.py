"""The server side without sockets and without time: real connections, server and pipeline on a loop that stands still.

    world = World()
    client = world.connect()
    client.send(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
    client.received, client.open

Timers fire in `world.loop.advance(seconds)`. Two endpoints exist only here, within `endpoints()`: `POST /echo` reads
its body like any call and notes it, `/park` does the same and waits until `world.release()` answers it, `/stream` sends
a head at once and its end when released.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import heapq
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import h11

from fastgw._speedups.head import Request
from fastgw.config.schema import Config, Downstream, Proxy
from fastgw.core.fiber import park
from fastgw.core.tables import Shared
from fastgw.endpoints import serve
from fastgw.gateway.exchange import Exchange
from fastgw.gateway.gateway import Gateway
from fastgw.gateway.receive import too_large
from fastgw.http.connection import Connection
from fastgw.http.server import Server
from fastgw.runtime.grants import WorkerTokens
from fastgw.runtime.keys import WorkerKeys
from fastgw.runtime.link import FetchKeys, Mint
from fastgw.state.board import Board
from fastgw.telemetry.log import Log
from fastgw.telemetry.metrics import Registry
from tests.support.catalog import Rows

API_KEY = b"sk-protocol"
HIGH_WATER = 65536


class Timer:
    """What `call_later` and `call_soon` return."""

    def __init__(self, when: float, callback: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        self.when = when
        self.callback = callback
        self.arguments = arguments
        self.cancelled = False

    def __lt__(self, other: Timer) -> bool:
        return self.when < other.when

    def cancel(self) -> None:
        self.cancelled = True


class FakeLoop:
    """A clock that only `advance` moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.failures: list[dict[str, Any]] = []
        self._ready: list[Timer] = []
        self._timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[..., object], *arguments: Any) -> Timer:
        timer = Timer(self.now + delay, callback, arguments)
        heapq.heappush(self._timers, timer)
        return timer

    def call_soon(self, callback: Callable[..., object], *arguments: Any) -> Timer:
        timer = Timer(self.now, callback, arguments)
        self._ready.append(timer)
        return timer

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.failures.append(context)

    @property
    def pending(self) -> int:
        """Timers that will still do something."""
        return sum(not timer.cancelled for timer in self._timers)

    def run(self) -> None:
        """Everything that is due now."""
        while self._ready:
            timer = self._ready.pop(0)
            if not timer.cancelled:
                timer.callback(*timer.arguments)

    def advance(self, seconds: float) -> None:
        """Let time pass, timer by timer."""
        end = self.now + seconds
        self.run()
        while self._timers and self._timers[0].when <= end:
            timer = heapq.heappop(self._timers)
            self.now = max(self.now, timer.when)
            if not timer.cancelled:
                timer.callback(*timer.arguments)
            self.run()
        self.now = end


class Client(asyncio.Transport):
    """The transport of one connection, seen from the client: what it sends, and what it gets."""

    def __init__(self, world: World, protocol: Connection, *, half_close: bool = True) -> None:
        super().__init__({"peername": ("127.0.0.1", 40000)})
        self.world = world
        self.protocol = protocol
        self.received = b""
        self.ended = False
        """The server has half-closed."""
        self.lost = False
        self.aborted = False
        self.reading = True
        self.taking = True
        self._half_close = half_close
        self._closing = False
        self._unsent = b""
        self._backlog: list[bytes] = []
        self._paused_writer = False
        protocol.connection_made(self)

    # -- what the client does

    def send(self, data: bytes) -> None:
        """Bytes to the server; they wait while the server does not read."""
        self._backlog.append(data)
        self._deliver()

    def half_close(self) -> None:
        """The client sends no more."""
        if not self._closing and not self.protocol.eof_received():
            self.close()
        self.world.loop.run()

    def vanish(self, error: Exception | None = None) -> None:
        """The connection is reset."""
        self._closing = True
        self._lose(error)
        self.world.loop.run()

    def stop_taking(self) -> None:
        """The client stops reading: from now on the server's buffer fills."""
        self.taking = False

    def take_some(self, count: int) -> None:
        """The client reads a little of what is waiting, and nothing more."""
        self.received += self._unsent[:count]
        self._unsent = self._unsent[count:]

    def take(self) -> None:
        """The client reads everything, and goes on reading."""
        self.taking = True
        self.received += self._unsent
        self._unsent = b""
        if self._paused_writer:
            self._paused_writer = False
            self.protocol.resume_writing()
        if self._closing:
            self._lose(None)
        self.world.loop.run()

    @property
    def open(self) -> bool:
        """The server has neither closed nor half-closed."""
        return not self._closing and not self.ended

    @property
    def unsent(self) -> int:
        return sum(map(len, self._backlog))

    def _deliver(self) -> None:
        while self._backlog and self.reading and not self._closing:
            self.protocol.data_received(self._backlog.pop(0))
            self.world.loop.run()

    # -- what the server does

    def write(self, data: Any) -> None:
        if self.ended:
            raise RuntimeError("write after write_eof")
        if self._closing:
            return
        if self.taking:
            self.received += bytes(data)
            return
        self._unsent += bytes(data)
        if len(self._unsent) > HIGH_WATER and not self._paused_writer:
            self._paused_writer = True
            self.protocol.pause_writing()

    def get_write_buffer_size(self) -> int:
        return len(self._unsent)

    def can_write_eof(self) -> bool:
        return self._half_close

    def write_eof(self) -> None:
        if self._closing:
            raise RuntimeError("write_eof on a closing transport")
        self.ended = True

    def pause_reading(self) -> None:
        if self._closing:
            raise RuntimeError("pause_reading on a closing transport")
        self.reading = False

    def resume_reading(self) -> None:
        if self._closing:
            raise RuntimeError("resume_reading on a closing transport")
        self.reading = True
        self.world.loop.call_soon(self._deliver)

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            if not self._unsent:
                self.world.loop.call_soon(self._lose, None)

    def abort(self) -> None:
        self.aborted = True
        self._closing = True
        self._unsent = b""
        self.world.loop.call_soon(self._lose, None)

    def _lose(self, error: Exception | None) -> None:
        if not self.lost:
            self.lost = True
            self.protocol.connection_lost(error)


def no_keys(loop: asyncio.AbstractEventLoop) -> WorkerKeys:
    """Key sets for a gateway without identity providers: never asked for."""

    def send(question: FetchKeys) -> None:
        raise AssertionError(question)

    return WorkerKeys(loop, send, lambda: 0)


def no_tokens(loop: asyncio.AbstractEventLoop) -> WorkerTokens:
    """Access tokens for a gateway without grants: never asked for."""

    def send(question: Mint) -> None:
        raise AssertionError(question)

    return WorkerTokens(loop, send)


class World:
    """One worker's server with one caller. `seen` lists the bodies that reached `/echo` and `/park`. With a real loop,
    it is for an `Acceptor` to connect."""

    def __init__(
        self, *, body_limit: int = 0, idle_timeout: float = 0.0, real_loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        self.loop = FakeLoop()
        self.board = Board.create(1)
        region = self.board.region(0)
        loop = real_loop or cast(asyncio.AbstractEventLoop, self.loop)
        config = Config(proxy=Proxy(addr="127.0.0.1:1", request_body_limit_bytes=body_limit), downstream=Downstream())
        registry = Registry(region, lambda definition: None)
        rows = Rows()
        rows.change(
            {
                "models": {"m": {"display_name": "m", "provider": "mock", "model_name": "m", "provider_key_id": "k"}},
                "api_keys": {"k1": {"key_hash": key_hash(API_KEY), "allowed_models": ["*"]}},
            }
        )
        shared = no_keys(loop), no_tokens(loop), Shared({}), rows.catalog
        self.gateway = WorldGateway(loop, config, self.board, 0, registry, Log(0), serve.serve, *shared)
        self.gateway.world = self
        self.board.set_ready()
        self.server = Server(
            loop,
            self._make,
            server_token=b"FASTGW/0.0.0",
            mint=self.gateway.mint,
            id_field=b"x-fastgw-request-id",
            request_id=self.gateway.request_id,
            idle_timeout=idle_timeout,
            draining=self.board.draining,
            changed=region.connections.inc,
        )
        self.seen: list[bytes] = []
        self.parked: list[Exchange] = []

    def close(self) -> None:
        self.board.close()

    def connect(self, *, half_close: bool = True) -> Client:
        return Client(self, Connection(self.server), half_close=half_close)

    def release(self) -> None:
        """Answer the oldest parked request."""
        self.parked.pop(0).resume()
        self.loop.run()

    @property
    def in_flight(self) -> int:
        return self.board.in_flight()

    @property
    def timers(self) -> dict[str, int]:
        """Deadlines under way, by kind."""
        server = self.server
        kinds = {
            "head": server.head_deadline,
            "body": server.body_deadline,
            "stalled": server.stalled,
            "linger": server.linger_deadline,
            "idle": server._idle,
        }
        return {name: len(kind) for name, kind in kinds.items() if kind}

    def _make(self, connection: Connection, request: Request) -> Exchange:
        return Exchange(self.gateway, connection, request)


class WorldGateway(Gateway):
    """A gateway whose test endpoints know their world."""

    world: World


def world_of(ex: Exchange) -> World:
    assert isinstance(ex.gateway, WorldGateway)
    return ex.gateway.world


async def echo(ex: Exchange) -> None:
    """Read the body, note it, tell its length."""
    limit = ex.body_limit = ex.gateway.body_limit
    if not ex.request.complete:
        await ex.body()
    body = ex.request.body()
    if limit and ex.request.received > limit:
        raise too_large(limit)
    world_of(ex).seen.append(body)
    ex.answer_json(200, b'{"length":%d}' % len(body))


async def parking(ex: Exchange) -> None:
    """The same, once released."""
    if not ex.request.complete:
        await ex.body()
    body = ex.request.body()
    world = world_of(ex)
    world.seen.append(body)
    world.parked.append(ex)
    await park()
    ex.answer_json(200, b'{"length":%d}' % len(body))


async def stream(ex: Exchange) -> None:
    """A head at once, the end once released."""
    if not ex.request.complete:
        await ex.body()
    body = ex.request.body()
    world = world_of(ex)
    world.seen.append(body)
    ex.status, ex.head_sent = 200, True
    ex.downstream.begin_stream(ex.request, 200, ex.fields(b"content-type: text/event-stream\r\n"))
    world.parked.append(ex)
    await park()
    ex.downstream.write(b"3\r\nend\r\n0\r\n\r\n" if ex.request.http11 else b"end")


@contextlib.contextmanager
def endpoints() -> Iterator[None]:
    """The endpoints of this module, for as long as the context lasts."""
    extra = {b"/echo": echo, b"/park": parking, b"/stream": stream}
    serve.POST.update(extra)
    try:
        yield
    finally:
        for path in extra:
            serve.POST.pop(path, None)


def key_hash(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()


# -- reading what came back

UNSTABLE = re.compile(rb"\r\n(date: [^\r]*|x-fastgw-request-id: [0-9a-f-]{36})(?=\r\n)")


def stable(output: bytes) -> bytes:
    """Without what differs from answer to answer: dates and minted request ids."""
    return UNSTABLE.sub(b"", output)


class Answer:
    """One response, final or interim, as h11 read it."""

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.status = status
        self.headers = headers
        self.body = b""

    def all(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key == name]


def read_answers(output: bytes, methods: Sequence[str], closed: bool) -> list[Answer]:
    """Every response in `output`, read by h11 as the client that sent these methods (the last one repeats).

    Raises h11.RemoteProtocolError when it objects, AssertionError when an answer is cut short or something follows
    an answer that ends the connection.
    """
    answers: list[Answer] = []
    for method in _repeat_last(methods):
        if not output:
            return answers
        reader = h11.Connection(h11.CLIENT)
        reader.send(h11.Request(method=method, target="/", headers=[("host", "a")]))
        reader.send(h11.EndOfMessage())
        reader.receive_data(output)
        if closed:
            reader.receive_data(b"")
        while True:
            event = reader.next_event()
            if event is h11.NEED_DATA:
                assert answers and answers[-1].status == 100 and output.endswith(b"\r\n\r\n"), ("cut short", output)
                return answers
            if isinstance(event, (h11.InformationalResponse, h11.Response)):
                answers.append(Answer(event.status_code, list(event.headers)))
            elif isinstance(event, h11.Data):
                answers[-1].body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                break
        output = reader.trailing_data[0]
        if reader.their_state is h11.MUST_CLOSE or reader.their_state is h11.CLOSED:
            assert not output, ("bytes after the last answer", output)
            assert closed, "the answer ends the connection, but it is open"
    return answers


def _repeat_last(methods: Sequence[str]) -> Iterator[str]:
    yield from methods
    while True:
        yield methods[-1]
