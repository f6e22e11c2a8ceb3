"""The way back: whole answers, and streams byte by byte."""

from time import monotonic

from fastgw.core.deadlines import Deadlines
from fastgw.core.errors import ClientGone, UpstreamFailure, decode_error, render_event, stream_aborted, transport_error
from fastgw.core.fiber import park
from fastgw.gateway.account import opened, settle
from fastgw.gateway.call import Call
from fastgw.gateway.coding import Inflating, inflater
from fastgw.gateway.estimates import lacking
from fastgw.gateway.exchange import Exchange
from fastgw.gateway.snapshot import Target
from fastgw.providers.adapter import Endpoint, RelayedStream, Speaker
from fastgw.providers.failures import in_band_failure
from fastgw.providers.native import NativeStream
from fastgw.upstream.connection import UpstreamConnection

STREAM_FIELDS = b"content-type: text/event-stream\r\ncache-control: no-cache\r\n"


def read_answer(ex: Exchange, speaker: Speaker, body: bytes) -> bytes:
    """The answer for the caller; what it used is noted. Raises a decode error."""
    out, usage = speaker.answer(body)
    ex.reported = usage
    ex.prompt_tokens = usage.prompt_tokens
    ex.completion_tokens = usage.completion_tokens
    ex.total_tokens = usage.total_tokens or usage.prompt_tokens + usage.completion_tokens
    return out


async def relay_stream(
    ex: Exchange,
    call: Call,
    speaker: Speaker,
    target: Target,
    endpoint: Endpoint,
    connection: UpstreamConnection,
    deadline: "Deadlines[Exchange] | None",
) -> None:
    """Relay a stream to its end. Raises UpstreamFailure only while nothing has been sent to the caller;
    afterwards a failure ends the stream with one error frame and is left in `ex.error`."""
    stream = speaker.relay(target, chunked=ex.request.http11)
    relay = StreamRelay(ex, call, stream, endpoint, connection, deadline)
    inflate = inflater(connection.answer.content_encoding)
    ex.relay = relay
    ex.reported = stream
    try:
        if not target.stream_configured:
            relay.open()
        connection.attach(relay if inflate is None else Inflating(relay, inflate))
        try:
            await park()
        except UpstreamFailure as overdue:
            relay.failure = overdue
        if endpoint.marked is not None:
            check_marker(ex, endpoint.marked, stream, relay, target)
        await relay.close()
    except ClientGone:
        await relay.abandon()
        raise
    finally:
        relay.leave()


def check_marker(ex: Exchange, wanted: bool, stream: RelayedStream, relay: "StreamRelay", target: Target) -> None:
    """Tell the operator about a stream that came to its end otherwise than configured. Callers do not notice."""
    if relay.failure is None and not stream.failure and stream.ended != wanted:
        ex.gateway.log.warn(
            "fastgw::proxy",
            "upstream stream ended without [DONE]" if wanted else "upstream stream ended in an unexpected [DONE]",
            model=target.name,
            provider_key=target.key_name,
            request_id=ex.request_id.decode(),
        )


class StreamRelay:
    """Between an upstream connection and a caller: takes body bytes, writes frames.

    Runs inside the upstream's read callback. The exchange's fiber stays parked until the stream is over.
    """

    __slots__ = (
        "_call",
        "_connection",
        "_deadline",
        "_endpoint",
        "_ex",
        "_held",
        "_keepalive",
        "_native",
        "_noted",
        "_stream",
        "_young",
        "failure",
    )

    def __init__(
        self,
        ex: Exchange,
        call: Call,
        stream: RelayedStream,
        endpoint: Endpoint,
        connection: UpstreamConnection,
        deadline: "Deadlines[Exchange] | None",
    ) -> None:
        self._ex = ex
        self._call = call
        self._stream = stream
        self._native = stream if isinstance(stream, NativeStream) else None
        self._young = True
        self._endpoint = endpoint
        self._connection = connection
        self._deadline = deadline
        self._keepalive = ex.gateway.keepalive
        self._noted = False
        self._held = b""  # the end of the answer, which waits for counters
        self.failure: UpstreamFailure | None = None

    # -- the upstream's side (Sink)

    def feed(self, data: bytes) -> None:
        ex, stream = self._ex, self._stream
        out = stream.feed(data)
        if self._young and stream.frames:
            self._time(out)
        if out and (ex.head_sent or stream.frames):
            if not ex.head_sent:
                self.open()
            if stream.ended and not self._complete():
                self._held = out
            else:
                if self._native is not None and (self._native.complete or self._native.reported):
                    self._whole()
                ex.downstream.write(out)
                if self._keepalive is not None:
                    self._keepalive.add(ex)
        if self._deadline is not None:
            self._deadline.add(ex)
        if stream.ended or stream.failure:
            ex.resume()
        elif ex.downstream.write_paused:
            self.slow()

    def _time(self, out: bytes) -> None:
        """Note when the first event came, and when the first one was passed on."""
        ex, now = self._ex, monotonic()
        if ex.ttft < 0:
            ex.ttft = now - ex.dispatched
        if out:
            ex.delivered = now - ex.started
            self._young = False

    def ended(self) -> None:
        self._ex.resume()

    def broke(self, failure: UpstreamFailure) -> None:
        self.failure = failure
        self._ex.resume()

    # -- the caller's side

    @property
    def over(self) -> bool:
        """Nothing more of the upstream's is wanted."""
        return self.failure is not None or self._stream.ended or self._stream.failure != 0

    def slow(self) -> None:
        """The caller does not keep up: stop reading from the upstream. Its silence is not its fault from now on."""
        self._connection.pause_reading()
        if self._deadline is not None:
            self._deadline.discard(self._ex)

    def ready(self) -> None:
        """The caller has caught up."""
        self._connection.resume_reading()
        if self._deadline is not None:
            self._deadline.add(self._ex)

    def open(self) -> None:
        """Send the head of the answer."""
        ex = self._ex
        opened(ex)
        fields = STREAM_FIELDS
        kind = self._connection.answer.content_type
        if self._endpoint.native and kind is not None:
            fields = b"content-type: %b\r\ncache-control: no-cache\r\n" % kind
        ex.downstream.begin_stream(ex.request, 200, ex.fields(fields, call_id(ex)))
        if self._keepalive is not None:
            self._keepalive.add(ex)

    def comment(self) -> None:
        """Nothing was written for a while: tell the caller that the stream lives."""
        if not self._stream.ended:
            self._ex.downstream.write(self._stream.comment())
            if self._keepalive is not None:
                self._keepalive.add(self._ex)

    async def close(self) -> None:
        """End the answer the way the stream ended. Raises when nothing has been sent yet and it failed."""
        ex, stream = self._ex, self._stream
        failure = self._failure()
        out = self._held
        if not out:
            if self._noted:
                return
            if failure is None:
                out = stream.finish()
                failure = self._failure()
            if failure is None and not ex.head_sent:
                if stream.frames:
                    self.open()
                else:
                    failure = stream_aborted()
        if failure is not None:
            if not ex.head_sent:
                raise failure
            ex.error = failure.with_traceback(None)
            out = stream.fail(render_event(failure, ex.dialect))
            if not self._connection.answer.complete:
                self._connection.close()
        if self._held or not self._complete():
            await self._fill()
            settle(ex)
        if out:
            ex.downstream.write(out)
        elif not stream.ended:
            ex.downstream.cut()

    async def abandon(self) -> None:
        """The caller has left: nothing more is read for it. What it was given is counted."""
        if not self._connection.answer.complete:
            self._connection.close()
        if self._ex.head_sent and not self._noted and self._note():
            await self._fill()

    def leave(self) -> None:
        """Stop the timers."""
        if self._keepalive is not None:
            self._keepalive.discard(self._ex)
        if self._deadline is not None:
            self._deadline.discard(self._ex)
        self._ex.relay = None

    def _complete(self) -> bool:
        """Settle the exchange, unless a counter is lacking."""
        if self._note():
            return False
        settle(self._ex)
        return True

    def _whole(self) -> None:
        """The upstream has said everything, and its bytes go on until its body ends. A caller who leaves with the last
        event has a complete answer."""
        if not self._note():
            settle(self._ex)
        self._noted = False

    def _note(self) -> bool:
        """Note what the stream used. Whether a counter is lacking."""
        ex, stream = self._ex, self._stream
        self._noted = True
        ex.prompt_tokens = stream.prompt_tokens
        ex.completion_tokens = stream.completion_tokens
        ex.total_tokens = stream.total_tokens or stream.prompt_tokens + stream.completion_tokens
        if self._native is not None and self._native.reported and ex.error is None:
            # The caller has been told by the upstream itself.
            ex.error = in_band_failure(self._native.reported, before_first=False, family=self._endpoint.family)
        return lacking(ex, self._call)

    async def _fill(self) -> None:
        """Estimate what is lacking. Until that is done nothing may disturb: neither the upstream nor a timer."""
        ex, stream = self._ex, self._stream
        release(ex)
        self.leave()
        said, beyond = stream.said, stream.said_beyond
        await ex.gateway.estimates.fill(ex, self._call, lambda: (said, beyond), len(said))

    def _failure(self) -> UpstreamFailure | None:
        """What went wrong. Nothing did when only the rest behind the last event was missing."""
        if self._stream.complete:
            return None
        if self.failure is not None:
            return self.failure
        kind = self._stream.failure
        if kind == 0:
            return None
        if kind == 1:
            return in_band_failure(
                self._stream.failure_data, before_first=not self._ex.head_sent, family=self._endpoint.family
            )
        if kind == 3:
            return decode_error("stream frame is too large")
        if kind == 4:
            return transport_error("the stream is damaged or incomplete")
        if kind == 5:
            return transport_error("answer from upstream is too large")
        wanted = "a chat completion chunk" if self._endpoint.family == "openai" else "an event of its protocol"
        return decode_error(f"stream frame is not {wanted}")


def call_id(ex: Exchange) -> bytes:
    """The header line that names the call on a successful chat answer."""
    if ex.operation != "chat/completions":
        return b""
    return b"%b%b\r\n" % (ex.gateway.call_id_prefix, ex.request_id)


def release(ex: Exchange) -> None:
    """Give the upstream connection back: all that is wanted of it has been read."""
    if ex.upstream is not None:
        ex.upstream.finish()
        ex.upstream = None
