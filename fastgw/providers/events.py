"""Streams of server-sent events whose data are JSON documents: what the decoders of the families have in common."""

from typing import Any

from fastgw._speedups.events import PLAIN, EventReader, Frame
from fastgw.core.json import read
from fastgw.providers.canonical import Usage
from fastgw.providers.heard import Heard

NO_TOOL = (-1, None)
MAX_INDEX = 10
"""The reader takes indexes of one digit."""
IN_BAND, BAD, LARGE, BROKEN, LONG = 1, 2, 3, 4, 5
"""Values of `failure`: the upstream reports an error; an event is not understood; an event is too large; the bytes are
no whole events; all events together are too large."""


class EventDecoder:
    """Splits a stream into events and hands each document to `read`, which tells the renderer.

    `read` sets `done` at the protocol's own end, and `failure` for an event that it does not understand.
    """

    __slots__ = ("_reader", "_renderer", "_slow", "done", "failure", "failure_data", "usage")

    def __init__(self, renderer: Heard, shape: int = PLAIN) -> None:
        self._renderer = renderer
        self._reader = EventReader(shape)
        self._reader.listen(renderer.content, renderer.calls, renderer.room)
        self._slow = 0
        self.failure = 0
        self.failure_data = b""
        self.done = False
        self.usage = Usage()

    @property
    def frames(self) -> int:
        """Events read."""
        return self._slow + self._reader.fast

    def feed(self, data: bytes, /) -> bytes:
        """Upstream bytes, split anywhere. Pieces of text that come first are written by the reader itself."""
        reader = self._reader
        payloads = reader.feed(data)
        if payloads:
            for payload in payloads:
                self._event(payload)
                if self.done or self.failure:
                    return reader.ready
            renderer = self._renderer
            reader.frame = renderer.frame
            index, frame = self.tool_frame()
            reader.tool(*((index, frame) if 0 <= index < MAX_INDEX else NO_TOOL))
            if not renderer.room:
                reader.listen(renderer.content, renderer.calls, 0)
        if reader.overflow:
            self.failure = LARGE
        return reader.ready

    def finish(self) -> None:
        """The body has ended: a last event without its blank line counts."""
        payload = self._reader.finish()
        if payload:
            self._event(payload)

    def _event(self, payload: bytes) -> None:
        if payload == b"[DONE]":
            self.marker()
            return
        try:
            document = read(payload)
        except ValueError:
            self.failure = BAD
            return
        if not isinstance(document, dict):
            self.failure = BAD
            return
        self._slow += 1
        self.read(document, payload)

    def tool_frame(self) -> tuple[int, Frame | None]:
        """The frame that the reader may use for input of the tool that is being told about, and the upstream's index of
        that."""
        return NO_TOOL

    def marker(self) -> None:
        """`[DONE]` was read. Only OpenAI's protocol ends with it."""

    def read(self, event: dict[str, Any], payload: bytes) -> None:
        """One document."""
        raise NotImplementedError

    def report(self, payload: bytes) -> None:
        """The event says that the upstream failed."""
        self.failure = IN_BAND
        self.failure_data = payload
