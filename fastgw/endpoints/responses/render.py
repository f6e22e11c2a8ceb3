"""Translated answers as objects of the Responses API."""

from secrets import token_hex
from time import time
from typing import Any, Final

from fastgw.core.json import write
from fastgw.endpoints.responses.tools import custom_input, special_tools
from fastgw.providers.canonical import Completion, Usage

REASONS: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Why an answer is incomplete, by its finish reason."""

Item = dict[str, Any]
Part = dict[str, Any]


class Shape:
    """What every answer to one request repeats of it. `special`: its tools that are no plain functions."""

    __slots__ = ("_members", "special")

    def __init__(self, alias: str, body: dict[str, Any]) -> None:
        reasoning, text = body.get("reasoning"), body.get("text")
        effort = reasoning.get("effort") if isinstance(reasoning, dict) else None
        self.special = special_tools(body)
        # All of them are mandatory in the types of one SDK or another.
        self._members: dict[str, Any] = {
            "error": None,
            "incomplete_details": None,
            "instructions": body.get("instructions"),
            "max_output_tokens": body.get("max_output_tokens"),
            "metadata": body.get("metadata") or {},
            "model": alias,
            "output": [],
            "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
            # Nothing is stored, so nothing was continued and nothing can be.
            "previous_response_id": None,
            "store": False,
            "reasoning": {"effort": effort, "summary": None},
            "temperature": body.get("temperature"),
            "text": text if isinstance(text, dict) and "format" in text else {"format": {"type": "text"}},
            "tool_choice": body.get("tool_choice") or "auto",
            "tools": body.get("tools") or [],
            "top_p": body.get("top_p"),
            "truncation": "disabled",
        }

    def call(self, identity: str, call_id: str, name: str, arguments: str) -> Item:
        """The item of a complete call, with a new id where there is none yet."""
        known = self.special.get(name)
        if known is None:
            return call_item(identity or minted("fc"), call_id, name, arguments)
        if known.tool.get("type") == "custom":
            return known.item(custom_item(identity or minted("ctc"), call_id, name, custom_input(arguments)))
        return known.item(call_item(identity or minted("fc"), call_id, name, arguments))

    def response(self, identity: str, created: int, status: str, output: list[Item]) -> dict[str, Any]:
        """A response object."""
        made = {"id": identity, "object": "response", "created_at": created, "status": status, **self._members}
        made["output"] = output
        return made

    def ended(self, identity: str, created: int, finish: str, output: list[Item], usage: Usage) -> dict[str, Any]:
        """The response object of an answer that is over."""
        reason = REASONS.get(finish)
        made = self.response(identity, created, "completed" if reason is None else "incomplete", output)
        if reason is not None:
            made["incomplete_details"] = {"reason": reason}
        made["usage"] = usage_object(usage)
        return made


def usage_object(usage: Usage) -> dict[str, Any]:
    """The `usage` member. What was read from a cache is told as cached tokens, whichever way the upstream counts it."""
    cached = max(usage.cached_tokens, usage.cache_read_tokens)
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": usage.cache_creation_tokens},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens or usage.prompt_tokens + usage.completion_tokens,
    }


def minted(prefix: str) -> str:
    """A new id."""
    return f"{prefix}_{token_hex(16)}"


def message_item(identity: str, content: list[Part]) -> Item:
    """What the model said."""
    return {"type": "message", "id": identity, "status": "completed", "role": "assistant", "content": content}


def text_part(text: str) -> Part:
    """A part of it."""
    return {"type": "output_text", "text": text, "annotations": []}


def refusal_part(text: str) -> Part:
    """A part that refuses."""
    return {"type": "refusal", "refusal": text}


def reasoning_item(identity: str, text: str) -> Item:
    """What the model thought."""
    return {"type": "reasoning", "id": identity, "summary": [{"type": "summary_text", "text": text}]}


def call_item(identity: str, call_id: str, name: str, arguments: str) -> Item:
    """A call of a function."""
    return {
        "type": "function_call",
        "id": identity,
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
        "status": "completed",
    }


def custom_item(identity: str, call_id: str, name: str, text: str) -> Item:
    """A call of a custom tool."""
    return {
        "type": "custom_tool_call",
        "id": identity,
        "call_id": call_id,
        "name": name,
        "input": text,
        "status": "completed",
    }


def response(completion: Completion, shape: Shape) -> bytes:
    """A whole answer."""
    output: list[Item] = []
    if completion.reasoning:
        output.append(reasoning_item(minted("rs"), completion.reasoning))
    content = [text_part(completion.text)] if completion.text else []
    if completion.refusal:
        content.append(refusal_part(completion.refusal))
    if content:
        output.append(message_item(minted("msg"), content))
    for call in completion.tool_calls:
        if not call.name:
            continue  # there is nothing that it calls
        call_id, arguments = call.id or minted("call"), call.arguments or "{}"
        output.append(shape.call("", call_id, call.name, arguments))
    return write(shape.ended(minted("resp"), int(time()), completion.finish, output, completion.usage))
