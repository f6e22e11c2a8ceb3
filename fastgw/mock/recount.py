"""The results of tools at the end of a conversation, found again in whatever shape its API has for them.

A text made of them proves more than that an upstream was asked twice: it holds the call that a result belongs to, with
the name and arguments that came back, so that it is right only when calls and results travel in one piece.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import takewhile
from typing import Any

import orjson

from .shapes import Refusal

_CALLS = ("function_call", "custom_tool_call")
_OUTPUTS = ("function_call_output", "custom_tool_call_output")


def recount(request: Mapping[str, Any]) -> str:
    """`name(arguments) = result` for each result behind the last turn of the assistant, in their order, joined by "; ".

    Texts and parts of results are joined without anything in between; a part that is no text is its type in angle
    brackets. Raises Refusal for a result without its call.
    """
    lists = [request[name] for name in ("messages", "contents", "input") if isinstance(request.get(name), list)]
    turns: list[dict[str, Any]] = lists[0] if lists else []
    called = {identity: said for turn in turns for identity, said in _calls(turn)}
    newest = [*takewhile(lambda turn: not _speaks(turn), reversed(turns))]
    results = [found for turn in reversed(newest) for found in _results(turn)]
    for identity, _ in results:
        if identity not in called:
            raise Refusal(400, f"No tool call found for the result of {identity}.")
    return "; ".join(f"{called[identity]} = {text}" for identity, text in results)


def _speaks(turn: dict[str, Any]) -> bool:
    return turn.get("role") in ("assistant", "model") or turn.get("type") in _CALLS


def _blocks(turn: Mapping[str, Any]) -> list[Any]:
    blocks = turn.get("content", turn.get("parts"))
    return blocks if isinstance(blocks, list) else []


def _calls(turn: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What the calls of a turn or item are answered under, and how they read."""
    if turn.get("type") in _CALLS:
        yield turn["call_id"], _said(turn["name"], turn.get("arguments", turn.get("input")))
    for call in turn.get("tool_calls") or ():
        function = call["function"]
        yield call["id"], _said(function["name"], function["arguments"])
    calls = [block["functionCall"] for block in _blocks(turn) if "functionCall" in block]
    for place, call in enumerate(calls):
        yield f"{place} {call['name']}", _said(call["name"], call.get("args") or {})
    for block in _blocks(turn):
        if block.get("type") == "tool_use":
            yield block["id"], _said(block["name"], block["input"])
        elif "toolUse" in block:
            use = block["toolUse"]
            yield use["toolUseId"], _said(use["name"], use["input"])


def _said(name: str, arguments: object) -> str:
    """`name(arguments)`; arguments that are JSON without blanks."""
    if isinstance(arguments, str):
        try:
            arguments = orjson.loads(arguments)
        except orjson.JSONDecodeError:
            return f"{name}({arguments})"
    return f"{name}({orjson.dumps(arguments).decode()})"


def _results(turn: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What the results of a turn or item answer, and their texts."""
    if turn.get("type") in _OUTPUTS:
        yield turn["call_id"], _text(turn["output"])
    elif turn.get("role") == "tool":
        yield turn["tool_call_id"], _text(turn["content"])
    # Responses of Gemini have no id: they stand in the order of the calls.
    responses = [block["functionResponse"] for block in _blocks(turn) if "functionResponse" in block]
    for place, response in enumerate(responses):
        yield f"{place} {response['name']}", _text(response["response"].get("result", response["response"]))
    for block in _blocks(turn):
        if block.get("type") == "tool_result":
            yield block["tool_use_id"], _text(block.get("content") or "")
        elif "toolResult" in block:
            yield block["toolResult"]["toolUseId"], _text(block["toolResult"]["content"])


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return orjson.dumps(content).decode()
    return "".join(part["text"] if "text" in part else f"<{part.get('type') or next(iter(part))}>" for part in content)
