"""The stream of ConverseStream: messages of the binary event stream whose payloads are JSON documents."""

from typing import Any

import orjson

from fastgw._speedups.eventstream import EVENT, LARGE, MessageReader
from fastgw.providers import events
from fastgw.providers.bedrock.converse.answer import finish_of, stop_sequence_of, usage_of
from fastgw.providers.canonical import Usage, string
from fastgw.providers.failures import exception_frame
from fastgw.providers.heard import Heard


class ConverseDecoder:
    """Tells a renderer what a stream says. The input of `answer_tool` is text.

    The stream ends with its body: counters come behind the finish reason.
    """

    __slots__ = (
        "_answer_tool",
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
        self._answer_tool = answer_tool
        self._reader = MessageReader()
        self._begun = False
        # By index of the content block: index of the tool call, or None for the answer; and whether input was seen.
        self._tools: dict[int, tuple[int | None, bool]] = {}
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
            event = orjson.loads(payload) if payload else {}
        except orjson.JSONDecodeError:
            event = None
        if not isinstance(event, dict):
            self.failure = events.BAD
            return
        self.frames += 1
        read = _READ.get(name)
        if read is not None:
            read(self, event)

    def _begin(self, event: dict[str, Any]) -> None:
        if not self._begun:
            self._begun = True
            self._renderer.begin("", self._model)

    def _start(self, event: dict[str, Any]) -> None:
        start, index = event.get("start"), index_of(event)
        use = start.get("toolUse") if isinstance(start, dict) else None
        if not isinstance(use, dict):
            return
        number: int | None = None
        if self._answer_tool is None or use.get("name") != self._answer_tool:
            number = sum(tool is not None for tool, _ in self._tools.values())
            self._renderer.tool(number, string(use.get("toolUseId")), string(use.get("name")))
        self._tools[index] = (number, False)

    def _delta(self, event: dict[str, Any]) -> None:
        delta = event.get("delta")
        if not isinstance(delta, dict):
            return
        use, reasoning = delta.get("toolUse"), delta.get("reasoningContent")
        if text := delta.get("text"):
            self._renderer.text(string(text))
        elif isinstance(use, dict):
            if fragment := string(use.get("input")):
                self._input(index_of(event), fragment)
        elif isinstance(reasoning, dict):
            if text := string(reasoning.get("text")):
                self._renderer.reasoning(text)
            if signature := string(reasoning.get("signature")):
                self._renderer.signature(signature)

    def _input(self, index: int, fragment: str) -> None:
        number, _ = self._tools.get(index, (-1, False))
        if number == -1:
            return
        self._tools[index] = (number, True)
        if number is None:
            self._renderer.text(fragment)
        else:
            self._renderer.arguments(number, fragment)

    def _stop(self, event: dict[str, Any]) -> None:
        index = index_of(event)
        if index in self._tools and not self._tools[index][1]:
            # Arguments must parse, and a tool without parameters gets no input at all.
            self._input(index, "{}")

    def _finish(self, event: dict[str, Any]) -> None:
        reason = finish_of(event.get("stopReason"))
        if reason == "tool_calls" and self._tools and all(number is None for number, _ in self._tools.values()):
            reason = "stop"
        self._renderer.finish(reason, stop_sequence_of(event))

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
