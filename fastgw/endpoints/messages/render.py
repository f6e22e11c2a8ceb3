"""Translated answers as messages of the Messages API."""

from secrets import token_hex
from typing import Any, Final

from fastgw.core.json import load_object, write
from fastgw.providers.canonical import Completion, Usage

STOP_REASONS: Final = {"length": "max_tokens", "tool_calls": "tool_use", "content_filter": "stop_sequence"}


def stop_reason(finish: str, stop_sequence: str | None) -> str:
    """The stop reason for a finish reason."""
    return STOP_REASONS.get(finish, "end_turn" if stop_sequence is None else "stop_sequence")


def usage_object(usage: Usage) -> dict[str, int]:
    """The `usage` member. Cache counters are there when the upstream counts what they hold beside the prompt."""
    made = {"input_tokens": usage.prompt_tokens, "output_tokens": usage.completion_tokens}
    if usage.cache_creation_tokens:
        made["cache_creation_input_tokens"] = usage.cache_creation_tokens
    if usage.cache_read_tokens:
        made["cache_read_input_tokens"] = usage.cache_read_tokens
    return made


def message(completion: Completion, alias: str, names: dict[str, str]) -> bytes:
    """A whole answer, under the upstream's id if it has one. `names`: tool names that were cut, and what they were."""
    content: list[dict[str, Any]] = []
    if completion.reasoning:
        signature = completion.signature or ""
        content.append({"type": "thinking", "thinking": completion.reasoning, "signature": signature})
    text = (completion.text or "") + (completion.refusal or "")
    if text:
        content.append({"type": "text", "text": text})
    for call in completion.tool_calls:
        if call.id and call.name:
            name = names.get(call.name, call.name)
            content.append({"type": "tool_use", "id": call.id, "name": name, "input": load_object(call.arguments)})
    return write(
        {
            "id": completion.id or f"msg_{token_hex(16)}",
            "type": "message",
            "role": "assistant",
            "model": alias,
            "content": content or [{"type": "text", "text": ""}],
            "stop_reason": stop_reason(completion.finish, completion.stop_sequence),
            "stop_sequence": completion.stop_sequence,
            "usage": usage_object(completion.usage),
        }
    )
