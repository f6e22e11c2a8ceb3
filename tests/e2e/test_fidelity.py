"""Byte for byte: what goes up is what the caller sent, what comes back is what the upstream sent.

The exceptions are few and listed here: `model` both ways, `stream` and `stream_options` and absent content upwards,
promised usage counters downwards.
"""

import http.client
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.support.gateway import API_KEY
from tests.support.sdk import (
    ALIAS,
    CALLS,
    CONVERSATION,
    MESSAGES,
    PIXEL,
    SCHEMA,
    SLASHED,
    TOOLS,
    UPSTREAM_MODEL,
    Stack,
    arguments,
    script,
)

pytestmark = pytest.mark.any_workers

ODD = (
    '{"zeta": [1.0, 1e5, 1E+5, -0.0, 12345678901234567890, 0.1000, 1e-400, 123456789012345678901234567890.5],'
    ' "alpha" :\t{"b":null,"a":[ ],"":{}}, "text":"\\u00e9\\/\\ud83d\\ude00\\u2028 é \U0001f600 \\u0000 \\ud800"}'
)
"""JSON that no encoder would write like this."""


def post(stack: Stack, body: str | bytes, headers: dict[str, str] | None = None, query: str = "") -> tuple[Any, bytes]:
    """(headers, body) of a successful chat request without an SDK; the body as it came over the wire, unchunked."""
    connection = http.client.HTTPConnection("127.0.0.1", stack.gateway.port, timeout=10)
    try:
        fields = {"authorization": f"Bearer {API_KEY}", "content-type": "application/json"} | (headers or {})
        data = body.encode() if isinstance(body, str) else body
        connection.request("POST", f"/v1/chat/completions{query}", data, fields)
        response = connection.getresponse()
        answer = response.read()
        assert response.status == 200, answer
        return response.headers, answer
    finally:
        connection.close()


def chat_with(stack: Stack, **directives: Any) -> bytes:
    stream = "events" in directives
    body = {"model": ALIAS, "messages": MESSAGES, "stream": stream, "mock": directives}
    return post(stack, json.dumps(body))[1]


# -- answers


def test_answer_bytes(sdk: Stack) -> None:
    answer = (
        '\n{ "vendor":%s,\r\n\t"model" :  "m\\u006fck-%s" , "usage":{"total_tokens": 3,"x":1.0,"prompt_tokens":1 ,'
        '"completion_tokens":2}, "id":"x", "choices":[{"message":{"content":"a\\u0041","role":"assistant", "odd":%s},'
        '"finish_reason":"weird","index":0,"logprobs":null },%s ] , "model_info":{"model":"deep"}, "created":1.5e9} '
    )
    choice = '{"index": 1, "message": {"role": "assistant", "content": null, "model": "kept"}}'
    sent = answer % (ODD, "gpt", ODD, choice)
    expected = sent.replace('"m\\u006fck-gpt"', f'"{ALIAS}"')
    assert chat_with(sdk, raw=sent) == expected.encode()


def test_alias_is_written_as_json(sdk: Stack) -> None:
    raw = '{"id":"x","model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'
    body = json.dumps({"model": SLASHED, "messages": MESSAGES, "mock": {"raw": raw}})
    assert json.loads(post(sdk, body)[1])["model"] == SLASHED


def event(model: str, rest: str) -> str:
    return f'{{"object" : "chat.completion.chunk","model":"{model}" ,"id":"c1", {rest} , "odd":{ODD}}}'


DELTAS = [
    '"choices":[{"delta":{"role":"assistant", "content":"","model":"kept"},"index":0,"finish_reason":null }]',
    '"choices": [ {"delta":{"content":"a\\u0041 \\n"},"index":0.0,"logprobs":{"content":[{"logprob":-1.00}]}} ]',
    '"choices":[{"index":1,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\\"a"}}], "x":1e5}}],'
    '"created":1e9',
    '"choices":[]  , "service_tier" : null',
    '"choices":[{"index":0,"delta":{},"finish_reason":"stop"}], "usage":{"prompt_tokens":1, "completion_tokens":2,'
    '"total_tokens":3,"cost":0.10}',
]


def stream_bytes(model: str) -> bytes:
    return b"".join(b"data: %b\n\n" % event(model, delta).encode() for delta in DELTAS) + b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    "shape",
    [{}, {"line_end": "cr"}, {"line_end": "crlf"}, {"split": 1}, {"split": 5}, {"coalesce": True}],
    ids=lambda shape: "-".join(map(str, shape.values())) or "plain",
)
def test_stream_bytes(sdk: Stack, shape: dict[str, Any]) -> None:
    events = [event("mock-gpt", delta) for delta in DELTAS]
    assert chat_with(sdk, events=events, **shape) == stream_bytes(ALIAS)


def test_last_event_without_blank_line(sdk: Stack) -> None:
    text = stream_bytes("mock-gpt").removesuffix(b"\n\ndata: [DONE]\n\n").decode()
    body = {"model": ALIAS, "messages": MESSAGES, "stream": True, "mock": {"raw": text}}
    assert post(sdk, json.dumps(body))[1] == stream_bytes(ALIAS)


def test_comments_and_other_fields_are_dropped(sdk: Stack) -> None:
    noisy = b": hello\n\nevent: message\nid: 7\nretry: 10\n" + stream_bytes("mock-gpt")
    body = {"model": ALIAS, "messages": MESSAGES, "stream": True, "mock": {"raw": noisy.decode()}}
    assert post(sdk, json.dumps(body))[1] == stream_bytes(ALIAS)


def test_data_of_several_lines_is_one_object(sdk: Stack) -> None:
    """The lines of an event are joined by newlines, which JSON allows between its tokens."""
    payload = '{"id":"c1",\n"model":"m",\n\n"choices":[]}'
    *events, done = chat_with(sdk, events=[payload]).removesuffix(b"\n\n").split(b"\n\n")
    assert done == b"data: [DONE]"
    [received] = events
    lines = [line.removeprefix(b"data: ").removeprefix(b"data:") for line in received.split(b"\n")]
    assert json.loads(b"\n".join(lines)) == {"id": "c1", "model": ALIAS, "choices": []}


@pytest.mark.parametrize("asked", [False, True])
def test_usage_event_reaches_only_who_asked(sdk: Stack, asked: bool) -> None:
    usage = (
        '{"id":"c1","model":"m","choices":[],"usage":{"total_tokens":3.0e0,"prompt_tokens":1,"completion_tokens":2}}'
    )
    text = '{"id":"c1","model":"m","usage":null,"choices":[{"index":0,"delta":{"content":"a"}}]}'
    request: dict[str, Any] = {"model": ALIAS, "messages": MESSAGES, "stream": True, "mock": {"events": [text, usage]}}
    if asked:
        request["stream_options"] = {"include_usage": True}
    seen = post(sdk, json.dumps(request))[1].removesuffix(b"data: [DONE]\n\n").split(b"\n\n")[:-1]
    if asked:
        assert seen == [b"data: " + each.replace('"m"', f'"{ALIAS}"').encode() for each in (text, usage)]
    else:
        # The null is there because the gateway asked for usage; its caller did not.
        assert seen == [b"data: " + text.replace('"m","usage":null', f'"{ALIAS}"').encode()]


def test_success_headers(sdk: Stack) -> None:
    """None of the upstream's fields is relayed."""
    foreign = {"server": "nginx", "x-request-id": "req_1", "set-cookie": "a=b", "x-ratelimit-limit-requests": "9"}
    body = {"model": ALIAS, "messages": MESSAGES, "mock": {"headers": foreign | {"openai-version": "1"}}}
    headers, _ = post(sdk, json.dumps(body))
    names = sorted(name.lower() for name in headers)
    assert names == ["content-length", "content-type", "date", "server", "x-fastgw-call-id", "x-fastgw-request-id"]
    assert headers["content-type"] == "application/json"
    assert headers["server"].startswith("FASTGW/")
    assert headers["x-fastgw-call-id"] == headers["x-fastgw-request-id"]
    headers, _ = post(sdk, json.dumps(body | {"stream": True}))
    names = sorted(name.lower() for name in headers)
    assert names == [
        "cache-control",
        "content-type",
        "date",
        "server",
        "transfer-encoding",
        "x-fastgw-call-id",
        "x-fastgw-request-id",
    ]
    assert (headers["content-type"], headers["cache-control"]) == ("text/event-stream", "no-cache")


# -- requests


@pytest.fixture
def sent(sdk: Stack) -> Iterator[tuple[openai.OpenAI, list[bytes]]]:
    """An SDK client and the bodies that it put on the wire."""
    bodies: list[bytes] = []
    hooks = {"request": [lambda request: bodies.append(request.content)]}
    with openai.DefaultHttpxClient(event_hooks=hooks) as transport, sdk.client(http_client=transport) as client:
        yield client, bodies


EVERYTHING: dict[str, Any] = {
    "messages": CONVERSATION,
    "audio": {"voice": "alloy", "format": "wav"},
    "frequency_penalty": 0.1,
    "logit_bias": {"50256": -100},
    "max_completion_tokens": 99,
    "max_tokens": 100,
    "metadata": {"k": "v"},
    "modalities": ["text"],
    "parallel_tool_calls": False,
    "prediction": {"type": "content", "content": "x"},
    "presence_penalty": -0.5,
    "reasoning_effort": "low",
    "response_format": SCHEMA,
    "seed": 2**62 + 1,
    "service_tier": "auto",
    "stop": ["a", "b"],
    "store": False,
    "temperature": 1,
    "tool_choice": {"type": "function", "function": {"name": "weather"}},
    "tools": TOOLS,
    "top_p": 0.25,
    "user": "u",
    "extra_body": {"top_k": 5, "vendor": {"b": [1.5, None], "a": "é"}, "model_2": "fast-chat"},
}


@pytest.mark.parametrize("name", ["everything", *CALLS])
def test_request_body(sdk: Stack, sent: tuple[openai.OpenAI, list[bytes]], name: str) -> None:
    client, bodies = sent
    client.chat.completions.create(**EVERYTHING, model=ALIAS) if name == "everything" else (
        client.chat.completions.create(**arguments(name, ALIAS))
    )
    [body] = bodies
    assert body.count(b'"model":"fast-chat"') == 1
    expected = body.replace(b'"model":"fast-chat"', b'"model":"mock-gpt"').removesuffix(b"}") + b',"stream":false}'
    assert sdk.recorded()["body"].encode() == expected


@pytest.mark.parametrize("options", [None, {"include_usage": True}, {"include_usage": False}, {"vendor": 1}, {}])
def test_request_body_of_a_stream(sdk: Stack, sent: tuple[openai.OpenAI, list[bytes]], options: Any) -> None:
    client, bodies = sent
    call: dict[str, Any] = {"stream": True} if options is None else {"stream": True, "stream_options": options}
    for _ in client.chat.completions.create(model=ALIAS, messages=MESSAGES, **call):
        pass
    expected = bodies[0].replace(b'"model":"fast-chat"', b'"model":"mock-gpt"')
    if options is None:
        expected = expected.removesuffix(b"}") + b',"stream_options":{"include_usage":true}}'
    assert sdk.recorded()["body"].encode() == expected


def test_odd_request_bytes(sdk: Stack) -> None:
    body = (
        ' {"odd":%s ,\n"messages":[ {"content" :"\\u00e9","role":"user", "odd":%s} ] ,"mod\\u0065l": "fast\\u002dchat"'
        ', "stream":\tnull,"seed":9007199254740993,"temperature":1.00 }'
    ) % ((ODD.replace(" \\ud800", ""),) * 2)  # the mock's own JSON reader refuses half a surrogate pair
    post(sdk, body)
    expected = body.replace('"fast\\u002dchat"', '"mock-gpt"').replace("\tnull,", "\tfalse,").strip()
    assert sdk.recorded()["body"].strip() == expected


@pytest.mark.parametrize("message", [{"role": "assistant", "content": None}, {"role": "assistant"}])
def test_absent_content_becomes_an_empty_text(sdk: Stack, client: openai.OpenAI, message: Any) -> None:
    call = message | {"tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}
    result: Any = {"role": "tool", "tool_call_id": "c", "content": "done"}
    client.chat.completions.create(model=ALIAS, messages=[*MESSAGES, call, result])
    body = json.loads(sdk.recorded()["body"])
    assert body == {"model": UPSTREAM_MODEL, "messages": [*MESSAGES, call | {"content": ""}, result], "stream": False}


def test_large_request(sdk: Stack, sent: tuple[openai.OpenAI, list[bytes]]) -> None:
    client, bodies = sent
    image: Any = {"type": "image_url", "image_url": {"url": PIXEL + "A" * 3_000_000}}
    client.chat.completions.create(model=ALIAS, messages=[{"role": "user", "content": [image]}])
    expected = bodies[0].replace(b'"model":"fast-chat"', b'"model":"mock-gpt"').removesuffix(b"}") + b',"stream":false}'
    assert sdk.recorded()["body"].encode() == expected


# Fields that a caller, its SDK or a proxy before the gateway may send; none of them is the upstream's business.
CALLERS = {
    "cookie": "session=1",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "tracestate": "a=b",
    "x-api-key": "sk-other",
    "x-forwarded-for": "192.0.2.1",
    "forwarded": "for=192.0.2.1",
    "openai-organization": "org",
    "openai-project": "project",
    "openai-beta": "x=1",
    "idempotency-key": "i-1",
    "x-request-id": "mine",
    "te": "trailers",
    "referer": "http://example.org/",
    "x-custom": "1",
}


@pytest.mark.parametrize("stream", [False, True])
def test_upstream_headers(sdk: Stack, stream: bool) -> None:
    options = {"default_headers": CALLERS, "organization": "org-1", "project": "p-1"}
    with sdk.client(**options, default_query={"api-version": "1"}) as client:
        call = client.chat.completions.with_raw_response.create(model=ALIAS, messages=MESSAGES, stream=stream)
    recorded = sdk.recorded()
    headers = {name.lower(): value for name, value in recorded["headers"]}
    assert len(headers) == len(recorded["headers"])
    expected = {
        "host": "{}:{}".format(*sdk.mock.address),
        "authorization": "Bearer up-key",
        "content-type": "application/json",
        "user-agent": "fastgw/0.1",
        "x-fastgw-request-id": call.headers["x-fastgw-request-id"],
        "content-length": str(len(recorded["body"].encode())),
    }
    if stream:
        expected["accept"] = "text/event-stream"
    assert headers == expected
    assert (recorded["method"], recorded["path"]) == ("POST", "/v1/chat/completions")
    assert API_KEY not in json.dumps(recorded)


@pytest.mark.parametrize("asked", ["my-id~1", "x" * 256])
def test_request_id_of_the_caller(sdk: Stack, client: openai.OpenAI, asked: str) -> None:
    create = client.chat.completions.with_raw_response.create
    answer = create(model=ALIAS, messages=MESSAGES, extra_headers={"x-fastgw-request-id": asked})
    assert answer.headers["x-fastgw-request-id"] == answer.headers["x-fastgw-call-id"] == asked
    assert dict(sdk.recorded()["headers"])["x-fastgw-request-id"] == asked


def test_unknown_fields_of_the_answer_reach_the_caller(client: openai.OpenAI) -> None:
    """The SDK keeps what it does not know; so does the gateway."""
    raw = {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "a", "thoughts": [1]},
                "finish_reason": "stop",
                "safety": "low",
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2, "queue_time": 0.5},
        "x_vendor": {"region": "eu"},
    }
    answer = client.chat.completions.create(model=ALIAS, messages=MESSAGES, extra_body=script(raw=json.dumps(raw)))
    assert answer.model_dump(exclude_unset=True, warnings=False) == raw | {"model": ALIAS}
