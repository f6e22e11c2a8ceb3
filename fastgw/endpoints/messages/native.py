"""A Messages stream on its way to a caller of the Messages API."""

from typing import Any

from fastgw._speedups.events import MESSAGES
from fastgw.providers.anthropic.answer import finish_of
from fastgw.providers.anthropic.usage import opening, raise_to
from fastgw.providers.native import NativeStream, name_of


class MessagesStream(NativeStream):
    """The upstream's events. `message_stop` is the last one."""

    __slots__ = ()

    def __init__(self, *, chunked: bool) -> None:
        super().__init__(MESSAGES, chunked=chunked)

    def note(self, event: dict[str, Any], payload: bytes) -> None:
        """Names, counters, pieces of tools and reasoning, the end."""
        kind = event.get("type")
        if kind == "error":
            self.report(payload)
        elif kind == "message_start" and isinstance(event.get("message"), dict):
            message = event["message"]
            self.id, self.model = name_of(message.get("id")), name_of(message.get("model"))
            self.usage, self.floor = opening(message.get("usage"))
        elif kind == "message_delta":
            raise_to(self.usage, event.get("usage"))
            delta = event.get("delta")
            if isinstance(delta, dict) and isinstance(delta.get("stop_reason"), str):
                self.finish_reason = name_of(finish_of(delta["stop_reason"]))
        elif kind == "message_stop":
            self.complete = True
        elif kind in ("content_block_delta", "content_block_start"):
            piece = event.get("delta") if kind == "content_block_delta" else event.get("content_block")
            if isinstance(piece, dict):
                self.hear(*(piece.get(name) for name in ("text", "thinking", "partial_json", "name")))
