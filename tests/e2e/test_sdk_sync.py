"""The synchronous OpenAI SDK at the gateway: models, headers, raw and streaming responses, leaving early."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import openai
import pytest

from tests.support.gateway import API_KEY
from tests.support.sdk import ALIAS, MESSAGES, SLASHED, TOOLS, Stack, script, stack
from tests.support.settings import WORKERS

pytestmark = pytest.mark.any_workers

LISTED = sorted([ALIAS, SLASHED, "elsewhere", "quick", "brisk", "stubborn", "dead"], key=str.encode)
PROMPT = 0.1
"""Seconds within which an upstream must learn that its caller has left."""


# -- models


def test_models_list(client: openai.OpenAI) -> None:
    page = client.models.list()
    assert page.object == "list"
    assert [model.id for model in page] == LISTED
    assert {(model.object, model.owned_by) for model in page} == {("model", "mock")}
    assert all(abs(model.created - time.time()) < 60 for model in page)


def test_models_list_of_a_caller_without_models(sdk: Stack) -> None:
    with sdk.client(api_key="sk-none") as client:
        assert list(client.models.list()) == []


@pytest.mark.parametrize("name", LISTED)
def test_models_retrieve(client: openai.OpenAI, name: str) -> None:
    [listed] = [model for model in client.models.list() if model.id == name]
    found = client.models.retrieve(name)
    assert found.model_dump(exclude={"created"}) == listed.model_dump(exclude={"created"})


@pytest.mark.parametrize(
    "path", [quote(SLASHED), quote(SLASHED, safe=""), quote(SLASHED, safe="").replace("%2F", "%2f")]
)
def test_models_retrieve_with_raw_and_escaped_slashes(client: openai.OpenAI, path: str) -> None:
    assert client.get(f"/models/{path}", cast_to=openai.types.Model).id == SLASHED


# `vendor/x` may be called, but a pattern is not a model that could be shown.
@pytest.mark.parametrize(
    "name", ["no-such", "private", "fast-chat/", "FAST-CHAT", "vendor/x", "vendor/*", 'a"b', "é", " "]
)
def test_models_retrieve_unknown(client: openai.OpenAI, name: str) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve(name)
    error = caught.value
    assert (error.type, error.code, error.param) == ("model_not_found", "model_not_found", "model")
    escaped = name.replace('"', '\\"')
    assert isinstance(error.body, dict)
    assert error.body["message"] == f'model "{escaped}" not found'


# -- requests


def test_newer_roles_and_part_types(client: openai.OpenAI) -> None:
    """Roles and content parts that the gateway knows nothing about are the provider's to judge."""
    image = {"type": "image_url", "image_url": {"url": "https://example.org/cat.png", "detail": "high"}}
    messages: list[Any] = [
        {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "user", "content": [{"type": "text", "text": "What?"}, image, image]},
        {"role": "vendor_role", "content": "x"},
    ]
    answer = client.chat.completions.create(model=ALIAS, messages=messages)
    assert answer.usage is not None
    # Per prompt 3, per message 3, a token per four characters, 85 per picture (the mock's arithmetic).
    assert answer.usage.prompt_tokens == 3 + (3 + 3) + (3 + 2 + 2 * 85) + (3 + 1)


def test_one_connection_serves_call_after_call(sdk: Stack, client: openai.OpenAI) -> None:
    for number in range(10):
        text = f"answer {number}"
        call: dict[str, Any] = {"model": ALIAS, "messages": MESSAGES, "extra_body": script(content=text)}
        assert client.chat.completions.create(**call).choices[0].message.content == text
        chunks = client.chat.completions.create(**call, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == text
    # Each worker has its own connections.
    assert len({request["connection"] for request in sdk.mock.requests()}) <= WORKERS


def test_threads_share_a_client(client: openai.OpenAI) -> None:
    texts: dict[int, str | None] = {}

    def call(number: int) -> None:
        extra = script(content=f"answer {number}", latency_ms=number % 5)
        answer = client.chat.completions.create(model=ALIAS, messages=MESSAGES, extra_body=extra)
        texts[number] = answer.choices[0].message.content

    threads = [threading.Thread(target=call, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == {number: f"answer {number}" for number in range(20)}


def test_key_in_another_header(sdk: Stack) -> None:
    """A caller may send its key as `x-api-key` when it sends no Authorization."""
    headers: dict[str, Any] = {"Authorization": openai.Omit(), "x-api-key": API_KEY}
    with sdk.client(api_key="sk-wrong") as client:
        assert client.chat.completions.create(model=ALIAS, messages=MESSAGES, extra_headers=headers).choices
        # A present Authorization decides alone.
        with pytest.raises(openai.AuthenticationError):
            client.chat.completions.create(model=ALIAS, messages=MESSAGES, extra_headers={"x-api-key": API_KEY})


# -- responses


def test_raw_response(client: openai.OpenAI) -> None:
    response = client.chat.completions.with_raw_response.create(model=ALIAS, messages=MESSAGES)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-fastgw-request-id"] == response.headers["x-fastgw-call-id"]
    answer = response.parse()
    assert answer.model == ALIAS
    # `x-request-id` is the name that the SDK looks at; the provider's own one stays with the gateway.
    assert answer._request_id is None


def test_raw_response_of_a_stream(client: openai.OpenAI) -> None:
    response = client.chat.completions.with_raw_response.create(model=ALIAS, messages=MESSAGES, stream=True)
    assert response.headers["content-type"] == "text/event-stream"
    assert response.headers["x-fastgw-request-id"] == response.headers["x-fastgw-call-id"]
    assert len(list(response.parse())) == 14


def test_streaming_response(client: openai.OpenAI) -> None:
    create = client.chat.completions.with_streaming_response.create
    with create(model=ALIAS, messages=MESSAGES) as response:
        assert response.headers["x-fastgw-call-id"]
        assert json.loads(b"".join(response.iter_bytes()))["model"] == ALIAS
    with create(model=ALIAS, messages=MESSAGES, stream=True) as response:
        assert response.headers["x-fastgw-call-id"]
        *lines, end = [line for line in response.iter_lines() if line]
    assert end == "data: [DONE]"
    assert {json.loads(line.removeprefix("data: "))["model"] for line in lines} == {ALIAS}


def test_request_ids_differ(client: openai.OpenAI) -> None:
    create = client.chat.completions.with_raw_response.create
    ids = {create(model=ALIAS, messages=MESSAGES).headers["x-fastgw-request-id"] for _ in range(5)}
    ids |= {client.models.with_raw_response.list().headers["x-fastgw-request-id"]}
    assert len(ids) == 6


def test_chunks_arrive_as_they_are_made(client: openai.OpenAI) -> None:
    """The first chunk is there long before the last one is made: nothing is held back."""
    extra = script(tokens=5, cadence_ms=150)
    started = time.monotonic()
    times = [
        time.monotonic() - started
        for _ in client.chat.completions.create(model=ALIAS, messages=MESSAGES, stream=True, extra_body=extra)
    ]
    # Role, five pieces, finish reason: six gaps, of which a busy machine may see the first ones late.
    assert times[-1] - times[0] >= 0.3


# -- leaving early


def leave(sdk: Stack, go: Callable[[], None]) -> float:
    """Seconds from the client's leaving until the upstream had lost its connection."""
    left = time.time()
    go()
    stats = sdk.mock.wait(lambda stats: stats["last_abort"] is not None)
    return float(stats["last_abort"]) - left


def best_of_ten(measure: Callable[[], float]) -> float:
    """A busy machine may delay some of them by more than the gateway does; the first one in time is enough."""
    return next((delay for delay in (measure() for _ in range(10)) if delay < PROMPT), PROMPT)


@pytest.mark.parametrize("cadence", [5, 8000], ids=["flowing", "silent"])
@pytest.mark.parametrize("how", ["stream", "response", "helper"])
def test_leaving_a_stream_ends_the_upstreams(sdk: Stack, client: openai.OpenAI, how: str, cadence: int) -> None:
    call: dict[str, Any] = {"model": ALIAS, "messages": MESSAGES, "tools": TOOLS}
    call["extra_body"] = script(tokens=5000, cadence_ms=cadence)

    def measure() -> float:
        sdk.mock.reset()
        if how == "helper":
            with client.chat.completions.stream(**call) as events:
                next(iter(events))
                return leave(sdk, events.close)
        stream = client.chat.completions.create(**call, stream=True)
        next(iter(stream))
        return leave(sdk, stream.close if how == "stream" else stream.response.close)

    assert best_of_ten(measure) < PROMPT
    stats = sdk.mock.wait(lambda stats: stats["open_streams"] == 0)
    assert (stats["streams_started"], stats["streams_aborted"]) == (1, 1)


def test_leaving_affects_nobody_else(sdk: Stack, client: openai.OpenAI) -> None:
    call: dict[str, Any] = {"model": ALIAS, "messages": MESSAGES, "stream": True}
    staying = client.chat.completions.create(**call, extra_body=script(tokens=40, cadence_ms=10))
    next(iter(staying))
    for _ in range(5):
        leaving = client.chat.completions.create(**call, extra_body=script(tokens=500, cadence_ms=100))
        next(iter(leaving))
        leaving.close()
        assert client.chat.completions.create(model=ALIAS, messages=MESSAGES).choices
    assert len(list(staying)) == 41
    stats = sdk.mock.wait(lambda stats: stats["open_streams"] == 0)
    assert (stats["streams_aborted"], stats["streams_finished"]) == (5, 1)


# -- connection lost


def test_connection_lost() -> None:
    """A worker dies under its callers: they see a lost connection, nobody sees a complete answer."""
    with stack(proxy={"workers": 1}) as own, own.client() as client, own.client() as other:
        [worker] = own.gateway.workers()
        call: dict[str, Any] = {"model": ALIAS, "messages": MESSAGES}
        extra = script(tokens=500, cadence_ms=10)
        stream = client.chat.completions.create(**call, stream=True, extra_body=extra)
        next(iter(stream))
        failures: list[Exception] = []

        def wait_for_an_answer() -> None:
            with pytest.raises(openai.APIConnectionError) as caught:
                other.chat.completions.create(**call, extra_body=script(latency_ms=9_000))
            failures.append(caught.value)

        waiting = threading.Thread(target=wait_for_an_answer)
        waiting.start()
        own.mock.wait(lambda stats: stats["requests"] == 2)
        os.kill(worker, signal.SIGKILL)
        with pytest.raises(openai.APIConnectionError):
            list(stream)
        waiting.join()
        assert [type(failure) for failure in failures] == [openai.APIConnectionError]
        own.mock.wait(lambda stats: stats["open_streams"] == 0)
        # A client that retries finds the worker's successor.
        with own.client(max_retries=5) as patient:
            assert patient.chat.completions.create(**call).choices
        own.gateway.kill()
        with pytest.raises(openai.APIConnectionError):
            client.chat.completions.create(**call)
