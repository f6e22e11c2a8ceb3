"""The documents of OpenAI's Responses API, whole and streamed.

Like the real one it refuses outputs that answer no call. Nothing is stored: a response that is continued is not looked
for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from . import content
from .script import Script
from .shapes import Documents, Refusal

_CREATED = 1_735_689_600
_REASONS = {"length": "max_output_tokens", "max_output_tokens": "max_output_tokens", "content_filter": "content_filter"}

Item = dict[str, Any]


def responses(request: Mapping[str, Any], script: Script) -> Documents:
    """The answer to a Responses request. Raises Refusal."""
    items = _items(request)
    seed = hashlib.sha256(orjson.dumps([items, request.get("tools")])).hexdigest()
    calls = _calls(request, script, seed)
    pieces = [] if calls and script.content is None else content.pieces(_asked(request), script, 0)
    output: list[Item] = []
    if script.reasoning is not None:
        summary = [{"type": "summary_text", "text": script.reasoning}]
        output.append({"id": f"rs_{seed[:40]}", "type": "reasoning", "summary": summary})
    if pieces or not calls:
        part = {"type": "output_text", "annotations": [], "logprobs": [], "text": "".join(pieces)}
        output.append(
            {"id": f"msg_{seed[:40]}", "type": "message", "status": "completed", "content": [part], "role": "assistant"}
        )
    output += calls
    spoken = len(pieces) + sum(content.token_estimate(call.get("arguments", call.get("input"))) for call in calls)
    reason = _REASONS.get(script.finish or "")
    opened = _response(request, f"resp_{seed[:40]}", "in_progress")
    ended: dict[str, Any] = {**opened, "status": "completed" if reason is None else "incomplete", "output": output}
    if reason is not None:
        ended["incomplete_details"] = {"reason": reason}
    ended["usage"] = _usage(request, items, script, spoken)
    if request.get("stream") is not True:
        return Documents([ended])
    return Documents(_stream(opened, ended, pieces, max(1, script.tokens or 4)), stream=True, named=True)


def _items(request: Mapping[str, Any]) -> list[Any]:
    given = request.get("input")
    if isinstance(given, str) and given:
        return [{"role": "user", "content": given}]
    if not isinstance(given, list) or not given:
        raise Refusal(400, "Missing required parameter: 'input'.", "input", "missing_required_parameter")
    return given


def _asked(request: Mapping[str, Any]) -> dict[str, Any]:
    """The wanted format where the content generator looks for it."""
    wanted = (request.get("text") or {}).get("format")
    if not isinstance(wanted, dict):
        return {}
    if wanted.get("type") == "json_schema":
        return {"response_format": {"type": "json_schema", "json_schema": {"schema": wanted.get("schema")}}}
    return {"response_format": wanted}


def _calls(request: Mapping[str, Any], script: Script, seed: str) -> list[Item]:
    tools = [tool for tool in request.get("tools") or () if isinstance(tool.get("name"), str)]
    custom = {tool["name"] for tool in tools if tool["type"] == "custom"}
    functions = [
        {"type": "function", "function": {"name": tool["name"], "parameters": tool.get("parameters")}} for tool in tools
    ]
    made: list[Item] = []
    choice = request.get("tool_choice")
    if isinstance(choice, dict):
        choice = {"function": {"name": choice.get("name")}}
    asked = {"tools": functions, "messages": request.get("input"), "tool_choice": choice}
    for call in content.tool_calls(asked, script):
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        item: Item = {"id": f"fc_{len(made)}{seed[:39]}", "status": "completed", "call_id": call["id"], "name": name}
        if name in custom:
            # Free text. A scripted object of one text under the name that translations give it is that text.
            given = orjson.loads(arguments)
            text = given["input"] if isinstance(given, dict) and isinstance(given.get("input"), str) else arguments
            made.append({**item, "type": "custom_tool_call", "input": text})
        else:
            made.append({**item, "type": "function_call", "arguments": arguments})
    return made


def _response(request: Mapping[str, Any], identity: str, status: str) -> dict[str, Any]:
    reasoning = request.get("reasoning") or {}
    return {
        "id": identity,
        "object": "response",
        "created_at": _CREATED,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": request.get("instructions"),
        "max_output_tokens": request.get("max_output_tokens"),
        "model": request["model"],
        "output": [],
        "parallel_tool_calls": request.get("parallel_tool_calls", True),
        "previous_response_id": request.get("previous_response_id"),
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "service_tier": "default",
        "store": request.get("store", True),
        "temperature": request.get("temperature", 1.0),
        "text": request.get("text") or {"format": {"type": "text"}},
        "tool_choice": request.get("tool_choice", "auto"),
        "tools": request.get("tools") or [],
        "top_p": request.get("top_p", 1.0),
        "truncation": "disabled",
        "usage": None,
        "metadata": request.get("metadata") or {},
    }


def _usage(request: Mapping[str, Any], items: list[Any], script: Script, spoken: int) -> dict[str, Any] | None:
    if isinstance(script.usage, dict):
        return script.usage
    if not script.usage:
        return None
    prompt = content.message_tokens([*items, {"content": request.get("instructions") or ""}])
    thought = content.token_estimate(script.reasoning or "")
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": spoken + thought,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": prompt + spoken + thought,
    }


def _stream(opened: dict[str, Any], ended: dict[str, Any], pieces: list[str], parts: int) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": opened},
        {"type": "response.in_progress", "response": opened},
    ]
    for index, item in enumerate(ended["output"]):
        begun, inner = _item_events(item, {"item_id": item["id"], "output_index": index}, pieces, parts)
        events.append({"type": "response.output_item.added", "output_index": index, "item": begun})
        events += inner
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    events.append({"type": f"response.{ended['status']}", "response": ended})
    return [{"type": event.pop("type"), "sequence_number": number, **event} for number, event in enumerate(events)]


def _item_events(item: Item, place: dict[str, Any], pieces: list[str], parts: int) -> tuple[Item, list[dict[str, Any]]]:
    """How an item begins, and the events between its begin and its end."""
    if item["type"] == "message":
        place = {**place, "content_index": 0}
        [part] = item["content"]
        deltas = [{"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []} for piece in pieces]
        return {**item, "status": "in_progress", "content": []}, [
            {"type": "response.content_part.added", **place, "part": {**part, "text": ""}},
            *deltas,
            {"type": "response.output_text.done", **place, "text": part["text"], "logprobs": []},
            {"type": "response.content_part.done", **place, "part": part},
        ]
    if item["type"] == "reasoning":
        place = {**place, "summary_index": 0}
        [part] = item["summary"]
        kind = "response.reasoning_summary"
        deltas = [{"type": f"{kind}_text.delta", **place, "delta": piece} for piece in content.cut(part["text"], parts)]
        return {**item, "summary": []}, [
            {"type": f"{kind}_part.added", **place, "part": {**part, "text": ""}},
            *deltas,
            {"type": f"{kind}_text.done", **place, "text": part["text"]},
            {"type": f"{kind}_part.done", **place, "part": part},
        ]
    member = "arguments" if item["type"] == "function_call" else "input"
    kind = "response.function_call_arguments" if member == "arguments" else "response.custom_tool_call_input"
    deltas = [{"type": f"{kind}.delta", **place, "delta": piece} for piece in content.cut(item[member], parts)]
    done: dict[str, Any] = {"type": f"{kind}.done", **place, member: item[member]}
    if member == "arguments":
        done["name"] = item["name"]
    return {**item, "status": "in_progress", member: ""}, [*deltas, done]
