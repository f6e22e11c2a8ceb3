"""Conversations of agents as the Messages API takes them: the mock's rules are those of the real one."""

from typing import Any

from fastgw.mock import rules
from fastgw.providers.anthropic.request import Request


def calling(*ids: str) -> dict[str, Any]:
    calls = [{"id": one, "type": "function", "function": {"name": "f", "arguments": "{}"}} for one in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def told(identity: str, content: Any = "x") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": identity, "content": content}


def made(*messages: dict[str, Any]) -> list[dict[str, Any]]:
    body = Request({"messages": [{"role": "user", "content": "go"}, *messages]}, "claude-sonnet-4-5", False).body
    rules.messages(body)
    found: list[dict[str, Any]] = body["messages"]
    return found


def test_results_stand_in_front_of_a_system_message_between_them_and_their_calls() -> None:
    system = {"role": "system", "content": "Careful."}
    turns = made(calling("a", "b"), system, told("b"), told("a"), {"role": "user", "content": "and?"})
    kinds = [(block["type"], block.get("tool_use_id") or block["text"]) for block in turns[2]["content"]]
    assert kinds == [("tool_result", "b"), ("tool_result", "a"), ("text", "Careful."), ("text", "and?")]


def test_a_result_is_marked_for_the_cache_as_a_whole() -> None:
    marked = {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}}
    turns = made(calling("a"), told("a", [{"type": "text", "text": "a"}, marked]))
    result = {"type": "tool_result", "tool_use_id": "a", "cache_control": {"type": "ephemeral"}}
    assert turns[2]["content"] == [
        {**result, "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
    ]
    assert "cache_control" in marked


def test_ids_that_anthropic_refuses_are_exchanged() -> None:
    made(calling("functions.f:0", "call_" + "x" * 100), told("call_" + "x" * 100), told("functions.f:0"))
