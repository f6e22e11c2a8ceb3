"""One client connection: bytes in, requests out, answers back, in order.

llhttp parses; the C reader collects; this protocol decides. Rules of the file:

1. One exchange at a time. Requests that arrive meanwhile (pipelining) wait in the reader. Beyond `MAX_PIPELINE` of
   them, or `READ_AHEAD` of a waiting body, the connection is not read until one has been answered; while a client
   does not take its answers, no further request is started.
2. Otherwise reading goes on while an exchange runs, because that is how the end of the client is noticed.
3. Bytes are parsed in slices, and those of a head are counted before they are parsed: llhttp reports a field only
   when it is complete, and assembling a huge one is quadratic.
4. What cannot be parsed is answered in its turn: after the answers to the requests before it.
5. An answer may come before its request's body. A short rest of the body is read and dropped, and the connection
   goes on. Otherwise the connection lingers: more of the body is read and dropped, then it is closed. Closing at once
   would reset it, and the client would lose the answer.
"""

import asyncio
from typing import TYPE_CHECKING, Protocol, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from fastgw._speedups.head import Request, RequestReader
from fastgw.http.refusals import Refusal, flaw_of, parser_refusal

if TYPE_CHECKING:
    from fastgw.http.server import Server

MAX_HEAD = 65536
"""Bytes of a request head from its first to its last line, empty lines before it included."""
MAX_PIPELINE = 16
SLICE = 8192
"""Heads and chunked bodies are parsed in pieces of this size, so that what they consist of can be counted."""
MAX_QUIET = 16384
"""Bytes of chunk headers, chunk extensions or trailers in a row (RFC 9112 §7.1.1: limit extensions), checked after
each slice."""
READ_AHEAD = 65536
"""Bytes of the body of a waiting request that are taken in."""
SKIP_BYTES = 65536
"""An unread body up to this size is dropped for the sake of the connection; above it the connection is closed."""
LINGER_BYTES = 32 * 1024 * 1024
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HEAD_TOO_LARGE = Refusal(431, "request head is too large")
FRAMING_TOO_LARGE = Refusal(400, "chunk framing is too large")
BROKEN_BODY = Refusal(400, "failed to read request body")
UPGRADE_FIELDS = (b"connection", b"upgrade", b"http2-settings")


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
        "_broken",
        "_closing",
        "_head_seen",
        "_held",
        "_linger_left",
        "_parser",
        "_pumping",
        "_read_paused",
        "_reader",
        "exchange",
        "peer",
        "server",
        "transport",
        "unsent",
        "write_paused",
    )

    def __init__(self, server: "Server") -> None:
        self.server = server
        self.transport: asyncio.Transport | None = None
        self.peer = ""
        self.exchange: Served | None = None
        self.write_paused = False
        self.unsent = 0
        self._reader = RequestReader()
        self._parser: HttpRequestParser | None = None
        self._head_seen = 0
        self._held = b""
        self._broken: Refusal | None = None
        self._pumping = False
        self._read_paused = False
        self._closing = False
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
        elif self._closing or self._broken is not None:
            return
        elif self._held:
            self._held += data
        elif len(data) <= SLICE and self._head_seen + len(data) <= MAX_HEAD:
            self._feed(data)
        else:
            self._feed_slices(data)

    def eof_received(self) -> bool:
        # A client that half-closes after its request is treated as gone, as nginx does: it cannot be told
        # from one that left, and an upstream call that nobody waits for costs money.
        self._closing = True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._closing = True
        self._parser = None
        self._held = b""
        self.server.closed(self)
        exchange = self.exchange
        if exchange is not None:
            self.exchange = None
            exchange.client_gone()

    def pause_writing(self) -> None:
        self.write_paused = True
        self._watch_writing()
        if self.exchange is not None:
            self.exchange.client_slow()

    def resume_writing(self) -> None:
        self.write_paused = False
        self.server.stalled.discard(self)
        if self.exchange is not None:
            self.exchange.client_ready()
        else:
            self._pump()

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
        keep = not drop and request.keep_alive and self._survives(request)
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
        keep = request.http11 and request.keep_alive and self._survives(request)
        if not keep:
            self._closing = True
        self.transport.write(self.server.head(status, fields, -1, request.http11, keep))

    def write(self, data: bytes) -> None:
        """Bytes of a streamed answer, framed by the caller."""
        if self.transport is not None:
            self.transport.write(data)

    def close_after_this(self) -> None:
        """The exchange has written a whole answer by itself, and the connection ends with it."""
        self._closing = True

    def cut(self) -> None:
        """Break the connection: a streamed answer cannot be completed and must not look complete."""
        self._closing = True
        if self.transport is not None:
            self.transport.abort()

    def done(self) -> None:
        """The exchange is over; its answer has been handed to the transport."""
        self.exchange = None
        if self.transport is None:
            return
        if not self._closing:
            self._pump()
        elif self._reader.reading_body:
            self._start_lingering()
        else:
            self._close()

    def close_if_idle(self) -> None:
        """Close between requests; a running exchange makes the connection close after its answer."""
        if self.exchange is None and not self._reader.queue:
            self._close()

    # -- timers (called by the server's deadlines)

    def head_overdue(self) -> None:
        """A head was begun and not completed in time."""
        if self.exchange is None and not self._reader.queue:
            self._refuse(Refusal(408, "request head was not received in time"))

    def body_overdue(self) -> None:
        """No byte of a body arrived in time, be it awaited or only dropped."""
        exchange = self.exchange
        if exchange is None:
            self._close()
        elif exchange.awaits_body:
            self._closing = True
            exchange.body_failed(408, "request body was not received in time")

    def idle_overdue(self) -> None:
        """No complete head arrived within the idle time: closed without a word."""
        if self.transport is not None and self.transport.get_write_buffer_size():
            self.server.rests(self)
        else:
            self._close()

    def write_overdue(self) -> None:
        """The client has had its time: one that took something of what is waiting gets more, one that did not is
        cut."""
        if self.transport is not None and self.transport.get_write_buffer_size() < self.unsent:
            self._watch_writing()
        else:
            self.cut()

    def linger_overdue(self) -> None:
        """The client has had the time to read its answer."""
        self._close()

    # -- inside: bytes to requests

    def _feed_slices(self, data: bytes) -> None:
        """Parse in slices: none of them crosses MAX_HEAD, and what follows too many requests is held back."""
        reader, view, at = self._reader, memoryview(data), 0
        while at < len(data) and not self._closing and self._broken is None:
            if self._read_paused:
                self._held = bytes(view[at:])
                return
            size = reader.bulk()
            if size < SLICE:
                size = min(SLICE, max(MAX_HEAD - self._head_seen, 1))
            self._feed(view[at : at + size])
            at += size

    def _feed(self, data: bytes | memoryview) -> None:
        """Parse a piece of input and let it have its consequences."""
        reader = self._reader
        before, in_body = reader.current, reader.reading_body
        if in_body:
            reader.count_quiet(len(data))
        try:
            self._parse(data)
        except HttpParserError as error:
            self._broken = BROKEN_BODY if reader.reading_body else parser_refusal(error)
        current = reader.current
        if reader.reading_body:
            if reader.quiet > MAX_QUIET and current is not None and current.chunked and self._broken is None:
                self._broken = FRAMING_TOO_LARGE
        elif not in_body and current is before and self._broken is None:
            self._head_seen += len(data)
            if self._head_seen >= MAX_HEAD:
                self._broken = HEAD_TOO_LARGE
        if self.exchange is not None:
            self._progress(self.exchange)
        elif in_body and before is not None and before not in reader.queue:
            self._dropped(before)
        if current is not before:
            self._head_seen = 0
            self.server.head_complete(self)
            self._pump()
            return
        if self.exchange is None and not self._closing:
            if self._broken is not None:
                self._pump()
            elif reader.head is not None:
                self.server.head_deadline.add_once(self)
        if reader.queue and self._must_pause():
            self._pause_reading()

    def _parse(self, data: bytes | memoryview) -> None:
        """Feed llhttp; go on as if no request had asked for an upgrade (RFC 9110 §7.8). Raises HttpParserError."""
        while self._parser is not None:
            try:
                self._parser.feed_data(data)
                return
            except HttpParserUpgrade as upgrade:
                request = self._reader.current
                if request is None or request.method == b"CONNECT" or request.flaws:
                    return
                data = data[upgrade.args[0] :]
            lines = [b"%b: %b" % field for field in request.fields if field[0] not in UPGRADE_FIELDS]
            lines.append(b"connection: keep-alive" if request.keep_alive else b"connection: close")
            version = b"1.1" if request.http11 else b"1.0"
            self._parser = HttpRequestParser(self._reader)
            self._reader.rearm(self._parser)
            self._parser.feed_data(
                b"%b %b HTTP/%b\r\n%b\r\n\r\n" % (request.method, request.target, version, b"\r\n".join(lines))
            )

    def _progress(self, exchange: Served) -> None:
        """Tell the exchange what became of the body that it waits for."""
        if not exchange.awaits_body:
            return
        request = exchange.request
        if request.complete:
            self.server.body_deadline.discard(self)
            exchange.body_arrived()
        elif self._broken is not None:
            self._closing = True
            exchange.body_failed(self._broken.status, self._broken.detail)
        else:
            self.server.body_deadline.add(self)
            exchange.body_progress(request.received)

    def _dropped(self, request: Request) -> None:
        """More of the body of an answered request."""
        request.forget_body()
        if request.complete:
            self.server.body_deadline.discard(self)
            self._pump()
        elif request.received > SKIP_BYTES or self._broken is not None:
            self._start_lingering()
        else:
            self.server.body_deadline.add(self)

    # -- inside: requests to exchanges

    def _pump(self) -> None:
        """Start waiting requests until one of them has to wait itself."""
        if self._pumping:
            return
        self._pumping = True
        try:
            while self.exchange is None and not self._closing and not self.write_paused:
                request = self._reader.take()
                if request is None:
                    break
                self._begin(request)
        finally:
            self._pumping = False
        if self.exchange is None and not self._closing and not self.write_paused:
            self._rest()
        if self._reader.queue and self._must_pause():
            self._pause_reading()
        elif self._read_paused:
            self._resume_reading()

    def _begin(self, request: Request) -> None:
        if request.flaws:
            self._refuse(flaw_of(request.flaws), request)
            return
        if request.method == b"CONNECT":
            self._refuse(Refusal(405, ""), request)
            return
        exchange = self.exchange = self.server.exchange(self, request)
        exchange.begin()
        if self._broken is not None and self.exchange is exchange and not request.complete:
            self._progress(exchange)

    def _rest(self) -> None:
        """Everything that has arrived is answered."""
        reader = self._reader
        if self._broken is not None:
            if reader.reading_body:
                self._start_lingering()
            else:
                self._refuse(self._broken)
        elif reader.reading_body:
            self.server.body_deadline.add(self)
        else:
            self.server.rests(self)
            if reader.head is not None:
                self.server.head_deadline.add_once(self)

    def _survives(self, request: Request) -> bool:
        """Whether the connection can go on after the answer to `request`, of whose body more may be coming."""
        if self._closing or self.server.draining():
            return False
        if request.complete:
            return True
        # RFC 9110 §10.1.1: without a 100 the client may send the body or not; nothing after it can be told apart.
        if request.expects_continue and not request.received:
            return False
        return request.content_length <= SKIP_BYTES and request.received <= SKIP_BYTES

    def _refuse(self, refusal: Refusal, request: Request | None = None) -> None:
        """Answer below the level of exchanges (the request never became one), then close."""
        if self.transport is None or self._closing:
            return
        if request is not None:
            method = request.method
        else:
            # Refused while it was being read: what has been seen of it is told, but no more of it is believed.
            request = self._reader.head
            method = self._parser.get_method() if request is not None and self._parser is not None else b""
        self.transport.write(self.server.refusal(refusal, request, method))
        self._start_lingering()

    # -- inside: reading and closing

    def _must_pause(self) -> bool:
        reader = self._reader
        queue = reader.queue
        return len(queue) > MAX_PIPELINE or (reader.reading_body and queue[-1].received > READ_AHEAD)

    def _pause_reading(self) -> None:
        if not self._read_paused and self.transport is not None and not self._closing:
            self._read_paused = True
            self.transport.pause_reading()

    def _resume_reading(self) -> None:
        self._read_paused = False
        held, self._held = self._held, b""
        if held:
            self.data_received(held)
        if not self._read_paused and self.transport is not None:
            self.transport.resume_reading()

    def _start_lingering(self) -> None:
        # RFC 9112 §9.6: half-close, then read a while so that no reset overtakes the answer.
        transport = self.transport
        self._closing = True
        if transport is None or self._linger_left >= 0 or transport.is_closing():
            return
        self._linger_left = LINGER_BYTES
        if self._read_paused:
            self._read_paused = False
            transport.resume_reading()
        if transport.can_write_eof():
            transport.write_eof()
        self.server.linger_deadline.add(self)

    def _linger(self, count: int) -> None:
        self._linger_left -= count
        if self._linger_left < 0:
            self._linger_left = 0
            self._close()

    def _watch_writing(self) -> None:
        if self.transport is not None:
            self.unsent = self.transport.get_write_buffer_size()
            self.server.stalled.add(self)

    def _close(self) -> None:
        """Close once everything written has left; a client that does not take it is cut after a while."""
        self._closing = True
        transport = self.transport
        if transport is not None:
            transport.close()
            if transport.get_write_buffer_size():
                self._watch_writing()


def plain_address(address: str) -> str:
    """An IPv4-mapped IPv6 peer of a dual-stack listener as IPv4 (RFC 4291 §2.5.5.2)."""
    return address[7:] if address.startswith("::ffff:") and "." in address else address
