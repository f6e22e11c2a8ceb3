"""Translated requests as OpenAI and as upstreams with its API take them."""

from typing import Any

import pytest

from fastgw.providers.openai.endpoint import endpoint_url, official
from fastgw.providers.openai.request import MAX_USER, chat_body

PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}


def calling(*ids: str) -> dict[str, Any]:
    calls = [{"id": one, "type": "function", "function": {"name": "f", "arguments": "{}"}} for one in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def told(identity: str, *parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": identity, "content": [*parts]}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def made(*messages: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
    chat = {"model": "alias", "messages": [*messages]}
    found: list[dict[str, Any]] = chat_body(chat, "m", False, "openai", **options)["messages"]
    assert chat["messages"] == [*messages]
    return found


def test_pictures_of_tools_are_shown_by_the_user_where_tools_may_not() -> None:
    conversation = [
        calling("a", "b"),
        told("a", text("see"), PICTURE),
        told("b", PICTURE),
        calling("c"),
        told("c", PICTURE),
    ]
    assert [message["content"] for message in made(*conversation)] == [
        None,
        [text("see"), PICTURE],
        [PICTURE],
        None,
        [PICTURE],
    ]
    assert made(*conversation, strict=True) == [
        calling("a", "b"),
        {**told("a"), "content": "see"},
        {**told("b"), "content": "The result is in the next message of the user."},
        {"role": "user", "content": [text("Returned by a:"), PICTURE, text("Returned by b:"), PICTURE]},
        calling("c"),
        {**told("c"), "content": "The result is in the next message of the user."},
        {"role": "user", "content": [text("Returned by c:"), PICTURE]},
    ]


@pytest.mark.parametrize(
    ("base", "strict"),
    [
        (None, True),
        ("https://eu.api.openai.com/v1", True),
        ("https://res.openai.azure.com/openai/v1", True),
        ("https://api.openai.com.example/v1", False),
        ("http://127.0.0.1:8000/v1", False),
    ],
)
def test_who_is_strict(base: str | None, strict: bool) -> None:
    assert official(endpoint_url(base, "openai", "chat/completions")) is strict


def test_long_ids_are_exchanged_in_calls_and_results_alike() -> None:
    long = "call_" + "x" * 100
    [call, result, kept, _] = made(
        calling(long), told(long, text("x")), calling("functions.f:0"), told("functions.f:0")
    )
    identity = call["tool_calls"][0]["id"]
    assert identity == result["tool_call_id"] != long
    assert len(identity) <= 40
    assert kept["tool_calls"][0]["id"] == "functions.f:0"


def test_a_long_user_becomes_a_digest() -> None:
    short, long = "u" * MAX_USER, "u" * (MAX_USER + 1)
    users = [
        chat_body({"messages": [], "user": user}, "m", False, "openai")["user"] for user in (short, long, long + "u")
    ]
    assert users[0] == short
    assert len(users[1]) == MAX_USER
    assert len(set(users)) == 3


def test_markers_of_tools_mean_nothing_here() -> None:
    tool = {"type": "function", "function": {"name": "f"}, "cache_control": {"type": "ephemeral"}}
    chat = {"model": "alias", "messages": [], "tools": [tool]}
    for vendor in ("openai", "openrouter", "acme"):
        body = chat_body(chat, "m", False, vendor)
        assert body["tools"] == [{"type": "function", "function": {"name": "f"}}]
    assert "cache_control" in tool
