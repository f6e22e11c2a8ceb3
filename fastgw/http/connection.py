"""One client connection: bytes in, requests out, answers back, in order.

llhttp parses; the C reader collects; this protocol decides. Rules of the file:

1. One exchange at a time. Requests that arrive meanwhile (pipelining) wait in the reader; beyond `MAX_PIPELINE`
   the connection is not read until one has been answered.
2. Reading goes on while an exchange runs, because that is how the end of the client is noticed.
3. Bytes of a head are counted before they are parsed: llhttp reports a field only when it is complete, and
   assembling a huge one is quadratic.
4. A refusal before the body was read lingers: the answer is sent, a little of the body is read and dropped, then
   the connection is closed. Closing at once would reset it and the client would lose the answer.
"""

import asyncio
from typing import TYPE_CHECKING, Protocol, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from fastgw._speedups.head import MAX_HEAD, Request, RequestReader
from fastgw.http.refusals import Refusal, flaw_of, parser_refusal

if TYPE_CHECKING:
    from fastgw.http.server import Server

MAX_PIPELINE = 16
CHUNKED_SLICE = 8192
"""A chunked body is parsed in slices of this size, so that what lies between its data can be counted."""
MAX_QUIET = 16384
"""Bytes of chunk headers, chunk extensions or trailers in a row (RFC 9112 §7.1.1: limit extensions)."""
LINGER_BYTES = 65536
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HEAD_END = b"\r\n\r\n"


class Served(Protocol):
    """What a connection needs of the exchange that answers one of its requests."""

    @property
    def request(self) -> Request:
        """The request being answered."""

    @property
    def awaits_body(self) -> bool:
        """True while the rest of the body is waited for."""

    def begin(self) -> None:
        """Start answering."""

    def body_arrived(self) -> None:
        """The body is complete."""

    def body_progress(self, received: int) -> None:
        """Bytes of the body so far."""

    def body_failed(self, status: int, detail: str) -> None:
        """The body cannot be read."""

    def client_gone(self) -> None:
        """The client left."""

    def client_slow(self) -> None:
        """The write buffer is full."""

    def client_ready(self) -> None:
        """The write buffer has room again."""


class Connection(asyncio.Protocol):
    """Server side of one HTTP/1.1 or HTTP/1.0 connection."""

    __slots__ = (
        "_closing",
        "_eof",
        "_head_seen",
        "_linger_left",
        "_parser",
        "_pumping",
        "_read_paused",
        "_reader",
        "_tail",
        "exchange",
        "peer",
        "server",
        "transport",
        "write_paused",
    )

    def __init__(self, server: "Server") -> None:
        self.server = server
        self.transport: asyncio.Transport | None = None
        self.peer = ""
        self.exchange: Served | None = None
        self.write_paused = False
        self._reader = RequestReader()
        self._parser: HttpRequestParser | None = None
        self._head_seen = 0
        self._tail = b""
        self._pumping = False
        self._read_paused = False
        self._closing = False
        self._eof = False
        self._linger_left = -1

    # -- the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        address = transport.get_extra_info("peername")
        self.peer = plain_address(address[0]) if isinstance(address, tuple) else ""
        self._parser = HttpRequestParser(self._reader)
        self._reader.parser = self._parser
        self.server.opened(self)

    def data_received(self, data: bytes) -> None:
        if self._linger_left >= 0:
            self._linger(len(data))
            return
        if self._closing:
            return
        reader = self._reader
        current = reader.current
        if reader.reading_body:
            if current is not None and current.chunked:
                self._feed_chunked(data)
                return
        elif not self._head_fits(data):
            self._refuse(Refusal(431, "request head is too large"))
            return
        self._feed(data)

    def eof_received(self) -> bool:
        # A client that half-closes after its request is treated as gone, as nginx does: it cannot be told
        # from one that left, and an upstream call that nobody waits for costs money.
        self._eof = True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._closing = True
        self._parser = None
        self.server.closed(self)
        exchange = self.exchange
        if exchange is not None:
            self.exchange = None
            exchange.client_gone()

    def pause_writing(self) -> None:
        self.write_paused = True
        self.server.stalled.add(self)
        if self.exchange is not None:
            self.exchange.client_slow()

    def resume_writing(self) -> None:
        self.write_paused = False
        self.server.stalled.discard(self)
        if self.exchange is not None:
            self.exchange.client_ready()

    # -- the exchange's side

    def expect_body(self) -> None:
        """The exchange waits for the body: tell a client that asked whether to send it (RFC 9110 §10.1.1)."""
        request = self._reader.current
        if request is not None and request.expects_continue and not request.received and self.transport is not None:
            self.transport.write(CONTINUE)
        self.server.body_deadline.add(self)

    def answer(self, request: Request, status: int, fields: bytes, body: bytes, *, drop: bool = False) -> None:
        """Send a whole answer. `fields` are complete header lines; `drop` closes the connection afterwards."""
        transport = self.transport
        if transport is None:
            return
        keep = request.keep_alive and request.complete and not drop and not self._closing
        head = self.server.head(status, fields, len(body), request.http11, keep)
        if request.method == b"HEAD":
            transport.write(head)
        elif len(body) < 65536:
            transport.write(head + body)
        else:
            transport.write(head)
            transport.write(body)
        if not keep:
            self._closing = True

    def begin_stream(self, request: Request, status: int, fields: bytes) -> None:
        """Send the head of an answer whose length is not known: chunked, or ended by closing for HTTP/1.0."""
        if self.transport is None:
            return
        keep = request.keep_alive and request.complete and request.http11 and not self._closing
        if not keep:
            self._closing = True
        self.transport.write(self.server.head(status, fields, -1, request.http11, keep))

    def write(self, data: bytes) -> None:
        """Bytes of a streamed answer, framed by the caller."""
        if self.transport is not None:
            self.transport.write(data)

    def cut(self) -> None:
        """Break the connection: a streamed answer cannot be completed and must not look complete."""
        self._closing = True
        if self.transport is not None:
            self.transport.abort()

    def done(self) -> None:
        """The exchange is over; its answer has been handed to the transport."""
        self.exchange = None
        transport = self.transport
        if transport is None:
            return
        request = self._reader.current
        if self._closing or self._eof:
            if request is not None and not request.complete:
                self._start_lingering()
            else:
                self._closing = True
                transport.close()
            return
        self._resume_reading()
        self._pump()
        if self.exchange is None and not self._closing:
            self.server.rests(self)

    def close_if_idle(self) -> None:
        """Close between requests; a running exchange makes the connection close after its answer."""
        if self.exchange is None and not self._reader.queue:
            self._closing = True
            if self.transport is not None:
                self.transport.close()

    # -- timers (called by the server's deadlines)

    def head_overdue(self) -> None:
        """A head was begun and not completed in time."""
        self._refuse(Refusal(408, "request head was not received in time"))

    def body_overdue(self) -> None:
        """No byte of an awaited body arrived in time."""
        if self.exchange is not None:
            self.exchange.body_failed(408, "request body was not received in time")

    def idle_overdue(self) -> None:
        """No complete head arrived within the idle time: closed without a word."""
        if self.exchange is None:
            self.cut_quietly()

    def cut_quietly(self) -> None:
        """Close without sending anything."""
        self._closing = True
        if self.transport is not None:
            self.transport.close()

    # -- inside

    def _head_fits(self, data: bytes) -> bool:
        """False when a head is still incomplete after MAX_HEAD bytes. O(1) unless the head is huge."""
        room = MAX_HEAD - self._head_seen
        if len(data) <= room:
            return True
        return (self._tail + data[: room + 3]).find(HEAD_END) >= 0

    def _feed(self, data: bytes) -> None:
        reader = self._reader
        before = len(reader.queue)
        try:
            if self._parser is not None:
                self._parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            if not self._ignore_upgrade(data[upgrade.args[0] :]):
                return
        except HttpParserError as error:
            self._parse_failed(error)
            return
        if self.exchange is not None:
            self._progress()
        if len(reader.queue) > before or (self.exchange is None and reader.queue):
            self._head_arrived()
        elif not reader.reading_body and self.exchange is None:
            self._head_seen += len(data)
            self._tail = (self._tail + data)[-3:]
            self.server.head_deadline.add_once(self)

    def _feed_chunked(self, data: bytes) -> None:
        reader = self._reader
        for start in range(0, len(data), CHUNKED_SLICE):
            if self._closing:
                return
            part = data[start : start + CHUNKED_SLICE]
            reader.count_quiet(len(part))
            self._feed(part)
            if reader.reading_body and reader.quiet > MAX_QUIET:
                self._refuse(Refusal(400, "chunk framing is too large"))
                return

    def _head_arrived(self) -> None:
        self._head_seen = 0
        self._tail = b""
        self.server.head_complete(self)
        self._pump()
        if len(self._reader.queue) > MAX_PIPELINE and not self._read_paused and self.transport is not None:
            self._read_paused = True
            self.transport.pause_reading()

    def _progress(self) -> None:
        exchange, reader = self.exchange, self._reader
        if exchange is None or not exchange.awaits_body:
            return
        request = exchange.request
        if request.complete:
            self.server.body_deadline.discard(self)
            exchange.body_arrived()
        else:
            self.server.body_deadline.add(self)
            exchange.body_progress(request.received)
        if reader.queue and self.exchange is None:
            self._pump()

    def _pump(self) -> None:
        """Start waiting requests until one of them has to wait itself."""
        if self._pumping:
            return
        self._pumping = True
        reader = self._reader
        try:
            while self.exchange is None and reader.queue and not self._closing:
                request = reader.take()
                if request is None:
                    break
                if request.flaws:
                    self._refuse(flaw_of(request.flaws))
                    break
                if request.method == b"CONNECT":
                    self._refuse(Refusal(405, ""))
                    break
                exchange = self.server.exchange(self, request)
                self.exchange = exchange
                exchange.begin()
        finally:
            self._pumping = False

    def _ignore_upgrade(self, rest: bytes) -> bool:
        """Go on as if the request had not asked for an upgrade. Returns False when it was refused."""
        request = self._reader.current
        if request is None or request.method == b"CONNECT" or request.flaws:
            return True
        hidden = (b"connection", b"upgrade", b"http2-settings")
        lines = [b"%b: %b" % field for field in request.fields if field[0] not in hidden]
        if not request.keep_alive:
            lines.append(b"connection: close")
        version = b"1.1" if request.http11 else b"1.0"
        head = b"%b %b HTTP/%b\r\n%b\r\n\r\n" % (request.method, request.target, version, b"\r\n".join(lines))
        self._parser = HttpRequestParser(self._reader)
        self._reader.rearm(self._parser)
        try:
            self._parser.feed_data(head)
            if rest:
                self._parser.feed_data(rest)
        except HttpParserError as error:
            self._parse_failed(error)
            return False
        return True

    def _parse_failed(self, error: HttpParserError) -> None:
        exchange, reader = self.exchange, self._reader
        if exchange is not None and not exchange.request.complete:
            # The body under way is broken; its exchange says so in its own dialect.
            self._closing = True
            exchange.body_failed(400, "failed to read request body")
        elif exchange is not None or reader.queue:
            # Noise behind a good request (RFC 9112 §9.6): answer what is due, then close.
            self._closing = True
            if exchange is None:
                self._closing = False
                self._pump()
                self._closing = True
        else:
            self._refuse(parser_refusal(error))

    def _refuse(self, refusal: Refusal) -> None:
        """Answer below the level of exchanges (the request never became one), then close."""
        self._closing = True
        if self.transport is None:
            return
        if self.exchange is not None:
            self.exchange.body_failed(refusal.status, refusal.detail)
            return
        self.transport.write(self.server.refusal(refusal))
        self._start_lingering()

    def _resume_reading(self) -> None:
        if self._read_paused and len(self._reader.queue) <= MAX_PIPELINE and self.transport is not None:
            self._read_paused = False
            self.transport.resume_reading()

    def _start_lingering(self) -> None:
        # RFC 9112 §9.6: half-close, then read a while so that no reset overtakes the answer.
        transport = self.transport
        if transport is None or self._linger_left >= 0:
            return
        self._closing = True
        self._linger_left = LINGER_BYTES
        if self._read_paused:
            self._read_paused = False
            transport.resume_reading()
        if self._eof:
            transport.close()
            return
        if transport.can_write_eof():
            transport.write_eof()
        self.server.linger_deadline.add(self)

    def _linger(self, count: int) -> None:
        self._linger_left -= count
        if self._linger_left < 0 and self.transport is not None:
            self._linger_left = 0
            self.transport.close()


def plain_address(address: str) -> str:
    """An IPv4-mapped IPv6 peer of a dual-stack listener as IPv4 (RFC 4291 §2.5.5.2)."""
    return address[7:] if address.startswith("::ffff:") and "." in address else address
