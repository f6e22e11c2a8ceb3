"""Every way in which a call can fail, as the SDK's own exception with status, type, code and param."""

import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import openai
import pytest

from tests.support.gateway import gateway, resources
from tests.support.mock import mock_upstream
from tests.support.sdk import ALIAS, MESSAGES, SLASHED, UPSTREAM_MODEL, Stack, script

pytestmark = pytest.mark.any_workers


class Told(NamedTuple):
    """What an exception tells besides its class."""

    status: int
    type: str | None
    code: str | None
    param: str | None
    message: str


def refused(call: Callable[[], Any], kind: type[openai.APIStatusError]) -> Told:
    """What the SDK raised; exactly `kind`, with the id of the request and a JSON envelope."""
    with pytest.raises(openai.APIStatusError) as caught:
        call()
    error = caught.value
    assert type(error) is kind
    assert error.response.headers["x-fastgw-request-id"]
    assert "x-fastgw-call-id" not in error.response.headers
    assert error.response.headers["content-type"] == "application/json"
    assert isinstance(error.body, dict)
    # Members without a value are left out, never null.
    assert None not in error.body.values()
    return Told(error.status_code, error.type, error.code, error.param, error.body["message"])


def create(client: openai.OpenAI, model: str = ALIAS, **call: Any) -> Callable[[], Any]:
    return lambda: client.chat.completions.create(**{"model": model, "messages": MESSAGES, **call})


def raw_call(client: openai.OpenAI, body: Any) -> Callable[[], Any]:
    return lambda: client.post("/chat/completions", body=body, cast_to=object)


# -- refused by the gateway

INVALID = "request payload is invalid: invalid JSON request body"


@pytest.mark.parametrize(
    ("changed", "param", "code"),
    [
        ({"messages": "hi"}, "messages", "invalid_parameter"),
        ({"model": 5}, "model", "invalid_parameter"),
        ({"temperature": "hot"}, "temperature", "invalid_parameter"),
        ({"max_tokens": 1.5}, "max_tokens", "invalid_parameter"),
        ({"stream": "yes"}, "stream", "invalid_parameter"),
        ({"messages": [{"content": "a"}]}, "messages[0].role", "missing_parameter"),
        ({"messages": [*MESSAGES, {"role": "user", "content": 5}]}, "messages[1].content", "invalid_parameter"),
    ],
)
def test_invalid_parameter(client: openai.OpenAI, changed: Any, param: str, code: str) -> None:
    told = refused(create(client, extra_body=changed), openai.BadRequestError)
    assert told == Told(400, "invalid_request_error", code, param, INVALID)


@pytest.mark.parametrize("name", ["model", "messages"])
def test_missing_parameter(client: openai.OpenAI, name: str) -> None:
    body: dict[str, Any] = {"model": ALIAS, "messages": MESSAGES}
    del body[name]
    told = refused(raw_call(client, body), openai.BadRequestError)
    assert told == Told(400, "invalid_request_error", "missing_parameter", name, INVALID)


def test_empty_messages(client: openai.OpenAI) -> None:
    told = refused(create(client, messages=[]), openai.BadRequestError)
    text = "request payload is invalid: messages array must not be empty"
    assert told == Told(400, "invalid_request_error", "invalid_parameter", "messages", text)


def test_body_that_is_no_object(client: openai.OpenAI) -> None:
    told = refused(raw_call(client, [1]), openai.BadRequestError)
    assert told == Told(400, "invalid_request_error", None, None, INVALID)


@pytest.mark.parametrize(
    ("key", "code", "message"),
    [
        ("sk-wrong", None, "invalid API key"),
        ("sk-off", "api_key_disabled", "API key has been disabled"),
        ("sk-old", "api_key_expired", "API key has expired"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_unusable_key(sdk: Stack, key: str, code: str | None, message: str, stream: bool) -> None:
    expected = Told(401, "invalid_api_key", code, None, message)
    with sdk.client(api_key=key) as client:
        # The key is looked at before the request is.
        assert refused(create(client, "no-such-model", stream=stream), openai.AuthenticationError) == expected
        assert refused(client.models.list, openai.AuthenticationError) == expected
    assert sdk.mock.stats()["requests"] == 0


@pytest.mark.parametrize("value", ["Basic abc", "bearer sk-test-caller", "Bearer", openai.Omit()])
def test_malformed_credential(client: openai.OpenAI, value: Any) -> None:
    told = refused(create(client, extra_headers={"Authorization": value}), openai.AuthenticationError)
    assert told == Told(401, "invalid_api_key", None, None, "missing or malformed Authorization header")


@pytest.mark.parametrize("stream", [False, True])
def test_model_that_is_not_granted(client: openai.OpenAI, stream: bool) -> None:
    told = refused(create(client, "private", stream=stream), openai.PermissionDeniedError)
    text = 'API key is not allowed to use model "private"'
    assert (told.status, told.type, told.code, told.message) == (403, "permission_denied", None, text)


def test_model_for_other_networks(client: openai.OpenAI) -> None:
    told = refused(create(client, "elsewhere"), openai.PermissionDeniedError)
    text = "Access denied: your client IP is not allowed to access this model"
    assert told == Told(403, "permission_denied", "ip_restricted", None, text)


@pytest.mark.parametrize("stream", [False, True])
def test_unknown_model(client: openai.OpenAI, stream: bool) -> None:
    told = refused(create(client, 'no "such" model', stream=stream), openai.NotFoundError)
    text = 'model "no \\"such\\" model" not found'
    assert told == Told(404, "model_not_found", "model_not_found", "model", text)


def test_path_that_does_not_exist(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.post("/chat/completion", body={}, cast_to=object)
    assert caught.value.response.content == b""
    assert caught.value.response.headers["x-fastgw-request-id"]


def test_body_above_the_limit() -> None:
    with mock_upstream() as mock, gateway(resources(mock.url), {"proxy": {"request_body_limit_bytes": 20_000}}) as gw:
        with openai.OpenAI(base_url=gw.url, api_key=gw.api_key, max_retries=0) as client:
            assert create(client, messages=[{"role": "user", "content": "a" * 19_000}])().choices
            for size in (20_000, 5_000_000):
                call = create(client, messages=[{"role": "user", "content": "a" * size}])
                told = refused(call, openai.APIStatusError)
                text = "request body exceeds 20000-byte limit"
                assert told == Told(413, "invalid_request_error", None, None, text)
        assert mock.stats()["requests"] == 1


# -- refused by the upstream

CLASSES: dict[int, type[openai.APIStatusError]] = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    402: openai.APIStatusError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    408: openai.APIStatusError,
    409: openai.ConflictError,
    413: openai.APIStatusError,
    422: openai.UnprocessableEntityError,
    429: openai.RateLimitError,
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", CLASSES)
def test_upstream_refuses(sdk: Stack, client: openai.OpenAI, status: int, stream: bool) -> None:
    error = {"message": "no, ünd why", "type": "vendor_type", "code": "vendor_code", "param": "messages[0]"}
    extra = script(status=status, error=error)
    told = refused(create(client, stream=stream, extra_body=extra), CLASSES[status])
    assert told == Told(status, "upstream_error", "vendor_code", "messages[0]", "no, ünd why")
    assert sdk.mock.stats()["requests"] == 1
    with sdk.direct() as direct, pytest.raises(CLASSES[status]) as caught:
        create(direct, UPSTREAM_MODEL, stream=stream, extra_body=extra)()
    assert (caught.value.code, caught.value.param) == (told.code, told.param)


def test_upstream_refuses_without_details(client: openai.OpenAI) -> None:
    told = refused(create(client, extra_body=script(status=400, error={"message": "no"})), openai.BadRequestError)
    assert told == Told(400, "upstream_error", None, None, "no")


def test_upstream_refuses_in_plain_text(client: openai.OpenAI) -> None:
    told = refused(create(client, extra_body=script(status=404, raw="<h1>gone</h1>")), openai.NotFoundError)
    assert told == Told(404, "upstream_error", None, None, "<h1>gone</h1>")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [500, 502, 503, 529])
def test_upstream_fails(sdk: Stack, client: openai.OpenAI, status: int, stream: bool) -> None:
    secret = script(status=status, error="stack trace", retry_after=3)
    with pytest.raises(openai.InternalServerError) as caught:
        create(client, stream=stream, extra_body=secret)()
    assert "retry-after" not in caught.value.response.headers
    told = refused(create(client, stream=stream, extra_body=secret), openai.InternalServerError)
    assert told == Told(502, "upstream_error", None, None, f"upstream returned {status}")
    assert sdk.mock.stats()["requests"] == 2


@pytest.mark.parametrize("stream", [False, True])
def test_rate_limit_says_when_to_come_back(client: openai.OpenAI, stream: bool) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        create(client, stream=stream, extra_body=script(status=429, retry_after=17))()
    assert caught.value.response.headers["retry-after"] == "17"
    assert caught.value.code == "rate_limit_exceeded"
    date = {"retry-after": "Wed, 21 Oct 2099 07:28:00 GMT"}
    with pytest.raises(openai.RateLimitError) as caught:
        create(client, stream=stream, extra_body=script(status=429, headers=date))()
    assert "retry-after" not in caught.value.response.headers


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "directives", [{"fault": "reset"}, {"fault": "close"}, {"fault": "garbage"}, {"fault": "close", "at": "mid_head"}]
)
def test_upstream_breaks_the_connection(client: openai.OpenAI, directives: dict[str, Any], stream: bool) -> None:
    call = create(client, stream=stream, extra_body=script(**directives))
    told = refused(call, openai.InternalServerError)
    assert (told.status, told.type, told.code, told.param) == (502, "transport_error", None, None)
    assert told.message.startswith("transport error: ")


@pytest.mark.parametrize("fault", ["reset", "truncate", "close"])
def test_upstream_breaks_off_an_answer(client: openai.OpenAI, fault: str) -> None:
    told = refused(create(client, extra_body=script(fault=fault, at="body")), openai.InternalServerError)
    assert (told.status, told.type) == (502, "transport_error")


@pytest.mark.parametrize("stream", [False, True])
def test_upstream_is_not_there(client: openai.OpenAI, stream: bool) -> None:
    told = refused(create(client, "dead", stream=stream), openai.InternalServerError)
    assert (told.status, told.type, told.code, told.param) == (502, "transport_error", None, None)


@pytest.mark.parametrize(
    "raw", ["<html></html>", "", '{"id":"x"}', '{"id":"x","model":"m","choices":[{}]}', "data: {}\n\n"]
)
def test_upstream_talks_nonsense(client: openai.OpenAI, raw: str) -> None:
    told = refused(create(client, extra_body=script(raw=raw)), openai.InternalServerError)
    assert (told.status, told.type, told.code, told.param) == (502, "upstream_decode_error", None, None)
    assert told.message.startswith("upstream returned an unparseable body: ")


# -- time


@pytest.mark.parametrize("directives", [{"latency_ms": 9_000}, {"first_ms": 9_000}, {"fault": "stall", "at": "body"}])
def test_deadline_of_the_gateway(sdk: Stack, client: openai.OpenAI, directives: dict[str, Any]) -> None:
    started = time.monotonic()
    told = refused(create(client, "quick", extra_body=script(**directives)), openai.InternalServerError)
    assert told == Told(504, "timeout", None, None, "upstream request timed out after 250ms")
    assert 0.25 <= time.monotonic() - started < 5
    stats = sdk.mock.wait(lambda stats: stats["requests_aborted"] == 1)
    assert stats["requests"] == 1


@pytest.mark.parametrize("directives", [{"latency_ms": 9_000}, {"first_ms": 9_000}])
def test_deadline_of_the_gateway_before_a_stream(sdk: Stack, client: openai.OpenAI, directives: dict[str, Any]) -> None:
    call = create(client, "brisk", stream=True, extra_body=script(**directives))
    told = refused(call, openai.InternalServerError)
    assert told == Told(504, "timeout", None, None, "upstream request timed out after 250ms")
    sdk.mock.wait(lambda stats: stats["streams_aborted"] == 1)


@pytest.mark.parametrize("stream", [False, True])
def test_deadline_of_the_client(sdk: Stack, client: openai.OpenAI, stream: bool) -> None:
    with pytest.raises(openai.APITimeoutError):
        create(client, stream=stream, timeout=0.5, extra_body=script(latency_ms=9_000))()
    name = "streams_aborted" if stream else "requests_aborted"
    assert sdk.mock.wait(lambda stats: stats[name] == 1)["requests"] == 1


# -- in the middle of a stream


def broken_stream(client: openai.OpenAI, model: str = ALIAS, **directives: Any) -> tuple[int, openai.APIError]:
    """Chunks before the failure, and the failure."""
    stream = client.chat.completions.create(
        model=model, messages=MESSAGES, stream=True, extra_body=script(**directives)
    )
    seen = 0
    with pytest.raises(openai.APIError) as caught:
        for _ in stream:
            seen += 1
    assert type(caught.value) is openai.APIError
    assert isinstance(caught.value.body, dict)
    assert set(caught.value.body) <= {"message", "type", "code", "param"}
    return seen, caught.value


@pytest.mark.parametrize("fault", ["reset", "close", "truncate", "half_close"])
@pytest.mark.parametrize("at", ["after_events", "mid_event", "before_done"])
def test_upstream_leaves_mid_stream(client: openai.OpenAI, fault: str, at: str) -> None:
    seen, error = broken_stream(client, fault=fault, at=at, events_before=3, tokens=5, cadence_ms=5)
    # before_done: role, five pieces and the finish reason.
    assert seen == (7 if at == "before_done" else 3)
    assert error.type == "stream_aborted"
    assert error.message == "upstream cancelled the response mid-stream"


def test_upstream_stalls_mid_stream(sdk: Stack, client: openai.OpenAI) -> None:
    seen, error = broken_stream(client, "brisk", fault="stall", at="after_events", events_before=3)
    assert (seen, error.type) == (3, "timeout")
    assert error.message == "upstream request timed out after 250ms"


CHUNK = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": []}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"message": "boom", "type": "server_error", "code": "overloaded"}, "overloaded"),
        ({"message": "boom", "code": 429}, None),
        ("boom", None),
    ],
)
def test_upstream_reports_an_error_mid_stream(client: openai.OpenAI, error: Any, code: str | None) -> None:
    seen, raised = broken_stream(client, events=[CHUNK, CHUNK, {"error": error}, CHUNK])
    assert seen == 2
    assert (raised.type, raised.code) == ("upstream_in_band_error", code)
    assert raised.message == "upstream reported an in-band stream error: boom"


@pytest.mark.parametrize("frame", ["not json", {"id": "x"}, {"id": 5, "model": "m", "choices": []}, [1]])
def test_upstream_talks_nonsense_mid_stream(client: openai.OpenAI, frame: Any) -> None:
    seen, error = broken_stream(client, events=[CHUNK, frame, CHUNK])
    assert (seen, error.type) == (1, "upstream_decode_error")


def test_error_before_the_first_chunk_of_a_guarded_stream(client: openai.OpenAI) -> None:
    """With a stream deadline of its own a model's answer begins with its first chunk, so errors keep their status."""
    events = [{"error": {"message": "slow down", "code": "429", "type": "rate"}}]
    told = refused(create(client, "brisk", stream=True, extra_body=script(events=events)), openai.RateLimitError)
    assert told == Told(429, "upstream_error", None, None, "slow down")


@pytest.mark.parametrize("directives", [{"raw": "<html>"}, {"raw": ""}, {"events": []}], ids=["html", "empty", "done"])
def test_guarded_stream_without_a_chunk(client: openai.OpenAI, directives: dict[str, Any]) -> None:
    call = create(client, "brisk", stream=True, extra_body=script(**directives))
    told = refused(call, openai.InternalServerError)
    assert told == Told(502, "stream_aborted", None, None, "upstream cancelled the response mid-stream")


# -- retries


@pytest.mark.parametrize("stream", [False, True])
def test_default_client_retries_what_failed(sdk: Stack, stream: bool) -> None:
    extra = script(status=500, fail_times=2, key="sdk")
    with sdk.client(max_retries=openai.DEFAULT_MAX_RETRIES) as client:
        answer = create(client, stream=stream, extra_body=extra)()
        assert next(iter(answer)).id if stream else answer.choices
    requests = sdk.mock.requests()
    assert len(requests) == 3
    # Each of them is a request of its own to the gateway.
    ids = [dict(request["headers"])["x-fastgw-request-id"] for request in requests]
    assert len(set(ids)) == 3


def test_default_client_waits_as_long_as_it_is_told(sdk: Stack) -> None:
    with sdk.client(max_retries=openai.DEFAULT_MAX_RETRIES) as client:
        started = time.monotonic()
        assert create(client, extra_body=script(status=429, fail_times=1, key="wait", retry_after=1))().choices
    assert time.monotonic() - started >= 1
    assert sdk.mock.stats()["requests"] == 2


def test_default_client_does_not_repeat_a_refusal(sdk: Stack) -> None:
    with sdk.client(max_retries=openai.DEFAULT_MAX_RETRIES) as client:
        with pytest.raises(openai.UnprocessableEntityError):
            create(client, extra_body=script(status=422))()
        with pytest.raises(openai.NotFoundError):
            create(client, "no-such-model")()
    assert sdk.mock.stats()["requests"] == 1


@pytest.mark.parametrize("stream", [False, True])
def test_the_gateway_retries_on_its_own(sdk: Stack, client: openai.OpenAI, stream: bool) -> None:
    answer = create(client, "stubborn", stream=stream, extra_body=script(status=503, fail_times=2, key="own"))()
    assert next(iter(answer)).id if stream else answer.choices
    requests = sdk.mock.requests()
    ids = [dict(request["headers"])["x-fastgw-request-id"] for request in requests]
    assert len(ids) == 3
    assert len(set(ids)) == 1
    assert len({json.dumps(request["body"]) for request in requests}) == 1


def test_alias_of_the_answer(client: openai.OpenAI) -> None:
    assert create(client, SLASHED)().model == SLASHED
    assert create(client, "vendor/mock-gpt-mini")().model == "vendor/mock-gpt-mini"
