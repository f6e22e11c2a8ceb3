"""A whole answer of the Messages API."""

from typing import Any, Final

from fastgw.providers.answers import Pieces, document_of, lacks
from fastgw.providers.anthropic.usage import usage_of
from fastgw.providers.canonical import Completion, string
from fastgw.providers.tool_blocks import add_tool, tools_added

FINISH: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


def finish_of(stop_reason: object) -> str:
    """The finish reason for a stop reason; unknown ones pass through."""
    return FINISH.get(stop_reason, stop_reason) if isinstance(stop_reason, str) else "stop"


def completion_of(body: bytes, answer_tool: str | None = None) -> Completion:
    """Read an answer. The input of `answer_tool` is its text. Raises a decode error."""
    message = document_of(body, "id", "model")
    content = message.get("content")
    if not isinstance(content, list):
        raise lacks("content")
    found = Completion(
        message["id"],
        message["model"],
        finish=finish_of(message.get("stop_reason")),
        usage=usage_of(message.get("usage")),
    )
    stop = message.get("stop_sequence")
    found.stop_sequence = stop if isinstance(stop, str) else None
    pieces = Pieces()
    for block in content:
        if isinstance(block, dict):
            _read(found, pieces, block, answer_tool)
    pieces.join(found)
    tools_added(found, answer_tool)
    return found


def _read(found: Completion, pieces: Pieces, block: dict[str, Any], answer_tool: str | None) -> None:
    kind = block.get("type")
    if kind == "text":
        pieces.text.append(string(block.get("text")))
    elif kind == "thinking":
        pieces.reasoning.append(string(block.get("thinking")))
        pieces.signature.append(string(block.get("signature")))
    elif kind == "tool_use":
        add_tool(found, pieces, block.get("id"), block.get("name"), block.get("input"), answer_tool)
