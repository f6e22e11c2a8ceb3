"""What the connections of one listener share: heads, timers, the way to an exchange.

A `Server` has no socket of its own; `fastgw.http.listen` accepts connections for it.
"""

import asyncio
import time
from collections.abc import Callable
from http import HTTPStatus

from fastgw._speedups.head import Request
from fastgw.core.deadlines import Deadlines
from fastgw.core.errors import Dialect, render
from fastgw.http.connection import Connection, Served
from fastgw.http.refusals import Refusal, Refused

HEAD_SECONDS = 30.0
"""From the first byte of a head to its last."""
BODY_SECONDS = 60.0
"""Between two reads of an awaited body."""
STALL_SECONDS = 300.0
"""How long a client may leave a full write buffer untouched."""
HANDSHAKE_SECONDS = 10.0
"""For a TLS handshake; at most the idle time, which is counted from the start of a connection."""
LINGER_SECONDS = 5.0
"""How long a client that still sends may take to read a refusal."""

_REASONS = {status.value: status.phrase for status in HTTPStatus}


class IdleDeadlines(Deadlines[Connection]):
    """Deadlines that keep the first start of an item."""

    def add_once(self, connection: Connection) -> None:
        """Start the connection's time unless it runs already."""
        if connection not in self.due:
            self.add(connection)


class Server:
    """Shared state of the connections of one listener in one process.

    `make` builds the exchange for a request; `draining` says whether every answer has to close its connection.
    Refusals carry `request_id(request)`, or a minted id when there is no request to ask, in the dialect of its path.
    `refused` is told of those whose path is known.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        make: Callable[[Connection, Request], Served],
        *,
        server_token: bytes | None,
        mint: Callable[[], bytes],
        id_field: bytes,
        request_id: Callable[[Request], bytes] | None = None,
        dialect: Callable[[bytes], Dialect] = lambda path: "openai",
        refused: Callable[[Refused], None] = lambda refused: None,
        idle_timeout: float = 0.0,
        draining: Callable[[], int] = lambda: 0,
        changed: Callable[[int], None] = lambda count: None,
    ) -> None:
        self.exchange = make
        self.connections: set[Connection] = set()
        self.head_deadline = IdleDeadlines(loop, HEAD_SECONDS, Connection.head_overdue)
        self.body_deadline: Deadlines[Connection] = Deadlines(loop, BODY_SECONDS, Connection.body_overdue)
        self.stalled: Deadlines[Connection] = Deadlines(loop, STALL_SECONDS, Connection.write_overdue)
        self.linger_deadline: Deadlines[Connection] = Deadlines(loop, LINGER_SECONDS, Connection.linger_overdue)
        self._idle: Deadlines[Connection] | None = None
        self.handshake_seconds = min(HANDSHAKE_SECONDS, idle_timeout) if idle_timeout else HANDSHAKE_SECONDS
        if idle_timeout:
            self._idle = Deadlines(loop, idle_timeout, Connection.idle_overdue)
        self._token = b"server: %b\r\n" % server_token if server_token else b""
        self._mint = mint
        self._id_field = id_field
        self._request_id = request_id
        self._dialect = dialect
        self._refused = refused
        self.draining = draining
        self._changed = changed
        self._loop = loop
        self._starts: dict[int, bytes] = {}
        self._second = -1.0

    # -- connections

    def opened(self, connection: Connection) -> None:
        """A connection was accepted."""
        self.connections.add(connection)
        self._changed(1)
        if self._idle is not None:
            self._idle.add(connection)

    def closed(self, connection: Connection) -> None:
        """A connection is gone."""
        self.connections.discard(connection)
        self._changed(-1)
        for deadlines in (self.head_deadline, self.body_deadline, self.stalled, self.linger_deadline, self._idle):
            if deadlines is not None and deadlines.due:
                deadlines.discard(connection)

    def head_complete(self, connection: Connection) -> None:
        """A request head is complete: nothing is overdue any more."""
        if self.head_deadline.due:
            self.head_deadline.discard(connection)
        if self._idle is not None:
            self._idle.discard(connection)

    def rests(self, connection: Connection) -> None:
        """The last answer of a connection has been sent: it is idle now."""
        if self._idle is not None:
            self._idle.add(connection)

    # -- heads

    def head(self, status: int, fields: bytes, length: int, http11: bool, keep: bool) -> bytes:
        """An answer head. `length` -1: chunked on HTTP/1.1, ended by closing on HTTP/1.0."""
        if self._loop.time() - self._second >= 1.0:
            self._new_second()
        start = self._starts.get(status)
        if start is None:
            start = self._start(status)
        if keep and http11:
            if length >= 0:
                return b"%b%bcontent-length: %d\r\n\r\n" % (start, fields, length)
            return b"%b%btransfer-encoding: chunked\r\n\r\n" % (start, fields)
        if length >= 0:
            framing = b"content-length: %d\r\n" % length
        else:
            framing = b"transfer-encoding: chunked\r\n" if http11 else b""
        # RFC 9112 §9.3: a 1.0 client that asked to keep the connection has to be told that it was heard.
        keeping = b"connection: keep-alive\r\n" if keep else b"connection: close\r\n" if http11 else b""
        return b"%b%b%b%b\r\n" % (start, fields, framing, keeping)

    def refusal(self, refusal: Refusal, request: Request | None, method: bytes) -> bytes:
        """A whole answer to what never became an exchange; `request` is as much of it as was read, or None."""
        path = b"" if request is None else request.path or request.target.partition(b"?")[0]
        error = refusal.error()
        body = render(error, self._dialect(path)) if refusal.detail else b""
        fields = b"content-type: application/json\r\n" if body else b""
        if refusal.status == 405:
            fields = b"allow: GET,HEAD,POST\r\n"
        if self._id_field:
            ask = self._request_id
            identity = ask(request) if ask is not None and request is not None else self._mint()
            fields += b"%b: %b\r\n" % (self._id_field, identity)
            if path:
                self._refused(Refused(identity, method, path, refusal.status, error.type, error.message))
        head = self.head(refusal.status, fields, len(body), True, False)
        return head if method == b"HEAD" else head + body

    def _start(self, status: int) -> bytes:
        reason = _REASONS.get(status, "Unknown").encode()
        start = b"HTTP/1.1 %d %b\r\n%bdate: %b\r\n" % (status, reason, self._token, self._date)
        self._starts[status] = start
        return start

    def _new_second(self) -> None:
        # RFC 9110 §6.6.1: an origin server with a clock sends Date.
        self._second = self._loop.time()
        self._date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime()).encode()
        self._starts.clear()
