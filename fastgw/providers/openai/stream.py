"""A stream of chat completion chunks told to a renderer. Only the first choice counts."""

from typing import Any

from fastgw._speedups.events import CHAT, Frame
from fastgw.providers.canonical import string
from fastgw.providers.events import BAD, NO_TOOL, EventDecoder
from fastgw.providers.heard import Heard
from fastgw.providers.openai.content import pieces
from fastgw.providers.openai.usage import raise_to


class ChunkDecoder(EventDecoder):
    """`reasoning_path`: the members below `delta` in which the vendor keeps its reasoning text."""

    __slots__ = ("_begun", "_calls", "_path", "_tools")

    def __init__(self, renderer: Heard, reasoning_path: tuple[bytes, ...] = ()) -> None:
        # The reader knows no vendor's place of reasoning: such streams are read chunk by chunk.
        super().__init__(renderer, 0 if reasoning_path else CHAT)
        self._begun = False
        self._path = tuple(name.decode() for name in reasoning_path)
        self._tools: dict[int, _Tool] = {}
        self._calls = 0  # begun so far

    def tool_frame(self) -> tuple[int, Frame | None]:
        """The last call's, once it has begun."""
        frame = self._renderer.tool_frame
        if frame is None or not self._tools:
            return NO_TOOL
        index, tool = next(reversed(self._tools.items()))
        return (index, frame[1]) if tool.number == frame[0] else NO_TOOL

    def marker(self) -> None:
        """`[DONE]` ends the stream."""
        self.done = True

    def read(self, event: dict[str, Any], payload: bytes) -> None:
        """One chunk."""
        choices = event.get("choices")
        if not (isinstance(event.get("id"), str) and isinstance(event.get("model"), str) and isinstance(choices, list)):
            if isinstance(event.get("error"), dict | str):
                self.report(payload)
            else:
                self.failure = BAD
            return
        if not self._begun:
            self._begun = True
            self._renderer.begin(event["id"], event["model"])
        reported = event.get("usage")
        raise_to(self.usage, reported)
        usage = self.usage if isinstance(reported, dict) else None
        choice = choices[0] if choices and isinstance(choices[0], dict) else {}
        delta = choice.get("delta")
        if isinstance(delta, dict):
            self._delta(delta)
        finish = choice.get("finish_reason")
        if isinstance(finish, str):
            self._renderer.finish(finish, None, usage)
        elif usage is not None:
            self._renderer.usage(usage)

    def _delta(self, delta: dict[str, Any]) -> None:
        renderer = self._renderer
        if reasoning := self._reasoning(delta):
            renderer.reasoning(reasoning)
        text = delta.get("content")
        if isinstance(text, list):
            for thought, piece in pieces(text):
                if piece:
                    (renderer.reasoning if thought else renderer.text)(piece)
        elif isinstance(text, str) and text:
            renderer.text(text)
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal:
            renderer.refusal(refusal)
        calls = delta.get("tool_calls")
        for call in calls if isinstance(calls, list) else []:
            if isinstance(call, dict):
                self._call(call)

    def _reasoning(self, delta: dict[str, Any]) -> str | None:
        if self._path:
            found: Any = delta
            for name in self._path:
                found = found.get(name) if isinstance(found, dict) else None
            if isinstance(found, str) and found:
                return found
        for name in ("reasoning_content", "reasoning"):
            text = delta.get(name)
            if isinstance(text, str) and text:
                return text
        return None

    def _call(self, call: dict[str, Any]) -> None:
        """A piece of a call. It begins once its id and name are known; pieces of arguments wait until then.

        Some upstreams give all calls the same index, or none: another id with a name is another call. An id alone is
        not, because some make up a new one for every piece.
        """
        index = call.get("index", 0)
        index = index if isinstance(index, int) else 0
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        identity, name = string(call.get("id")), string(function.get("name"))
        tool = self._tools.get(index)
        if tool is None or (tool.number >= 0 and identity not in ("", tool.id) and name):
            self._tools.pop(index, None)  # the last one begun stands last
            tool = self._tools[index] = _Tool()
        if tool.number < 0:
            tool.id = tool.id or identity
            tool.name = tool.name or name
            if tool.id and tool.name:
                tool.number = self._calls
                self._calls += 1
                self._renderer.tool(tool.number, tool.id, tool.name)
        if fragment := string(function.get("arguments")):
            tool.waiting.append(fragment)
        if tool.waiting and tool.number >= 0:
            self._renderer.arguments(tool.number, "".join(tool.waiting))
            tool.waiting.clear()


class _Tool:
    """A call in the making. `number` is its place among those that have begun, -1 before."""

    __slots__ = ("id", "name", "number", "waiting")

    def __init__(self) -> None:
        self.id = self.name = ""
        self.waiting: list[str] = []
        self.number = -1
