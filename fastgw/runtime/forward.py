"""A request to the supervisor that a worker answers.

The supervisor has no pipeline. It writes the request as it came, under another path, to a connection of a worker, and
copies the bytes of the answer, head included, without looking at them. So limits, errors, headers and streams are those
of the worker. The connection ends with the answer, because only a reader of the answer could tell where it ends.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import cast

from fastgw._speedups.head import Request
from fastgw.core.errors import GatewayError, internal_error, render
from fastgw.http.connection import Connection

DROPPED = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"upgrade", b"http2-settings"))
"""Fields about one connection (RFC 9110 §7.6.1) that are no framing. The connection to the worker says `close`."""


class Forward(asyncio.Protocol):
    """An exchange towards the client, a protocol towards the worker. `reach` opens a connection to a worker for an
    address (OSError: none can be had), `over` is told when it has ended."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        downstream: Connection,
        request: Request,
        path: bytes,
        reach: Callable[[str], socket.socket],
        over: Callable[["Forward"], None],
    ) -> None:
        self.request: Request = request
        self.awaits_body = False
        self._loop = loop
        self._downstream = downstream
        self._path = path
        self._reach = reach
        self._over = over
        self._worker: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._answered = False
        self._ended = False

    # -- the client's side (fastgw.http.connection.Served)

    def begin(self) -> None:
        """Hand the request to a worker."""
        try:
            connection = self._reach(self._downstream.peer)
        except OSError:
            self._refuse(GatewayError(503, "api_error", "no worker takes the request", fault="gateway"))
            return
        self.awaits_body = not self.request.complete
        self._task = self._loop.create_task(self._connect(connection))

    def body_arrived(self) -> None:
        """The body is complete."""
        self.awaits_body = False
        self._pass_body()

    def body_progress(self, received: int) -> None:
        """More of the body is there."""
        self._pass_body()

    def body_failed(self, status: int, detail: str) -> None:
        """The body cannot be read."""
        self._refuse(GatewayError(status, "invalid_request_error", f"request payload is invalid: {detail}"))

    def client_gone(self) -> None:
        """The client left: the worker sees that its caller did."""
        self._end()

    def client_slow(self) -> None:
        """Take no more of the answer than the client does."""
        if self._worker is not None:
            self._worker.pause_reading()

    def client_ready(self) -> None:
        """The client has caught up."""
        if self._worker is not None:
            self._worker.resume_reading()

    # -- the worker's side

    async def _connect(self, connection: socket.socket) -> None:
        await self._loop.connect_accepted_socket(lambda: self, connection)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._worker = cast(asyncio.Transport, transport)
        if self._ended:
            self._worker.abort()
            return
        self._worker.write(self._head())
        self._pass_body()

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        self._answered = True
        self._downstream.write(data)
        if self._downstream.write_paused:
            self.client_slow()

    def connection_lost(self, exc: Exception | None) -> None:
        self._worker = None
        if self._ended:
            return
        if not self._answered:
            self._refuse(internal_error())
            return
        self._end()
        if exc is not None:
            self._downstream.cut()
        else:
            self._downstream.close_after_this()
        self._downstream.done()

    # -- inside

    def _head(self) -> bytes:
        request = self.request
        query = b"?%b" % request.query if request.query else b""
        lines = [b"%b %b%b HTTP/1.%d" % (request.method, self._path, query, request.http11)]
        lines += [b"%b: %b" % field for field in request.fields if field[0] not in DROPPED]
        return b"\r\n".join(lines) + b"\r\nconnection: close\r\n\r\n"

    def _pass_body(self) -> None:
        request, worker = self.request, self._worker
        if worker is None:
            return
        piece = request.body()
        request.forget_body()
        if not request.chunked:
            worker.write(piece)
            return
        if piece:
            worker.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        if request.complete:
            worker.write(b"0\r\n\r\n")

    def _refuse(self, error: GatewayError) -> None:
        """End with an answer of our own, or by breaking the connection when another one has begun."""
        self._end()
        if self._answered:
            self._downstream.cut()
        else:
            self._downstream.answer(
                self.request, error.status, b"content-type: application/json\r\n", render(error), drop=True
            )
        self._downstream.done()

    def _end(self) -> None:
        self._ended = True
        self.awaits_body = False
        if self._worker is not None:
            self._worker.abort()
        self._over(self)
