"""Conversations of agents as Converse takes them: the mock's rules are those of the real one."""

from typing import Any

from fastgw.mock import rules
from fastgw.providers.bedrock.converse.request import EMPTY, Options, Request

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def calling(*ids: str, content: Any = None) -> dict[str, Any]:
    calls = [{"id": one, "type": "function", "function": {"name": "f", "arguments": "{}"}} for one in ids]
    return {"role": "assistant", "content": content, "tool_calls": calls}


def told(identity: str, content: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": identity, "content": content}


def made(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    chat = {"model": "alias", "messages": [{"role": "user", "content": "go"}, *messages], **more}
    body = Request(chat, "amazon.nova-pro-v1:0", Options()).body
    rules.converse(body)
    return body


def test_results_without_text_say_so() -> None:
    marked = [{"type": "text", "text": "", "cache_control": {"type": "ephemeral"}}]
    body = made(calling("a", "b", "c"), told("a", ""), told("b", marked), told("c", None), tools=[TOOL])
    results = body["messages"][2]["content"]
    assert [one["toolResult"]["content"] for one in results if "toolResult" in one] == [[{"text": EMPTY}]] * 3
    assert [one for one in results if "cachePoint" in one] == [{"cachePoint": {"type": "default"}}]


def test_turns_in_which_nothing_was_said_are_none() -> None:
    body = made(
        {"role": "assistant", "content": " "}, {"role": "user", "content": "?"}, {"role": "assistant", "content": None}
    )
    assert body["messages"] == [{"role": "user", "content": [{"text": "go"}, {"text": "?"}]}]


def test_a_conversation_with_calls_keeps_a_tool() -> None:
    more: dict[str, Any]
    for more in ({}, {"tools": []}, {"tools": [TOOL], "tool_choice": "none"}):
        body = made(calling("a"), told("a", "x"), **more)
        [tool] = body["toolConfig"]["tools"]
        assert tool["toolSpec"]["name"] == "f"
        assert "toolChoice" not in body["toolConfig"]
    assert "toolConfig" not in made(tools=[TOOL], tool_choice="none")
    assert made(calling("a"), told("a", "x"), tools=[TOOL])["toolConfig"]["tools"][0]["toolSpec"]["name"] == "f"


def test_ids_that_bedrock_refuses_are_exchanged() -> None:
    ids = ("functions.f:0", "call_" + "x" * 100)
    body = made(calling(*ids), *(told(id, "x") for id in ids), tools=[TOOL])
    uses = [one["toolUse"]["toolUseId"] for one in body["messages"][1]["content"]]
    assert len(set(uses)) == 2
