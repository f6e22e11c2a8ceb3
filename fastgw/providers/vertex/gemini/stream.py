"""Gemini's stream: one document of the same shape as a whole answer per event. It ends with the message."""

from typing import Any

from fastgw.providers.canonical import Usage
from fastgw.providers.events import EventDecoder
from fastgw.providers.heard import Heard
from fastgw.providers.vertex.gemini.answer import blocked, finish_of, first_candidate, parts_of, usage_of
from fastgw.providers.vertex.gemini.tools import tool_call


class GeminiDecoder(EventDecoder):
    """Tells a renderer what the stream says."""

    __slots__ = ("_begun", "_finished", "_model", "_tools")

    def __init__(self, renderer: Heard, model: str) -> None:
        super().__init__(renderer)
        self._model = model
        self._begun = False
        self._finished = False
        self._tools = 0

    def read(self, event: dict[str, Any], payload: bytes) -> None:
        """One document."""
        if "error" in event:
            self.report(payload)
            return
        if not self._begun:
            self._begun = True
            self._renderer.begin("", self._model)
        candidate = first_candidate(event)
        for part in parts_of(candidate):
            self._part(part)
        reported = event.get("usageMetadata")
        if isinstance(reported, dict):
            self._raise(usage_of(reported))
        reason = candidate.get("finishReason") if candidate is not None else None
        if self._finished:
            if isinstance(reported, dict):
                self._renderer.usage(self.usage)
        elif reason is not None or (candidate is None and blocked(event)):
            self._finished = True
            found = finish_of(reason) if candidate is not None else "content_filter"
            known = self.usage if self.usage.total_tokens else None
            self._renderer.finish("tool_calls" if found == "stop" and self._tools else found, None, known)

    def _part(self, part: dict[str, Any]) -> None:
        text = part.get("text")
        if isinstance(text, str):
            if text and part.get("thought") is True:
                self._renderer.reasoning(text)
            elif text:
                self._renderer.text(text)
        elif (call := tool_call(part)) is not None:
            self._renderer.tool(self._tools, call.id, call.name)
            self._renderer.arguments(self._tools, call.arguments)
            self._tools += 1

    def _raise(self, reported: Usage) -> None:
        usage = self.usage
        for name in Usage.__slots__:
            setattr(usage, name, max(getattr(usage, name), getattr(reported, name)))
