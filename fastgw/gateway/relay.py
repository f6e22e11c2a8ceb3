"""The way back: whole answers, and streams byte by byte."""

from fastgw.core.deadlines import Deadlines
from fastgw.core.errors import UpstreamFailure, decode_error, render_event, stream_aborted
from fastgw.core.fiber import park
from fastgw.gateway.account import access_line, settle
from fastgw.gateway.coding import Inflating, inflater
from fastgw.gateway.exchange import Exchange
from fastgw.gateway.snapshot import Target
from fastgw.providers.adapter import RelayedStream, Speaker
from fastgw.providers.failures import Family, in_band_failure
from fastgw.upstream.connection import UpstreamConnection

STREAM_FIELDS = b"content-type: text/event-stream\r\ncache-control: no-cache\r\n"


def relay_once(ex: Exchange, speaker: Speaker, body: bytes) -> None:
    """Send a whole answer to the caller and note what it used. Raises a decode error."""
    out, usage = speaker.answer(body)
    ex.prompt_tokens = usage.prompt_tokens
    ex.completion_tokens = usage.completion_tokens
    ex.total_tokens = usage.total_tokens
    ex.answer_json(200, out, call_id(ex))


async def relay_stream(
    ex: Exchange,
    speaker: Speaker,
    target: Target,
    family: Family,
    connection: UpstreamConnection,
    deadline: "Deadlines[Exchange] | None",
) -> None:
    """Relay a stream to its end. Raises UpstreamFailure only while nothing has been sent to the caller;
    afterwards a failure ends the stream with one error frame and is left in `ex.error`."""
    relay = StreamRelay(ex, speaker.relay(target, chunked=ex.request.http11), family, connection, deadline)
    inflate = inflater(connection.answer.content_encoding)
    ex.relay = relay
    try:
        if not target.stream_configured:
            relay.open()
        connection.attach(relay if inflate is None else Inflating(relay, inflate))
        try:
            await park()
        except UpstreamFailure as overdue:
            relay.failure = overdue
        relay.close()
    finally:
        relay.leave()


class StreamRelay:
    """Between an upstream connection and a caller: takes body bytes, writes frames.

    Runs inside the upstream's read callback. The exchange's fiber stays parked until the stream is over.
    """

    __slots__ = ("_connection", "_deadline", "_ex", "_family", "_keepalive", "_stream", "failure")

    def __init__(
        self,
        ex: Exchange,
        stream: RelayedStream,
        family: Family,
        connection: UpstreamConnection,
        deadline: "Deadlines[Exchange] | None",
    ) -> None:
        self._ex = ex
        self._stream = stream
        self._family = family
        self._connection = connection
        self._deadline = deadline
        self._keepalive = ex.gateway.keepalive
        self.failure: UpstreamFailure | None = None

    # -- the upstream's side (Sink)

    def feed(self, data: bytes) -> None:
        ex, stream = self._ex, self._stream
        out = stream.feed(data)
        if out and (ex.head_sent or stream.frames):
            if not ex.head_sent:
                self.open()
            if stream.ended:
                self._settle()
            ex.downstream.write(out)
            if self._keepalive is not None:
                self._keepalive.add(ex)
        if self._deadline is not None:
            self._deadline.add(ex)
        if stream.ended or stream.failure:
            ex.resume()
        elif ex.downstream.write_paused:
            self.slow()

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
        ex.head_sent = True
        ex.status = 200
        ex.downstream.begin_stream(ex.request, 200, ex.fields(STREAM_FIELDS, call_id(ex)))
        if ex.gateway.log.access:
            access_line(ex)
        if self._keepalive is not None:
            self._keepalive.add(ex)

    def comment(self) -> None:
        """Nothing was written for a while: tell the caller that the stream lives."""
        if not self._stream.ended:
            self._ex.downstream.write(self._stream.comment())
            if self._keepalive is not None:
                self._keepalive.add(self._ex)

    def close(self) -> None:
        """End the answer the way the stream ended. Raises when nothing has been sent yet and it failed."""
        ex, stream = self._ex, self._stream
        failure = self.failure or self._stream_failure()
        if failure is None:
            out = stream.finish()
            failure = self._stream_failure()
            if failure is None and not ex.head_sent and not stream.frames:
                failure = stream_aborted()
            elif failure is None and out:
                if not ex.head_sent:
                    self.open()
                self._settle()
                ex.downstream.write(out)
        if failure is not None:
            if not ex.head_sent:
                raise failure
            ex.error = failure.with_traceback(None)
            self._settle()
            out = stream.fail(render_event(failure, ex.dialect))
            if out:
                ex.downstream.write(out)
            elif not stream.ended:
                ex.downstream.cut()
            if not self._connection.answer.complete:
                self._connection.close()

    def leave(self) -> None:
        """Stop the timers and note what the stream used."""
        if self._keepalive is not None:
            self._keepalive.discard(self._ex)
        self._note_usage()
        self._ex.relay = None

    def _settle(self) -> None:
        self._note_usage()
        settle(self._ex)

    def _note_usage(self) -> None:
        ex, stream = self._ex, self._stream
        ex.prompt_tokens = stream.prompt_tokens
        ex.completion_tokens = stream.completion_tokens
        ex.total_tokens = stream.total_tokens

    def _stream_failure(self) -> UpstreamFailure | None:
        kind = self._stream.failure
        if kind == 0:
            return None
        if kind == 1:
            return in_band_failure(self._stream.failure_data, before_first=not self._ex.head_sent, family=self._family)
        if kind == 3:
            return decode_error("stream frame is too large")
        wanted = "a chat completion chunk" if self._family == "openai" else "an event of its protocol"
        return decode_error(f"stream frame is not {wanted}")


def call_id(ex: Exchange) -> bytes:
    """The header line that names the call on a successful chat answer."""
    if ex.operation != "chat/completions":
        return b""
    return b"%b%b\r\n" % (ex.gateway.call_id_prefix, ex.request_id)
