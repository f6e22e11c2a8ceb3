"""What callers of the Messages and Responses APIs get, and what is counted of it, where the tests of one endpoint would
say the same twice."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.support.families import CLAUDE, OPENAI, Families, families
from tests.support.gateway import API_KEY
from tests.support.observe import total

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
