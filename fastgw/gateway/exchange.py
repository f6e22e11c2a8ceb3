"""One request of one caller, from its head to the last byte of its answer.

The exchange is the fiber that runs the pipeline, and the object on which the stages leave what they found:
who calls, what is asked for, where it goes, what it used. It pins the snapshot that was current at its start.
"""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from fastgw._speedups.head import Request
from fastgw.core.errors import ClientGone, Dialect, GatewayError, upstream_timeout
from fastgw.core.fiber import Fiber, park
from fastgw.core.tracecontext import TraceParent, trace_parent
from fastgw.gateway.account import settle
from fastgw.gateway.series import UNKNOWN

if TYPE_CHECKING:
    from fastgw.gateway.gateway import Gateway
    from fastgw.gateway.identity import Principal
    from fastgw.gateway.relay import StreamRelay
    from fastgw.gateway.snapshot import Caller, Snapshot, Target
    from fastgw.providers.adapter import RelayedStream, Reported
    from fastgw.upstream.connection import UpstreamConnection

JSON_FIELD = b"content-type: application/json\r\n"
ANTHROPIC_PATHS = frozenset({b"/v1/messages", b"/v1/messages/", b"/v1/messages/count_tokens"})
"""Where errors have Anthropic's envelope, whether the path is served or not."""


def dialect_of(path: bytes) -> Dialect:
    """How errors are told to callers of a path."""
    if path == b"/v1/responses":
        return "responses"
    return "anthropic" if path in ANTHROPIC_PATHS else "openai"


class Downstream(Protocol):
    """The caller's connection, as far as the gateway needs it."""

    peer: str
    write_paused: bool

    def expect_body(self) -> None:
        """The body is wanted now."""

    def answer(self, request: Request, status: int, fields: bytes, body: bytes, *, drop: bool = False) -> None:
        """Send a whole answer."""

    def begin_stream(self, request: Request, status: int, fields: bytes) -> None:
        """Send the head of an answer of unknown length."""

    def write(self, data: bytes) -> None:
        """Send framed bytes of such an answer."""

    def cut(self) -> None:
        """Break the connection."""

    def done(self) -> None:
        """The exchange is over."""


class Exchange(Fiber):
    """State of one request. Stages fill the fields in the order in which they stand in `__init__`.

    `alias`: the model that was asked for, "" for none, None before the request was read. `headed`, `dispatched`: when
    the head of a stream was sent, when the latest attempt began (`time.monotonic`, like `started`). `ttft`,
    `delivered`: seconds from there to the first event of the upstream's, from `started` to the first event for the
    caller; -1 before. `failed`: attempts that were usage events of their own. `reported`: what the answer says about
    itself. `under_way`: takes the request out of the in-flight gauge, while it is in there. `refused_as`: its
    `provider` label without a target.
    """

    __slots__ = (
        "alias",
        "attempts",
        "awaits_body",
        "body_limit",
        "caller",
        "completion_tokens",
        "counted",
        "delivered",
        "dispatched",
        "downstream",
        "endpoint",
        "error",
        "failed",
        "gateway",
        "gone",
        "head_sent",
        "headed",
        "operation",
        "principal",
        "prompt_tokens",
        "refused_as",
        "relay",
        "relayed",
        "reported",
        "request",
        "request_id",
        "settled",
        "snapshot",
        "started",
        "status",
        "stream",
        "target",
        "total_tokens",
        "ttft",
        "under_way",
        "upstream",
        "usage_estimated",
    )

    def __init__(self, gateway: "Gateway", downstream: Downstream, request: Request) -> None:
        self.loop: asyncio.AbstractEventLoop = gateway.loop
        self._coroutine = None
        self._awaited = None
        self.gateway = gateway
        self.downstream = downstream
        self.request = request
        self.snapshot: Snapshot = gateway.current()
        self.request_id: bytes = gateway.request_id(request)
        self.started = monotonic()
        self.endpoint = "other"
        self.operation = ""
        self.awaits_body = False
        self.body_limit = 0
        self.caller: Caller | None = None
        self.principal: Principal | None = None
        self.counted = False
        self.alias: str | None = None
        self.stream = False
        self.target: Target | None = None
        self.upstream: UpstreamConnection | None = None
        self.relay: StreamRelay | None = None
        self.attempts = 0
        self.failed = 0
        self.dispatched = 0.0
        self.ttft = -1.0
        self.delivered = -1.0
        self.headed = 0.0
        self.head_sent = False
        self.relayed = False
        self.settled = False
        self.gone = False
        self.status = 0
        self.error: GatewayError | None = None
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.total_tokens = 0
        self.usage_estimated = False
        self.reported: Reported | RelayedStream | None = None
        self.refused_as = UNKNOWN
        self.under_way: Callable[[int], None] | None = None

    @property
    def dialect(self) -> Dialect:
        """How errors are told to this caller."""
        return dialect_of(self.request.path)

    @property
    def trace_parent(self) -> TraceParent | None:
        """The caller's span. Read anew each time: whoever traces asks once, and nobody else pays for it."""
        request = self.request
        return trace_parent(request.all(b"traceparent"), request.all(b"tracestate"))

    def begin(self) -> None:
        """Run the pipeline."""
        gateway = self.gateway
        gateway.in_flight(1)
        self._coroutine = gateway.serve(self)
        self.resume()

    # -- reading

    async def body(self) -> None:
        """Wait until the request body is complete or above its limit. Raises ClientGone, or what `body_failed` was
        told."""
        self.awaits_body = True
        try:
            self.downstream.expect_body()
            await park()
        finally:
            self.awaits_body = False

    def body_arrived(self) -> None:
        """The connection has the last byte of the body."""
        self.resume()

    def body_progress(self, received: int) -> None:
        """The connection has `received` bytes of a body that is still coming."""
        if self.body_limit < 0:
            # Being drained: nothing is kept, and no more than the bound is read.
            self.request.forget_body()
            if received >= -self.body_limit:
                self.resume()
        elif self.body_limit and received > self.body_limit:
            self.request.forget_body()
            self.resume()

    def body_failed(self, status: int, detail: str) -> None:
        """The body cannot be read."""
        if self.awaits_body:
            self.throw(GatewayError(status, "invalid_request_error", f"request payload is invalid: {detail}"))

    # -- answering

    def answer_json(self, status: int, body: bytes, fields: bytes = b"", content: bytes = JSON_FIELD) -> None:
        """Send a whole JSON answer with the fields that every answer has."""
        self.status = status
        self.head_sent = True
        settle(self)
        lines = b"%b%b%b\r\n%b" % (content, self.gateway.id_prefix, self.request_id, fields)
        self.downstream.answer(self.request, status, lines, body)

    def answer_empty(self, status: int, fields: bytes = b"") -> None:
        """Send an answer without a body."""
        self.status = status
        self.head_sent = True
        settle(self)
        self.downstream.answer(self.request, status, self.fields(b"", fields), b"")

    def fields(self, content: bytes, more: bytes = b"") -> bytes:
        """Header lines: what every answer carries, then the given ones."""
        return b"%b%b%b\r\n%b" % (content, self.gateway.id_prefix, self.request_id, more)

    # -- the caller's connection changes

    def client_gone(self) -> None:
        """The caller left: whatever runs for it ends now."""
        self.gone = True
        if self.alive:
            self.throw(ClientGone())

    def client_slow(self) -> None:
        """The caller does not keep up: stop reading from the upstream."""
        if self.relay is not None:
            self.relay.slow()

    def client_ready(self) -> None:
        """The caller has caught up."""
        if self.relay is not None:
            self.relay.ready()

    # -- timers

    def overdue(self) -> None:
        """The deadline of the running attempt has passed."""
        target = self.target
        seconds = None if target is None else (target.stream_timeout if self.stream else target.timeout)
        self.throw(upstream_timeout(round((seconds or 0.0) * 1000)))

    def keep_alive(self) -> None:
        """Nothing was written to the caller of a stream for a while."""
        if self.relay is not None:
            self.relay.comment()

    def crashed(self, error: Exception) -> None:
        """The pipeline handles its own errors; what arrives here is a defect of that handling."""
        self.downstream.cut()
        super().crashed(error)
