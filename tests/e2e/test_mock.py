"""The official SDK straight at the mock: what a gateway in between is compared with."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.support.mock import Mock, mock_upstream

MESSAGES: list[Any] = [{"role": "user", "content": "Say something."}]
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}},
    {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}}},
]
BASIC: dict[str, Any] = {"model": "mock-gpt", "messages": MESSAGES}


@pytest.fixture(scope="module")
def mock() -> Iterator[Mock]:
    with mock_upstream(record=1) as running:
        yield running


@pytest.fixture
def client(mock: Mock) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=mock.url, api_key="any", max_retries=0, timeout=10) as sdk:
        yield sdk


def script(**directives: Any) -> dict[str, Any]:
    return {"mock": directives}


def test_completion(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(**BASIC)
    assert answer.id.startswith("chatcmpl-")
    assert (answer.object, answer.model, answer.service_tier) == ("chat.completion", "mock-gpt", "default")
    assert answer.system_fingerprint
    [choice] = answer.choices
    assert (choice.finish_reason, choice.message.role) == ("stop", "assistant")
    assert choice.message.content
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.prompt_tokens_details is not None
    assert answer._request_id is not None


def test_stream(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(**BASIC).choices[0].message.content
    chunks = list(client.chat.completions.create(**BASIC, stream=True))
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert all("usage" not in chunk.model_fields_set for chunk in chunks)


def test_stream_with_usage(client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(**BASIC, stream=True, stream_options={"include_usage": True}))
    *others, last = chunks
    assert all("usage" in chunk.model_fields_set and chunk.usage is None for chunk in others)
    assert last.choices == []
    assert last.usage is not None
    assert last.usage == client.chat.completions.create(**BASIC).usage


def test_n_choices(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(**BASIC, n=2)
    whole = {choice.index: choice.message.content for choice in answer.choices}
    assert len(set(whole.values())) == 2
    streamed = {0: "", 1: ""}
    order = []
    for chunk in client.chat.completions.create(**BASIC, n=2, stream=True):
        [choice] = chunk.choices
        streamed[choice.index] += choice.delta.content or ""
        order.append(choice.index)
    assert streamed == whole
    assert order == [0, 1] * (len(order) // 2)


def test_logprobs(client: openai.OpenAI) -> None:
    arguments: dict[str, Any] = {**BASIC, "logprobs": True, "top_logprobs": 2}
    [choice] = client.chat.completions.create(**arguments).choices
    assert choice.logprobs is not None
    tokens = choice.logprobs.content
    assert "".join(token.token for token in tokens) == choice.message.content
    assert b"".join(bytes(token.bytes or ()) for token in tokens).decode() == choice.message.content
    assert all(len(token.top_logprobs) == 2 for token in tokens)
    streamed = []
    for chunk in client.chat.completions.create(**arguments, stream=True):
        logprobs = chunk.choices[0].logprobs
        streamed += logprobs.content or [] if logprobs else []
    assert [token.model_dump() for token in streamed] == [token.model_dump() for token in tokens]


def test_tool_calls(client: openai.OpenAI) -> None:
    arguments: dict[str, Any] = {**BASIC, "tools": TOOLS}
    assert client.chat.completions.create(**arguments).choices[0].message.tool_calls is None
    arguments["extra_body"] = script(tool_calls=2)
    [choice] = client.chat.completions.create(**arguments).choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    calls: list[Any] = choice.message.tool_calls or []
    assert [call.function.name for call in calls] == ["get_weather", "get_time"]
    assert json.loads(calls[0].function.arguments) == {"city": "mock", "days": 0}

    built: dict[int, dict[str, str]] = {}
    fragments = 0
    for chunk in client.chat.completions.create(**arguments, stream=True):
        for part in chunk.choices[0].delta.tool_calls or ():
            if part.id:
                built[part.index] = {"id": part.id, "name": part.function.name or "", "arguments": ""}
            built[part.index]["arguments"] += part.function.arguments or ""
            fragments += 1
    whole = [{"id": c.id, "name": c.function.name, "arguments": c.function.arguments} for c in calls]
    assert [built[0], built[1]] == whole
    assert fragments > 4


def test_scripted_tool_calls(client: openai.OpenAI) -> None:
    calls = [{"name": "f", "arguments": {"a": 1}, "id": "call_x"}]
    answer = client.chat.completions.create(**BASIC, extra_body=script(tool_calls=calls))
    [call] = answer.choices[0].message.tool_calls or []
    assert (call.id, call.type, call.function.name, call.function.arguments) == ("call_x", "function", "f", '{"a":1}')


@pytest.mark.parametrize("stream", [False, True])
def test_json_schema(client: openai.OpenAI, stream: bool) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "w", "schema": WEATHER, "strict": True}}
    answer: Any = client.chat.completions.create(**BASIC, stream=stream, response_format=wanted)
    if stream:
        text = "".join(chunk.choices[0].delta.content or "" for chunk in answer)
    else:
        text = answer.choices[0].message.content
    assert json.loads(text) == {"city": "mock", "days": 0}


def test_vision_parts_and_developer_role_count(client: openai.OpenAI) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 10_000}}
    messages: list[Any] = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What?"}, image]},
    ]
    answer = client.chat.completions.create(model="mock-gpt", messages=messages)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 3 + (3 + 3) + (3 + 2 + 85)


def test_completions(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="mock-gpt", prompt=["a", "b"], n=2, logprobs=1)
    assert (answer.object, answer.id[:5]) == ("text_completion", "cmpl-")
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert "".join(logprobs.tokens) == answer.choices[0].text
    assert answer.choices[0].text[logprobs.text_offset[2] :].startswith(logprobs.tokens[2])
    options = {"include_usage": True}
    events = client.completions.create(model="mock-gpt", prompt=[1, 2, 3], stream=True, stream_options=options)
    *chunks, last = events
    assert "".join(chunk.choices[0].text for chunk in chunks) == answer.choices[0].text
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert last.usage is not None
    assert last.usage.prompt_tokens == 3


@pytest.mark.parametrize(
    ("given", "count", "tokens"),
    [("text", 1, 1), (["one", "two"], 2, 2), ([1, 2, 3], 1, 3), ([[1, 2], [3]], 2, 3)],
)
def test_embeddings(client: openai.OpenAI, given: Any, count: int, tokens: int) -> None:
    # The SDK asks for base64 on its own when no encoding is named.
    packed = client.embeddings.create(model="mock-embedding", input=given, dimensions=8)
    floats = client.embeddings.create(model="mock-embedding", input=given, dimensions=8, encoding_format="float")
    assert [item.index for item in packed.data] == list(range(count))
    for left, right in zip(packed.data, floats.data, strict=True):
        assert len(left.embedding) == 8
        assert left.embedding == pytest.approx(right.embedding, abs=1e-8)
    assert packed.usage.prompt_tokens == packed.usage.total_tokens == tokens
    default = client.embeddings.create(model="mock-embedding", input="x")
    assert len(default.data[0].embedding) == 1536


@pytest.mark.parametrize("given", ["", [], [""], [[]], [True]])
def test_embeddings_refuse_empty_input(client: openai.OpenAI, given: Any) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model="mock-embedding", input=given)
    assert caught.value.param == "input"


def test_models(client: openai.OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert "mock-gpt" in names
    assert client.models.retrieve("mock-gpt").owned_by == "fastgw-mock"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("none")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (409, openai.ConflictError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors(client: openai.OpenAI, status: int, kind: type[openai.APIStatusError], stream: bool) -> None:
    with pytest.raises(kind) as caught:
        client.chat.completions.create(**BASIC, stream=stream, extra_body=script(status=status))
    assert caught.value.status_code == status
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["message"]


def test_connection_lost(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIConnectionError):
        client.chat.completions.create(model="mock-gpt?fault=reset", messages=MESSAGES)


def test_timeout(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(model="mock-gpt?fault=stall", messages=MESSAGES, timeout=0.2)


def test_sdk_retries_a_scripted_failure(mock: Mock) -> None:
    mock.reset()
    extra = script(status=429, fail_times=2, key="sdk", headers={"retry-after-ms": "1"})
    with openai.OpenAI(base_url=mock.url, api_key="any", max_retries=2) as patient:
        assert patient.chat.completions.create(**BASIC, extra_body=extra).choices
    assert mock.stats()["requests"] == 3


def test_stream_left_early_is_seen_as_aborted(mock: Mock, client: openai.OpenAI) -> None:
    mock.reset()
    model = "mock-gpt?cadence_ms=50&tokens=1000"
    stream = client.chat.completions.create(model=model, messages=MESSAGES, stream=True)
    next(iter(stream))
    stream.close()
    assert mock.wait(lambda s: s["open_streams"] == 0)["streams_aborted"] == 1


def test_gzip_is_unpacked_by_the_sdk(client: openai.OpenAI) -> None:
    arguments: dict[str, Any] = {"model": "mock-gpt?gzip=true&content=packed", "messages": MESSAGES}
    assert client.chat.completions.create(**arguments).choices[0].message.content == "packed"
    chunks = client.chat.completions.create(**arguments, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "packed"


async def _async_texts(url: str) -> tuple[str | None, str]:
    async with openai.AsyncOpenAI(base_url=url, api_key="any", max_retries=0) as client:
        whole = await client.chat.completions.create(**BASIC)
        text = ""
        async for chunk in await client.chat.completions.create(**BASIC, stream=True):
            text += chunk.choices[0].delta.content or ""
    return whole.choices[0].message.content, text


def test_async_client(mock: Mock) -> None:
    whole, streamed = asyncio.run(_async_texts(mock.url))
    assert whole
    assert whole == streamed
