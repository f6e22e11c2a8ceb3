"""Requests and answers that are made to hurt: too deep, of odd types, or long in the way that costs most."""

import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from fastgw.core.errors import GatewayError, UpstreamFailure
from fastgw.endpoints.chat_render import ChatRenderer
from fastgw.providers import bridge
from fastgw.providers.bedrock.embeddings import Cohere, Titan
from fastgw.providers.events import LONG
from fastgw.providers.heard import Heard
from fastgw.providers.media import Media, data_url
from fastgw.providers.native import MAX_EVENT
from fastgw.providers.vertex.embeddings import embedded
from tests.golden.harness import Case, Fixture, Target, binary
from tests.support.limits import timed

FAMILIES = ("anthropic", "bedrock", "vertex")
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


# -- length


def test_results_and_words_that_take_turns() -> None:
    count = 40_000
    result, word = {"role": "tool", "tool_call_id": "a", "content": ""}, {"role": "user", "content": "x"}
    sent = timed(lambda: requested("chat", "anthropic", messages=[HI, *[result, word] * count]))
    [turn] = sent["messages"]
    kinds = [block["type"] for block in turn["content"]]
    assert kinds == ["tool_result"] * count + ["text"] * (count + 1)


def test_results_of_one_call_behind_as_many_calls() -> None:
    count = 30_000
    call = {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "a", "output": "x"}
    sent = timed(lambda: requested("responses", "openai", input=[call, output] * count))
    roles = [message["role"] for message in sent["messages"]]
    assert roles == ["assistant"] + ["tool"] * count + ["assistant"] * (count - 1)


def test_texts_that_become_one() -> None:
    count = 100_000
    content = [{"type": "text", "text": "a" * 30}] * count
    sent = timed(lambda: requested("chat", "bedrock", messages=[{"role": "user", "content": content}]))
    assert sent["messages"] == [{"role": "user", "content": [{"text": "a" * 30 * count}]}]


def test_documents_of_one_name() -> None:
    count = 30_000
    content = [{"type": "file", "file": {"file_data": "data:application/pdf;base64,"}}] * count
    sent = timed(lambda: requested("chat", "bedrock", messages=[{"role": "user", "content": content}]))
    names = [block["document"]["name"] for block in sent["messages"][0]["content"]]
    assert names[:3] == ["document", "document 2", "document 3"]
    assert len(set(names)) == count


SMALL: dict[str, tuple[dict[str, Any], Callable[[list[Any]], dict[str, Any]]]] = {
    "anthropic": (
        {"type": "text", "text": "a" * 30},
        lambda blocks: {"id": "i", "model": "m", "content": blocks},
    ),
    "bedrock": ({"text": "a" * 30}, lambda blocks: {"output": {"message": {"content": blocks}}}),
    "vertex": ({"text": "a" * 30}, lambda blocks: {"candidates": [{"content": {"parts": blocks}}]}),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_an_answer_in_many_pieces(family: str) -> None:
    count = 200_000
    piece, whole = SMALL[family]
    answer = json.dumps(whole([piece] * count)).encode()
    made, _ = timed(lambda: case("chat", family).raw_reply(answer))
    assert json.loads(made)["choices"][0]["message"]["content"] == "a" * 30 * count


def chunk(delta: dict[str, Any]) -> bytes:
    """An event of a chat stream."""
    document = {"id": "i", "model": "m", "choices": [{"index": 0, "delta": delta}]}
    return f"data: {json.dumps(document)}\n\n".encode()


def call_piece(index: int, **function: str) -> dict[str, Any]:
    """A piece of a call."""
    return {"index": index, "id": f"t{index}", "function": function}


def test_a_stream_of_many_calls() -> None:
    count = 30_000
    stream = case("messages", "openai").opened()
    timed(
        lambda: [
            stream.feed(chunk({"tool_calls": [call_piece(n, name="f", arguments="{}") for n in range(at, at + 1000)]}))
            for at in range(0, count, 1000)
        ]
    )
    assert not stream.failure
    assert b'"index":%d' % (count - 1) in stream.finish()


def test_arguments_of_a_call_that_never_gets_a_name() -> None:
    stream = case("messages", "openai").opened()
    piece = chunk({"tool_calls": [call_piece(0, arguments="a" * 30)]}) * 100
    timed(lambda: [stream.feed(piece) for _ in range(2000)])
    out = stream.feed(chunk({"tool_calls": [call_piece(0, name="f")]}))
    assert out.count(b"a" * 30 * 200_000) == 1


def test_ends_of_a_message_with_many_tools() -> None:
    count = 20_000
    stream = case("chat", "anthropic").opened()
    start = {"type": "content_block_start", "content_block": {"type": "tool_use", "id": "t", "name": "f", "input": {}}}
    end = {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 1}}
    starts = "".join(f"data: {json.dumps({**start, 'index': index})}\n\n" for index in range(count))
    timed(lambda: stream.feed((starts + f"data: {json.dumps(end)}\n\n" * count).encode()))
    assert not stream.failure


def test_a_signature_in_many_pieces() -> None:
    stream = case("messages", "bedrock", model="us.anthropic.claude-sonnet-4-5-20250929-v1:0").opened()
    events = [{"contentBlockDelta": {"delta": {"reasoningContent": {"text": "t", "signature": "a" * 30}}}}] * 100
    piece = b"".join(map(binary, events))
    timed(lambda: [stream.feed(piece) for _ in range(2000)])
    assert b"a" * 30 * 200_000 in stream.finish()


def test_the_name_of_a_function_that_gave_many_results() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "n" * 200_000, "arguments": "{}"}}
    turns = [HI, {"role": "assistant", "tool_calls": [call]}]
    results = [{"role": "tool", "tool_call_id": "a", "content": ""}] * 20_000
    case_ = case("chat", "vertex", request={"model": "alias", "messages": turns + results})
    assert len(timed(lambda: case_.raw_sent(False))) < 10_000_000


def test_the_name_of_a_namespace_of_many_tools() -> None:
    inner = [{"type": "function", "name": f"t{n}"} for n in range(20_000)]
    tools = [{"type": "namespace", "name": "n" * 2_000_000, "tools": inner}]
    sent = timed(lambda: requested("responses", "openai", input="hi", tools=tools))
    assert len({tool["function"]["name"] for tool in sent["tools"]}) == 20_000


# -- streams without an end


def test_comments_before_the_first_event_are_not_held_without_end() -> None:
    stream = case("messages", "anthropic").opened()
    comments = b": waiting\n\n" * 10_000
    passed = sum(len(stream.feed(comments)) for _ in range(100))
    assert passed + 2 * MAX_EVENT > 100 * len(comments)
    start = b'data: {"type":"message_start","message":{"id":"i","model":"m"}}\n\n'
    assert stream.feed(start) == start
    assert stream.id == b"i"


def test_a_translated_stream_is_no_larger_than_a_whole_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "MAX_BODY", 100_000)
    stream = case("responses", "openai").opened()
    event = chunk({"content": "a" * 1000})
    fed = 0
    while not stream.failure and fed < 1_000_000:
        stream.feed(event)
        fed += len(event)
    assert (stream.failure, fed // 100_000) == (LONG, 1)
    assert b"event: error" in stream.fail(b"{}")


def test_reasoning_in_tiny_pieces_is_kept_in_few_bytes() -> None:
    heard = Heard(ChatRenderer(b'"m"', include_usage=False))
    tracemalloc.start()
    for _ in range(50_000):
        heard.reasoning("\u3042")
        heard.take()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert heard.said == "\u3042".encode() * 50_000
    assert held < 1_000_000


@pytest.mark.parametrize(
    "url", ["http://[", "https://\u2100.com/a.png", "http://[::1/x.png", "gs://[/a.jpeg", "http://"]
)
def test_addresses_of_no_host(url: str) -> None:
    content = [{"type": "image_url", "image_url": {"url": url}}]
    sent = requested("chat", "vertex", messages=[{"role": "user", "content": content}])
    kind = "image/jpeg" if "jpeg" in url else "image/png"
    assert sent["contents"][0]["parts"] == [{"fileData": {"mimeType": kind, "fileUri": url}}]


# -- embeddings


class Asked:
    """What a call for embeddings says."""

    dimensions = None

    def texts(self) -> list[str]:
        return ["a"]


DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    ("speaker", "body"),
    [
        (Titan, '{"embedding":DEEP}'),
        (Titan, '{"embedding":[1],"more":DEEP}'),
        (Cohere, '{"embeddings":[DEEP]}'),
        (Cohere, '{"embeddings":[[1]],"more":DEEP}'),
        (embedded, '{"predictions":[{"embeddings":{"values":DEEP}}]}'),
        (embedded, '{"predictions":[{"embeddings":{"values":[1],"statistics":{"token_count":DEEP}}}]}'),
    ],
)
def test_deep_embeddings_are_none(speaker: Callable[..., Any], body: str) -> None:
    made = speaker(Asked(), Target("amazon.titan-embed-text-v2:0"))
    with pytest.raises(UpstreamFailure, match="deep"):
        made.answer(body.replace("DEEP", DEEP).encode())


@pytest.mark.parametrize("count", ["1e400", "[]", "{}", '"x"', "9" * 5000, "[" * 500 + "]" * 500])
def test_counts_that_are_none(count: str) -> None:
    body = f'{{"predictions":[{{"embeddings":{{"values":[1],"statistics":{{"token_count":{count}}}}}}}]}}'
    with pytest.raises(UpstreamFailure, match="unparseable"):
        embedded(Asked(), Target("m")).answer(body.encode())


@pytest.mark.parametrize("index", [9, 10, 2**31, 2**63, -1, -(2**40)])
@pytest.mark.parametrize(("dialect", "family"), [("messages", "openai"), ("chat", "anthropic")])
def test_tools_of_any_index(dialect: str, family: str, index: int) -> None:
    start = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    piece = {"type": "input_json_delta", "partial_json": '{"a":"b"}'}
    anthropic = (
        {"type": "content_block_start", "index": index, "content_block": start},
        {"type": "content_block_delta", "index": index, "delta": piece},
    )
    made = (f"data: {json.dumps(event)}\n\n".encode() for event in anthropic)
    calls = ({"name": "f"}, {"arguments": '{"a":"b"}'})
    events = made if family == "anthropic" else [chunk({"tool_calls": [call_piece(index, **one)]}) for one in calls]
    stream = case(dialect, family).opened()
    out = b"".join(map(stream.feed, events))
    assert not stream.failure
    assert out.count(rb"{\"a\":\"b\"}") == 1


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("data:image/PNG;base64,AA==", Media("image/png", "AA==")),
        ("DATA:;BASE64,AA,;", Media("x/y", "AA,;")),
        ("data:a/b;q=1;base64;base64,", Media("a/b", "")),
        ("https://x", None),
    ],
)
def test_data_urls(url: str, found: Media | None) -> None:
    assert data_url(url, "x/y", "p") == found


@pytest.mark.parametrize("url", ["data:", "data:,a", "data:base64,a", "data:;base64", "data:a/b;base64;q=1,a"])
def test_data_urls_that_are_none(url: str) -> None:
    with pytest.raises(GatewayError, match="must be base64"):
        data_url(url, "x/y", "p")
