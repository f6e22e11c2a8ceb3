"""Whole answers of Converse, and what its streams have in common with them."""

from typing import Any, Final

from fastgw.providers.answers import Pieces, document_of, lacks
from fastgw.providers.canonical import Completion, Usage, counter, string
from fastgw.providers.tool_blocks import add_tool, tools_added

FINISH: Final = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
    "tool_use": "tool_calls",
}
"""By stop reason; all others mean `stop`."""


def finish_of(reason: object) -> str:
    """The finish reason for a stop reason."""
    return FINISH.get(reason, "stop") if isinstance(reason, str) else "stop"


def usage_of(reported: object) -> Usage:
    """Token counters. What was read from or written to a cache comes on top of the input."""
    found: dict[str, Any] = reported if isinstance(reported, dict) else {}
    usage = Usage(
        prompt_tokens=counter(found.get("inputTokens")),
        completion_tokens=counter(found.get("outputTokens")),
        cache_creation_tokens=counter(found.get("cacheWriteInputTokens")),
        cache_read_tokens=counter(found.get("cacheReadInputTokens")),
    )
    together = usage.prompt_tokens + usage.completion_tokens + usage.cache_creation_tokens + usage.cache_read_tokens
    usage.total_tokens = max(counter(found.get("totalTokens")), together)
    return usage


def stop_sequence_of(event: dict[str, Any]) -> str | None:
    """The stop sequence that matched, where the model says it."""
    fields = event.get("additionalModelResponseFields")
    found = fields.get("stop_sequence") if isinstance(fields, dict) else None
    return found if isinstance(found, str) else None


def completion_of(body: bytes, model: str, answer_tool: str | None = None) -> Completion:
    """Read an answer. The input of `answer_tool` is its text. Raises a decode error."""
    document = document_of(body)
    output = document.get("output")
    message = output.get("message") if isinstance(output, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list):
        raise lacks("output.message.content")
    found = Completion("", model, finish=finish_of(document.get("stopReason")), usage=usage_of(document.get("usage")))
    found.stop_sequence = stop_sequence_of(document)
    pieces = Pieces()
    for block in content:
        if isinstance(block, dict):
            _read(found, pieces, block, answer_tool)
    pieces.join(found)
    if found.text is None and not found.tool_calls:
        found.text = ""
    tools_added(found, answer_tool)
    return found


def _read(found: Completion, pieces: Pieces, block: dict[str, Any], answer_tool: str | None) -> None:
    use, reasoning = block.get("toolUse"), block.get("reasoningContent")
    if isinstance(block.get("text"), str):
        pieces.text.append(block["text"])
    elif isinstance(use, dict):
        add_tool(found, pieces, use.get("toolUseId"), use.get("name"), use.get("input"), answer_tool)
    elif isinstance(reasoning, dict) and isinstance(reasoning.get("reasoningText"), dict):
        told = reasoning["reasoningText"]
        pieces.reasoning.append(string(told.get("text")))
        pieces.signature.append(string(told.get("signature")))
