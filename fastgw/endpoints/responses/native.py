"""A Responses stream on its way to a caller of the Responses API, and what a response says of its tokens."""

from typing import Any, Final

from fastgw._speedups.events import RESPONSES
from fastgw.providers.canonical import Usage, counter, string
from fastgw.providers.native import NativeStream, name_of

ENDINGS: Final = ("response.completed", "response.incomplete", "response.failed")
"""Types of the event that ends a response; `[DONE]` may follow."""
CALLS: Final = ("function_call", "custom_tool_call")
"""Items that the caller is to answer."""


def usage_of(reported: object) -> Usage:
    """The counters of a `usage` member; what is no usable number counts as 0."""
    if not isinstance(reported, dict):
        return Usage()
    prompt, completion = counter(reported.get("input_tokens")), counter(reported.get("output_tokens"))
    return Usage(
        prompt,
        completion,
        counter(reported.get("total_tokens")) or prompt + completion,
        cached_tokens=_detail(reported, "input_tokens_details", "cached_tokens"),
        reasoning_tokens=_detail(reported, "output_tokens_details", "reasoning_tokens"),
    )


def finish_of(response: object) -> str:
    """Why a response ended in the words of chat completions, or its status where they have none."""
    if not isinstance(response, dict):
        return ""
    status, details, output = string(response.get("status")), response.get("incomplete_details"), response.get("output")
    if status == "completed":
        items = output if isinstance(output, list) else []
        return "tool_calls" if any(isinstance(item, dict) and item.get("type") in CALLS for item in items) else "stop"
    if status == "incomplete" and isinstance(details, dict):
        reason = string(details.get("reason"))
        return "length" if reason == "max_output_tokens" else reason
    return status if status in ("failed", "cancelled") else ""


def _detail(reported: dict[str, Any], holder: str, name: str) -> int:
    details = reported.get(holder)
    return counter(details.get(name)) if isinstance(details, dict) else 0


class ResponsesStream(NativeStream):
    """The upstream's events, and whatever it sends behind the last one."""

    __slots__ = ()

    closing = False

    def __init__(self, *, chunked: bool) -> None:
        super().__init__(RESPONSES, chunked=chunked)

    def note(self, event: dict[str, Any], payload: bytes) -> None:
        """Names, counters, pieces of tools and reasoning, the end."""
        kind = event.get("type")
        response = event.get("response")
        if kind == "error" or (kind is None and isinstance(event.get("error"), dict | str)):
            self.report(payload)
        elif isinstance(response, dict):
            self.id = self.id or name_of(response.get("id"))
            self.model = self.model or name_of(response.get("model"))
            if kind in ENDINGS:
                self.usage = usage_of(response.get("usage"))
                self.finish_reason = name_of(finish_of(response))
                self.complete = True
            if kind == "response.failed":
                self.report(payload)
        elif kind == "response.output_item.added":
            item = event.get("item")
            self.hear(item.get("name") if isinstance(item, dict) else None)
        elif isinstance(kind, str) and kind.endswith(".delta"):
            self.hear(event.get("delta"))
