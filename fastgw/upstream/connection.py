"""One connection to an upstream: sends a request, reads its answer, then goes back to its pool.

The connection was dialled by aiohttp's connector; from then on this protocol owns the transport. The owner of
an attempt is a fiber: it is resumed when there is something to look at (the whole answer, or the head of a
successful stream), or gets an `UpstreamFailure` thrown in. The body of a stream goes to a `Sink`, synchronously
and without a task, so that an event costs no more than its bytes.
"""

import asyncio
import select
from typing import TYPE_CHECKING, Any, Protocol

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from fastgw._speedups.head import AnswerReader
from fastgw.core.errors import UpstreamFailure, stream_aborted, transport_error
from fastgw.core.fiber import Fiber

if TYPE_CHECKING:
    from fastgw.upstream.pool import Pool

MAX_HEAD = 65536
"""Bytes of an upstream's answer head; more is a transport error."""
MAX_BODY = 256 * 1024 * 1024
"""Bytes of an answer that is held whole; more is a transport error."""
MAX_ERROR_BODY = 65536
"""Bytes read of an error answer; the rest is not waited for."""
MAX_LINGER = 65536
"""Bytes accepted after the useful end of a stream while waiting for the end of its message."""
SURE_ALIVE = 1.0
"""Seconds of idleness up to which the event loop's own view of a connection is trusted."""


class Sink(Protocol):
    """Takes the body of a streamed answer."""

    def feed(self, data: bytes) -> None:
        """The next bytes of the body, in order."""

    def ended(self) -> None:
        """The message is complete by its own framing."""

    def broke(self, failure: UpstreamFailure) -> None:
        """The connection ended before the message did."""


class UpstreamConnection(asyncio.Protocol):
    """Protocol of one upstream connection. At most one request is under way at a time."""

    __slots__ = (
        "_head_bytes",
        "_lease",
        "_lingering",
        "_owner",
        "_parser",
        "_paused",
        "_pool",
        "_sink",
        "_spoiled",
        "_streaming",
        "alive",
        "answer",
        "idle_since",
        "transport",
    )

    def __init__(self, pool: "Pool", transport: asyncio.Transport, lease: Any) -> None:
        self._pool = pool
        self._lease = lease
        self.transport = transport
        self.answer = AnswerReader()
        self._parser: HttpResponseParser | None = HttpResponseParser(self.answer)
        self.answer.parser = self._parser
        self.alive = True
        self.idle_since = 0.0
        self._owner: Fiber | None = None
        self._sink: Sink | None = None
        self._streaming = False
        self._lingering = 0
        self._paused = False
        self._head_bytes = 0
        self._spoiled = False

    @property
    def lingering(self) -> bool:
        """True while nobody needs the connection but its message has not ended yet."""
        return self._lingering > 0

    # -- the owner's side

    def send(self, owner: Fiber, request: bytes, *, streaming: bool) -> None:
        """Hand a whole request to the kernel; `owner` is resumed or thrown at once there is news."""
        self.answer.begin()
        self._owner = owner
        self._streaming = streaming
        self._head_bytes = 0
        self.transport.write(request)

    def attach(self, sink: Sink) -> None:
        """From now on the body goes to `sink` (called by the owner while it looks at the head)."""
        self._sink = sink

    def finish(self) -> None:
        """The owner needs nothing more. The connection is reused when its message is complete, waits a
        moment for the end of a message whose useful part is over, or is closed."""
        self._owner = self._sink = None
        answer = self.answer
        if self._paused:
            self.resume_reading()
        if not self.alive:
            return
        if answer.complete:
            self._recycle()
        elif self._streaming and answer.head_done and not answer.until_close:
            self._lingering = 1
            self._pool.linger(self)
        else:
            self.close()

    def close(self) -> None:
        """Drop the connection at once, whatever is under way; nobody is told."""
        self._owner = self._sink = None
        if self.alive:
            self.alive = False
            self._pool.forget(self)
            self.transport.abort()
            self._lease.close()
        self._parser = self.answer.parser = None

    def usable(self, now: float) -> bool:
        """False when the peer has closed it. Beyond `SURE_ALIVE` seconds of idleness the kernel is asked,
        because the event loop may not have seen the end yet."""
        if not self.alive or self.transport.is_closing():
            return False
        if now - self.idle_since < SURE_ALIVE:
            return True
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN | select.POLLRDHUP)
        return not poll.poll(0)

    def pause_reading(self) -> None:
        """Stop reading from the upstream (the caller is slower than it)."""
        if not self._paused and self.alive:
            self._paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again; no-op unless paused."""
        if self._paused:
            self._paused = False
            if self.alive and not self.transport.is_closing():
                self.transport.resume_reading()

    # -- the transport's side

    def data_received(self, data: bytes) -> None:
        answer, parser = self.answer, self._parser
        if parser is None:
            return
        if not answer.head_done:
            self._head_bytes += len(data)
        try:
            parser.feed_data(data)
        except HttpParserUpgrade:
            self._broken("upstream switched protocols without being asked")
            return
        except HttpParserError as error:
            if self._owner is None or not answer.complete:
                self._deliver()
                self._broken(f"malformed answer from upstream: {error}")
                return
            # Noise behind a complete answer: the answer counts, the connection does not serve again.
            self._spoiled = True
        owner = self._owner
        if owner is None:
            self._stray(data)
        elif self._sink is not None:
            self._relay()
        elif answer.complete:
            owner.resume()
            if self._sink is not None:
                self._relay()
        elif not answer.head_done:
            if self._head_bytes > MAX_HEAD:
                self._fail(transport_error("answer head from upstream is too large"))
        elif answer.status >= 300 or answer.status < 200:
            if answer.received > MAX_ERROR_BODY:
                owner.resume()
        elif self._streaming:
            owner.resume()
            if self._sink is not None:
                self._relay()
        elif answer.received > MAX_BODY:
            self._fail(transport_error("answer from upstream is too large"))

    def eof_received(self) -> bool:
        self._ended(None)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended(exc)
        self.close()

    # -- inside

    def _deliver(self) -> None:
        """Hand on what came of a stream before noise in the same read: as good as what came in an earlier one."""
        answer, owner = self.answer, self._owner
        if owner is not None and self._sink is None and self._streaming and answer.head_done and answer.status < 300:
            owner.resume()
        if self._sink is not None:
            self._relay()

    def _relay(self) -> None:
        answer, sink = self.answer, self._sink
        data = answer.take()
        if data and sink is not None:
            sink.feed(data)
        if answer.complete and self._sink is not None:
            self._sink.ended()

    def _stray(self, data: bytes) -> None:
        # Nobody is waiting: either the tail of a stream that was over for its caller, or noise.
        answer = self.answer
        if self._lingering and not answer.overrun:
            answer.take()
            self._lingering += len(data)
            if answer.complete:
                self._recycle()
                return
            if self._lingering <= MAX_LINGER:
                return
        self.close()

    def _recycle(self) -> None:
        self._lingering = 0
        answer = self.answer
        if answer.keep_alive and not (answer.overrun or self._spoiled) and not self.transport.get_write_buffer_size():
            self._pool.release(self)
        else:
            self.close()

    def _ended(self, exc: Exception | None) -> None:
        owner, sink, answer = self._owner, self._sink, self.answer
        if owner is None:
            self.close()
            return
        if answer.complete:
            return
        if exc is None and answer.head_done and answer.until_close:
            # RFC 9112 §6.3 (8): without a length the end of the connection is the end of the body.
            answer.on_message_complete()
            if sink is not None:
                sink.ended()
            else:
                owner.resume()
            return
        if sink is not None:
            self._fail(stream_aborted())
        else:
            reason = str(exc) if exc is not None and str(exc) else "connection closed before the answer was complete"
            self._fail(transport_error(reason))

    def _broken(self, cause: str) -> None:
        if self._owner is not None:
            self._fail(transport_error(cause))
        else:
            self.close()

    def _fail(self, failure: UpstreamFailure) -> None:
        owner, sink = self._owner, self._sink
        self.close()
        if sink is not None:
            sink.broke(failure)
        elif owner is not None:
            owner.throw(failure)
