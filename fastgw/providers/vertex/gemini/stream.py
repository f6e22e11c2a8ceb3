"""Gemini's stream: one document of the same shape as a whole answer per event. It ends with the message."""

from typing import Any, Final

from fastgw.providers.canonical import Usage
from fastgw.providers.events import EventDecoder
from fastgw.providers.heard import Heard
from fastgw.providers.vertex.gemini.answer import blocked, candidates_of, finish_of, parts_of, usage_of
from fastgw.providers.vertex.gemini.tools import tool_call

MAX_CANDIDATES: Final = 128
"""Answers to one request that are told apart: as many as OpenAI's API knows."""


class _Candidate:
    """How far an answer has come."""

    __slots__ = ("finished", "tools")

    def __init__(self) -> None:
        self.finished = False
        self.tools = 0


class GeminiDecoder(EventDecoder):
    """Tells a renderer what the stream says."""

    __slots__ = ("_begun", "_candidates", "_current", "_model")

    def __init__(self, renderer: Heard, model: str) -> None:
        super().__init__(renderer)
        self._model = model
        self._begun = False
        self._candidates = {0: _Candidate()}
        self._current = 0

    def read(self, event: dict[str, Any], payload: bytes) -> None:
        """One document."""
        if "error" in event:
            self.report(payload)
            return
        if not self._begun:
            self._begun = True
            self._renderer.begin("", self._model)
        found = candidates_of(event)
        finished = self._finished
        reported = event.get("usageMetadata")
        if isinstance(reported, dict):
            self._raise(usage_of(reported))
        for candidate in found:
            self._read(candidate)
        if not found and blocked(event) and not self._candidates[0].finished:
            self._finish(self._candidates[0], "content_filter")
        if finished and isinstance(reported, dict):
            self._renderer.usage(self.usage)

    def finish(self) -> None:
        """Counters that no finish reason came with are still what is known."""
        super().finish()
        if not self.failure and not self._finished and self.usage.total_tokens:
            self._renderer.usage(self.usage)

    @property
    def _finished(self) -> bool:
        return all(one.finished for one in self._candidates.values())

    def _read(self, candidate: dict[str, Any]) -> None:
        index = candidate.get("index")
        index = index if type(index) is int and 0 <= index < MAX_CANDIDATES else 0
        if index != self._current:
            self._current = index
            self._renderer.choice(index)
        state = self._candidates.setdefault(index, _Candidate())
        for part in parts_of(candidate):
            self._part(part, state)
        reason = candidate.get("finishReason")
        if reason is not None and not state.finished:
            found = finish_of(reason)
            self._finish(state, "tool_calls" if found == "stop" and state.tools else found)

    def _finish(self, state: _Candidate, reason: str) -> None:
        """The counters, which are those of all candidates, come with the last one."""
        state.finished = True
        known = self.usage if self.usage.total_tokens and self._finished else None
        self._renderer.finish(reason, None, known)

    def _part(self, part: dict[str, Any], state: _Candidate) -> None:
        text = part.get("text")
        if isinstance(text, str):
            if text and part.get("thought") is True:
                self._renderer.reasoning(text)
            elif text:
                self._renderer.text(text)
        elif (call := tool_call(part)) is not None:
            self._renderer.tool(state.tools, call.id, call.name)
            self._renderer.arguments(state.tools, call.arguments)
            state.tools += 1

    def _raise(self, reported: Usage) -> None:
        usage = self.usage
        for name in Usage.__slots__:
            setattr(usage, name, max(getattr(usage, name), getattr(reported, name)))
