"""What golden fixtures do not show of Converse: odd streams and answers, bounds, any bytes as a stream."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw.core.errors import UpstreamFailure
from fastgw.endpoints.chat_render import ChatRenderer
from fastgw.providers import events
from fastgw.providers.bedrock.converse.answer import completion_of, usage_of
from fastgw.providers.bedrock.converse.request import Options, Request
from fastgw.providers.bedrock.converse.stream import ConverseDecoder
from fastgw.providers.heard import Heard
from tests.support.eventstream_reference import event

USER = {"role": "user", "content": "x"}


def decoder() -> tuple[ConverseDecoder, Heard]:
    heard = Heard(ChatRenderer(b'"a"', include_usage=True))
    return ConverseDecoder(heard, "m"), heard


def told(*messages: tuple[str, Any]) -> list[Any]:
    """Deltas, finish reasons and usage that a stream tells."""
    made, heard = decoder()
    made.feed(b"".join(event(name, json.dumps(payload).encode()) for name, payload in messages))
    made.finish()
    assert made.failure == 0
    found = [json.loads(line[6:]) for line in heard.take().decode().split("\n\n")[:-1]]
    return [chunk["choices"][0]["delta"] or chunk["choices"][0].get("finish_reason") for chunk in found]


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("contentBlockDelta", {}),
        ("contentBlockDelta", {"delta": 5}),
        ("contentBlockDelta", {"delta": {"text": ""}}),
        ("contentBlockDelta", {"delta": {"toolUse": {"input": "{}"}}, "contentBlockIndex": 7}),
        ("contentBlockDelta", {"delta": {"toolUse": {"input": 5}}}),
        ("contentBlockDelta", {"delta": {"reasoningContent": {"redactedContent": "eA=="}}}),
        ("contentBlockStart", {"start": {}}),
        ("contentBlockStart", {"start": {"toolUse": 5}}),
        ("contentBlockStop", {"contentBlockIndex": 9}),
        ("metadata", {}),
        ("metadata", {"usage": []}),
        ("", {}),
        ("novelty", {"a": 1}),
    ],
)
def test_events_that_say_nothing(name: str, payload: Any) -> None:
    assert told((name, payload)) == []


def test_an_empty_payload_is_an_empty_object() -> None:
    made, _ = decoder()
    made.feed(event("contentBlockStop", b""))
    assert (made.failure, made.frames) == (0, 1)


def test_tools_are_numbered_in_order_of_appearance() -> None:
    use = {"toolUseId": "i", "name": "n"}
    found = told(
        ("contentBlockStart", {"contentBlockIndex": 4, "start": {"toolUse": use}}),
        ("contentBlockStart", {"contentBlockIndex": 2, "start": {"toolUse": use}}),
        ("contentBlockDelta", {"contentBlockIndex": 4, "delta": {"toolUse": {"input": "{"}}}),
        ("contentBlockDelta", {"contentBlockIndex": 4, "delta": {"toolUse": {"input": "}"}}}),
        ("contentBlockStop", {"contentBlockIndex": 4}),
        ("contentBlockStop", {"contentBlockIndex": 2}),
        ("messageStop", {"stopReason": "tool_use"}),
    )
    fragments = [(d["tool_calls"][0]["index"], d["tool_calls"][0]["function"]["arguments"]) for d in found[:-1]]
    assert fragments == [(0, ""), (1, ""), (0, "{"), (0, "}"), (1, "{}")]
    assert found[-1] == "tool_calls"


def test_a_large_message_is_told_from_a_damaged_one() -> None:
    made, _ = decoder()
    wire = event("e", b"x" * (33 << 20))
    assert made.feed(wire[:20]) == b""
    assert made.failure == events.LARGE
    made, _ = decoder()
    made.feed(b"x" * 20)
    assert made.failure == events.BROKEN


@given(st.lists(st.tuples(st.text(max_size=8), st.binary(max_size=40)) | st.binary(max_size=30)))
def test_nothing_but_a_failure_comes_of_garbage(pieces: list[Any]) -> None:
    made, heard = decoder()
    for piece in pieces:
        made.feed(piece if isinstance(piece, bytes) else event(*piece))
    made.finish()
    heard.take()
    assert made.failure in (0, events.BAD, events.BROKEN)


NAMES = st.sampled_from(
    ["delta", "start", "toolUse", "reasoningContent", "text", "input", "usage", "stopReason", "contentBlockIndex"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner)
)


@given(
    st.sampled_from(
        ["messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"]
    ),
    JSON,
)
def test_members_of_any_type(name: str, payload: Any) -> None:
    made, heard = decoder()
    made.feed(event(name, json.dumps(payload).encode()))
    assert made.failure == (0 if isinstance(payload, dict) else events.BAD)
    heard.take()


@given(JSON)
def test_answers_of_any_form(content: Any) -> None:
    body = json.dumps({"output": {"message": {"content": content}}, "usage": content, "stopReason": content}).encode()
    if isinstance(content, list):
        assert completion_of(body, "m").finish == "stop"
    else:
        with pytest.raises(UpstreamFailure):
            completion_of(body, "m")


def test_usage_holds_everything() -> None:
    assert usage_of({"inputTokens": 1, "outputTokens": 2, "totalTokens": 9}).total_tokens == 9
    assert usage_of({"inputTokens": 1, "outputTokens": 2, "cacheWriteInputTokens": 4}).total_tokens == 7
    assert usage_of(None).total_tokens == 0


@pytest.mark.parametrize(
    ("heat", "expected"), [(0.9, 0.5), (0.5, 0.5), (0.1, 0.2), (1, 0.5), (None, None), (True, True), ("hot", "hot")]
)
def test_temperature_is_bounded(heat: Any, expected: Any) -> None:
    options = Options(temperature_min=0.2, temperature_max=0.5)
    body = Request({"messages": [USER], "temperature": heat}, "m", options).body
    assert body.get("inferenceConfig", {}).get("temperature") == expected


def test_numbers_keep_what_they_are() -> None:
    schema = {"type": "object", "properties": {"a": {"maximum": 5, "minimum": 5.0}}}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    body = Request({"messages": [USER], "tools": [tool]}, "m", Options()).body
    found = json.dumps(body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"])
    assert '"maximum": 5, "minimum": 5.0' in found


def test_fields_for_the_model() -> None:
    options = Options(fields={"top_k": 5, "seed": 1})
    assert Request({"messages": [USER], "seed": 2, "n": 3}, "m", options).body["additionalModelRequestFields"] == {
        "top_k": 5, "seed": 2
    }  # fmt: skip


def test_the_callers_request_is_not_changed() -> None:
    chat = {"messages": [USER, {"role": "user", "content": [{"type": "text", "text": "y"}]}], "stop": "a"}
    before = json.dumps(chat)
    Request(chat, "m", Options(claude=True)).body["messages"][0]["content"].append({})
    assert json.dumps(chat) == before


CALLS = [{"id": "c1", "type": "function", "function": {"name": "tide", "arguments": "{}"}}]
HISTORY = [USER, {"role": "assistant", "tool_calls": CALLS}, {"role": "tool", "tool_call_id": "c1", "content": "6 m"}]
TIDE = {"type": "function", "function": {"name": "tide", "description": "Tide.", "parameters": {"type": "object"}}}


@pytest.mark.parametrize(
    ("more", "spec"),
    [
        ({}, {"name": "tide", "inputSchema": {"json": {"type": "object", "properties": {}}}}),
        (
            {"tools": [TIDE], "tool_choice": "none"},
            {"name": "tide", "description": "Tide.", "inputSchema": {"json": {"type": "object"}}},
        ),
        (
            {"tools": [{"type": "hosted"}]},
            {"name": "tide", "inputSchema": {"json": {"type": "object", "properties": {}}}},
        ),
    ],
)
def test_calls_among_the_turns_need_a_description_of_their_tools(more: dict[str, Any], spec: dict[str, Any]) -> None:
    made = Request({"messages": HISTORY, **more}, "m", Options())
    assert made.body["toolConfig"] == {"tools": [{"toolSpec": spec}]}


def test_no_tools_without_calls() -> None:
    for more in ({"tools": [TIDE], "tool_choice": "none"}, {"tools": []}, {}):
        assert "toolConfig" not in Request({"messages": [USER], **more}, "m", Options()).body
