"""What a translated stream tells its caller, kept for counting in case the upstream does not report its tokens."""

import orjson

from fastgw._speedups.events import Frame
from fastgw.providers.canonical import Renderer, Usage

KEPT = 1_048_576
"""Bytes of content, of reasoning and of calls each that are kept for counting."""


class Heard:
    """A renderer that passes everything on to another one and keeps what the caller is told, for counting.

    Content, reasoning and calls are kept as the inside of a JSON string each, of at most `room` bytes, to which a
    decoder adds what it writes by itself with the other renderer's frames. Nothing is kept once completion tokens were
    reported.
    """

    __slots__ = (
        "_inner",
        "_reasoning",
        "beyond",
        "calls",
        "choice",
        "content",
        "end",
        "finish_reason",
        "id",
        "model",
        "refusal",
        "room",
        "signature",
        "take",
    )

    def __init__(self, inner: Renderer) -> None:
        self._inner = inner
        self.content = bytearray()
        self._reasoning = bytearray()
        self.calls = bytearray()
        self.room = KEPT
        self.beyond = 0
        self.id = self.model = self.finish_reason = ""
        self.choice = inner.choice
        self.signature = inner.signature
        self.refusal = inner.refusal
        self.end = inner.end
        self.take = inner.take

    @property
    def over(self) -> bool:
        """As the other renderer's."""
        return self._inner.over

    @property
    def frame(self) -> Frame | None:
        """As the other renderer's."""
        return self._inner.frame

    def begin(self, id: str, model: str) -> None:
        """The upstream has begun to answer, under its own id and model name: kept as `id` and `model`."""
        self.id, self.model = id, model
        self._inner.begin(id, model)

    @property
    def tool_frame(self) -> tuple[int, Frame] | None:
        """As the other renderer's."""
        return self._inner.tool_frame

    def text(self, text: str) -> None:
        """A piece of the answer."""
        self._add(self.content, text)
        self._inner.text(text)

    def reasoning(self, text: str) -> None:
        """A piece of the reasoning."""
        self._add(self._reasoning, text)
        self._inner.reasoning(text)

    def tool(self, index: int, id: str, name: str) -> None:
        """A tool call begins."""
        self._add(self.calls, name)
        self._inner.tool(index, id, name)

    def arguments(self, index: int, fragment: str) -> None:
        """A piece of the JSON text of its arguments."""
        self._add(self.calls, fragment)
        self._inner.arguments(index, fragment)

    def finish(self, reason: str, stop_sequence: str | None = None, usage: Usage | None = None) -> None:
        """The answer is over; of several the first to end is kept as `finish_reason`."""
        self.finish_reason = self.finish_reason or reason
        if usage is not None:
            self._counted(usage)
        self._inner.finish(reason, stop_sequence, usage)

    def usage(self, usage: Usage) -> None:
        """Counters as known by now."""
        self._counted(usage)
        self._inner.usage(usage)

    def _counted(self, usage: Usage) -> None:
        """With completion tokens there is nothing to count any more."""
        if usage.completion_tokens:
            self.room = 0
            self.content.clear()
            self._reasoning.clear()
            self.calls.clear()

    def _add(self, kept: bytearray, text: str) -> None:
        raw = orjson.dumps(text)[1:-1]
        if len(kept) + len(raw) <= self.room:
            kept += raw
        else:
            self.beyond += len(raw)

    @property
    def said(self) -> bytes:
        """Content, reasoning, names and arguments of tools, one after the other."""
        said: str = orjson.loads(b'"' + b"".join((self.content, self._reasoning, self.calls)) + b'"')
        return said.encode("utf-8", "replace")
