"""Anthropic's SDK: at an upstream of its own kind, and at one that only has chat completions."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import anthropic
import httpx2
import pytest

from tests.support.families import CITY, CLAUDE, GPT, UPSTREAM, Families, families
from tests.support.gateway import API_KEY

HI: list[Any] = [{"role": "user", "content": "Say something."}]
TOOLS: list[Any] = [{"name": "weather", "description": "The weather.", "input_schema": CITY}]
CALLS = [{"name": "weather", "arguments": {"city": "Zürich"}}, {"name": "weather", "arguments": {"city": "Ulm"}}]


@pytest.fixture(scope="module")
def world() -> Iterator[Families]:
    with families(proxy={"request_body_limit_bytes": 100_000}) as made:
        yield made


@pytest.fixture
def client(world: Families) -> Iterator[anthropic.Anthropic]:
    with world.anthropic() as made:
        yield made


@pytest.fixture
def http(world: Families) -> Iterator[httpx2.Client]:
    headers = {"x-api-key": API_KEY, "content-type": "application/json"}
    with httpx2.Client(base_url=world.gateway.base, headers=headers, timeout=20) as made:
        yield made


def scripted(family: str, **directives: Any) -> dict[str, Any]:
    """Model and extra body that make the mock of a family do something."""
    if family == CLAUDE:
        return {"model": CLAUDE, "extra_body": {"mock": directives}}
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in directives.items()}
    return {"model": f"{GPT}?{urlencode(texts)}"}


@pytest.mark.parametrize("family", [CLAUDE, GPT])
def test_whole(world: Families, client: anthropic.Anthropic, family: str) -> None:
    raw = client.messages.with_raw_response.create(model=family, max_tokens=50, messages=HI, system="Be brief.")
    message = raw.parse()
    assert raw.headers["x-fastgw-request-id"]
    assert "x-fastgw-call-id" not in raw.headers
    assert (message.type, message.role, message.model) == ("message", "assistant", family)
    assert (message.stop_reason, message.stop_sequence) == ("end_turn", None)
    assert message.content[0].type == "text"
    assert message.content[0].text.startswith("The mock upstream")
    assert message.usage.input_tokens > 0
    sent = world.sent()
    assert json.loads(sent["body"])["model"] == UPSTREAM[family]
    assert sent["path"] == {CLAUDE: "/v1/messages", GPT: "/v1/chat/completions"}[family]
    assert API_KEY not in json.dumps(sent)


@pytest.mark.parametrize("family", [CLAUDE, GPT])
def test_tool_conversation_streamed(world: Families, client: anthropic.Anthropic, family: str) -> None:
    options = scripted(family, tool_calls=CALLS, content="Let me see.", reasoning="Hm, two cities.")
    with client.messages.stream(max_tokens=50, messages=HI, tools=TOOLS, **options) as stream:
        kinds = [event.type for event in stream]
        message = stream.get_final_message()
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use", "tool_use"]
    inputs = [block.input for block in message.content if block.type == "tool_use"]
    assert inputs == [{"city": "Zürich"}, {"city": "Ulm"}]
    assert message.stop_reason == "tool_use"
    assert message.usage.output_tokens > 0
    results: list[Any] = [
        {"type": "tool_result", "tool_use_id": block.id, "content": "rain"}
        for block in message.content
        if block.type == "tool_use"
    ]
    turns: list[Any] = [*HI, {"role": "assistant", "content": message.content}, {"role": "user", "content": results}]
    answer = client.messages.create(model=family, max_tokens=50, messages=turns, tools=TOOLS)
    assert answer.stop_reason == "end_turn"


@pytest.mark.parametrize("family", [CLAUDE, GPT])
def test_text_stream(world: Families, client: anthropic.Anthropic, family: str) -> None:
    with client.messages.stream(max_tokens=50, messages=HI, **scripted(family, tokens=60, split=9)) as stream:
        text = "".join(stream.text_stream)
        assert text == stream.get_final_text()
    assert len(text.split()) > 50


def test_native_bytes_are_the_upstreams(world: Families, http: httpx2.Client) -> None:
    body = {"model": CLAUDE, "max_tokens": 9, "stream": True, "messages": HI, "mock": {"reasoning": "hm", "tokens": 30}}
    headers = {"anthropic-version": "2023-06-01", "anthropic-beta": "x", "authorization": "Bearer nonsense"}
    got = http.post("/v1/messages", json=body, headers={"authorization": f"Bearer {API_KEY}", "anthropic-beta": "x"})
    direct = httpx2.post(world.mock.origin + "/v1/messages", json={**body, "model": UPSTREAM[CLAUDE]}, headers=headers)
    assert got.content == direct.content
    assert got.headers["content-type"] == direct.headers["content-type"]
    assert got.headers["cache-control"] == "no-cache"


def test_native_headers(world: Families, client: anthropic.Anthropic) -> None:
    client.messages.create(model=CLAUDE, max_tokens=5, messages=HI, extra_headers={"anthropic-beta": "tools-1"})
    fields = [(name.lower(), value) for name, value in world.sent()["headers"]]
    assert ("x-api-key", "ant-key") in fields
    assert [value for name, value in fields if name == "anthropic-version"] == ["2023-06-01"]
    assert not {"authorization", "anthropic-beta"} & dict(fields).keys()


def test_allowed_beta_headers_go_along() -> None:
    with families() as world:
        document = json.loads((world.gateway.directory / "resources.yaml").read_text())
        for key in document["provider_keys"]:
            key["request"] = {"forward_client_headers": ["anthropic-*"], "default_body_fields": {"top_k": 4}}
            key["response"] = {"content_list_to_string": True}
        world.gateway.write_resources(document)
        world.gateway.reload()
        world.gateway.wait_log("resources file reloaded")
        with world.anthropic() as client:
            blocks: list[Any] = [{"role": "user", "content": [{"type": "text", "text": "x"}]}]
            client.messages.create(
                model=CLAUDE,
                max_tokens=5,
                messages=blocks,
                extra_headers={"anthropic-beta": "a", "anthropic-version": "b"},
            )
        sent = world.sent()
        fields = [(name.lower(), value) for name, value in sent["headers"] if name.lower().startswith("anthropic")]
        assert sorted(fields) == [("anthropic-beta", "a"), ("anthropic-version", "2023-06-01")]
        body = json.loads(sent["body"])
        assert body["top_k"] == 4
        assert body["messages"] == blocks


def test_count_tokens(world: Families, client: anthropic.Anthropic, http: httpx2.Client) -> None:
    assert client.messages.count_tokens(model=CLAUDE, messages=HI, tools=TOOLS).input_tokens > 0
    sent = world.sent()
    assert sent["path"] == "/v1/messages/count_tokens"
    assert json.loads(sent["body"])["model"] == UPSTREAM[CLAUDE]
    for model in (GPT, f"{GPT}?a=b", "nova", "gemini"):
        with pytest.raises(anthropic.BadRequestError) as caught:
            client.messages.count_tokens(model=model, messages=HI)
        assert caught.value.body == {
            "type": "error",
            "error": {
                "type": "invalid_request_error",
                "message": f"request payload is invalid: model `{model}` is not backed by an Anthropic-protocol "
                "upstream; /v1/messages/count_tokens requires a model whose provider key uses the anthropic adapter",
            },
        }
    answer = http.post("/v1/messages/count_tokens", json={"model": CLAUDE, "messages": HI})
    assert set(answer.json()) == {"input_tokens"}


def envelope(answer: httpx2.Response) -> tuple[int, str, str]:
    document = answer.json()
    assert set(document) == {"type", "error"}
    assert document["type"] == "error"
    assert set(document["error"]) == {"type", "message"}
    return answer.status_code, document["error"]["type"], document["error"]["message"]


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
def test_envelopes(world: Families, http: httpx2.Client, path: str) -> None:
    body = {"model": CLAUDE, "max_tokens": 1, "messages": HI}
    none = httpx2.post(world.gateway.base + path, json=body)
    assert envelope(none) == (401, "authentication_error", "missing or malformed Authorization header")
    assert envelope(http.post(path, json={**body, "model": "nix"})) == (
        404, "not_found_error", 'model "nix" not found'
    )  # fmt: skip
    missing = (400, "invalid_request_error", "request payload is invalid: `model` field missing")
    assert envelope(http.post(path, json={"messages": HI})) == missing
    assert envelope(http.post(path, json={**body, "model": 5})) == missing
    bad = (400, "invalid_request_error", "request payload is invalid: invalid JSON request body")
    assert envelope(http.post(path, content=b"nonsense")) == bad
    assert envelope(http.post(path, content=json.dumps(body), headers={"content-type": "text/plain"})) == bad
    large = http.post(path, content=b" " * 100_001)
    assert envelope(large) == (413, "request_too_large", "request body exceeds 100000-byte limit")
    wrong = http.get(path)
    assert (wrong.status_code, wrong.headers["allow"], wrong.content) == (405, "POST", b"")


def test_invalid_bodies_of_translated_requests(http: httpx2.Client) -> None:
    for body, text in (
        ({}, "missing or non-array `messages` field"),
        (
            {"messages": [{"role": "robot", "content": ""}]},
            "messages[0] role \"robot\" is not 'user', 'assistant' or 'system'",
        ),
    ):
        status, kind, message = envelope(http.post("/v1/messages", json={"model": GPT, **body}))
        assert (status, kind) == (400, "invalid_request_error")
        assert message == f"request payload is invalid: invalid Anthropic body: {text}"


@pytest.mark.parametrize(
    ("status", "expected", "kind"),
    [
        (400, 400, "invalid_request_error"),
        (401, 401, "authentication_error"),
        (404, 404, "not_found_error"),
        (429, 429, "rate_limit_error"),
        (500, 502, "api_error"),
        (529, 502, "api_error"),
    ],
)
@pytest.mark.parametrize("family", [CLAUDE, GPT])
@pytest.mark.parametrize("stream", [False, True])
def test_errors(client: anthropic.Anthropic, family: str, status: int, expected: int, kind: str, stream: bool) -> None:
    with pytest.raises(anthropic.APIStatusError) as caught:
        client.messages.create(max_tokens=5, messages=HI, stream=stream, **scripted(family, status=status))
    assert caught.value.status_code == expected
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["error"]["type"] == kind
    if expected == 502:
        assert caught.value.body["error"]["message"] == f"upstream returned {status}"


def test_the_providers_own_error_object(http: httpx2.Client) -> None:
    own = {"type": "error", "error": {"type": "invalid_request_error", "message": "m", "x": 1}, "request_id": "r"}
    body = {"model": CLAUDE, "messages": HI, "mock": {"status": 422, "error": own}}
    answer = http.post("/v1/messages", json=body)
    assert (answer.status_code, answer.json()) == (422, own)
    foreign = {**body, "mock": {"status": 422, "raw": "é" * 600, "error": "x"}}
    assert envelope(http.post("/v1/messages", json=foreign)) == (422, "invalid_request_error", "é" * 512 + "…")


def test_native_answers_that_are_no_messages(http: httpx2.Client) -> None:
    body: dict[str, Any] = {"model": CLAUDE, "messages": HI}
    for raw in ('{"odd": 1.50 }', "[1, 2]", '{"id": 1, "id": 2}'):
        body["mock"] = {"raw": raw}
        answer = http.post("/v1/messages", json=body)
        assert (answer.status_code, answer.text) == (200, raw)
    body["mock"] = {"raw": "nonsense"}
    status, kind, message = envelope(http.post("/v1/messages", json=body))
    assert (status, kind) == (502, "api_error")
    assert message.startswith("upstream returned an unparseable body: ")


@pytest.mark.parametrize("at", ["body", "mid_event"])
def test_cut_native_streams_are_cut(http: httpx2.Client, at: str) -> None:
    body = {"model": CLAUDE, "max_tokens": 5, "stream": True, "messages": HI, "mock": {"fault": "reset", "at": at}}
    with pytest.raises(httpx2.RemoteProtocolError), http.stream("POST", "/v1/messages", json=body) as answer:
        for piece in answer.iter_bytes():
            assert b"event: error" not in piece


@pytest.mark.parametrize("at", ["body", "mid_event"])
def test_cut_translated_streams_end_in_an_error(client: anthropic.Anthropic, at: str) -> None:
    options = scripted(GPT, fault="reset", at=at)
    with pytest.raises(anthropic.APIStatusError) as caught:
        list(client.messages.create(max_tokens=5, messages=HI, stream=True, **options))
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["error"]["type"] in ("transport_error", "stream_aborted")


def test_a_translated_stream_that_is_cut_behind_its_last_event_is_whole(client: anthropic.Anthropic) -> None:
    # The finish reason and the counters have come, only `[DONE]` is missing: nothing may follow `message_stop`.
    options = scripted(GPT, fault="reset", at="before_done")
    events = list(client.messages.create(max_tokens=5, messages=HI, stream=True, **options))
    assert [event.type for event in events].index("message_stop") == len(events) - 1


OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
START = {"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 1}}}


def test_error_events_of_native_streams(http: httpx2.Client) -> None:
    body = {"model": CLAUDE, "stream": True, "messages": HI}
    for events in ([OVERLOADED], [START, OVERLOADED]):
        answer = http.post("/v1/messages", json={**body, "mock": {"events": events}})
        assert answer.status_code == 200
        last = answer.text.strip().splitlines()[-1]
        assert json.loads(last.removeprefix("data: ")) == OVERLOADED
    # With a budget of its own for the first event the target's failure is an answer with a status, after a retry.
    body["model"] = f"{CLAUDE}-timed"
    answer = http.post("/v1/messages", json={**body, "mock": {"events": [OVERLOADED]}})
    assert envelope(answer) == (502, "api_error", "upstream returned 529")


def test_error_events_of_translated_streams(http: httpx2.Client) -> None:
    event = {"error": {"message": "broke", "code": 429}}
    name = urlencode({"events": json.dumps([event])})
    answer = http.post("/v1/messages", json={"model": f"{GPT}?{name}", "stream": True, "messages": HI})
    assert answer.status_code == 200
    assert answer.text == (
        'event: error\ndata: {"type":"error","error":{"type":"upstream_in_band_error",'
        '"message":"upstream reported an in-band stream error: broke"}}\n\n'
    )
    answer = http.post("/v1/messages", json={"model": f"{GPT}-timed?{name}", "stream": True, "messages": HI})
    assert envelope(answer) == (429, "rate_limit_error", "broke")


def tokens(metrics: str, name: str, model: str) -> float:
    lines = [
        line for line in metrics.splitlines() if line.startswith(f"fastgw_{name}{{") and f'model="{model}"' in line
    ]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if 'endpoint="/v1/messages"' in line)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("family", [CLAUDE, GPT])
def test_usage_is_counted(world: Families, client: anthropic.Anthropic, family: str, stream: bool) -> None:
    usage: dict[str, Any] = {"input_tokens": 400, "output_tokens": 30, "cache_read_input_tokens": 5}
    if family == GPT:
        usage = {"prompt_tokens": 400, "completion_tokens": 30, "total_tokens": 430}
    options = scripted(family, usage=usage)
    before = world.gateway.metrics()
    if stream:
        with client.messages.stream(max_tokens=5, messages=HI, **options) as events:
            got = events.get_final_message().usage
    else:
        got = client.messages.create(max_tokens=5, messages=HI, **options).usage
    assert (got.input_tokens, got.output_tokens) == (400, 30)
    after = world.gateway.metrics()
    model = CLAUDE if family == CLAUDE else f"{GPT}?*"
    for name, count in (("llm_input_tokens_total", 400), ("llm_output_tokens_total", 30)):
        assert tokens(after, name, model) - tokens(before, name, model) == count
    label = "anthropic" if family == CLAUDE else "mock"
    assert f'endpoint="/v1/messages",inbound_protocol="anthropic",provider="{label}",model="{model}"' in after


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("family", [CLAUDE, GPT])
def test_missing_usage_is_estimated(world: Families, client: anthropic.Anthropic, family: str, stream: bool) -> None:
    options = scripted(family, usage=False, content="Hello world")
    before = world.gateway.metrics()
    messages: list[Any] = [{"role": "user", "content": "hi"}]
    answer = client.messages.create(max_tokens=5, messages=messages, stream=stream, **options)
    if stream:
        for _ in answer:
            pass
    after = world.gateway.metrics()
    model = CLAUDE if family == CLAUDE else f"{GPT}?*"
    for name, count in (("llm_input_tokens_total", 8), ("llm_output_tokens_total", 2)):
        assert tokens(after, name, model) - tokens(before, name, model) == count
