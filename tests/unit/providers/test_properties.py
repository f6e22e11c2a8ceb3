"""Whatever callers and upstreams send: nothing but the declared errors, and nothing lost that both sides can say."""

import json
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgw.core.errors import GatewayError, UpstreamFailure
from fastgw.endpoints.chat_render import ChatRenderer, chat_completion
from fastgw.endpoints.messages.canonical import chat_of
from fastgw.endpoints.messages.names import short_names
from fastgw.endpoints.messages.native import MessagesStream
from fastgw.endpoints.messages.render import message
from fastgw.endpoints.messages.said import answer_text
from fastgw.endpoints.messages.stream import MessagesRenderer
from fastgw.providers.anthropic.answer import completion_of as read_message
from fastgw.providers.anthropic.request import Request
from fastgw.providers.anthropic.stream import MessagesDecoder
from fastgw.providers.bedrock.converse.content import refuse_remote
from fastgw.providers.bedrock.converse.request import Options
from fastgw.providers.bedrock.converse.request import Request as ConverseRequest
from fastgw.providers.bridge import BridgedStream
from fastgw.providers.heard import Heard
from fastgw.providers.openai.answer import completion_of as read_chat
from fastgw.providers.openai.request import chat_body
from fastgw.providers.openai.stream import ChunkDecoder
from fastgw.resources.models import AutoPromptCaching
from tests.golden.harness import events

TEXT = st.text(max_size=6)
SCALAR = st.none() | st.booleans() | st.integers(-5, 5000) | st.floats(allow_nan=False, allow_infinity=False) | TEXT

# Words that mean something somewhere, so that random documents get past the first look.
WORDS = st.sampled_from(
    [
        "type",
        "text",
        "content",
        "role",
        "user",
        "assistant",
        "system",
        "tool",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "id",
        "input",
        "tool_use",
        "tool_result",
        "tool_use_id",
        "image",
        "image_url",
        "url",
        "source",
        "base64",
        "data",
        "media_type",
        "document",
        "file",
        "file_data",
        "filename",
        "cache_control",
        "messages",
        "tools",
        "tool_choice",
        "stop",
        "stop_sequences",
        "thinking",
        "reasoning_effort",
        "response_format",
        "json_schema",
        "schema",
        "max_tokens",
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "error",
        "delta",
        "text_delta",
        "input_json_delta",
        "partial_json",
        "thinking_delta",
        "signature_delta",
        "index",
        "usage",
        "input_tokens",
        "output_tokens",
        "stop_reason",
        "choices",
        "finish_reason",
        "model",
        "message",
        "content_block",
        "any",
        "auto",
        "low",
        "enabled",
        "budget_tokens",
        "metadata",
        "user_id",
        "output_config",
        "format",
        "is_error",
        "required",
    ]
)
JSON = st.recursive(
    SCALAR | WORDS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=5), max_leaves=25
)
OBJECT = st.dictionaries(WORDS, JSON, max_size=8)
MANY = settings(max_examples=120, deadline=None)


def odd(roles: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Requests whose outline is right and whose details are anything."""
    turn = st.fixed_dictionaries(
        {"role": st.sampled_from(roles)}, optional={"content": JSON | st.lists(OBJECT, max_size=4), "tool_calls": JSON}
    )
    return st.builds(lambda body, turns: {**body, "messages": turns}, OBJECT, st.lists(turn | OBJECT, max_size=4))


@MANY
@given(odd(["user", "assistant", "tool", "system", "developer"]), st.booleans())
def test_any_chat_request_towards_converse(chat: dict[str, Any], claude: bool) -> None:
    before = json.dumps(chat)
    try:
        made = ConverseRequest(chat, "claude-3" if claude else "nova", Options(0.1, 0.5, {"stop": 1}, claude))
        refuse_remote(chat)
    except GatewayError as error:
        assert error.status == 400 or "at least one user" in error.message
    else:
        assert orjson.dumps(made.body)
        turns = made.body["messages"]
        assert all(turn["content"] for turn in turns)
        assert all(a["role"] != b["role"] for a, b in pairwise(turns))
    assert json.dumps(chat) == before


@MANY
@given(odd(["user", "assistant", "tool", "system", "developer"]), st.sampled_from(["claude-3", "claude-sonnet-4-5"]))
def test_any_chat_request_towards_messages(chat: dict[str, Any], model: str) -> None:
    before = json.dumps(chat)
    try:
        made = Request(chat, model, False, AutoPromptCaching(enabled=True))
    except GatewayError as error:
        assert error.status == 400
    else:
        assert orjson.dumps(made.body)
        assert all(turn["content"] for turn in made.body["messages"])
    assert json.dumps(chat) == before


@MANY
@given(odd(["user", "assistant", "system"]), st.sampled_from(["openai", "openrouter", "acme"]))
def test_any_messages_request_towards_chat(body: dict[str, Any], vendor: str) -> None:
    try:
        chat, placed = chat_of(body, short_names(body))
    except GatewayError as error:
        assert error.status == 400
        assert error.message.startswith("request payload is invalid: invalid Anthropic body: ")
        return
    assert orjson.dumps(chat_body(chat, "m", True, vendor))
    Request(chat, "claude", False)
    for turn, (_, _, parts) in zip(chat["messages"], placed, strict=True):
        assert not parts or len(parts) == len(turn["content"])


@MANY
@given(OBJECT | st.fixed_dictionaries({"id": TEXT, "model": TEXT, "content": JSON, "choices": JSON, "usage": JSON}))
def test_any_whole_answer(document: dict[str, Any]) -> None:
    body = orjson.dumps(document)
    answer_text(body)
    for read in (read_message, read_chat):
        try:
            completion = read(body)
        except UpstreamFailure as error:
            assert (error.status, error.type) == (502, "upstream_decode_error")
        else:
            assert json.loads(message(completion, "alias", {}))["content"]
            assert json.loads(chat_completion(completion, "alias"))["choices"]


@given(st.binary(max_size=40))
def test_any_bytes_as_an_answer(body: bytes) -> None:
    for read in (read_message, read_chat):
        with pytest.raises(UpstreamFailure):
            read(body)


def streams() -> list[BridgedStream]:
    made = []
    for decoder in (MessagesDecoder, ChunkDecoder):
        for renderer in (MessagesRenderer(b'"a"', {}), ChatRenderer(b'"a"', include_usage=True)):
            heard = Heard(renderer)
            made.append(BridgedStream(decoder(heard), heard, chunked=False))
    return made


EVENT = OBJECT | st.fixed_dictionaries(
    {"type": WORDS},
    optional={"index": st.integers(0, 2), "delta": OBJECT, "content_block": OBJECT, "message": OBJECT, "usage": OBJECT},
)
CHUNK = st.fixed_dictionaries(
    {"id": TEXT, "model": TEXT, "choices": st.lists(st.dictionaries(WORDS, OBJECT | JSON, max_size=4), max_size=2)},
    optional={"usage": JSON},
)


@MANY
@given(st.lists(EVENT | CHUNK, max_size=6), st.booleans())
def test_any_stream_is_well_formed_or_a_failure(documents: list[dict[str, Any]], whole: bool) -> None:
    wire = [b"data: %b\n\n" % orjson.dumps(document) for document in documents]
    for stream in streams():
        out = b"".join(map(stream.feed, [b"".join(wire)] if whole else wire)) + stream.finish()
        assert stream.ended != bool(stream.failure)
        found = events(out)
        starts = [event for event in found if event != "[DONE]" and event.get("type") == "content_block_start"]
        stops = [event for event in found if event != "[DONE]" and event.get("type") == "content_block_stop"]
        if stream.ended:
            assert [event["index"] for event in starts] == list(range(len(starts)))
            assert sorted(event["index"] for event in stops) == list(range(len(starts)))
            assert found[-1] == "[DONE]" or found[-1] == {"type": "message_stop"}
        assert isinstance(stream.said, bytes)


@MANY
@given(st.lists(EVENT | st.just("nonsense"), max_size=6), st.integers(1, 9))
def test_any_native_stream_is_passed_on(documents: list[Any], size: int) -> None:
    wire = b"".join(b"data: %b\n\n" % orjson.dumps(document) for document in documents)
    stream = MessagesStream(chunked=False)
    out = b"".join(stream.feed(wire[i : i + size]) for i in range(0, len(wire), size)) + stream.finish()
    if stream.failure:
        assert json.loads(stream.failure_data)["type"] == "error"
    else:
        assert wire.startswith(out)
        assert out == wire or b"message_stop" in out
    assert isinstance(stream.said, bytes)


# -- what both sides can say

WORDY = st.text("ab é\n😀", min_size=1, max_size=8).filter(str.strip)
NAME = st.text("abc_", min_size=1, max_size=8)
SCHEMA = st.just({"type": "object", "properties": {"a": {"type": "string"}}})
PICTURE = st.sampled_from(
    [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
        {"type": "image", "source": {"type": "url", "url": "https://h.example/a.png"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JV"}, "title": "t"},
    ]
)
BLOCK = st.builds(lambda text: {"type": "text", "text": text}, WORDY)
CALL = st.builds(
    lambda id, name, given: {"type": "tool_use", "id": id, "name": name, "input": given},
    NAME,
    NAME,
    st.dictionaries(NAME, SCALAR, max_size=3),
)


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Turns as the Messages API writes them: roles alternate, calls are answered in the next turn."""
    turns: list[dict[str, Any]] = []
    answers: list[dict[str, Any]] = []
    for _ in range(draw(st.integers(1, 3))):
        said = draw(st.lists(BLOCK | PICTURE, min_size=1, max_size=3))
        turns.append({"role": "user", "content": answers + said})
        calls = draw(st.lists(CALL, max_size=2, unique_by=lambda call: call["id"]))
        turns.append({"role": "assistant", "content": [draw(BLOCK), *calls]})
        answers = [
            {"type": "tool_result", "tool_use_id": call["id"], "content": draw(WORDY | st.lists(PICTURE, min_size=1))}
            for call in calls
        ]
    if answers:
        turns.append({"role": "user", "content": answers})
    return turns


@MANY
@given(
    conversations(),
    st.fixed_dictionaries(
        {"max_tokens": st.integers(1, 9000)},
        optional={
            "system": WORDY,
            "temperature": st.floats(0, 1),
            "top_p": st.floats(0, 1),
            "stop_sequences": st.lists(WORDY, min_size=1, max_size=3),
            "metadata": st.builds(lambda user: {"user_id": user}, WORDY),
            "tools": st.lists(
                st.builds(lambda n, d, s: {"name": n, "description": d, "input_schema": s}, NAME, WORDY, SCHEMA),
                min_size=1,
                max_size=2,
            ),
            "output_config": st.builds(lambda s: {"format": {"type": "json_schema", "schema": s}}, SCHEMA),
        },
    ),
)
def test_messages_to_chat_and_back(turns: list[dict[str, Any]], more: dict[str, Any]) -> None:
    body = {**more, "messages": turns}
    chat, _ = chat_of(json.loads(json.dumps(body)), {})
    back = Request(chat, "claude-sonnet-4-5", False).body
    assert (back.pop("model"), back.pop("stream")) == ("claude-sonnet-4-5", False)
    # Adjacent texts of a turn are one string in between.
    joined = [{**turn, "content": together(turn["content"])} for turn in turns]
    assert [{**turn, "content": together(turn["content"])} for turn in back.pop("messages")] == joined
    assert back == {name: value for name, value in body.items() if name != "messages"}


def together(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Blocks with adjacent texts joined, and results before everything else."""
    made: list[dict[str, Any]] = []
    for block in sorted(blocks, key=lambda block: block["type"] != "tool_result"):
        if made and block["type"] == made[-1]["type"] == "text":
            made[-1] = {"type": "text", "text": made[-1]["text"] + block["text"]}
        else:
            made.append(block)
    return made
