"""The SDK parses the same objects through the gateway as from the provider itself."""

import asyncio
from collections.abc import Iterator
from typing import Any

import openai
import pydantic
import pytest

from tests.support.sdk import (
    ALIAS,
    CALLS,
    MESSAGES,
    TOOLS,
    TWO_CALLS,
    UPSTREAM_MODEL,
    Stack,
    arguments,
    comparable,
    script,
)

pytestmark = pytest.mark.any_workers

PARSEABLE = ("plain", "choices", "parallel_tools", "json_schema", "logprobs", "unicode", "conversation")


@pytest.fixture
def direct(sdk: Stack) -> Iterator[openai.OpenAI]:
    with sdk.direct() as opened:
        yield opened


@pytest.mark.parametrize("name", CALLS)
def test_answer(client: openai.OpenAI, direct: openai.OpenAI, name: str) -> None:
    expected = direct.chat.completions.create(**arguments(name, UPSTREAM_MODEL))
    answer = client.chat.completions.create(**arguments(name, ALIAS))
    assert comparable(answer) == comparable(expected)
    assert answer.choices
    assert answer.model == ALIAS


@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": True}}], ids=["bare", "usage"])
@pytest.mark.parametrize("name", CALLS)
def test_chunks(client: openai.OpenAI, direct: openai.OpenAI, name: str, options: Any) -> None:
    expected = list(direct.chat.completions.create(**arguments(name, UPSTREAM_MODEL), stream=True, **options))
    chunks = list(client.chat.completions.create(**arguments(name, ALIAS), stream=True, **options))
    assert comparable(chunks) == comparable(expected)
    assert {chunk.model for chunk in chunks} == {ALIAS}
    assert len({chunk.id for chunk in chunks}) == 1
    assert any("usage" in chunk.model_fields_set for chunk in chunks) == bool(options)


@pytest.mark.parametrize("include_usage", [False, True])
def test_stream_options_are_the_callers(client: openai.OpenAI, direct: openai.OpenAI, include_usage: bool) -> None:
    options: Any = {"stream": True, "stream_options": {"include_usage": include_usage, "include_obfuscation": False}}
    expected = list(direct.chat.completions.create(**arguments("plain", UPSTREAM_MODEL), **options))
    assert comparable(list(client.chat.completions.create(**arguments("plain", ALIAS), **options))) == comparable(
        expected
    )


def final(client: openai.OpenAI, model: str, name: str) -> Any:
    call = arguments(name, model) | {"stream_options": {"include_usage": True}}
    with client.chat.completions.stream(**call) as stream:
        kinds = [event.type for event in stream]
        return kinds, stream.get_final_completion()


@pytest.mark.parametrize("name", PARSEABLE)
def test_reassembled_message(client: openai.OpenAI, direct: openai.OpenAI, name: str) -> None:
    expected_kinds, expected = final(direct, UPSTREAM_MODEL, name)
    kinds, whole = final(client, ALIAS, name)
    assert kinds == expected_kinds
    assert comparable(whole) == comparable(expected)
    assert whole.model == ALIAS
    unstreamed = client.chat.completions.create(**arguments(name, ALIAS))
    assert whole.usage == unstreamed.usage
    for one, other in zip(whole.choices, unstreamed.choices, strict=True):
        assert (one.message.content or None, one.finish_reason) == (other.message.content, other.finish_reason)


class Forecast(pydantic.BaseModel):
    """What `json_schema` answers look like."""

    city: str
    days: int


@pytest.mark.parametrize("namespace", ["chat", "beta.chat"])
def test_parse_helper(client: openai.OpenAI, direct: openai.OpenAI, namespace: str) -> None:
    def parse(at: openai.OpenAI, model: str) -> Any:
        completions = (at.chat if namespace == "chat" else at.beta.chat).completions
        return completions.parse(model=model, messages=MESSAGES, response_format=Forecast)

    answer = parse(client, ALIAS)
    assert comparable(answer) == comparable(parse(direct, UPSTREAM_MODEL))
    assert answer.choices[0].message.parsed == Forecast(city="mock", days=0)


def test_parse_helper_with_tools(client: openai.OpenAI, direct: openai.OpenAI) -> None:
    tool = openai.pydantic_function_tool(Forecast, name="weather")

    def parse(at: openai.OpenAI, model: str) -> Any:
        return at.chat.completions.parse(model=model, messages=MESSAGES, tools=[tool], extra_body=script(tool_calls=2))

    answer = parse(client, ALIAS)
    assert comparable(answer) == comparable(parse(direct, UPSTREAM_MODEL))
    calls = answer.choices[0].message.tool_calls
    assert [call.function.parsed_arguments for call in calls] == [Forecast(city="mock", days=0)] * 2


def test_streamed_parse(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model=ALIAS, messages=MESSAGES, response_format=Forecast) as stream:
        message = stream.get_final_completion().choices[0].message
    assert message.parsed == Forecast(city="mock", days=0)


def test_streamed_tool_arguments(client: openai.OpenAI) -> None:
    built: dict[int, list[str]] = {}
    fragments = 0
    call: dict[str, Any] = {"tools": TOOLS, "extra_body": script(tool_calls=TWO_CALLS), "stream": True}
    for chunk in client.chat.completions.create(model=ALIAS, messages=MESSAGES, **call):
        for part in chunk.choices[0].delta.tool_calls or ():
            if part.id:
                built[part.index] = [part.id, part.function.name, ""]
            built[part.index][2] += part.function.arguments or ""
            fragments += 1
    assert built == {
        0: ["call_1", "weather", '{"city":"Zürich","days":2}'],
        1: ["call_2", "time", '{ "zone" : "CET" }'],
    }
    assert fragments > 6


async def _async_results(stack: Stack, name: str) -> tuple[Any, Any, Any]:
    call = arguments(name, ALIAS)
    async with stack.async_client() as client:
        whole = await client.chat.completions.create(**call)
        chunks = [chunk async for chunk in await client.chat.completions.create(**call, stream=True)]
        async with client.chat.completions.stream(**call) as stream:
            assembled = await stream.get_final_completion()
    return whole, chunks, assembled


@pytest.mark.parametrize("name", PARSEABLE)
def test_async_client(sdk: Stack, direct: openai.OpenAI, name: str) -> None:
    whole, chunks, assembled = asyncio.run(_async_results(sdk, name))
    call = arguments(name, UPSTREAM_MODEL)
    assert comparable(whole) == comparable(direct.chat.completions.create(**call))
    assert comparable(chunks) == comparable(list(direct.chat.completions.create(**call, stream=True)))
    with direct.chat.completions.stream(**call) as stream:
        assert comparable(assembled) == comparable(stream.get_final_completion())


def test_usage_is_always_there(client: openai.OpenAI, direct: openai.OpenAI) -> None:
    """The one addition that is promised: counters, all 0, where the provider sent no usage."""
    call: dict[str, Any] = {"messages": MESSAGES, "extra_body": script(usage=False)}
    expected = comparable(direct.chat.completions.create(model=UPSTREAM_MODEL, **call))
    answer = comparable(client.chat.completions.create(model=ALIAS, **call))
    assert answer.pop("usage") == {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    assert answer == expected


def test_usage_counters_that_are_missing_become_zero(client: openai.OpenAI) -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": None, "vendor": [1.50]}
    answer = client.chat.completions.create(model=ALIAS, messages=MESSAGES, extra_body=script(usage=usage))
    assert comparable(answer)["usage"] == usage | {"completion_tokens": 0, "total_tokens": 0}


def test_compressed_answers(client: openai.OpenAI, direct: openai.OpenAI) -> None:
    call: dict[str, Any] = {"messages": MESSAGES, "extra_body": script(gzip=True)}
    expected = direct.chat.completions.create(model=UPSTREAM_MODEL, **call)
    assert comparable(client.chat.completions.create(model=ALIAS, **call)) == comparable(expected)
    chunks = list(direct.chat.completions.create(model=UPSTREAM_MODEL, **call, stream=True))
    assert comparable(list(client.chat.completions.create(model=ALIAS, **call, stream=True))) == comparable(chunks)
