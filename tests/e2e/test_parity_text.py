"""Embeddings and text completions: the SDK sees what it would see of the provider itself, and waits no longer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest

from tests.support.sdk import ALIAS, MESSAGES, UPSTREAM_MODEL, Stack, comparable, script

pytestmark = pytest.mark.any_workers

TEXTS = ["first", "zwei ✓", "x" * 5000]
INPUTS: dict[str, Any] = {
    "text": "a text",
    "batch": TEXTS,
    "large_batch": [f"text {number}" for number in range(2048)],
    "tokens": [1, 2, 300000],
    "token_batch": [[1, 2], [3]],
}
SHAPES: dict[str, dict[str, Any]] = {
    "default": {},
    "float": {"encoding_format": "float"},
    "base64": {"encoding_format": "base64"},
    "dimensions": {"dimensions": 3, "encoding_format": "float"},
    "more": {"user": "someone", "extra_body": {"vendor": {"deep": [1e-7, None]}}},
}
PROMPTS: dict[str, dict[str, Any]] = {
    "plain": {"prompt": "Once"},
    "batch": {"prompt": ["Once", "upon"]},
    "tokens": {"prompt": [1, 2, 3]},
    "choices": {"prompt": "Once", "n": 3, "logprobs": 2},
    "more": {"prompt": "a", "suffix": "z", "stop": ["\n"], "seed": 7, "extra_body": {"vendor": [1.50]}},
    "unicode": {"prompt": "a", "extra_body": script(content="naïve \u2028 \x7f \\ \n end", tokens=5)},
    "large": {"prompt": "a", "extra_body": script(answer_bytes=200_000, tokens=20)},
    "nothing": {"prompt": "a", "extra_body": script(content="", tokens=0)},
    "split_writes": {"prompt": "a", "extra_body": script(split=5)},
    "no_usage": {"prompt": "a", "extra_body": script(usage=False)},
}


@pytest.fixture
def direct(sdk: Stack) -> Iterator[openai.OpenAI]:
    with sdk.direct() as opened:
        yield opened


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("given", ["text", "batch", "tokens", "token_batch"])
def test_embeddings(client: openai.OpenAI, direct: openai.OpenAI, given: str, shape: str) -> None:
    call = {"input": INPUTS[given], **SHAPES[shape]}
    expected = direct.embeddings.create(model=UPSTREAM_MODEL, **call)
    answer = client.embeddings.create(model=ALIAS, **call)
    assert comparable(answer) == comparable(expected)
    assert answer.model == UPSTREAM_MODEL
    assert [item.index for item in answer.data] == list(range(len(expected.data)))


def test_a_large_batch_of_embeddings(client: openai.OpenAI, direct: openai.OpenAI) -> None:
    call: dict[str, Any] = {"input": INPUTS["large_batch"], "dimensions": 64}
    answer = client.embeddings.create(model=ALIAS, **call)
    assert comparable(answer) == comparable(direct.embeddings.create(model=UPSTREAM_MODEL, **call))
    assert len(answer.data) == 2048


@pytest.mark.parametrize("name", PROMPTS)
def test_completions(client: openai.OpenAI, direct: openai.OpenAI, name: str) -> None:
    expected = direct.completions.create(model=UPSTREAM_MODEL, **PROMPTS[name])
    answer = client.completions.create(model=ALIAS, **PROMPTS[name])
    assert comparable(answer) == comparable(expected)
    assert answer.model == UPSTREAM_MODEL


@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": True}}], ids=["bare", "usage"])
@pytest.mark.parametrize("name", PROMPTS)
def test_streamed_completions(client: openai.OpenAI, direct: openai.OpenAI, name: str, options: Any) -> None:
    expected = list(direct.completions.create(model=UPSTREAM_MODEL, stream=True, **PROMPTS[name], **options))
    chunks = list(client.completions.create(model=ALIAS, stream=True, **PROMPTS[name], **options))
    assert comparable(chunks) == comparable(expected)
    assert len({chunk.id for chunk in chunks}) == 1


def test_asynchronous_clients(sdk: Stack, direct: openai.OpenAI) -> None:
    async def calls() -> tuple[Any, Any, Any]:
        async with sdk.async_client() as client:
            vectors = await client.embeddings.create(model=ALIAS, input=TEXTS)
            text = await client.completions.create(model=ALIAS, prompt="Once")
            chunks = [chunk async for chunk in await client.completions.create(model=ALIAS, prompt="Once", stream=True)]
        return vectors, text, chunks

    vectors, text, chunks = asyncio.run(calls())
    assert comparable(vectors) == comparable(direct.embeddings.create(model=UPSTREAM_MODEL, input=TEXTS))
    assert comparable(text) == comparable(direct.completions.create(model=UPSTREAM_MODEL, prompt="Once"))
    expected = list(direct.completions.create(model=UPSTREAM_MODEL, prompt="Once", stream=True))
    assert comparable(chunks) == comparable(expected)


# -- heads

Call = Callable[..., Any]
RAW: dict[str, Call] = {
    "chat": lambda c, **more: c.chat.completions.with_raw_response.create(model=ALIAS, messages=MESSAGES, **more),
    "completions": lambda c, **more: c.completions.with_raw_response.create(model=ALIAS, prompt="a", **more),
    "embeddings": lambda c, **more: c.embeddings.with_raw_response.create(model=ALIAS, input="a", **more),
}


@pytest.mark.parametrize("name", RAW)
@pytest.mark.parametrize("stream", [False, True])
def test_raw_responses(sdk: Stack, client: openai.OpenAI, name: str, stream: bool) -> None:
    if name == "embeddings" and stream:
        # Not a member of that request: it goes along like any unknown one.
        raw = RAW[name](client, extra_body={"stream": True})
    else:
        raw = RAW[name](client, extra_headers={"x-fastgw-request-id": "asked"}, **({"stream": True} if stream else {}))
        assert raw.headers["x-fastgw-request-id"] == "asked"
    streamed = stream and name != "embeddings"
    assert raw.status_code == 200
    assert raw.headers["content-type"] == ("text/event-stream" if streamed else "application/json")
    assert ("cache-control" in raw.headers) == streamed
    assert raw.headers["server"].startswith("FASTGW/")
    assert raw.headers.get("x-fastgw-call-id") == (raw.headers["x-fastgw-request-id"] if name == "chat" else None)
    assert dict(sdk.recorded()["headers"])["x-fastgw-request-id"] == raw.headers["x-fastgw-request-id"]
    parsed = raw.parse()
    assert list(parsed) if streamed else parsed.model


# -- retries of the client


class Clock:
    """The `time` of the SDK: naps are noted, not taken."""

    def __init__(self) -> None:
        self.naps: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("openai._base_client.time", made)
    return made


@pytest.mark.parametrize("name", RAW)
def test_a_forwarded_retry_after_is_what_the_client_waits(sdk: Stack, clock: Clock, name: str) -> None:
    with sdk.client(max_retries=2) as client:
        mock = script(status=429, fail_times=2, key=f"hint-{name}", retry_after=7)
        assert RAW[name](client, extra_body=mock).status_code == 200
    assert clock.naps == [7, 7]
    assert sdk.mock.stats()["requests"] == 3


@pytest.mark.parametrize("name", RAW)
def test_a_hint_on_another_status_is_not_forwarded(sdk: Stack, clock: Clock, name: str) -> None:
    with sdk.client(max_retries=1) as client:
        mock = script(status=503, fail_times=1, key=f"other-{name}", retry_after=7)
        assert RAW[name](client, extra_body=mock).status_code == 200
    (nap,) = clock.naps
    assert nap < 2, "the client's own back-off"


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_as_many_attempts_as_the_client_wants(sdk: Stack, clock: Clock, retries: int) -> None:
    with sdk.client(max_retries=retries) as client:
        with pytest.raises(openai.InternalServerError):
            client.embeddings.create(model=ALIAS, input="a", extra_body=script(status=500))
    assert len(clock.naps) == retries
    requests = sdk.mock.requests()
    assert len(requests) == retries + 1
    assert len({dict(request["headers"])["x-fastgw-request-id"] for request in requests}) == retries + 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_what_is_not_repeated(sdk: Stack, clock: Clock, status: int) -> None:
    with sdk.client(max_retries=2) as client, pytest.raises(openai.APIStatusError) as caught:
        client.completions.create(model=ALIAS, prompt="a", extra_body=script(status=status))
    assert caught.value.status_code == status
    assert clock.naps == []
    assert sdk.mock.stats()["requests"] == 1


@pytest.mark.parametrize("status", [408, 409])
def test_what_the_client_repeats_and_the_gateway_does_not(sdk: Stack, clock: Clock, status: int) -> None:
    with sdk.client(max_retries=1) as client, pytest.raises(openai.APIStatusError):
        client.chat.completions.create(model="stubborn", messages=MESSAGES, extra_body=script(status=status))
    assert len(clock.naps) == 1
    assert sdk.mock.stats()["requests"] == 2


# -- deadlines


@pytest.mark.parametrize("name", RAW)
def test_the_clients_deadline(sdk: Stack, clock: Clock, name: str) -> None:
    with sdk.client(timeout=0.5, max_retries=1) as client, pytest.raises(openai.APITimeoutError):
        RAW[name](client, extra_body=script(first_ms=60_000))
    assert len(clock.naps) == 1
    sdk.mock.wait(lambda stats: stats["requests"] == 2)
    assert sdk.gateway.get("/livez")[0] == 200


@pytest.mark.parametrize("name", ["completions", "embeddings"])
def test_the_gateways_deadline(sdk: Stack, client: openai.OpenAI, name: str) -> None:
    call: dict[str, Any] = {"prompt": "a"} if name == "completions" else {"input": "a"}
    with pytest.raises(openai.InternalServerError) as caught:
        getattr(client, name).create(model="quick", extra_body=script(first_ms=60_000), **call)
    assert caught.value.status_code == 504
    assert caught.value.type == "timeout"
    assert caught.value.body["message"] == "upstream request timed out after 250ms"  # type: ignore[index]
    assert sdk.mock.stats()["requests"] == 1
