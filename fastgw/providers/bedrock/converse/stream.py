"""The stream of ConverseStream: messages of the binary event stream whose payloads are JSON documents."""

from typing import Any, Final

from fastgw._speedups.eventstream import EVENT, LARGE, MessageReader
from fastgw.core.json import read
from fastgw.providers import events
from fastgw.providers.bedrock.converse.answer import finish_of, stop_sequence_of, usage_of
from fastgw.providers.canonical import Usage, string
from fastgw.providers.failures import exception_frame
from fastgw.providers.heard import Heard
from fastgw.providers.tool_blocks import ToolBlocks


class ConverseDecoder:
    """Tells a renderer what a stream says. The input of `answer_tool` is text.

    The stream ends with its body: counters come behind the finish reason.
    """

    __slots__ = (
        "_begun",
        "_model",
        "_reader",
        "_renderer",
        "_tools",
        "done",
        "failure",
        "failure_data",
        "frames",
        "usage",
    )

    def __init__(self, renderer: Heard, model: str, answer_tool: str | None = None) -> None:
        self._renderer = renderer
        self._model = model
        self._reader = MessageReader()
        self._begun = False
        self._tools: Final = ToolBlocks(renderer, answer_tool)
        self.frames = 0
        self.failure = 0
        self.failure_data = b""
        self.done = False
        self.usage = Usage()

    def feed(self, data: bytes, /) -> bytes:
        """Upstream bytes, split anywhere. Everything is told to the renderer."""
        for kind, name, payload in self._reader.feed(data):
            if kind == EVENT:
                self._event(name, payload)
            else:
                self.failure = events.IN_BAND
                self.failure_data = exception_frame(name, payload)
            if self.failure:
                return b""
        if self._reader.failure:
            self.failure = events.LARGE if self._reader.failure == LARGE else events.BROKEN
        return b""

    def finish(self) -> None:
        """The body has ended: inside of a message that is a failure."""
        if self._reader.finish():
            self.failure = events.BROKEN

    def _event(self, name: bytes, payload: bytes) -> None:
        try:
            event = read(payload) if payload else {}
        except ValueError:
            event = None
        if not isinstance(event, dict):
            self.failure = events.BAD
            return
        self.frames += 1
        reader = _READ.get(name)
        if reader is not None:
            reader(self, event)

    def _begin(self, event: dict[str, Any]) -> None:
        if not self._begun:
            self._begun = True
            self._renderer.begin("", self._model)

    def _start(self, event: dict[str, Any]) -> None:
        start = event.get("start")
        use = start.get("toolUse") if isinstance(start, dict) else None
        if isinstance(use, dict):
            self._tools.start(index_of(event), use.get("toolUseId"), use.get("name"))

    def _delta(self, event: dict[str, Any]) -> None:
        delta = event.get("delta")
        if not isinstance(delta, dict):
            return
        use, reasoning = delta.get("toolUse"), delta.get("reasoningContent")
        if text := delta.get("text"):
            self._renderer.text(string(text))
        elif isinstance(use, dict):
            if fragment := string(use.get("input")):
                self._tools.input(index_of(event), fragment)
        elif isinstance(reasoning, dict):
            if text := string(reasoning.get("text")):
                self._renderer.reasoning(text)
            if signature := string(reasoning.get("signature")):
                self._renderer.signature(signature)

    def _stop(self, event: dict[str, Any]) -> None:
        self._tools.stop(index_of(event))

    def _finish(self, event: dict[str, Any]) -> None:
        self._renderer.finish(self._tools.finish(finish_of(event.get("stopReason"))), stop_sequence_of(event))

    def _metadata(self, event: dict[str, Any]) -> None:
        if isinstance(event.get("usage"), dict):
            self.usage = usage_of(event["usage"])
            self._renderer.usage(self.usage)


def index_of(event: dict[str, Any]) -> int:
    """Which block an event is about, -1 when it does not say."""
    index = event.get("contentBlockIndex")
    return index if isinstance(index, int) else -1


_READ = {
    b"messageStart": ConverseDecoder._begin,
    b"contentBlockStart": ConverseDecoder._start,
    b"contentBlockDelta": ConverseDecoder._delta,
    b"contentBlockStop": ConverseDecoder._stop,
    b"messageStop": ConverseDecoder._finish,
    b"metadata": ConverseDecoder._metadata,
}
"""By event type; other events say nothing."""
