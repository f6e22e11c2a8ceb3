"""Small documents without a pipeline: what the supervisor's own listeners serve."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastgw._speedups.head import Request
from fastgw.core.errors import ClientGone
from fastgw.core.fiber import Fiber

if TYPE_CHECKING:
    # The supervisor serves pages and needs nothing else of the gateway: its start is what the operator waits for.
    from fastgw.gateway.exchange import Downstream


@dataclass(frozen=True, slots=True)
class Page:
    """A whole answer."""

    status: int
    content_type: str
    body: bytes


NOT_FOUND = Page(404, "", b"")
Pages = Mapping[bytes, Callable[[], Coroutine[Any, Any, Page]]]


class PageExchange(Fiber):
    """One request for a page. Bodies are not read; the connection drops them."""

    __slots__ = ("_downstream", "_gone", "_pages", "awaits_body", "request")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, downstream: "Downstream", request: Request, pages: Pages
    ) -> None:
        super().__init__(loop)
        self._downstream = downstream
        self._pages = pages
        self._gone = False
        self.request: Request = request
        self.awaits_body = False

    def begin(self) -> None:
        """Make the page and send it."""
        self.start(self._serve())

    async def _serve(self) -> None:
        make = self._pages.get(self.request.path)
        fields = b""
        if make is None:
            page = NOT_FOUND
        elif self.request.method not in (b"GET", b"HEAD"):
            page = Page(405, "", b"")
            fields = b"allow: GET,HEAD\r\n"
        else:
            try:
                page = await self.wait(make())
            except ClientGone:
                return
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
        """The answer is small and already written."""

    def client_ready(self) -> None:
        """The answer is small and already written."""
