"""The event stream of the Messages API. Only the `type` inside the documents counts, `event:` lines are optional."""

from typing import Any

import orjson

from fastgw._speedups.events import MESSAGES
from fastgw.providers.anthropic.answer import finish_of
from fastgw.providers.anthropic.usage import raise_to
from fastgw.providers.canonical import Usage, string
from fastgw.providers.events import NO_TOOL, EventDecoder
from fastgw.providers.heard import Heard


class MessagesDecoder(EventDecoder):
    """Tells a renderer what a Messages stream says. The input of `answer_tool` is text."""

    __slots__ = ("_answer_tool", "_tools")

    def __init__(self, renderer: Heard, answer_tool: str | None = None) -> None:
        super().__init__(renderer, MESSAGES)
        self._answer_tool = answer_tool
        # By index of the content block: index of the tool call, or None for the answer; and whether input was seen.
        self._tools: dict[Any, tuple[int | None, bool]] = {}

    def read(self, event: dict[str, Any], payload: bytes) -> None:
        """One event; those of unknown types, `ping` among them, say nothing."""
        kind = event.get("type")
        if kind == "content_block_delta":
            delta = event.get("delta")
            if isinstance(delta, dict):
                self._delta(event.get("index"), delta)
        elif kind == "content_block_start":
            block = event.get("content_block")
            if isinstance(block, dict):
                self._start(event.get("index"), block)
        elif kind == "content_block_stop":
            self._stop(event.get("index"))
        elif kind == "message_start":
            self._begin(event.get("message"))
        elif kind == "message_delta":
            self._finish(event)
        elif kind == "message_stop":
            self.done = True
        elif kind == "error" or (kind is None and "error" in event):
            self.report(payload)

    def tool_frame(self) -> tuple[int, bytes, bytes]:
        """The last tool's, once it has had input: what comes then changes nothing here."""
        frame = self._renderer.tool_frame
        index, (number, filled) = next(reversed(self._tools.items()), (None, (None, False)))
        if frame is None or not filled or number != frame[0] or type(index) is not int:
            return NO_TOOL
        return index, frame[1], frame[2]

    def _begin(self, message: object) -> None:
        found = message if isinstance(message, dict) else {}
        self.usage = Usage()
        raise_to(self.usage, found.get("usage"))
        self._renderer.begin(string(found.get("id")), string(found.get("model")))

    def _start(self, index: object, block: dict[str, Any]) -> None:
        kind = block.get("type")
        if kind == "text" and block.get("text"):
            self._renderer.text(string(block["text"]))
        elif kind == "thinking" and block.get("thinking"):
            self._renderer.reasoning(string(block["thinking"]))
        elif kind == "tool_use":
            number: int | None = None
            if self._answer_tool is None or block.get("name") != self._answer_tool:
                number = sum(tool is not None for tool, _ in self._tools.values())
                self._renderer.tool(number, string(block.get("id")), string(block.get("name")))
            self._tools[index] = (number, False)
            if isinstance(block.get("input"), dict) and block["input"]:
                # Some relays send the input at once.
                self._input(index, orjson.dumps(block["input"]).decode())

    def _delta(self, index: object, delta: dict[str, Any]) -> None:
        kind = delta.get("type")
        if kind == "text_delta":
            if text := delta.get("text"):
                self._renderer.text(string(text))
        elif kind == "input_json_delta":
            if fragment := delta.get("partial_json"):
                self._input(index, string(fragment))
        elif kind == "thinking_delta":
            if text := delta.get("thinking"):
                self._renderer.reasoning(string(text))
        elif kind == "signature_delta" and (text := delta.get("signature")):
            self._renderer.signature(string(text))

    def _input(self, index: object, fragment: str) -> None:
        number, _ = self._tools.get(index, (-1, False))
        if number == -1:
            return
        self._tools[index] = (number, True)
        if number is None:
            self._renderer.text(fragment)
        else:
            self._renderer.arguments(number, fragment)

    def _stop(self, index: object) -> None:
        if index in self._tools and not self._tools[index][1]:
            # Arguments must parse, and a tool without parameters gets no input at all.
            self._input(index, "{}")

    def _finish(self, event: dict[str, Any]) -> None:
        reported = event.get("usage")
        raise_to(self.usage, reported)
        complete = self.usage if isinstance(reported, dict) and reported.get("output_tokens") is not None else None
        delta = event.get("delta")
        found = delta if isinstance(delta, dict) else {}
        if found.get("stop_reason") is None:
            if complete is not None:
                self._renderer.usage(complete)
            return
        for index in self._tools:
            self._stop(index)
        reason = finish_of(found["stop_reason"])
        if reason == "tool_calls" and self._tools and all(number is None for number, _ in self._tools.values()):
            reason = "stop"
        stop = found.get("stop_sequence")
        self._renderer.finish(reason, stop if isinstance(stop, str) else None, complete)
