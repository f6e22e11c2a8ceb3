"""A stream on its way to a caller of the upstream's own dialect: its bytes as they are, with usage noted."""

from typing import Any

import orjson

from fastgw._speedups.events import EventReader
from fastgw.providers.bridge import LAST_CHUNK
from fastgw.providers.canonical import ReportsUsage, Usage
from fastgw.providers.events import IN_BAND
from fastgw.providers.heard import KEPT

MAX_EVENT = 1_048_576
"""Bytes of an event that is still looked into. A larger one is relayed all the same."""
_ENDS = (b"\n\n", b"\r\r", b"\r\n\r\n", b"\n\r\n")


class NativeStream(ReportsUsage):
    """Relays bytes. Until the first event is whole nothing is sent, so that an error that comes first is a failure of
    the attempt and not an answer.

    The gateway has no word of its own inside an answer that is the upstream's: `fail` gives nothing to send, so that
    the connection is cut. What is particular to a protocol is `note`; `shape` names its pieces of text to the reader.
    `complete`: the protocol's last event has been read; `closing`: nothing that the upstream sends comes behind it.
    `reported`: an event that says that the answer came to nothing, after others were sent. It is relayed like them, and
    whoever counts must know. `floor`: tokens of output that the upstream named without counting them.
    """

    __slots__ = (
        "_chunked",
        "_ends",
        "_held",
        "_reader",
        "_text",
        "_waiting",
        "complete",
        "ended",
        "failure",
        "failure_data",
        "finish_reason",
        "floor",
        "frames",
        "id",
        "model",
        "reported",
        "usage",
    )

    usage: Usage
    closing = True

    def __init__(self, shape: int, *, chunked: bool) -> None:
        self._chunked = chunked
        self._reader: EventReader | None = EventReader(shape, silent=True, max_event=MAX_EVENT)
        self._text = bytearray()
        self._reader.listen(self._text, self._text, KEPT)
        self._held: list[bytes] = []
        self._waiting = 0  # bytes of them
        self._ends = True  # what was sent last ended an event, so that a comment tears none apart
        self.usage = Usage()
        self.complete = False
        self.frames = 0
        self.ended = False
        self.failure = 0
        self.failure_data = b""
        self.reported = b""
        self.floor = 0
        self.id = b""
        self.model = b""
        self.finish_reason = b""

    def note(self, event: dict[str, Any], payload: bytes) -> None:
        """What an event says about the answer. Pieces of text in the reader's shape do not come here."""
        raise NotImplementedError

    def report(self, payload: bytes) -> None:
        """The event says that the upstream failed: before any other that is a failed attempt."""
        if self.frames:
            self.reported = self.reported or payload
        else:
            self.failure, self.failure_data = IN_BAND, payload

    def hear(self, *texts: object) -> None:
        """Keep what is a text for counting."""
        for text in texts:
            if isinstance(text, str) and len(self._text) < KEPT:
                self._text += orjson.dumps(text)[1:-1]

    def feed(self, data: bytes, /) -> bytes:
        """The same bytes, from the first whole event on."""
        if self.ended or self.failure:
            return b""
        if self.complete and self.closing:
            # The last line ended in CR, and at most the LF that belongs to it is still wanted.
            self.ended = True
            return self._framed(data[: data.startswith(b"\n")])
        if self._reader is not None:
            self._read(self._reader, data)
        if not self.failure and self._waiting > MAX_EVENT:
            self.frames = self.frames or 1  # comments without end are all that there is to relay
        if self.failure or not self.frames:
            self._held.append(data)
            self._waiting += len(data)
            return b""
        if self._held:
            data = b"".join((*self._held, data))
            self._held.clear()
        self._ends = data.endswith(_ENDS)
        self.ended = self.complete and self.closing and not data.endswith(b"\r")
        return self._framed(data)

    def _framed(self, data: bytes) -> bytes:
        if not self._chunked:
            return data
        chunk = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        return chunk + LAST_CHUNK if self.ended else chunk

    def _read(self, reader: EventReader, data: bytes) -> None:
        for payload in reader.feed(data):
            self.frames = self.frames or reader.fast
            self._event(payload)
            if self.failure:
                return
        self.frames = self.frames or reader.fast
        if reader.overflow:
            self.frames += 1
            self._reader = None

    def _event(self, payload: bytes) -> None:
        try:
            event = orjson.loads(payload)
        except orjson.JSONDecodeError:
            event = None
        if isinstance(event, dict):
            self.note(event, payload)
        if not self.failure:
            self.frames += 1

    def finish(self) -> bytes:
        """The clean end of the upstream's body."""
        if self.ended or self.failure:
            return b""
        rest = b"".join(self._held)
        if self._reader is not None and (payload := self._reader.finish()):
            self._event(payload)
            if self.failure:
                return b""
        self.ended = True
        return self._framed(rest)

    def fail(self, payload: bytes, /) -> bytes:
        """An error event of the upstream that came first is passed on when the head of the answer is out already."""
        if self.ended or not self.failure:
            return b""
        self.ended = True
        return self._framed(b"".join(self._held))

    def comment(self) -> bytes:
        """A keep-alive comment; b"" inside of an event."""
        if self.ended or not self._ends:
            return b""
        return b"3\r\n:\n\n\r\n" if self._chunked else b":\n\n"

    @property
    def said(self) -> bytes:
        """Texts, reasoning, names and arguments of tools."""
        if self.usage.completion_tokens:
            return b""
        decoded: str = orjson.loads(b'"%b"' % bytes(self._text))
        return decoded.encode()

    @property
    def said_beyond(self) -> int:
        """What is not kept is not counted."""
        return 0


def name_of(value: object) -> bytes:
    """An upstream's name for something, b"" when it is none."""
    return value.encode("utf-8", "replace") if isinstance(value, str) else b""
