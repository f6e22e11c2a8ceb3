"""A call of one dialect served in the protocol of another, by way of the canonical form."""

from collections.abc import Callable
from typing import Any

from fastgw.core.errors import GatewayError
from fastgw.providers.adapter import Decoder, Dialect, Reported, Translate, Translator
from fastgw.providers.canonical import Chat, ReportsUsage, Usage
from fastgw.providers.events import LONG
from fastgw.providers.heard import Heard
from fastgw.upstream.connection import MAX_BODY

LAST_CHUNK = b"0\r\n\r\n"


def bridged(translator: Callable[[Chat, Any, bool], Translator]) -> Translate:
    """`Endpoint.translate` for a family's translator, which is made of the canonical request, the target and whether a
    stream is wanted."""

    def translate(call: Dialect, target: Any) -> Bridge:
        chat = call.canonical()
        try:
            return Bridge(call, translator(chat, target, call.stream))
        except GatewayError as error:
            raise placed(call, error) from None

    return translate


def placed(call: Dialect, error: GatewayError) -> GatewayError:
    """A translator's refusal with the place in the caller's request."""
    if error.param is not None:
        call.place(error)
    return error


class Bridge:
    """The speaker of one translated attempt."""

    __slots__ = ("_call", "_translator")

    def __init__(self, call: Dialect, translator: Translator) -> None:
        self._call = call
        self._translator = translator

    def upstream_body(self, _target: object, /) -> bytes:
        """The request in the upstream's protocol."""
        try:
            return self._translator.request()
        except GatewayError as error:
            raise placed(self._call, error) from None

    def answer(self, body: bytes, /) -> tuple[bytes, Reported]:
        """The answer in the caller's dialect."""
        completion = self._translator.answer(body)
        return self._call.render(completion), completion

    def relay(self, _target: object, /, *, chunked: bool) -> "BridgedStream":
        """The stream in the caller's dialect."""
        renderer = Heard(self._call.renderer())
        return BridgedStream(self._translator.decoder(renderer), renderer, chunked=chunked)


class BridgedStream(ReportsUsage):
    """A translated stream: an upstream's decoder, the caller's renderer, and the framing of HTTP (RFC 9112 §7.1).

    A clean end of the upstream's body is the end of the stream even without the protocol's own marker; whoever feeds
    it knows whether the end was clean. Both sides keep something of every tool, and one dialect repeats all texts at
    the end: a stream may be as large as a whole answer, and no larger.
    """

    __slots__ = ("_chunked", "_decoder", "_renderer", "_room", "ended")

    def __init__(self, decoder: Decoder, renderer: Heard, *, chunked: bool) -> None:
        self._decoder = decoder
        self._renderer = renderer
        self._chunked = chunked
        self._room = MAX_BODY
        self.ended = False

    def feed(self, data: bytes, /) -> bytes:
        """Upstream bytes in, the caller's bytes out. Nothing is read after the end or a failure. One behind the
        caller's last event is an end."""
        decoder = self._decoder
        if self.ended or decoder.failure:
            return b""
        self._room -= len(data)
        if self._room < 0:
            decoder.failure = LONG
            return self._end() if self.complete else b""
        out = decoder.feed(data)
        if decoder.done or (decoder.failure and self.complete):
            return self._end(out)
        out += self._renderer.take()
        return b"%x\r\n%b\r\n" % (len(out), out) if out and self._chunked else out

    def finish(self) -> bytes:
        """The clean end of the upstream's body."""
        if self.ended or self._decoder.failure:
            return b""
        self._decoder.finish()
        return b"" if self.failure else self._end()

    def _end(self, out: bytes = b"") -> bytes:
        self.ended = True
        self._renderer.end()
        return self._closed(out + self._renderer.take())

    def _closed(self, out: bytes) -> bytes:
        if not self._chunked:
            return out
        return (b"%x\r\n%b\r\n" % (len(out), out) if out else b"") + LAST_CHUNK

    def fail(self, payload: bytes, /) -> bytes:
        """End the stream with an error event. Every dialect names it `error`."""
        if self.ended:
            return b""
        self.ended = True
        return self._closed(b"event: error\ndata: %b\n\n" % payload)

    def comment(self) -> bytes:
        """A keep-alive comment; b"" when the stream has ended."""
        if self.ended:
            return b""
        return b"3\r\n:\n\n\r\n" if self._chunked else b":\n\n"

    @property
    def complete(self) -> bool:
        """The caller has the last event of its dialect."""
        return self._renderer.over

    @property
    def id(self) -> bytes:
        """The upstream's name for the answer."""
        return self._renderer.id.encode("utf-8", "replace")

    @property
    def model(self) -> bytes:
        """The upstream's name for its model."""
        return self._renderer.model.encode("utf-8", "replace")

    @property
    def finish_reason(self) -> bytes:
        """Why the answer ended."""
        return self._renderer.finish_reason.encode("utf-8", "replace")

    @property
    def frames(self) -> int:
        """Events read from the upstream."""
        return self._decoder.frames

    @property
    def failure(self) -> int:
        """What is wrong with the upstream's stream, as a code."""
        return 0 if self.complete else self._decoder.failure

    @property
    def failure_data(self) -> bytes:
        """The event that reports an error."""
        return self._decoder.failure_data

    @property
    def usage(self) -> Usage:
        """The counters as known by now."""
        return self._decoder.usage

    @property
    def said(self) -> bytes:
        """What the caller was told."""
        return self._renderer.said

    @property
    def said_beyond(self) -> int:
        """Bytes of it that were not kept."""
        return self._renderer.beyond
