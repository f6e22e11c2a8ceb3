"""Accepting from a shared socket: binding, balance, running out of descriptors, the last connections before a stop."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
import trustme
import uvloop

from fastgw.http.connection import Connection
from fastgw.http.listen import BACKLOG, SLACK, Acceptor, bind, bind_all
from fastgw.http.pages import Page, PageExchange, get_only
from fastgw.http.server import Server
from tests.protocol.harness import FakeLoop

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def hello() -> Page:
    return Page(200, "text/plain", b"hello")


def server(loop: asyncio.AbstractEventLoop) -> Server:
    def make(connection: Connection, request: Any) -> PageExchange:
        return PageExchange(loop, connection, request, get_only({b"/": hello}))

    return Server(loop, make, server_token=None, mint=lambda: b"", id_field=b"")


def run(body: Callable[[], Awaitable[None]]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(cast(Any, body()))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


def address(listener: socket.socket) -> tuple[str, int]:
    host, port = listener.getsockname()[:2]
    return host, port


# -- binding


def test_bind_listens_without_blocking() -> None:
    with bind("127.0.0.1:0", "proxy") as listener:
        with socket.create_connection(address(listener), timeout=20):
            pass
        assert not listener.getblocking()


def test_bind_on_ipv6() -> None:
    with bind("[::1]:0", "proxy") as listener:
        assert listener.family is socket.AF_INET6
        with socket.create_connection(address(listener), timeout=20):
            pass


def test_a_busy_address_is_told_with_its_label() -> None:
    with bind("127.0.0.1:0", "proxy") as first:
        busy = "{}:{}".format(*address(first))
        with pytest.raises(OSError, match=f"metrics listener bind {busy} failed: Address already in use"):
            bind(busy, "metrics")


def test_nothing_listens_unless_everything_is_bound() -> None:
    with bind("127.0.0.1:0", "proxy") as owner, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = "{}:{}".format(*address(probe))
        probe.close()
        taken = "{}:{}".format(*address(owner))
        with pytest.raises(OSError, match=f"admin listener bind {taken} failed: Address already in use"):
            bind_all([(free, "proxy"), (taken, "admin")])
        host, port = free.rsplit(":", 1)
        with socket.socket() as client:
            assert client.connect_ex((host, int(port))) == errno.ECONNREFUSED
        for listener in bind_all([(free, "proxy"), ("127.0.0.1:0", "admin")]):
            listener.close()


def test_an_address_that_somebody_else_has_bound_first_but_not_yet_listened_on() -> None:
    """Both have SO_REUSEADDR: the kernel lets both bind and one listen."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        name = "{}:{}".format(*address(other))
        with bind(name, "proxy"), pytest.raises(OSError, match="in use"):
            other.listen()


# -- accepting


def test_two_acceptors_share_the_connections() -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()
        listener = bind("127.0.0.1:0", "proxy")
        servers = [server(loop), server(loop)]

        def lead(own: int) -> Callable[[], int]:
            return lambda: len(servers[own].connections) - min(len(other.connections) for other in servers)

        listeners = [listener, listener.dup()]
        acceptors = [Acceptor(loop, listeners[n], servers[n], lambda: None, lead(n)) for n in (0, 1)]
        clients = [await asyncio.open_connection(*address(listener)) for _ in range(200)]
        await until(lambda: sum(len(each.connections) for each in servers) == 200)
        counts = [len(each.connections) for each in servers]
        for _, writer in clients:
            writer.close()
        await until(lambda: not any(each.connections for each in servers))
        for acceptor in acceptors:
            acceptor.stop()
        for each in listeners:
            each.close()
        assert abs(counts[0] - counts[1]) <= 20, counts

    run(body)


def test_an_acceptor_in_the_lead_takes_what_nobody_else_takes() -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()
        listener = bind("127.0.0.1:0", "proxy")
        made = server(loop)
        acceptor = Acceptor(loop, listener, made, lambda: None, lambda: SLACK + 1)
        clients = [await asyncio.open_connection(*address(listener)) for _ in range(20)]
        await until(lambda: len(made.connections) == 20)
        for reader, writer in clients:
            writer.write(GET)
            assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")
            writer.close()
        await until(lambda: not made.connections)
        acceptor.stop()
        listener.close()

    run(body)


def test_stop_accepts_what_waits() -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()
        listener = bind("127.0.0.1:0", "proxy")
        made = server(loop)
        acceptor = Acceptor(loop, listener, made, lambda: None)
        clients = [socket.create_connection(address(listener), timeout=20) for _ in range(30)]
        acceptor.stop()
        acceptor.stop()
        assert acceptor.handshaking == 30
        listener.close()
        await until(lambda: len(made.connections) == 30 and acceptor.handshaking == 0)
        for client in clients:
            reader, writer = await asyncio.open_connection(sock=client)
            writer.write(GET)
            assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")
            writer.close()
        await until(lambda: not made.connections)

    run(body)


def test_a_failed_handshake_leaves_nothing_behind() -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)

    async def body() -> None:
        loop = asyncio.get_running_loop()
        listener = bind("127.0.0.1:0", "proxy")
        made = server(loop)
        acceptor = Acceptor(loop, listener, made, lambda: context)
        reader, writer = await asyncio.open_connection(*address(listener))
        writer.write(GET)
        assert b"200" not in await reader.read()
        writer.close()
        await until(lambda: acceptor.handshaking == 0)
        assert not made.connections
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
        reader, writer = await asyncio.open_connection(*address(listener), ssl=trusting, server_hostname="localhost")
        writer.write(GET)
        assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.close()
        await until(lambda: not made.connections)
        acceptor.stop()
        listener.close()

    run(body)


# -- running out of descriptors


class ReadinessLoop(FakeLoop):
    """Also knows which readers are registered."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: dict[int, Callable[[], None]] = {}
        self.adopted = 0

    def add_reader(self, fd: int, callback: Callable[[], None]) -> None:
        self.readers[fd] = callback

    def remove_reader(self, fd: int) -> bool:
        return self.readers.pop(fd, None) is not None

    def create_task(self, work: Any) -> Any:
        work.close()
        self.adopted += 1

        class Task:
            def add_done_callback(self, callback: Callable[[Any], None]) -> None:
                callback(self)

        return Task()


class ScriptedListener:
    """Raises its errors in turn, then hands out connections."""

    def __init__(self, *errors: int) -> None:
        self.errors = list(errors)
        self.calls = 0

    def fileno(self) -> int:
        return 77

    def accept(self) -> tuple[socket.socket, Any]:
        self.calls += 1
        if self.errors:
            number = self.errors.pop(0)
            raise OSError(number, "scripted")
        ours, theirs = socket.socketpair()
        theirs.close()

        class Client:
            def setblocking(self, flag: bool) -> None:
                ours.close()

            def setsockopt(self, *option: int) -> None:
                pass

        return cast(socket.socket, Client()), None


def scripted(*errors: int) -> tuple[ReadinessLoop, ScriptedListener, Acceptor]:
    loop, listener = ReadinessLoop(), ScriptedListener(*errors)
    acceptor = Acceptor(
        cast(asyncio.AbstractEventLoop, loop),
        cast(socket.socket, listener),
        server(cast(asyncio.AbstractEventLoop, loop)),
        lambda: None,
    )
    return loop, listener, acceptor


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_without_descriptors_the_queue_is_left_alone_for_a_while(number: int) -> None:
    loop, listener, acceptor = scripted(number, number, number)
    loop.readers[77]()
    for calls in (1, 2, 3):
        # Not watched: a readable listener would be reported again and again.
        assert listener.calls == calls
        assert 77 not in loop.readers
        assert loop.pending == 1
        loop.advance(0.11)
    assert loop.adopted == 1
    assert 77 in loop.readers
    assert loop.pending == 0
    listener.errors.append(errno.EAGAIN)
    acceptor.stop()
    assert 77 not in loop.readers


def test_stop_takes_no_more_than_a_backlog() -> None:
    loop, _, acceptor = scripted()
    acceptor.stop()
    assert loop.adopted == BACKLOG


def test_stop_while_the_queue_is_left_alone() -> None:
    loop, listener, acceptor = scripted(errno.EMFILE, errno.EMFILE)
    loop.readers[77]()
    listener.errors.append(errno.EAGAIN)
    acceptor.stop()
    loop.advance(10)
    assert 77 not in loop.readers
    assert loop.pending == 0


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EINTR, errno.ECONNABORTED])
def test_a_connection_that_went_away_is_no_problem(number: int) -> None:
    loop, listener, acceptor = scripted(number)
    loop.readers[77]()
    assert 77 in loop.readers
    loop.readers[77]()
    assert loop.adopted == 1
    listener.errors.append(errno.EAGAIN)
    acceptor.stop()
