"""The event stream of the Messages API. Only the `type` inside the documents counts, `event:` lines are optional."""

from typing import Any, Final

from fastgw._speedups.events import MESSAGES, Frame
from fastgw.core.json import write
from fastgw.providers.anthropic.answer import finish_of
from fastgw.providers.anthropic.usage import opening, raise_to
from fastgw.providers.canonical import string
from fastgw.providers.events import EventDecoder
from fastgw.providers.heard import Heard
from fastgw.providers.tool_blocks import ToolBlocks


class MessagesDecoder(EventDecoder):
    """Tells a renderer what a Messages stream says. The input of `answer_tool` is text."""

    __slots__ = ("_tools",)

    def __init__(self, renderer: Heard, answer_tool: str | None = None) -> None:
        super().__init__(renderer, MESSAGES)
        self._tools: Final = ToolBlocks(renderer, answer_tool)

    def read(self, event: dict[str, Any], payload: bytes) -> None:
        """One event; those of unknown types, `ping` among them, say nothing."""
        kind = event.get("type")
        if kind == "content_block_delta":
            delta = event.get("delta")
            if isinstance(delta, dict):
                self._delta(index_of(event), delta)
        elif kind == "content_block_start":
            block = event.get("content_block")
            if isinstance(block, dict):
                self._start(index_of(event), block)
        elif kind == "content_block_stop":
            self._tools.stop(index_of(event))
        elif kind == "message_start":
            self._begin(event.get("message"))
        elif kind == "message_delta":
            self._finish(event)
        elif kind == "message_stop":
            self.done = True
        elif kind == "error" or (kind is None and "error" in event):
            self.report(payload)

    def tool_frame(self) -> tuple[int, Frame | None]:
        """The last tool's."""
        return self._tools.frame()

    def _begin(self, message: object) -> None:
        found = message if isinstance(message, dict) else {}
        self.usage, _ = opening(found.get("usage"))
        self._renderer.begin(string(found.get("id")), string(found.get("model")))

    def _start(self, index: object, block: dict[str, Any]) -> None:
        kind = block.get("type")
        if kind == "text" and block.get("text"):
            self._renderer.text(string(block["text"]))
        elif kind == "thinking" and block.get("thinking"):
            self._renderer.reasoning(string(block["thinking"]))
        elif kind == "tool_use":
            self._tools.start(index, block.get("id"), block.get("name"))
            if isinstance(block.get("input"), dict) and block["input"]:
                # Some relays send the input at once.
                self._tools.input(index, write(block["input"]).decode())

    def _delta(self, index: object, delta: dict[str, Any]) -> None:
        kind = delta.get("type")
        if kind == "text_delta":
            if text := delta.get("text"):
                self._renderer.text(string(text))
        elif kind == "input_json_delta":
            if fragment := delta.get("partial_json"):
                self._tools.input(index, string(fragment))
        elif kind == "thinking_delta":
            if text := delta.get("thinking"):
                self._renderer.reasoning(string(text))
        elif kind == "signature_delta" and (text := delta.get("signature")):
            self._renderer.signature(string(text))

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
        reason = self._tools.finish(finish_of(found["stop_reason"]))
        stop = found.get("stop_sequence")
        self._renderer.finish(reason, stop if isinstance(stop, str) else None, complete)


def index_of(event: dict[str, Any]) -> object:
    """Which block an event is about, None when it does not say."""
    index = event.get("index")
    return None if isinstance(index, dict | list) else index
