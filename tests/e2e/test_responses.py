"""OpenAI's SDK on the Responses API: at an upstream that has it, and at ones of other protocols."""

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import httpx2
import openai
import pytest
from pydantic import BaseModel

from tests.support.families import CITY, CLAUDE, GPT, OPENAI, UPSTREAM, Families, families
from tests.support.gateway import API_KEY
from tests.support.observe import total, until

TOOLS: list[Any] = [
    {"type": "function", "name": "weather", "description": "The weather.", "parameters": CITY, "strict": True},
    {"type": "custom", "name": "shell", "description": "Runs a command."},
]
CALLS = [{"name": "weather", "arguments": {"city": "Zürich"}}, {"name": "weather", "arguments": {"city": "Ulm"}}]
SCRIPTED = [OPENAI, CLAUDE, GPT]
FAMILIES = [*SCRIPTED, "gemini", "azure", "nova"]


@pytest.fixture(scope="module")
def world() -> Iterator[Families]:
    with families(proxy={"request_body_limit_bytes": 100_000}) as made:
        yield made


@pytest.fixture
def client(world: Families) -> Iterator[openai.OpenAI]:
    with world.openai() as made:
        yield made


@pytest.fixture
def http(world: Families) -> Iterator[httpx2.Client]:
    headers = {"authorization": f"Bearer {API_KEY}", "content-type": "application/json"}
    with httpx2.Client(base_url=world.gateway.base, headers=headers, timeout=20) as made:
        yield made


def scripted(family: str, **directives: Any) -> str:
    """The model name that makes the mock of a family do something."""
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in directives.items()}
    return f"{family}?{urlencode(texts)}"


@pytest.mark.parametrize("family", FAMILIES)
def test_whole(world: Families, client: openai.OpenAI, family: str) -> None:
    raw = client.responses.with_raw_response.create(model=family, input="Say something.", instructions="Be brief.")
    made = raw.parse()
    assert raw.headers["x-fastgw-request-id"]
    assert "x-fastgw-call-id" not in raw.headers
    assert (made.object, made.status, made.error) == ("response", "completed", None)
    assert made.output_text
    assert made.usage is not None
    assert made.usage.total_tokens == made.usage.input_tokens + made.usage.output_tokens > 2
    # Every member that the types demand is there, and is what they demand.
    type(made).model_validate(raw.http_response.json())
    assert API_KEY not in json.dumps(world.sent())
    if family == OPENAI:
        assert made.model == UPSTREAM[OPENAI]
        assert world.sent()["path"] == "/v1/responses"
    else:
        assert made.model == family
        assert made.instructions == "Be brief."


@pytest.mark.parametrize("family", FAMILIES)
def test_text_stream(client: openai.OpenAI, family: str) -> None:
    with client.responses.stream(model=family, input="Say something.") as stream:
        found = list(stream)
        final = stream.get_final_response()
    kinds = [event.type for event in found]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert [event.sequence_number for event in found] == list(range(len(found)))
    deltas = "".join(event.delta for event in found if event.type == "response.output_text.delta")
    assert deltas == final.output_text != ""
    assert final.usage is not None
    assert final.usage.output_tokens > 0


@pytest.mark.parametrize("family", SCRIPTED)
@pytest.mark.parametrize("streamed", [False, True])
def test_tool_conversation(world: Families, client: openai.OpenAI, family: str, streamed: bool) -> None:
    options: dict[str, Any] = {"input": [{"role": "user", "content": "Rain?"}], "tools": TOOLS, "store": False}
    model = scripted(family, tool_calls=CALLS, content="Let me see.", reasoning="Hm, two cities.")
    if streamed:
        with client.responses.stream(model=model, **options) as stream:
            for _ in stream:
                pass
            made: Any = stream.get_final_response()
    else:
        made = client.responses.create(model=model, **options)
    assert [item.type for item in made.output] == ["reasoning", "message", "function_call", "function_call"]
    assert made.output[0].summary[0].text == "Hm, two cities."
    assert made.output_text == "Let me see."
    calls = [item for item in made.output if item.type == "function_call"]
    assert [json.loads(call.arguments) for call in calls] == [{"city": "Zürich"}, {"city": "Ulm"}]
    assert len({call.call_id for call in calls}) == 2
    results = [{"type": "function_call_output", "call_id": call.call_id, "output": "rain"} for call in calls]
    items = [*options["input"], *(item.to_dict() for item in made.output), *results]
    answer = client.responses.create(model=family, input=items, tools=TOOLS)
    assert answer.status == "completed"
    assert answer.output_text
    body = json.loads(world.sent()["body"])
    if family == GPT:
        assert [message["role"] for message in body["messages"]] == ["user", "assistant", "assistant", "tool", "tool"]


@pytest.mark.parametrize("family", [CLAUDE, GPT])
@pytest.mark.parametrize("streamed", [False, True])
def test_custom_tools(client: openai.OpenAI, family: str, streamed: bool) -> None:
    model = scripted(family, tool_calls=[{"name": "shell", "arguments": {"input": "ls -l ✓"}}])
    options: dict[str, Any] = {"input": [{"role": "user", "content": "Files?"}], "tools": TOOLS}
    if streamed:
        with client.responses.stream(model=model, **options) as stream:
            found = list(stream)
            made: Any = stream.get_final_response()
        deltas = [event.delta for event in found if event.type == "response.custom_tool_call_input.delta"]
        assert "".join(deltas) == "ls -l ✓"
    else:
        made = client.responses.create(model=model, **options)
    [call] = made.output
    assert (call.type, call.name, call.input) == ("custom_tool_call", "shell", "ls -l ✓")
    items = [*options["input"], call.to_dict()]
    items.append({"type": "custom_tool_call_output", "call_id": call.call_id, "output": "a.txt"})
    assert client.responses.create(model=family, input=items, tools=TOOLS).status == "completed"


class Place(BaseModel):
    """An answer in a form."""

    city: str


@pytest.mark.parametrize("family", SCRIPTED)
def test_parsed_answers(client: openai.OpenAI, family: str) -> None:
    made = client.responses.parse(model=family, input="Where?", text_format=Place)
    assert made.output_parsed == Place(city="mock")
    with client.responses.stream(model=family, input="Where?", text_format=Place) as stream:
        for _ in stream:
            pass
        assert stream.get_final_response().output_parsed == Place(city="mock")


@pytest.mark.parametrize(("family", "reason"), [(OPENAI, "length"), (GPT, "length"), (CLAUDE, "max_tokens")])
def test_incomplete(client: openai.OpenAI, family: str, reason: str) -> None:
    made = client.responses.create(model=scripted(family, finish=reason), input="x", max_output_tokens=5)
    assert made.status == "incomplete"
    assert made.incomplete_details is not None
    assert made.incomplete_details.reason == "max_output_tokens"
    events = list(client.responses.create(model=scripted(family, finish=reason), input="x", stream=True))
    assert events[-1].type == "response.incomplete"


def test_native_bytes_are_the_upstreams(world: Families, http: httpx2.Client) -> None:
    body: dict[str, Any] = {"model": OPENAI, "input": "x", "include": [], "unknown": 1, "mock": {"reasoning": "hm"}}
    key = {"authorization": "Bearer nonsense"}
    for stream in (False, True):
        body["stream"] = stream
        got = http.post("/v1/responses", json=body)
        sent = world.sent()
        assert json.loads(sent["body"]) == {**body, "model": UPSTREAM[OPENAI]}
        fields = {name.lower(): value for name, value in sent["headers"]}
        assert fields["authorization"] == "Bearer oai-key"
        direct = httpx2.post(world.mock.url + "/responses", json={**body, "model": UPSTREAM[OPENAI]}, headers=key)
        assert got.content == direct.content
        assert got.headers["content-type"] == direct.headers["content-type"]


def test_a_marker_behind_the_last_event_is_relayed(http: httpx2.Client) -> None:
    last = {"type": "response.completed", "response": {"id": "r", "usage": {"input_tokens": 3, "output_tokens": 4}}}
    for events in ([last, "[DONE]"], [last], [{"type": "response.created"}, last, "[DONE]"]):
        body = {"model": OPENAI, "input": "x", "stream": True, "mock": {"events": events}}
        got = http.post("/v1/responses", json=body).content
        assert got.endswith(b"data: [DONE]\n\n") == (events[-1] == "[DONE]")
        assert got.count(b"data:") == len(events)


def test_native_answers_that_are_no_responses(http: httpx2.Client) -> None:
    for raw in ('{"odd": 1.50 }', "[1, 2]", '{"id": 1, "id": 2}'):
        answer = http.post("/v1/responses", json={"model": OPENAI, "input": "x", "mock": {"raw": raw}})
        assert (answer.status_code, answer.text) == (200, raw)
    answer = http.post("/v1/responses", json={"model": OPENAI, "input": "x", "mock": {"raw": "nonsense"}})
    assert (answer.status_code, answer.json()["error"]["type"]) == (502, "upstream_decode_error")


@pytest.mark.parametrize("family", [OPENAI, GPT, CLAUDE])
@pytest.mark.parametrize(
    ("status", "expected"), [(400, 400), (401, 401), (404, 404), (429, 429), (500, 502), (503, 502)]
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors(client: openai.OpenAI, family: str, status: int, expected: int, stream: bool) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.responses.create(model=scripted(family, status=status, retry_after=7), input="x", stream=stream)
    assert caught.value.status_code == expected
    assert isinstance(caught.value.body, dict)
    assert caught.value.response.headers.get("retry-after") == ("7" if status == 429 else None)
    if expected == 502:
        assert caught.value.body == {"message": f"upstream returned {status}", "type": "upstream_error"}


def test_the_providers_own_error_object(http: httpx2.Client) -> None:
    own = {"error": {"message": "m", "type": "t", "param": "input", "code": None, "x": 1}}
    body: dict[str, Any] = {"model": OPENAI, "input": "x", "mock": {"status": 422, "error": own}}
    answer = http.post("/v1/responses", json=body)
    assert (answer.status_code, answer.json()) == (422, own)
    body["mock"] = {"status": 422, "raw": "é" * 1500, "error": "x"}
    answer = http.post("/v1/responses", json=body)
    assert answer.json() == {"error": {"message": "é" * 1024, "type": "upstream_error"}}


@pytest.mark.parametrize(
    ("body", "param", "code", "text"),
    [
        ({}, "model", "missing_parameter", "`model` field missing"),
        ({"model": 5}, "model", "invalid_parameter", "`model` field missing"),
        ({"model": GPT}, "input", "missing_parameter", "`input` field missing"),
        ({"model": GPT, "input": 5}, "input", "invalid_parameter", "`input` must be a string or an array of items"),
        ({"model": GPT, "input": ["a", 5]}, "input[1]", "invalid_parameter", "`input[1]` must be an object"),
    ],
)
def test_refusals_name_the_parameter(http: httpx2.Client, body: Any, param: str, code: str, text: str) -> None:
    answer = http.post("/v1/responses", json=body)
    message = f"request payload is invalid: {text}"
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    assert (answer.status_code, answer.json()) == (400, {"error": error})


def test_refusals_before_a_target(world: Families, http: httpx2.Client) -> None:
    nobody = httpx2.post(world.gateway.base + "/v1/responses", json={"model": GPT})
    assert (nobody.status_code, nobody.json()["error"]["type"]) == (401, "invalid_api_key")
    unknown = http.post("/v1/responses", json={"model": "nix", "input": "x"})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")
    assert http.post("/v1/responses", content=b" " * 100_001).status_code == 413
    assert http.post("/v1/responses", content=b"nonsense").status_code == 400
    wrong = http.get("/v1/responses")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")


def test_state_that_cannot_be_followed_is_logged(world: Families, client: openai.OpenAI) -> None:
    raw = client.responses.with_raw_response.create(model=GPT, input="x", previous_response_id="resp_1")
    assert raw.parse().previous_response_id is None
    assert "previous_response_id" not in json.loads(world.sent()["body"])
    log = world.gateway.wait_log(raw.headers["x-fastgw-request-id"])
    line = world.gateway.wait_log("stored responses cannot be followed by this target")
    assert 'members="previous_response_id"' in line
    assert log
    client.responses.create(model=OPENAI, input="x", previous_response_id="resp_1")
    assert json.loads(world.sent()["body"])["previous_response_id"] == "resp_1"


def test_references_to_items_are_followed_by_who_keeps_them(client: openai.OpenAI, world: Families) -> None:
    items: Any = [{"role": "user", "content": "Hi."}, {"type": "item_reference", "id": "msg_1"}]
    client.responses.create(model=OPENAI, input=items)
    assert json.loads(world.sent()["body"])["input"] == items
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model=GPT, input=items)
    assert (caught.value.param, caught.value.code) == ("input[1]", "unsupported_parameter")
    assert "`store: false`" in caught.value.message


@pytest.mark.parametrize("at", ["body", "mid_event"])
def test_cut_native_streams_are_cut(http: httpx2.Client, at: str) -> None:
    body = {"model": OPENAI, "stream": True, "input": "x", "mock": {"fault": "reset", "at": at}}
    with pytest.raises(httpx2.RemoteProtocolError), http.stream("POST", "/v1/responses", json=body) as answer:
        for piece in answer.iter_bytes():
            assert b"event: error" not in piece


def test_a_native_stream_that_is_cut_behind_its_last_event_is_whole(http: httpx2.Client) -> None:
    last = {"type": "response.completed", "response": {"id": "r", "usage": {"input_tokens": 3, "output_tokens": 4}}}
    mock = {"events": [last, {"type": "never"}], "fault": "reset", "at": "after_events", "events_before": 1}
    answer = http.post("/v1/responses", json={"model": OPENAI, "stream": True, "input": "x", "mock": mock})
    assert answer.status_code == 200
    assert answer.content.count(b"data:") == 1


@pytest.mark.parametrize("at", ["body", "mid_event"])
def test_cut_translated_streams_end_in_an_error(client: openai.OpenAI, at: str) -> None:
    events = list(client.responses.create(model=scripted(GPT, fault="reset", at=at), input="x", stream=True))
    assert events[-1].type == "error"
    assert events[-1].code in ("transport_error", "stream_aborted")


def test_a_translated_stream_that_is_cut_behind_its_last_event_is_whole(client: openai.OpenAI) -> None:
    model = scripted(GPT, fault="reset", at="before_done")
    events = list(client.responses.create(model=model, input="x", stream=True))
    assert [event.type for event in events].index("response.completed") == len(events) - 1


FLAT = {"type": "error", "code": "rate_limit_exceeded", "message": "Slow down.", "param": None, "sequence_number": 0}


def test_error_events_of_native_streams(http: httpx2.Client) -> None:
    events = {"events": [FLAT]}
    # Nothing is sent before the first event when the model has a stream timeout: the error has a status.
    body = {"model": f"{OPENAI}-timed?tokens=1", "stream": True, "input": "x", "mock": events}
    answer = http.post("/v1/responses", json=body)
    assert answer.status_code == 502
    answer = http.post("/v1/responses", json={**body, "model": OPENAI})
    assert answer.status_code == 200
    assert [json.loads(line[6:]) for line in answer.text.split("\n") if line.startswith("data: ")] == [FLAT]


def test_error_events_of_translated_streams(http: httpx2.Client) -> None:
    error = {"error": {"message": "busy", "type": "server_error", "code": 503}}
    chunk = {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"content": "Hi"}}]}
    model = scripted(GPT, events=[chunk, error])
    answer = http.post("/v1/responses", json={"model": model, "stream": True, "input": "x"})
    last = answer.text.strip().split("\n\n")[-1]
    kind, _, data = last.partition("\n")
    assert kind == "event: error"
    assert json.loads(data.removeprefix("data: ")) == {
        "type": "error",
        "code": "upstream_in_band_error",
        "message": "upstream reported an in-band stream error: busy",
    }


@pytest.mark.parametrize("family", SCRIPTED)
@pytest.mark.parametrize("stream", [False, True])
def test_tokens_are_counted(family: str, stream: bool) -> None:
    with families() as world, world.openai() as client:
        made = client.responses.create(model=family, input="Say something.", stream=stream)  # type: ignore[call-overload]
        usage = list(made)[-1].response.usage if stream else made.usage
        metrics = world.gateway.metrics()
        provider = {OPENAI: "openai", CLAUDE: "anthropic", GPT: "mock"}[family]
        where = {"endpoint": "/v1/responses", "model": family, "provider": provider}
        assert total(metrics, "fastgw_llm_input_tokens_total", **where) == usage.input_tokens > 0
        assert total(metrics, "fastgw_llm_output_tokens_total", **where) == usage.output_tokens > 0
        assert total(metrics, "fastgw_proxy_requests_total", **where, status="200") == 1
        assert total(metrics, "fastgw_usage_events_emitted_total", handler="responses", status_code="2xx") == 1
        assert total(metrics, "fastgw_deployment_success_responses_total", model=family) == 1
        assert "provider call completed" in world.gateway.wait_log("provider call completed")


@pytest.mark.parametrize("family", SCRIPTED)
@pytest.mark.parametrize("stream", [False, True])
def test_missing_counters_are_estimated(family: str, stream: bool) -> None:
    with families() as world, world.openai() as client:
        model = scripted(family, usage=False, content="Hello world")
        made = client.responses.create(model=model, input="hi", stream=stream)  # type: ignore[call-overload]
        if stream:
            list(made)
        metrics = world.gateway.metrics()
        assert total(metrics, "fastgw_llm_input_tokens_total", endpoint="/v1/responses") == 8
        assert total(metrics, "fastgw_llm_output_tokens_total", endpoint="/v1/responses") == 2


def test_a_caller_who_leaves_with_the_last_event_has_the_whole_answer() -> None:
    last = {"type": "response.completed", "response": {"id": "r", "usage": {"input_tokens": 3, "output_tokens": 4}}}
    mock = {"events": [last, {"type": "never"}], "fault": "stall", "at": "after_events", "events_before": 1}
    with families() as world:
        data = json.dumps({"model": OPENAI, "stream": True, "input": "x", "mock": mock}).encode()
        head = (
            "POST /v1/responses HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {API_KEY}\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", world.gateway.port), 10) as connection:
            connection.sendall(head.encode() + data)
            received = b""
            while b"response.completed" not in received:
                received += connection.recv(65536)
            where = {"handler": "responses"}
            count = total(world.gateway.metrics(), "fastgw_usage_events_emitted_total", status_code="2xx", **where)
            assert count == 1
        until(lambda: world.mock.stats()["open_streams"], lambda count: count == 0)
        metrics = world.gateway.metrics()
        assert total(metrics, "fastgw_usage_events_emitted_total", **where) == 1
        assert total(metrics, "fastgw_llm_output_tokens_total", endpoint="/v1/responses") == 4
