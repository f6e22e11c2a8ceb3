"""The documents of the Anthropic Messages API: messages, their streams, token counts, errors.

Like the real one it refuses members that it does not know.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from . import content
from .script import Script
from .shapes import Documents, Refusal

_MEMBERS = frozenset(
    {
        *("model", "messages", "max_tokens", "system", "stream", "temperature", "top_k", "top_p", "stop_sequences"),
        *("metadata", "tools", "tool_choice", "thinking", "service_tier", "container", "context_management"),
        *("mcp_servers", "output_config", "output_format", "inference_geo", "cache_control", "mock"),
    }
)
_COUNTED = _MEMBERS - {"max_tokens", "stream", "temperature", "top_k", "top_p", "stop_sequences", "metadata"}
_ERRORS: dict[int, tuple[str, str]] = {
    400: ("invalid_request_error", "The mock was told to refuse this request."),
    401: ("authentication_error", "invalid x-api-key"),
    403: ("permission_error", "Your API key does not have permission to use the specified resource."),
    404: ("not_found_error", "The requested resource could not be found."),
    413: ("request_too_large", "Request exceeds the maximum size."),
    429: ("rate_limit_error", "This request would exceed your rate limit."),
    500: ("api_error", "Internal server error"),
    529: ("overloaded_error", "Overloaded"),
}
_SIGNATURE = "bW9jay1zaWduYXR1cmU="


def error_document(kind: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}}


def translated(document: dict[str, Any], status: int) -> dict[str, Any]:
    """An error document of the OpenAI shape as one of this API."""
    kind = _ERRORS.get(status, _ERRORS[400 if status < 500 else 500])[0]
    return error_document(kind, document["error"]["message"])


def scripted_error(script: Script) -> dict[str, Any]:
    """The error that the script asks for; what it leaves open is what the API says with that status."""
    kind, message = _ERRORS.get(script.status, _ERRORS[400 if script.status < 500 else 500])
    if isinstance(script.error, dict):
        return script.error if "error" in script.error else {"type": "error", "error": script.error}
    return error_document(kind, script.error or message)


def messages(request: Mapping[str, Any], script: Script) -> Documents:
    """The answer to a Messages request. Raises Refusal."""
    _check(request, _MEMBERS)
    limit = request.get("max_tokens")
    if not isinstance(limit, int) or limit < 1:
        raise Refusal(400, "max_tokens: Field required")
    calls = _calls(request, script)
    pieces = [] if calls and script.content is None else content.pieces(_asked(request), script, 0)
    blocks: list[dict[str, Any]] = []
    if script.reasoning is not None:
        blocks.append({"type": "thinking", "thinking": script.reasoning, "signature": _SIGNATURE})
    if pieces or not calls:
        blocks.append({"type": "text", "text": "".join(pieces)})
    blocks += calls
    spoken = len(pieces) + sum(content.token_estimate(orjson.dumps(call["input"]).decode()) for call in calls)
    usage = _usage(request, script, spoken)
    reason = script.finish or ("tool_use" if calls else "end_turn")
    seed = hashlib.sha256(orjson.dumps(request.get("messages"))).hexdigest()[:24]
    message: dict[str, Any] = {"id": f"msg_{seed}", "type": "message", "role": "assistant", "model": request["model"]}
    ending: dict[str, Any] = {"stop_reason": reason, "stop_sequence": (request.get("stop_sequences") or [None])[0]}
    if reason != "stop_sequence":
        ending["stop_sequence"] = None
    if request.get("stream") is not True:
        whole = {**message, "content": blocks, **ending}
        return Documents([whole if usage is None else {**whole, "usage": usage}])
    events = _stream(message, blocks, pieces, ending, usage, max(1, script.tokens or 4))
    return Documents(events, stream=True, named=True)


def count_tokens(request: Mapping[str, Any], script: Script) -> Documents:
    """The answer to a count_tokens request. Raises Refusal."""
    _check(request, _COUNTED)
    return Documents([{"input_tokens": _prompt(request)}])


def _check(request: Mapping[str, Any], members: frozenset[str]) -> None:
    turns = request.get("messages")
    if not isinstance(turns, list) or not turns:
        raise Refusal(400, "messages: Field required")
    for name in request:
        if name not in members:
            raise Refusal(400, f"{name}: Extra inputs are not permitted")
    for index, turn in enumerate(turns):
        # A system prompt behind the first turn is allowed to those who ask for it by a beta header.
        if turn.get("role") not in ("user", "assistant", "system")[: 3 if index else 2]:
            raise Refusal(400, f'messages.{index}.role: Unexpected role "{turn.get("role")}"')


def _asked(request: Mapping[str, Any]) -> dict[str, Any]:
    """The wanted format where the content generator looks for it."""
    wanted = (request.get("output_config") or {}).get("format")
    if not isinstance(wanted, dict):
        return {}
    return {"response_format": {"type": "json_schema", "json_schema": {"schema": wanted.get("schema")}}}


def _calls(request: Mapping[str, Any], script: Script) -> list[dict[str, Any]]:
    tools: list[dict[str, Any]] = [
        {"type": "function", "function": {"name": tool["name"], "parameters": tool.get("input_schema")}}
        for tool in request.get("tools") or ()
        if isinstance(tool.get("name"), str)
    ]
    choice = request.get("tool_choice") or {}
    if choice.get("type") == "tool":
        tools = [tool for tool in tools if tool["function"]["name"] == choice.get("name")]
    if not script.tool_calls and choice.get("type") in ("tool", "any"):
        script = script.calling(1)
    calls = content.tool_calls({"tools": tools, "messages": request.get("messages")}, script)
    return [
        {
            "type": "tool_use",
            "id": call["id"].replace("call_", "toolu_"),
            "name": call["function"]["name"],
            "input": orjson.loads(call["function"]["arguments"]),
        }
        for call in calls
    ]


def _prompt(request: Mapping[str, Any]) -> int:
    turns: list[Any] = request["messages"]
    return content.message_tokens([*turns, {"content": request.get("system") or ""}])


def _usage(request: Mapping[str, Any], script: Script, spoken: int) -> dict[str, Any] | None:
    if isinstance(script.usage, dict):
        return script.usage
    if not script.usage:
        return None
    return {
        "input_tokens": _prompt(request),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": spoken,
        "service_tier": "standard",
    }


def _stream(
    message: dict[str, Any],
    blocks: list[dict[str, Any]],
    pieces: list[str],
    ending: dict[str, Any],
    usage: dict[str, Any] | None,
    parts: int,
) -> list[dict[str, Any]]:
    opening = {**message, "content": [], "stop_reason": None, "stop_sequence": None}
    if usage is not None:
        opening["usage"] = {**usage, "output_tokens": 1}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": opening}]
    for index, block in enumerate(blocks):
        empty, deltas = _deltas(block, pieces, parts)
        events.append({"type": "content_block_start", "index": index, "content_block": empty})
        if index == 0:
            events.append({"type": "ping"})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    delta: dict[str, Any] = {"type": "message_delta", "delta": ending}
    events.append(delta if usage is None else {**delta, "usage": usage})
    events.append({"type": "message_stop"})
    return events


def _deltas(block: dict[str, Any], pieces: list[str], parts: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """How a block begins, and what it grows by."""
    if block["type"] == "text":
        return {**block, "text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces]
    if block["type"] == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": part} for part in content.cut(block["thinking"], parts)]
        return {**block, "thinking": "", "signature": ""}, [
            *deltas,
            {"type": "signature_delta", "signature": block["signature"]},
        ]
    fragments = list(content.cut(orjson.dumps(block["input"]).decode(), parts)) if block["input"] else []
    deltas = [{"type": "input_json_delta", "partial_json": part} for part in ["", *fragments]]
    return {**block, "input": {}}, deltas
