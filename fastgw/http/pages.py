"""Small documents without a pipeline: what the supervisor's own listeners serve."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastgw._speedups.head import Request
from fastgw.core.errors import ClientGone
from fastgw.core.fiber import Fiber
from fastgw.http.connection import Connection, Served
from fastgw.http.listen import Acceptor
from fastgw.http.server import Server

if TYPE_CHECKING:
    # The supervisor serves pages and needs nothing else of the gateway: its start is what the operator waits for.
    from fastgw.gateway.exchange import Downstream


@dataclass(frozen=True, slots=True)
class Page:
    """A whole answer. `fields` are further complete header lines."""

    status: int
    content_type: str
    body: bytes
    fields: bytes = b""


NOT_FOUND = Page(404, "", b"")
READ_ONLY = Page(405, "", b"", b"allow: GET,HEAD\r\n")

Answer = Callable[[Request], Coroutine[Any, Any, Page]]
"""Makes the answer to a request, of which only the head is read."""


def get_only(pages: Mapping[bytes, Callable[[], Coroutine[Any, Any, Page]]]) -> Answer:
    """Pages by path, for GET and HEAD."""

    async def answer(request: Request) -> Page:
        make = pages.get(request.path)
        if make is None:
            return NOT_FOUND
        return await make() if request.method in (b"GET", b"HEAD") else READ_ONLY

    return answer


class PageExchange(Fiber):
    """One request for a page. Bodies are not read; the connection drops them."""

    __slots__ = ("_answer", "_downstream", "awaits_body", "request")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, downstream: "Downstream", request: Request, answer: Answer
    ) -> None:
        super().__init__(loop)
        self._downstream = downstream
        self._answer = answer
        self.request: Request = request
        self.awaits_body = False

    def begin(self) -> None:
        """Make the page and send it."""
        self.start(self._serve())

    async def _serve(self) -> None:
        try:
            page = await self.wait(self._answer(self.request))
        except ClientGone:
            return
        fields = page.fields
        if page.content_type:
            fields += b"content-type: %b\r\n" % page.content_type.encode()
        self._downstream.answer(self.request, page.status, fields, page.body)
        self._downstream.done()

    def crashed(self, error: Exception) -> None:
        """A page could not be made: nothing has been sent, and nothing can be said."""
        self._downstream.cut()
        super().crashed(error)

    def client_gone(self) -> None:
        """The reader left."""
        self.throw(ClientGone())

    def body_arrived(self) -> None:
        """Not awaited."""

    def body_progress(self, received: int) -> None:
        """Not awaited."""

    def body_failed(self, status: int, detail: str) -> None:
        """Not awaited."""

    def client_slow(self) -> None:
        """The answer is already written."""

    def client_ready(self) -> None:
        """The answer is already written."""


class PageListener:
    """Serves one of the supervisor's listening sockets. `make` builds the exchange for a request."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: socket.socket,
        make: Callable[[Connection, Request], Served],
        *,
        idle_timeout: float,
        tls: Callable[[], ssl.SSLContext | None] = lambda: None,
    ) -> None:
        self._listener = listener
        # Answers carry neither the product nor a request id: both belong to the listener for callers.
        self._server = Server(loop, make, server_token=None, mint=lambda: b"", id_field=b"", idle_timeout=idle_timeout)
        self._acceptor = Acceptor(loop, listener, self._server, tls)

    def stop(self) -> None:
        """Stop listening."""
        self._acceptor.stop()
        self._listener.close()

    def busy(self) -> bool:
        """Drop idle connections; whether there are others."""
        for connection in list(self._server.connections):
            connection.close_if_idle()
        return bool(self._server.connections) or bool(self._acceptor.handshaking)
