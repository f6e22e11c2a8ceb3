"""What callers of the Messages and Responses APIs get, and what is counted of it, where the tests of one endpoint would
say the same twice."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from operator import le
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest

from tests.support.families import CLAUDE, GPT, OPENAI, Families, families
from tests.support.gateway import API_KEY
from tests.support.observe import total, until

HI: list[Any] = [{"role": "user", "content": "hi"}]


@pytest.fixture(scope="module")
def world() -> Iterator[Families]:
    with families() as made:
        yield made


@pytest.fixture
def http(world: Families) -> Iterator[httpx2.Client]:
    headers = {"authorization": f"Bearer {API_KEY}", "content-type": "application/json"}
    with httpx2.Client(base_url=world.gateway.base, headers=headers, timeout=20) as made:
        yield made


# -- streams of an upstream's own dialect that report a failure

START = {
    "type": "message_start",
    "message": {"id": "m", "model": "c", "usage": {"input_tokens": 7, "output_tokens": 3}},
}
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
LIMITED = {"type": "error", "error": {"type": "rate_limit_error", "message": "Slow down."}}
DELTA = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}}
CREATED = {"type": "response.created", "response": {"id": "r", "model": "g"}}
USED = {"usage": {"input_tokens": 7, "output_tokens": 2}}
FAILED = {
    "type": "response.failed",
    "response": {"id": "r", "status": "failed", "error": {"code": "server_error", "message": "Broke."}, **USED},
}
FLAT = {"type": "error", "code": "server_error", "message": "Broke.", "param": None, "sequence_number": 1}
INCOMPLETE = {
    "type": "response.incomplete",
    "response": {"id": "r", "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, **USED},
}


@pytest.mark.parametrize(
    ("family", "events", "status"),
    [
        (CLAUDE, [START, OVERLOADED], "5xx"),
        (CLAUDE, [START, DELTA, OVERLOADED], "5xx"),
        (CLAUDE, [START, LIMITED], "4xx"),
        (CLAUDE, [START, DELTA, {"type": "message_stop"}], "2xx"),
        (OPENAI, [CREATED, FAILED], "5xx"),
        (OPENAI, [CREATED, FAILED, "[DONE]"], "5xx"),
        (OPENAI, [CREATED, FLAT], "5xx"),
        (OPENAI, [CREATED, FLAT, FAILED], "5xx"),
        (OPENAI, [CREATED, INCOMPLETE], "2xx"),
    ],
)
def test_a_native_stream_that_reports_a_failure_is_one(
    world: Families, http: httpx2.Client, family: str, events: list[Any], status: str
) -> None:
    path, body = {
        CLAUDE: ("/v1/messages", {"model": CLAUDE, "messages": HI, "max_tokens": 5}),
        OPENAI: ("/v1/responses", {"model": OPENAI, "input": "hi"}),
    }[family]
    request_id = f"id-{abs(hash(json.dumps(events)))}"
    before = world.gateway.metrics()
    answer = http.post(
        path, json={**body, "stream": True, "mock": {"events": events}}, headers={"x-fastgw-request-id": request_id}
    )
    # The caller gets every byte of it, under the head that went out before.
    assert answer.status_code == 200
    data = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    assert data == [event if isinstance(event, str) else json.dumps(event, separators=(",", ":")) for event in events]
    after = world.gateway.metrics()

    def grown(name: str, **labels: str) -> float:
        return total(after, f"fastgw_{name}", **labels) - total(before, f"fastgw_{name}", **labels)

    whole = status == "2xx"
    events_of = {"handler": "messages" if family == CLAUDE else "responses"}
    assert grown("usage_events_emitted_total", **events_of) == 1
    assert grown("usage_events_emitted_total", **events_of, status_code=status) == 1
    assert grown("deployment_success_responses_total", model=family) == whole
    assert grown("deployment_failure_responses_total", model=family) == (not whole)
    # What was used up to there is charged, and the status that the caller saw is the one of the request.
    assert grown("llm_input_tokens_total", model=family) >= 7
    assert grown("proxy_requests_total", endpoint=path, status="200") == 1
    call = next(
        line
        for line in world.gateway.wait_log(f'call completed request_id="{request_id}"').splitlines()
        if f'call completed request_id="{request_id}"' in line
    )
    assert f"status={ {'2xx': 200, '4xx': 429, '5xx': 502}[status] }" in call


@pytest.mark.parametrize(
    ("response", "status"),
    [
        (FAILED["response"], 502),
        ({"id": "r", "status": "failed", "error": {"code": 429, "message": "Slow down."}, **USED}, 429),
        ({"id": "r", "status": "failed", "error": None, **USED}, 502),
        (INCOMPLETE["response"], 200),
    ],
)
def test_a_whole_native_answer_that_reports_a_failure_is_one(
    world: Families, http: httpx2.Client, response: dict[str, Any], status: int
) -> None:
    request_id = f"id-{abs(hash(json.dumps(response)))}"
    before = world.gateway.metrics()
    body = {"model": OPENAI, "input": "hi", "mock": {"raw": json.dumps(response)}}
    answer = http.post("/v1/responses", json=body, headers={"x-fastgw-request-id": request_id})
    assert (answer.status_code, answer.json()) == (200, response)
    after = world.gateway.metrics()

    def grown(name: str, **labels: str) -> float:
        return total(after, f"fastgw_{name}", **labels) - total(before, f"fastgw_{name}", **labels)

    whole = status == 200
    assert grown("usage_events_emitted_total", handler="responses") == 1
    assert grown("usage_events_emitted_total", handler="responses", status_code=f"{status // 100}xx") == 1
    assert grown("deployment_success_responses_total", model=OPENAI) == whole
    assert grown("deployment_failure_responses_total", model=OPENAI) == (not whole)
    assert grown("llm_input_tokens_total", model=OPENAI) == 7
    assert grown("proxy_requests_total", endpoint="/v1/responses", status="200") == 1
    log = world.gateway.wait_log(f"{request_id}}}: fastgw::proxy: proxy request completed")
    lines = [line for line in log.splitlines() if f"request_id={request_id}}}" in line]
    assert [f" status={status} " in lines[0], " status=200 " in lines[1]] == [True, True]
    assert ('error_kind="upstream_in_band_error" error="upstream reported an in-band error: ' in lines[1]) == (
        not whole
    )


@pytest.mark.parametrize(
    ("path", "body"), [("/v1/chat/completions", {"messages": HI}), ("/v1/responses", {"input": "hi"})]
)
def test_a_start_alone_says_nothing_about_a_translated_answer(
    world: Families, http: httpx2.Client, path: str, body: dict[str, Any]
) -> None:
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    text = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello world"}}
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
    script = {"events": json.dumps([START, block, text, end, {"type": "message_stop"}])}
    before = world.gateway.metrics()
    answer = http.post(path, json={**body, "model": f"{CLAUDE}?{urlencode(script)}", "stream": True})
    assert "Hello world" in answer.text
    after = world.gateway.metrics()
    for kind, count in (("input", 7), ("output", 2), ("total", 9)):
        name, where = f"fastgw_llm_{kind}_tokens_total", {"model": f"{CLAUDE}?*", "endpoint": path}
        assert total(after, name, **where) - total(before, name, **where) == count


def test_a_start_alone_is_a_floor_for_the_output(world: Families, http: httpx2.Client) -> None:
    """Output that was only named when the message began counts as not reported, but no less is counted than that."""
    text = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello world"}}
    usage = {"input_tokens": 7, "cache_read_input_tokens": 100}
    for named, counted in ((1, 2), (9, 9)):
        start = {"type": "message_start", "message": {"id": "m", "usage": {**usage, "output_tokens": named}}}
        events = [start, text, {"type": "message_stop"}]
        before = world.gateway.metrics()
        body = {"model": CLAUDE, "messages": HI, "max_tokens": 5, "stream": True, "mock": {"events": events}}
        assert "Hello world" in http.post("/v1/messages", json=body).text
        after = world.gateway.metrics()
        for kind, count in (("input", 7), ("output", counted), ("total", 107 + counted)):
            name = f"fastgw_llm_{kind}_tokens_total"
            assert total(after, name, model=CLAUDE) - total(before, name, model=CLAUDE) == count


# -- refusals of what cannot be meant, or cannot be translated

TURN = {"role": "user", "content": "hi"}
NO_URL = "only data URLs and http(s) URLs are supported"
FTP = {"type": "image", "source": {"type": "url", "url": "ftp://x"}}
TEXT = {"type": "text", "text": "a"}


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"max_tokens": "5"}, "`max_tokens` must be an integer, 0 or more"),
        ({"max_tokens": -1}, "`max_tokens` must be an integer, 0 or more"),
        ({"max_tokens": True}, "`max_tokens` must be an integer, 0 or more"),
        ({"temperature": "hot"}, "`temperature` must be a number"),
        ({"top_p": []}, "`top_p` must be a number"),
        ({"stop_sequences": "x"}, "`stop_sequences` must be an array of strings"),
        ({"tools": {}}, "`tools` must be an array of objects"),
        ({"tools": [1]}, "`tools` must be an array of objects"),
        ({"tool_choice": "auto"}, "`tool_choice` must be an object"),
        ({"metadata": 1}, "`metadata` must be an object"),
        ({"metadata": {"user_id": 1}}, "`user_id` must be a string"),
        ({"thinking": "on"}, "`thinking` must be an object"),
        ({"output_config": []}, "`output_config` must be an object"),
        ({"system": 5}, "`system` field must be a string or an array of text blocks"),
        ({"system": [5]}, "`system` field must be a string or an array of text blocks"),
        ({"messages": {}}, "missing or non-array `messages` field"),
        ({"messages": [5]}, "messages[0] missing `role`"),
        (
            {"messages": [TURN, {"role": "tool", "content": ""}]},
            "messages[1] role \"tool\" is not 'user', 'assistant' or 'system'",
        ),
        (
            {"messages": [{"role": "user", "content": None}]},
            "messages[0].content must be a string or an array of content blocks",
        ),
        ({"messages": [{"role": "user", "content": [TEXT, 5]}]}, "messages[0].content[1] must be a content block"),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": "x"}]}]},
            "messages[0].content[0] missing `tool_use_id`",
        ),
        (
            {"messages": [{"role": "assistant", "content": [TEXT, {"type": "tool_use", "name": "x", "input": {}}]}]},
            "messages[0].content[1] missing `id`",
        ),
    ],
)
def test_translated_messages_that_are_none(http: httpx2.Client, more: dict[str, Any], text: str) -> None:
    answer = http.post("/v1/messages", json={"model": GPT, "max_tokens": 5, "messages": HI, **more})
    message = f"request payload is invalid: invalid Anthropic body: {text}"
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
    assert (answer.status_code, answer.json()) == (400, error)


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"instructions": ["x"]}, "`instructions` must be a string"),
        ({"temperature": "hot"}, "`temperature` must be a number"),
        ({"max_output_tokens": 1.5}, "`max_output_tokens` must be an integer, 0 or more"),
        ({"user": 5}, "`user` must be a string"),
        ({"reasoning": "high"}, "`reasoning` must be an object"),
        ({"text": "plain"}, "`text` must be an object"),
        ({"tools": ["x"]}, "`tools` must be an array of objects"),
        ({"tool_choice": 1}, "`tool_choice` must be a string or an object"),
        ({"parallel_tool_calls": "no"}, "`parallel_tool_calls` must be a boolean"),
        ({"metadata": []}, "`metadata` must be an object"),
    ],
)
def test_translated_responses_that_are_none(http: httpx2.Client, more: dict[str, Any], text: str) -> None:
    answer = http.post("/v1/responses", json={"model": GPT, "input": "hi", **more})
    [param] = more
    message = f"request payload is invalid: {text}"
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": "invalid_parameter"}
    assert (answer.status_code, answer.json()) == (400, {"error": error})


@pytest.mark.parametrize("stream", ["true", 1, {}, []])
def test_a_stream_that_is_neither_wanted_nor_not(http: httpx2.Client, stream: Any) -> None:
    text = "request payload is invalid: `stream` must be a boolean"
    for model in (GPT, CLAUDE):
        answer = http.post("/v1/messages", json={"model": model, "max_tokens": 5, "messages": HI, "stream": stream})
        error: dict[str, Any] = {"type": "invalid_request_error", "message": text}
        assert (answer.status_code, answer.json()) == (400, {"type": "error", "error": error})
    error |= {"param": "stream", "code": "invalid_parameter"}
    for model in (GPT, OPENAI):
        answer = http.post("/v1/responses", json={"model": model, "input": "hi", "stream": stream})
        assert (answer.status_code, answer.json()) == (400, {"error": error})
    for nothing in (None, False):
        assert http.post("/v1/responses", json={"model": GPT, "input": "hi", "stream": nothing}).status_code == 200


@pytest.mark.parametrize(
    ("messages", "place"),
    [
        ([{"role": "user", "content": [TEXT, {"type": "odd"}, FTP]}], "messages.0.content.2.source"),
        (
            [
                TURN,
                {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "b", "input": {}}]},
                {
                    "role": "user",
                    "content": [
                        TEXT,
                        {"type": "tool_result", "tool_use_id": "a", "is_error": True, "content": [TEXT, FTP]},
                    ],
                },
            ],
            "messages.2.content.1.content.1.source",
        ),
    ],
)
def test_refusals_of_messages_name_the_callers_place(http: httpx2.Client, messages: list[Any], place: str) -> None:
    body = {"model": "nova", "max_tokens": 5, "system": "s", "messages": messages}
    answer = http.post("/v1/messages", json=body)
    message = f"invalid upstream configuration: {NO_URL} ({place})"
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
    assert (answer.status_code, answer.json()) == (400, error)


def test_refusals_of_responses_name_the_callers_place(http: httpx2.Client) -> None:
    text, image = {"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "ftp://x"}
    items: list[Any] = [
        {"type": "reasoning", "summary": []},
        {"role": "user", "content": [text, {"type": "odd"}, image]},
    ]
    answer = http.post("/v1/responses", json={"model": "nova", "instructions": "s", "input": items})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "input[1].content[2].image_url")
    items[1]["content"][2] = {"type": "input_file", "file_id": "f"}
    answer = http.post("/v1/responses", json={"model": "nova", "instructions": "s", "input": items})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "input[1].content[2]")


def test_a_document_that_is_text_is_said(world: Families, http: httpx2.Client) -> None:
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "All of it. "}}
    content = [document, {"type": "text", "text": "What is it?"}]
    body = {"model": GPT, "max_tokens": 5, "messages": [{"role": "user", "content": content}]}
    assert http.post("/v1/messages", json=body).status_code == 200
    assert json.loads(world.sent()["body"])["messages"] == [{"role": "user", "content": "All of it. What is it?"}]


@pytest.mark.parametrize(
    ("path", "events"), [("/v1/messages", 1), ("/v1/responses", 1), ("/v1/messages/count_tokens", 0)]
)
def test_a_request_without_a_model_is_counted(world: Families, http: httpx2.Client, path: str, events: int) -> None:
    before = world.gateway.metrics()
    assert http.post(path, json={"input": "x"}).status_code == 400
    after = world.gateway.metrics()
    where = {"endpoint": path, "model": "unknown", "provider": "unknown", "status": "400"}
    name = "fastgw_proxy_requests_total"
    assert total(after, name, **where) - total(before, name, **where) == 1
    name = "fastgw_usage_events_emitted_total"
    assert total(after, name, status_code="4xx") - total(before, name, status_code="4xx") == events


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses", "/v1/chat/completions"])
def test_texts_that_were_cut_within_a_character(world: Families, http: httpx2.Client, path: str) -> None:
    """As programs do that count in UTF-16 units."""
    text = '"cut \\ud83d"'
    given = f'"input": {text}' if path == "/v1/responses" else f'"messages": [{{"role": "user", "content": {text}}}]'
    answer = http.post(path, content=f'{{"model": "nova", "max_tokens": 5, {given}, "unknown": 1e400}}')
    assert answer.status_code == 200
    assert json.loads(world.sent()["body"])["messages"] == [{"role": "user", "content": [{"text": "cut \ufffd"}]}]


# -- tokens

ASKED: dict[str, tuple[str, dict[str, Any], tuple[str, str]]] = {
    "chat": ("/v1/chat/completions", {"messages": HI}, ("prompt_tokens", "completion_tokens")),
    "messages": ("/v1/messages", {"messages": HI, "max_tokens": 50}, ("input_tokens", "output_tokens")),
    "responses": ("/v1/responses", {"input": "hi"}, ("input_tokens", "output_tokens")),
}
KINDS = (GPT, OPENAI, "azure", CLAUDE, "nova", "gemini")


def read_usage(text: str) -> dict[str, int]:
    """The counters of an answer, or the last ones of each name in a stream."""
    found: dict[str, int] = {}
    data = [line[6:] for line in text.splitlines() if line.startswith("data: {")] or [text]
    for document in map(json.loads, data):
        for holder in (document, document.get("message"), document.get("response")):
            if isinstance(holder, dict) and isinstance(holder.get("usage"), dict):
                found |= {name: count for name, count in holder["usage"].items() if isinstance(count, int)}
    return found


def told(world: Families, counted: Callable[[str], float]) -> float:
    """What the metrics say now."""
    return counted(world.gateway.metrics())


@pytest.mark.parametrize("alias", KINDS)
@pytest.mark.parametrize("dialect", ASKED)
def test_what_callers_read_is_what_is_counted(world: Families, http: httpx2.Client, dialect: str, alias: str) -> None:
    path, body, names = ASKED[dialect]
    for stream in (False, True):
        before = world.gateway.metrics()
        asked = {**body, "model": alias, "stream": stream}
        if stream and dialect == "chat":
            asked["stream_options"] = {"include_usage": True}
        answer = http.post(path, json=asked)
        assert answer.status_code == 200, answer.text
        usage = read_usage(answer.text)
        for name, counter in zip(names, ("llm_input_tokens_total", "llm_output_tokens_total"), strict=True):
            counted = partial(total, name=f"fastgw_{counter}", model=alias, endpoint=path)
            expected = counted(before) + usage[name]
            assert usage[name] > 0, (stream, name)
            assert until(partial(told, world, counted), partial(le, expected)) == expected, (stream, name)


# -- large requests, which are translated beside the event loop

MANY: list[Any] = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}] * 10_000


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("family", [GPT, "nova", "gemini"])
def test_a_large_request(http: httpx2.Client, world: Families, family: str, stream: bool) -> None:
    body = {"model": family, "max_tokens": 5, "stream": stream, "messages": [*MANY, *HI]}
    reply = http.post("/v1/messages", json=body)
    assert reply.status_code == 200
    assert b"message_stop" in reply.content or reply.json()["type"] == "message"
    sent = json.loads(world.sent()["body"])
    assert len(sent.get("contents") or sent["messages"]) == len(MANY) + 1


def test_a_large_request_that_refers_to_what_is_kept_nowhere(http: httpx2.Client, world: Families) -> None:
    body = {"model": CLAUDE, "input": [*MANY, *HI], "previous_response_id": "resp_large"}
    reply = http.post("/v1/responses", json=body, headers={"x-request-id": "large-and-stored"})
    assert reply.status_code == 200
    line = "stored responses cannot be followed by this target"
    until(lambda: world.gateway.log, lambda log: line in log)


def test_a_large_request_that_is_refused(http: httpx2.Client) -> None:
    audio = {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}
    turns = [*MANY, {"role": "user", "content": [audio]}]
    reply = http.post("/v1/chat/completions", json={"model": CLAUDE, "messages": turns})
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == f"messages[{len(MANY)}].content[0]"
