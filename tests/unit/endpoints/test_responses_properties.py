"""Whatever callers and upstreams send: nothing but the declared errors, and well-formed streams of responses."""

import json
from typing import Any

import orjson
from hypothesis import example, given, settings
from hypothesis import strategies as st
from openai.types.responses import Response

from fastgw.core.errors import GatewayError
from fastgw.endpoints.responses.canonical import chat_of, unfollowed
from fastgw.endpoints.responses.native import ResponsesStream
from fastgw.endpoints.responses.render import Shape, response
from fastgw.endpoints.responses.said import answer_text
from fastgw.endpoints.responses.stream import ResponsesRenderer
from fastgw.providers.anthropic.request import Request
from fastgw.providers.anthropic.stream import MessagesDecoder
from fastgw.providers.bridge import BridgedStream
from fastgw.providers.canonical import Completion, ToolCall, Usage
from fastgw.providers.heard import Heard
from fastgw.providers.openai.request import chat_body
from fastgw.providers.openai.stream import ChunkDecoder
from tests.golden.harness import events

TEXT = st.text(max_size=6)
WORDS = st.sampled_from(
    [
        *(
            "type",
            "text",
            "content",
            "role",
            "user",
            "assistant",
            "developer",
            "message",
            "input",
            "input_text",
            "name",
        ),
        *(
            "output_text",
            "input_image",
            "image_url",
            "input_file",
            "file_data",
            "file_id",
            "function",
            "custom",
            "tools",
        ),
        *("function_call", "function_call_output", "custom_tool_call", "call_id", "output", "arguments", "reasoning"),
        *(
            "instructions",
            "tool_choice",
            "format",
            "json_schema",
            "schema",
            "effort",
            "refusal",
            "item_reference",
            "id",
        ),
        *(
            "response",
            "response.completed",
            "response.created",
            "error",
            "usage",
            "delta",
            "response.output_text.delta",
        ),
        *("choices", "index", "tool_calls", "finish_reason", "model", "content_block_start", "content_block_delta"),
        *("text_delta", "partial_json", "input_json_delta", "thinking_delta", "thinking", "message_start", "tool_use"),
    ]
)
SCALAR = st.none() | st.booleans() | st.integers(-5, 5000) | st.floats(allow_nan=False, allow_infinity=False) | TEXT
JSON = st.recursive(
    SCALAR | WORDS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=5), max_leaves=25
)
OBJECT = st.dictionaries(WORDS, JSON, max_size=8)
ITEM = st.fixed_dictionaries(
    {},
    optional={
        "type": WORDS,
        "role": WORDS,
        "content": JSON | st.lists(OBJECT, max_size=3),
        "call_id": TEXT,
        "name": TEXT,
        "output": JSON,
        "arguments": JSON,
        "input": JSON,
    },
)
MANY = settings(max_examples=150, deadline=None)


@MANY
@given(OBJECT, JSON | st.lists(ITEM | OBJECT | TEXT, max_size=4), st.sampled_from(["openai", "acme"]))
@example({}, [{"type": []}, {"type": {}}], "acme")
@example({"tools": [{"type": [], "name": "f"}], "tool_choice": {"type": [], "name": "f"}}, "x", "acme")
@example({"reasoning": [], "text": [], "metadata": []}, [{"role": [], "content": "x"}], "acme")
def test_any_request(body: dict[str, Any], given: Any, vendor: str) -> None:
    body["input"] = given
    before = json.dumps(body)
    shape = Shape("alias", body)
    unfollowed(body)
    try:
        chat, placed = chat_of(body)
        Request(chat, "claude", False)
    except GatewayError as error:
        assert error.status == 400
        assert error.param
    else:
        for message, (_, _, parts) in zip(chat["messages"], placed, strict=True):
            assert not parts or len(parts) == len(message["content"])
        assert orjson.dumps(chat_body(chat, "m", True, vendor))
    assert json.dumps(body) == before
    assert orjson.dumps(shape.response("r", 1, "completed", []))


CALLS = st.lists(st.builds(ToolCall, TEXT, TEXT | st.just("shell"), TEXT | st.just('{"input":"x"}')), max_size=3)
COMPLETION = st.builds(
    lambda text, reasoning, refusal, calls, finish: Completion(
        "i", "m", text=text, reasoning=reasoning, refusal=refusal, tool_calls=calls, finish=finish, usage=Usage(1, 2, 3)
    ),
    *(st.none() | TEXT, st.none() | TEXT, st.none() | TEXT, CALLS, st.sampled_from(["stop", "length", "odd"])),
)
SHELL = {"input": "x", "tools": [{"type": "custom", "name": "shell"}]}


@MANY
@given(COMPLETION)
def test_any_whole_answer(completion: Completion) -> None:
    body = response(completion, Shape("alias", SHELL))
    made = Response.model_validate_json(body)
    assert made.output_text == (completion.text or "")
    said, _ = answer_text(body)
    assert (completion.reasoning or "") + (completion.text or "") + (completion.refusal or "") in said.decode()
    assert len({getattr(item, "call_id", item.id) for item in made.output}) == len(made.output) or completion.tool_calls


def streams() -> list[BridgedStream]:
    made = []
    for decoder in (MessagesDecoder, ChunkDecoder):
        heard = Heard(ResponsesRenderer(Shape("alias", SHELL)))
        made.append(BridgedStream(decoder(heard), heard, chunked=False))
    return made


EVENT = OBJECT | st.fixed_dictionaries(
    {"type": WORDS},
    optional={"index": st.integers(0, 2), "delta": OBJECT, "content_block": OBJECT, "message": OBJECT, "usage": OBJECT},
)
CALL = st.fixed_dictionaries(
    {"index": st.integers(0, 2)},
    optional={"id": TEXT, "function": st.fixed_dictionaries({}, optional={"name": TEXT, "arguments": TEXT})},
)
DELTA = st.fixed_dictionaries(
    {},
    optional={"content": TEXT, "reasoning_content": TEXT, "refusal": TEXT, "tool_calls": st.lists(CALL, max_size=2)},
)
CHOICE = st.fixed_dictionaries({"delta": DELTA | JSON}, optional={"finish_reason": st.none() | st.just("stop")})
CHUNK = st.fixed_dictionaries(
    {"id": TEXT, "model": TEXT, "choices": st.lists(CHOICE, max_size=2)}, optional={"usage": JSON}
)


@MANY
@given(st.lists(EVENT | CHUNK, max_size=8) | st.lists(CHUNK, max_size=8), st.booleans())
def test_any_stream_is_well_formed_or_a_failure(documents: list[dict[str, Any]], whole: bool) -> None:
    wire = [b"data: %b\n\n" % orjson.dumps(document) for document in documents]
    for stream in streams():
        out = b"".join(map(stream.feed, [b"".join(wire)] if whole else wire)) + stream.finish()
        assert stream.ended != bool(stream.failure)
        found = events(out)
        assert [event["sequence_number"] for event in found] == list(range(len(found)))
        if not stream.ended:
            continue
        added = [event for event in found if event["type"] == "response.output_item.added"]
        done = {e["output_index"]: e["item"] for e in found if e["type"] == "response.output_item.done"}
        assert [event["output_index"] for event in added] == list(range(len(added)))
        output = found[-1]["response"]["output"]
        assert [done[index] for index in range(len(added))] == output
        assert [(item["type"], item["id"]) for item in output] == [(e["item"]["type"], e["item"]["id"]) for e in added]
        for index, item in enumerate(output):
            pieces = [e["delta"] for e in found if e["type"].endswith(".delta") and e["output_index"] == index]
            parts = item.get("content") or item.get("summary") or []
            texts = [part.get("text", part.get("refusal")) for part in parts]
            expected = "".join(texts) if parts else item.get("arguments", item.get("input"))
            assert sorted("".join(pieces)) == sorted(expected)


@MANY
@given(st.lists(EVENT | st.just("nonsense"), max_size=6), st.integers(1, 9))
def test_any_native_stream_is_passed_on(documents: list[Any], size: int) -> None:
    wire = b"".join(b"data: %b\n\n" % orjson.dumps(document) for document in documents)
    stream = ResponsesStream(chunked=False)
    out = b"".join(stream.feed(wire[i : i + size]) for i in range(0, len(wire), size)) + stream.finish()
    assert stream.failure or out == wire
    assert isinstance(stream.said, bytes)
