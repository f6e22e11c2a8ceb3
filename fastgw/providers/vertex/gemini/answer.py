"""Gemini's answers: what a document of a whole answer, or of a stream, says."""

from typing import Any, Final

from fastgw.providers.answers import Pieces, document_of, lacks
from fastgw.providers.canonical import Completion, Usage, counter, string
from fastgw.providers.vertex.gemini.tools import tool_call

_FILTERED: Final = frozenset(
    {"SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "LANGUAGE"}
)

_SAID: Final = ("candidates", "promptFeedback", "usageMetadata")
"""Members by one of which an answer without any candidate is known for one: nothing was said."""


def finish_of(reason: object) -> str:
    """The finish reason; unknown ones and none mean `stop`."""
    if reason == "MAX_TOKENS":
        return "length"
    return "content_filter" if string(reason) in _FILTERED else "stop"


def completion_of(body: bytes, model: str) -> Completion:
    """Read a whole answer, with all of its candidates. Raises a decode error."""
    document = document_of(body)
    found = candidates_of(document)
    if not found and not any(isinstance(document.get(name), dict | list) for name in _SAID):
        raise lacks("candidates")
    answers = [_completion(candidate, model) for candidate in found]
    finish = "content_filter" if blocked(document) else "stop"
    first = answers[0] if answers else Completion("", model, text="", finish=finish)
    first.others = answers[1:]
    first.usage = usage_of(document.get("usageMetadata"))
    return first


def _completion(candidate: dict[str, Any], model: str) -> Completion:
    found = Completion("", model, text="", finish=finish_of(candidate.get("finishReason")))
    pieces = Pieces()
    for part in parts_of(candidate):
        text = part.get("text")
        if isinstance(text, str) and part.get("thought") is True:
            pieces.reasoning.append(text)
        elif isinstance(text, str):
            pieces.text.append(text)
        elif (call := tool_call(part)) is not None:
            found.tool_calls.append(call)
    pieces.join(found)
    if found.tool_calls:
        found.text = found.text or None
        if found.finish == "stop":
            found.finish = "tool_calls"
    return found


def candidates_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The candidates, as many as were asked for."""
    candidates = document.get("candidates")
    return [one for one in candidates if isinstance(one, dict)] if isinstance(candidates, list) else []


def blocked(document: dict[str, Any]) -> bool:
    """The prompt was refused."""
    feedback = document.get("promptFeedback")
    return isinstance(feedback, dict) and feedback.get("blockReason") is not None


def parts_of(candidate: dict[str, Any]) -> list[dict[str, Any]]:
    """The parts of a candidate."""
    content = candidate.get("content")
    parts = content.get("parts") if isinstance(content, dict) else None
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def usage_of(reported: object) -> Usage:
    """Token counters. What was thought is part of the completion."""
    found = reported if isinstance(reported, dict) else {}
    thoughts = counter(found.get("thoughtsTokenCount"))
    usage = Usage(
        prompt_tokens=counter(found.get("promptTokenCount")),
        completion_tokens=counter(found.get("candidatesTokenCount")) + thoughts,
        total_tokens=counter(found.get("totalTokenCount")),
        cached_tokens=counter(found.get("cachedContentTokenCount")),
        reasoning_tokens=thoughts,
    )
    usage.total_tokens = usage.total_tokens or usage.prompt_tokens + usage.completion_tokens
    return usage
