"""A TCP proxy that breaks connections by script, for tests: it stands between the gateway and an upstream.

    with FaultProxy(mock.address) as proxy:
        proxy.script(pass_bytes(200), reset())        # the next connection; later ones pass
        proxy.always(delay(0.5), pass_all())          # every connection

A script is a list of steps that act on the bytes from the upstream to the gateway; bytes in the other direction pass
at once. A script that is over passes the rest. Runs in a thread and a loop of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

Address = tuple[str, int]
BLOCK = 65536


class Over(Exception):
    """The script has ended the connection."""


@dataclass(eq=False)
class Session:
    """One proxied connection. `up` is towards the upstream, `down` towards the gateway."""

    down: socket.socket
    up: socket.socket
    loop: asyncio.AbstractEventLoop
    left: bytes = b""
    last: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> bytes:
        """The next bytes from the upstream; empty at the end."""
        if self.left:
            data, self.left = self.left, b""
            return data
        return await self.loop.sock_recv(self.up, BLOCK)

    async def write(self, data: bytes) -> None:
        """Send to the gateway."""
        await self.loop.sock_sendall(self.down, data)


Step = Callable[[Session], Awaitable[None]]


def pass_bytes(count: int, piece: int = BLOCK, pause: float = 0.0) -> Step:
    """Let exactly `count` bytes through, in writes of at most `piece` bytes with a pause after each."""

    async def step(session: Session) -> None:
        wanted = count
        while wanted:
            data = await session.read()
            if not data:
                raise Over
            take = min(wanted, piece, len(data))
            session.left = data[take:] + session.left
            await session.write(data[:take])
            wanted -= take
            if pause:
                await asyncio.sleep(pause)

    return step


def pass_until(mark: bytes, extra: int = 0) -> Step:
    """Let everything through up to the end of the first `mark`, and `extra` bytes more (may be negative)."""

    async def step(session: Session) -> None:
        held = b""
        while True:
            data = await session.read()
            if not data:
                raise Over
            held += data
            at = held.find(mark)
            if at >= 0 and len(held) >= at + len(mark) + extra:
                end = at + len(mark) + extra
                session.left = held[end:]
                await session.write(held[:end])
                return

    return step


def pass_all(piece: int = BLOCK, rate: float = 0.0) -> Step:
    """Let the rest through, in pieces, at `rate` bytes per second when given."""

    async def step(session: Session) -> None:
        while data := await session.read():
            for start in range(0, len(data), piece):
                part = data[start : start + piece]
                await session.write(part)
                if rate:
                    await asyncio.sleep(len(part) / rate)
        raise Over

    return step


def delay(seconds: float) -> Step:
    """Wait."""

    async def step(session: Session) -> None:
        await asyncio.sleep(seconds)

    return step


def send(data: bytes) -> Step:
    """Bytes that the upstream never sent."""

    async def step(session: Session) -> None:
        await session.write(data)

    return step


def drop(count: int) -> Step:
    """Swallow this many bytes of the upstream's."""

    async def step(session: Session) -> None:
        wanted = count
        while wanted:
            data = await session.read()
            if not data:
                raise Over
            take = min(wanted, len(data))
            session.left = data[take:]
            wanted -= take

    return step


def await_request(mark: bytes = b"\r\n\r\n") -> Step:
    """Wait until the gateway has sent `mark`. The script plays the upstream: the real one gets none of the request,
    and what the gateway sends beyond `mark` stays unread until the script has come to its last step."""

    async def step(session: Session) -> None:
        seen = b""
        while mark not in seen:
            data = await session.loop.sock_recv(session.down, BLOCK)
            if not data:
                raise Over
            seen += data

    return step


def stall() -> Step:
    """Send nothing more and keep the connection until the gateway ends it."""

    async def step(session: Session) -> None:
        await asyncio.Event().wait()

    return step


def half_close() -> Step:
    """FIN towards the gateway, while the other direction stays open."""

    async def step(session: Session) -> None:
        session.down.shutdown(socket.SHUT_WR)
        await asyncio.Event().wait()

    return step


def close() -> Step:
    """FIN, both directions."""

    async def step(session: Session) -> None:
        raise Over

    return step


def reset() -> Step:
    """RST."""

    async def step(session: Session) -> None:
        session.down.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Over

    return step


class FaultProxy:
    """Listens on a free port of 127.0.0.1 while used as a context manager."""

    def __init__(self, upstream: Address) -> None:
        self.upstream = upstream
        self.accepted = 0
        """Connections so far."""
        self.ended: deque[float] = deque(maxlen=1000)
        """`time.time()` of each end of a connection by the gateway."""
        self._scripts: deque[tuple[Step, ...]] = deque()
        self._always: tuple[Step, ...] = ()
        self._open: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._listener.setblocking(False)
        self.address: Address = self._listener.getsockname()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)
        self._stop = asyncio.Event()

    @property
    def url(self) -> str:
        """Base URL of an OpenAI-shaped upstream behind the proxy."""
        return f"http://127.0.0.1:{self.address[1]}/v1"

    @property
    def open(self) -> int:
        """Connections that are open now."""
        return len(self._open)

    def script(self, *steps: Step) -> None:
        """Steps for the next connection without a script of its own."""
        self._scripts.append(steps)

    def always(self, *steps: Step) -> None:
        """Steps for every connection without a script of its own."""
        self._always = steps

    def reset(self) -> None:
        """Forget scripts and counts."""
        self._scripts.clear()
        self._always = ()
        self.accepted = 0
        self.ended.clear()

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(5)
        self._listener.close()
        self._loop.close()

    async def _serve(self) -> None:
        acceptor = self._loop.create_task(self._accept())
        await self._stop.wait()
        tasks = [acceptor, *self._open]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self) -> None:
        while True:
            down, _ = await self._loop.sock_accept(self._listener)
            self.accepted += 1
            steps = self._scripts.popleft() if self._scripts else self._always
            task = self._loop.create_task(self._run(down, steps))
            self._open.add(task)
            task.add_done_callback(self._open.discard)

    async def _run(self, down: socket.socket, steps: tuple[Step, ...]) -> None:
        down.setblocking(False)
        down.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with down, socket.socket() as up:
            up.setblocking(False)
            await self._loop.sock_connect(up, self.upstream)
            up.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            session = Session(down, up, self._loop)
            answers = self._loop.create_task(self._answers(session, steps))
            requests = self._loop.create_task(self._requests(session, any(map(_plays_upstream, steps))))
            try:
                await asyncio.wait((answers, requests), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (answers, requests):
                    task.cancel()
                await asyncio.gather(answers, requests, return_exceptions=True)

    async def _answers(self, session: Session, steps: tuple[Step, ...]) -> None:
        with contextlib.suppress(Over, OSError):
            for step in (*steps, pass_all()):
                if steps and step is steps[-1]:
                    session.last.set()
                await step(session)

    async def _requests(self, session: Session, played: bool) -> None:
        with contextlib.suppress(OSError):
            if played:
                await session.last.wait()
            while data := await self._loop.sock_recv(session.down, BLOCK):
                if not played:
                    await self._loop.sock_sendall(session.up, data)
        self.ended.append(time.time())


def _plays_upstream(step: Step) -> bool:
    return step.__qualname__.startswith("await_request")
