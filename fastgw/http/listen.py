"""Accepting connections from a listening socket that all workers share.

Each worker accepts one connection per readiness event, and one that has clearly more connections than the worker
with the fewest lets the others go first for a moment: with keep-alive clients that is what spreads the load. The
socket belongs to the supervisor too, so that the death of a worker loses no connection that waits in its queue.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence

from fastgw.http.connection import Connection
from fastgw.http.server import Server

SLACK = 1
"""How many connections a worker may have more than the one with the fewest before it steps back."""
STEP_BACK = 0.001
"""Seconds for which an overloaded worker leaves the queue to the others."""
BACKLOG = 4096
LAST_SECONDS = 1.0
"""What a TLS handshake that is under way when the acceptor stops still gets: nothing has been asked on it yet."""


def bind(address: str, label: str) -> socket.socket:
    """A listening TCP socket for `ip:port`. Raises OSError with the label, the address and the OS text."""
    return bind_all([(address, label)])[0]


def bind_all(places: Sequence[tuple[str, str]]) -> list[socket.socket]:
    """Listening TCP sockets for (`ip:port`, label) each: all of them, or none and an OSError with the label, the
    address and the OS text. None listens before all are bound, so that nobody connects to what is given up again."""
    bound: list[socket.socket] = []
    for step in (_bind, _listen):
        for index, (address, label) in enumerate(places):
            try:
                step(bound, index, address)
            except OSError as error:
                for each in bound:
                    each.close()
                text = f"{label} listener bind {address} failed: {error.strerror}"
                raise OSError(error.errno, text) from error
    return bound


def address(listener: socket.socket) -> str:
    """Where a socket listens, as `ip:port`: what port 0 has become."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _bind(bound: list[socket.socket], index: int, address: str) -> None:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    bound.append(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM))
    # Without SO_REUSEPORT: another owner of the port, of this program or not, has to be noticed.
    bound[index].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound[index].bind((host, int(port)))
    bound[index].setblocking(False)


def _listen(bound: list[socket.socket], index: int, address: str) -> None:
    # With SO_REUSEADDR two sockets can be bound to one address; the second one to listen is the one that fails.
    bound[index].listen(BACKLOG)


class Acceptor:
    """Takes connections from `listener` for `server` until stopped."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: socket.socket,
        server: Server,
        tls: Callable[[], ssl.SSLContext | None],
        lead: Callable[[], int] = lambda: 0,
    ) -> None:
        self._loop = loop
        self._listener = listener
        self._server = server
        self._tls = tls
        self._lead = lead
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: asyncio.TimerHandle | None = None
        self._stopped = False
        loop.add_reader(listener.fileno(), self._ready)

    def stop(self) -> None:
        """Accept what is in the queue now, then no more. Soon afterwards nothing is `handshaking` any more."""
        if self._stopped:
            return
        self._stopped = True
        if self._waiting is not None:
            self._waiting.cancel()
        else:
            self._loop.remove_reader(self._listener.fileno())
        # Bounded, so that a flood of new connections does not keep the loop here.
        for _ in range(BACKLOG):
            if not self._accept():
                break
        if self._tasks:
            self._loop.call_later(LAST_SECONDS, self._give_up)

    def _give_up(self) -> None:
        for task in self._tasks:
            task.cancel()

    @property
    def handshaking(self) -> int:
        """Connections accepted whose protocol does not run yet."""
        return len(self._tasks)

    def _ready(self) -> None:
        if self._lead() > SLACK:
            self._loop.remove_reader(self._listener.fileno())
            self._waiting = self._loop.call_later(STEP_BACK, self._again)
            return
        self._accept()

    def _again(self) -> None:
        self._waiting = None
        if not self._stopped:
            self._accept()
            # Not while _accept has put the queue aside again: a readable listener would be reported without end.
            if self._waiting is None:
                self._loop.add_reader(self._listener.fileno(), self._ready)

    def _accept(self) -> bool:
        try:
            client, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False
        except OSError:
            # Out of file descriptors: leave the queue alone for a moment instead of spinning on it.
            if not self._stopped and self._waiting is None:
                self._loop.remove_reader(self._listener.fileno())
                self._waiting = self._loop.call_later(0.1, self._again)
            return False
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._loop.create_task(self._adopt(client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _adopt(self, client: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                lambda: Connection(self._server),
                client,
                ssl=self._tls(),
                ssl_handshake_timeout=self._server.handshake_seconds if self._tls() is not None else None,
            )
        except (OSError, ssl.SSLError):
            client.close()
