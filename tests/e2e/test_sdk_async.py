"""The asynchronous OpenAI SDK at the gateway: many calls at once, cancellation, errors."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import openai
import pytest

from tests.support.sdk import ALIAS, MESSAGES, Stack, script

pytestmark = pytest.mark.any_workers

CALL: dict[str, Any] = {"model": ALIAS, "messages": MESSAGES}
PROMPT = 0.1
"""Seconds within which an upstream must learn that its caller has left."""


def run(sdk: Stack, body: Callable[[openai.AsyncOpenAI], Coroutine[Any, Any, Any]], **options: Any) -> Any:
    """Run `body` with a client of the gateway."""

    async def main() -> Any:
        async with sdk.async_client(**options) as client:
            return await body(client)

    return asyncio.run(main())


async def until(sdk: Stack, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The mock's statistics once they fulfil `condition`; the loop goes on meanwhile."""
    return await asyncio.to_thread(sdk.mock.wait, condition)


def test_many_calls_at_once(sdk: Stack) -> None:
    async def one(client: openai.AsyncOpenAI, number: int) -> str:
        extra = script(content=f"answer {number}", latency_ms=number % 7, cadence_ms=number % 3)
        if number % 2:
            answer: Any = await client.chat.completions.create(**CALL, extra_body=extra)
            text: str = answer.choices[0].message.content
            return text
        stream = await client.chat.completions.create(**CALL, extra_body=extra, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async def body(client: openai.AsyncOpenAI) -> list[str]:
        return await asyncio.gather(*(one(client, number) for number in range(60)))

    assert run(sdk, body) == [f"answer {number}" for number in range(60)]


def test_models(sdk: Stack) -> None:
    async def body(client: openai.AsyncOpenAI) -> None:
        listed = [model async for model in client.models.list()]
        assert ALIAS in [model.id for model in listed]
        for model in listed:
            assert (await client.models.retrieve(model.id)).id == model.id
        with pytest.raises(openai.NotFoundError) as caught:
            await client.models.retrieve("a/b")
        assert (caught.value.code, caught.value.param) == ("model_not_found", "model")

    run(sdk, body)


def test_raw_and_streaming_responses(sdk: Stack) -> None:
    async def body(client: openai.AsyncOpenAI) -> None:
        raw = await client.chat.completions.with_raw_response.create(**CALL)
        assert raw.headers["x-fastgw-request-id"] == raw.headers["x-fastgw-call-id"]
        assert raw.parse().model == ALIAS
        async with client.chat.completions.with_streaming_response.create(**CALL, stream=True) as response:
            assert response.headers["x-fastgw-call-id"]
            lines = [line async for line in response.iter_lines() if line]
        assert lines[-1] == "data: [DONE]"

    run(sdk, body)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("changed", "kind", "told"),
    [
        ({"messages": []}, openai.BadRequestError, (400, "invalid_request_error", "invalid_parameter", "messages")),
        ({"model": "private"}, openai.PermissionDeniedError, (403, "permission_denied", None, "model")),
        ({"model": "x"}, openai.NotFoundError, (404, "model_not_found", "model_not_found", "model")),
        (
            {"extra_body": script(status=401)},
            openai.AuthenticationError,
            (401, "upstream_error", "invalid_api_key", None),
        ),
        (
            {"extra_body": script(status=429)},
            openai.RateLimitError,
            (429, "upstream_error", "rate_limit_exceeded", None),
        ),
        ({"extra_body": script(status=503)}, openai.InternalServerError, (502, "upstream_error", None, None)),
        ({"model": "dead"}, openai.InternalServerError, (502, "transport_error", None, None)),
    ],
)
def test_errors(
    sdk: Stack, changed: Any, kind: type[openai.APIStatusError], told: tuple[Any, ...], stream: bool
) -> None:
    async def body(client: openai.AsyncOpenAI) -> None:
        with pytest.raises(kind) as caught:
            await client.chat.completions.create(**{**CALL, **changed}, stream=stream)
        error = caught.value
        assert (error.status_code, error.type, error.code, error.param) == told

    run(sdk, body)


def test_wrong_key(sdk: Stack) -> None:
    async def body(client: openai.AsyncOpenAI) -> None:
        with pytest.raises(openai.AuthenticationError):
            await client.chat.completions.create(**CALL)

    run(sdk, body, api_key="sk-wrong")


def test_error_mid_stream(sdk: Stack) -> None:
    async def body(client: openai.AsyncOpenAI) -> None:
        extra = script(fault="truncate", events_before=2)
        seen = 0
        with pytest.raises(openai.APIError) as caught:
            async for _ in await client.chat.completions.create(**CALL, stream=True, extra_body=extra):
                seen += 1
        assert (seen, caught.value.type) == (2, "stream_aborted")

    run(sdk, body)


def test_timeout(sdk: Stack) -> None:
    async def body(client: openai.AsyncOpenAI) -> None:
        with pytest.raises(openai.APITimeoutError):
            await client.chat.completions.create(**CALL, timeout=0.5, extra_body=script(latency_ms=9_000))
        await until(sdk, lambda stats: stats["requests_aborted"] == 1)

    run(sdk, body)


def test_nobody_listens(sdk: Stack) -> None:
    async def body(client: openai.AsyncOpenAI) -> None:
        with pytest.raises(openai.APIConnectionError):
            await client.chat.completions.create(**CALL)

    run(sdk, body, base_url="http://127.0.0.1:1/v1")


# -- leaving early


async def _cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def _best_of_ten(measure: Callable[[], Awaitable[float]]) -> float:
    """A busy machine may delay some of them by more than the gateway does; the first one in time is enough."""
    for _ in range(10):
        if (delay := await measure()) < PROMPT:
            return delay
    return PROMPT


@pytest.mark.parametrize("cadence", [5, 8000], ids=["flowing", "silent"])
@pytest.mark.parametrize("how", ["cancel", "close"])
def test_leaving_a_stream_ends_the_upstreams(sdk: Stack, how: str, cadence: int) -> None:
    async def read(client: openai.AsyncOpenAI, begun: asyncio.Event) -> None:
        extra = script(tokens=5000, cadence_ms=cadence)
        stream = await client.chat.completions.create(**CALL, stream=True, extra_body=extra)
        async for _ in stream:
            begun.set()
            if how == "close":
                await stream.close()
                return

    async def body(client: openai.AsyncOpenAI) -> float:
        async def measure() -> float:
            sdk.mock.reset()
            begun = asyncio.Event()
            task = asyncio.create_task(read(client, begun))
            await begun.wait()
            left = time.time()
            await (_cancelled(task) if how == "cancel" else task)
            stats = await until(sdk, lambda stats: stats["streams_aborted"] == 1)
            return float(stats["last_abort"]) - left

        return await _best_of_ten(measure)

    assert run(sdk, body) < PROMPT


@pytest.mark.parametrize("stream", [False, True])
def test_leaving_before_the_answer(sdk: Stack, stream: bool) -> None:
    name = "streams_aborted" if stream else "requests_aborted"

    async def body(client: openai.AsyncOpenAI) -> float:
        async def measure() -> float:
            sdk.mock.reset()
            extra = script(latency_ms=9_000)
            task = asyncio.create_task(client.chat.completions.create(**CALL, stream=stream, extra_body=extra))
            await until(sdk, lambda stats: stats["requests"] == 1)
            left = time.time()
            await _cancelled(task)
            stats = await until(sdk, lambda stats: stats[name] == 1)
            return float(stats["last_abort"]) - left

        fastest = await _best_of_ten(measure)
        # The same client and worker go on.
        assert (await client.chat.completions.create(**CALL)).choices
        return fastest

    assert run(sdk, body) < PROMPT


def test_a_group_of_streams_is_cancelled(sdk: Stack) -> None:
    async def read(client: openai.AsyncOpenAI, number: int) -> None:
        extra = script(tokens=5000, cadence_ms=20)
        stream = await client.chat.completions.create(**CALL, stream=True, extra_body=extra, n=1 + number % 2)
        async for _ in stream:
            pass

    async def body(client: openai.AsyncOpenAI) -> None:
        tasks = [asyncio.create_task(read(client, number)) for number in range(30)]
        await until(sdk, lambda stats: stats["open_streams"] == 30)
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results)
        stats = await until(sdk, lambda stats: stats["open_streams"] == 0)
        assert stats["streams_aborted"] == 30

    run(sdk, body)
