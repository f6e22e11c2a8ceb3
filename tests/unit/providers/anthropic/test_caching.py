"""Where automatic prompt caching puts its markers."""

from typing import Any

import pytest

from fastgw.providers.anthropic.request import Request
from fastgw.resources.models import AutoPromptCaching

FIVE = {"type": "ephemeral"}
USER = {"role": "user", "content": "Hi"}


def marked(*messages: dict[str, Any], ttl: Any = "5m", enabled: bool = True, **more: Any) -> dict[str, Any]:
    chat = {"model": "a", "messages": list(messages), **more}
    return Request(chat, "claude", False, AutoPromptCaching(enabled=enabled, ttl=ttl)).body


def markers(body: dict[str, Any]) -> int:
    return str(body).count("cache_control")


def test_system_and_last_message() -> None:
    body = marked({"role": "system", "content": "S"}, USER, {"role": "assistant", "content": "x"}, USER)
    assert body["system"] == [{"type": "text", "text": "S", "cache_control": FIVE}]
    assert body["messages"][-1]["content"] == [{"type": "text", "text": "Hi", "cache_control": FIVE}]
    assert markers(body) == 2


def test_an_hour() -> None:
    assert marked(USER, ttl="1h")["messages"][0]["content"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}


def test_only_the_last_block() -> None:
    system = {"role": "system", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
    body = marked(system, {"role": "user", "content": [{"type": "text", "text": t} for t in "cd"]})
    assert [("cache_control" in block) for block in body["system"]] == [False, True]
    assert [("cache_control" in block) for block in body["messages"][0]["content"]] == [False, True]


def test_tool_results_can_be_marked_and_blank_texts_not() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    body = marked(USER, {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c"})
    assert body["messages"][-1]["content"][-1]["cache_control"] == FIVE
    assert markers(marked({"role": "system", "content": [{"type": "text", "text": "S"}]}, {"role": "user"})) == 1
    assert markers(marked({"role": "user", "content": " "})) == 0


@pytest.mark.parametrize(
    "more",
    [
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": FIVE}]}, USER]},
        {"messages": [{"role": "system", "content": [{"type": "text", "text": "x", "cache_control": None}]}, USER]},
        {"tools": [{"type": "function", "function": {"name": "f"}, "cache_control": FIVE}]},
    ],
)
def test_a_marker_of_the_caller_is_the_only_one(more: dict[str, Any]) -> None:
    chat = {"model": "a", "messages": [USER], **more}
    assert markers(Request(chat, "claude", False, AutoPromptCaching(enabled=True)).body) == 1


def test_off() -> None:
    assert markers(marked(USER, enabled=False)) == 0
    assert markers(Request({"messages": [USER]}, "claude", False).body) == 0
