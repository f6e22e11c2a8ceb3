"""Requests and answers that are made to hurt: too deep, of odd types, or long in the way that costs most."""

import json
from collections.abc import Callable
from time import thread_time
from typing import Any

import pytest

from fastgw.core.errors import GatewayError, UpstreamFailure
from tests.golden.harness import Case, Fixture

FAMILIES = ("anthropic", "bedrock", "vertex")
SECONDS = 20.0
"""Processor time that the long ones may take. They need a second or less; in steps times steps it would be minutes."""
HI = {"role": "user", "content": "hi"}


def nested(depth: int) -> Any:
    """A value that many levels deep."""
    value: Any = 1
    for level in range(depth):
        value = {"a": value} if level % 2 else [value]
    return value


def case(dialect: str, family: str, **fixture: Any) -> Case:
    """A fixture of its own."""
    made: Fixture = {"request": {"model": "alias", "max_tokens": 5, "messages": [HI], "input": "hi"}, **fixture}
    return Case(f"hostile.{dialect}.{family}", made)


def requested(dialect: str, family: str, stream: bool = False, **members: Any) -> Any:
    """What the upstream gets for a request with these members."""
    request = {"model": "alias", "max_tokens": 5, "messages": [HI], **members}
    return case(dialect, family, request=request).sent(stream)


# -- depth


def answers(value: Any) -> dict[str, Any]:
    """By upstream, an answer with a call whose input is the value."""
    message = {"role": "assistant", "content": None}
    function = {"name": "f", "arguments": value}
    return {
        "anthropic": {
            "id": "i",
            "model": "m",
            "content": [{"type": "tool_use", "id": "t", "name": "f", "input": value}],
            "stop_reason": "tool_use",
        },
        "bedrock": {
            "output": {"message": {"content": [{"toolUse": {"toolUseId": "t", "name": "f", "input": value}}]}},
            "stopReason": "tool_use",
        },
        "vertex": {"candidates": [{"content": {"parts": [{"functionCall": {"name": "f", "args": value}}]}}]},
        "openai": {
            "id": "i",
            "model": "m",
            "choices": [{"message": {**message, "tool_calls": [{"id": "t", "function": function}]}}],
        },
    }


@pytest.mark.parametrize("depth", [126, 200, 252, 300, 900, 2000])
@pytest.mark.parametrize("family", ["anthropic", "bedrock", "vertex", "openai"])
@pytest.mark.parametrize("dialect", ["chat", "messages", "responses"])
def test_a_deep_answer_is_none(dialect: str, family: str, depth: int) -> None:
    if (dialect, family) in (("chat", "openai"), ("messages", "anthropic")):
        return  # relayed
    answer = json.dumps(answers("here")[family]).replace('"here"', "[" * depth + "]" * depth).encode()
    with pytest.raises(UpstreamFailure, match="unparseable"):
        case(dialect, family).raw_reply(answer)


def test_input_that_nobody_can_hold_counts_as_none_where_it_is_a_text() -> None:
    arguments = json.dumps({"a": nested(300)})
    whole, _ = case("messages", "openai").raw_reply(json.dumps(answers(arguments)["openai"]).encode())
    assert json.loads(whole)["content"] == [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]


@pytest.mark.parametrize("family", FAMILIES)
def test_arguments_of_a_caller_that_nobody_can_hold_count_as_none(family: str) -> None:
    function = {"name": "f", "arguments": json.dumps({"a": nested(300)})}
    call = {"id": "t", "type": "function", "function": function}
    turns = [HI, {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "t", "content": "x"}]
    assert "[[" not in json.dumps(requested("chat", family, messages=turns))


@pytest.mark.parametrize(
    ("dialect", "family"), [("chat", "anthropic"), ("messages", "vertex"), ("responses", "openai")]
)
def test_a_deep_event_ends_the_stream(dialect: str, family: str) -> None:
    stream = case(dialect, family).opened()
    document = f'{{"id":"i","model":"m","choices":[],"x":{"[" * 300}{"]" * 300}}}'
    stream.feed(f"data: {document}\n\n".encode())
    assert stream.failure == 2


def test_a_deep_answer_of_the_callers_own_dialect_is_counted_as_nothing() -> None:
    given = json.dumps(answers("here")["anthropic"]).replace('"here"', "[" * 300 + "]" * 300).encode()
    whole = case("messages", "anthropic", request={"model": "alias", "messages": [HI]})
    relayed, _ = whole.raw_reply(given)
    assert relayed == given
    assert whole.call(False).said(relayed) == (b"", 0)


# -- types


@pytest.mark.parametrize("kind", [[], {}, [[]], None, 1, True])
@pytest.mark.parametrize("family", ["openai", "bedrock", "vertex"])
def test_a_choice_of_an_odd_type_is_left_out(family: str, kind: Any) -> None:
    tools = [{"name": "f", "input_schema": {"type": "object", "properties": {"a": {"type": "string"}}}}]
    sent = requested("messages", family, tools=tools, tool_choice={"type": kind})
    assert "tool_choice" not in sent
    assert "toolConfig" not in sent or "toolChoice" not in sent["toolConfig"]


@pytest.mark.parametrize("name", [["f"], {"f": 1}, 1, True])
def test_a_tool_with_an_odd_name_is_left_out(name: Any) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
    request = {"model": "alias", "messages": [HI], "tools": [{"type": "function", "function": {"name": name}}]}
    for members in ({}, {"response_format": wanted}):
        sent = case("chat", "anthropic", model="claude-3-5-sonnet", request={**request, **members}).sent(False)
        assert [tool["name"] for tool in sent.get("tools", ())] == (["json_answer"] if members else [])


@pytest.mark.parametrize("dialect", ["messages", "responses"])
@pytest.mark.parametrize("family", ["openai", "anthropic"])
def test_half_a_character_in_the_models_name(dialect: str, family: str) -> None:
    found = case(dialect, family, request={"model": "a\ud83d", "max_tokens": 5, "messages": [HI], "input": "hi"})
    assert found.call(False).model == "a\ufffd"
    assert found.sent(False)


def test_half_a_character_in_the_name_that_an_upstream_gives() -> None:
    answer = b'{"id": "a\\ud83d", "type": "message", "model": "\\ude00", "content": []}'
    whole, reported = case("messages", "anthropic").raw_reply(answer)
    assert (whole, reported.id, reported.model) == (answer, "a\ufffd", "\ufffd")
