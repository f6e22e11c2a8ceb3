"""A Messages stream on its way to a caller of the Messages API: the upstream's bytes as they are, with usage noted."""

import orjson

from fastgw._speedups.events import MESSAGES, EventReader
from fastgw.providers.anthropic.usage import raise_to
from fastgw.providers.bridge import LAST_CHUNK
from fastgw.providers.canonical import Usage
from fastgw.providers.events import IN_BAND

MAX_EVENT = 1_048_576
"""Bytes of an event that is still looked into. A larger one is relayed all the same."""
KEPT = 1_048_576
"""Bytes of text that are kept for counting."""
_ENDS = (b"\n\n", b"\r\r", b"\r\n\r\n", b"\n\r\n")


class MessagesStream:
    """Relays bytes. Until the first event is whole nothing is sent, so that an error that comes first is a failure of
    the attempt and not an answer.

    The gateway has no word of its own inside an answer that is the upstream's: `fail` gives nothing to send, so that
    the connection is cut.
    """

    __slots__ = (
        "_chunked",
        "_ends",
        "_held",
        "_reader",
        "_stopped",
        "_text",
        "_usage",
        "ended",
        "failure",
        "failure_data",
        "frames",
        "id",
        "served_model",
    )

    def __init__(self, *, chunked: bool) -> None:
        self._chunked = chunked
        self._reader: EventReader | None = EventReader(MESSAGES, silent=True, max_event=MAX_EVENT)
        self._text = bytearray()
        self._reader.listen(self._text, self._text, KEPT)
        self._held: list[bytes] = []
        self._ends = True  # what was sent last ended an event, so that a comment tears none apart
        self._usage = Usage()
        self._stopped = False
        self.frames = 0
        self.ended = False
        self.failure = 0
        self.failure_data = b""
        self.id = b""
        self.served_model = b""

    def feed(self, data: bytes, /) -> bytes:
        """The same bytes, from the first whole event on."""
        if self.ended or self.failure:
            return b""
        if self._stopped:
            # The last line ended in CR, and at most the LF that belongs to it is still wanted.
            self.ended = True
            return self._framed(data[: data.startswith(b"\n")])
        if self._reader is not None:
            self._read(self._reader, data)
        if self.failure or not self.frames:
            self._held.append(data)
            return b""
        if self._held:
            data = b"".join((*self._held, data))
            self._held.clear()
        self._ends = data.endswith(_ENDS)
        self.ended = self._stopped and not data.endswith(b"\r")
        return self._framed(data)

    def _framed(self, data: bytes) -> bytes:
        if not self._chunked:
            return data
        chunk = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        return chunk + LAST_CHUNK if self.ended else chunk

    def _read(self, reader: EventReader, data: bytes) -> None:
        for payload in reader.feed(data):
            self.frames = self.frames or reader.fast
            self._note(payload)
            if self.failure:
                return
        self.frames = self.frames or reader.fast
        if reader.overflow:
            self.frames += 1
            self._reader = None

    def _note(self, payload: bytes) -> None:
        """What an event says about the answer. Texts never come here."""
        try:
            event = orjson.loads(payload)
        except orjson.JSONDecodeError:
            self.frames += 1
            return
        kind = event.get("type") if isinstance(event, dict) else None
        if kind == "error" and not self.frames:
            self.failure, self.failure_data = IN_BAND, payload
            return
        self.frames += 1
        if kind == "message_start" and isinstance(event.get("message"), dict):
            message = event["message"]
            self.id, self.served_model = _text(message.get("id")), _text(message.get("model"))
            raise_to(self._usage, message.get("usage"))
            # Only a start: the output that counts is reported at the end.
            self._usage.total_tokens -= self._usage.completion_tokens
            self._usage.completion_tokens = 0
        elif kind == "message_delta":
            raise_to(self._usage, event.get("usage"))
        elif kind == "message_stop":
            self._stopped = True
        elif kind == "content_block_delta" and isinstance(event.get("delta"), dict):
            self._hear(event["delta"])
        elif kind == "content_block_start" and isinstance(event.get("content_block"), dict):
            self._hear(event["content_block"])

    def _hear(self, piece: dict[str, object]) -> None:
        for name in ("text", "thinking", "partial_json", "name"):
            text = piece.get(name)
            if isinstance(text, str) and len(self._text) < KEPT:
                self._text += orjson.dumps(text)[1:-1]

    def finish(self) -> bytes:
        """The clean end of the upstream's body."""
        if self.ended or self.failure:
            return b""
        rest = b"".join(self._held)
        if self._reader is not None and (payload := self._reader.finish()):
            self._note(payload)
            if self.failure:
                return b""
        self.ended = True
        return self._framed(rest)

    def fail(self, payload: bytes, /) -> bytes:
        """An error event of the upstream that came first is passed on when the head of the answer is out already."""
        if self.ended or self.failure != IN_BAND:
            return b""
        self.ended = True
        return self._framed(b"".join(self._held))

    def comment(self) -> bytes:
        """A keep-alive comment; b"" inside of an event."""
        if self.ended or not self._ends:
            return b""
        return b"3\r\n:\n\n\r\n" if self._chunked else b":\n\n"

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the request that were neither read from a cache nor written to it."""
        return self._usage.prompt_tokens

    @property
    def completion_tokens(self) -> int:
        """Tokens of the answer."""
        return self._usage.completion_tokens

    @property
    def total_tokens(self) -> int:
        """Everything, caches included."""
        return self._usage.total_tokens

    @property
    def cache_creation_tokens(self) -> int:
        """Tokens beside the prompt that were written to a cache."""
        return self._usage.cache_creation_tokens

    @property
    def cache_read_tokens(self) -> int:
        """Tokens beside the prompt that came from a cache."""
        return self._usage.cache_read_tokens

    @property
    def said(self) -> bytes:
        """Texts, reasoning, names and arguments of tools."""
        return b"" if self._usage.completion_tokens else _decoded(self._text)

    @property
    def said_beyond(self) -> int:
        """What is not kept is not counted."""
        return 0


def _text(value: object) -> bytes:
    return value.encode("utf-8", "replace") if isinstance(value, str) else b""


def _decoded(text: bytearray) -> bytes:
    decoded: str = orjson.loads(b'"%b"' % bytes(text))
    return decoded.encode()
