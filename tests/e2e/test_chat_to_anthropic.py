"""OpenAI's SDK talking to an upstream that has only the Messages API."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.support.families import CITY, CLAUDE, UPSTREAM, Families, families

pytestmark = pytest.mark.any_workers

MESSAGES: list[Any] = [{"role": "user", "content": "Say something."}]
TOOLS: list[Any] = [{"type": "function", "function": {"name": "weather", "parameters": CITY}}]


@pytest.fixture(scope="module")
def world() -> Iterator[Families]:
    with families() as made:
        yield made


@pytest.fixture
def client(world: Families) -> Iterator[openai.OpenAI]:
    with world.openai() as made:
        yield made


def script(**directives: Any) -> dict[str, Any]:
    return {"mock": directives}


def test_whole(world: Families, client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model=CLAUDE, messages=MESSAGES, max_tokens=9)
    answer = raw.parse()
    assert raw.headers["x-fastgw-call-id"] == raw.headers["x-fastgw-request-id"]
    assert (answer.model, answer.object, answer.choices[0].finish_reason) == (CLAUDE, "chat.completion", "stop")
    assert (answer.choices[0].message.content or "").startswith("The mock upstream answers")
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    sent = world.sent()
    assert sent["path"] == "/v1/messages"
    fields = {name.lower(): value for name, value in sent["headers"]}
    assert fields["x-api-key"] == "ant-key"
    assert fields["anthropic-version"] == "2023-06-01"
    assert "authorization" not in fields
    assert json.loads(sent["body"])["model"] == UPSTREAM[CLAUDE]


def test_stream_and_usage_in_metrics(world: Families, client: openai.OpenAI) -> None:
    usage = {
        "input_tokens": 20, "output_tokens": 7, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 3
    }  # fmt: skip
    chunks = list(
        client.chat.completions.create(
            model=CLAUDE, messages=MESSAGES, stream=True, user="u", extra_body=script(usage=usage, tokens=40, split=13)
        )
    )
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    assert len("".join(chunk.choices[0].delta.content or "" for chunk in chunks).split()) > 30
    assert [chunk.choices[0].finish_reason for chunk in chunks[-2:]] == [None, "stop"]
    last = chunks[-1].usage
    assert last is not None
    assert last.prompt_tokens_details is not None
    assert (last.prompt_tokens, last.completion_tokens, last.total_tokens) == (20, 7, 130)
    assert last.prompt_tokens_details.cached_tokens == 100
    accept = [value for name, value in world.sent()["headers"] if name == "Accept"]
    assert accept == ["text/event-stream"]


def test_tool_conversation(world: Families, client: openai.OpenAI) -> None:
    calls = [{"name": "weather", "arguments": {"city": "Zürich"}}, {"name": "weather", "arguments": {"city": "Ulm"}}]
    with client.chat.completions.stream(
        model=CLAUDE, messages=MESSAGES, tools=TOOLS, extra_body=script(tool_calls=calls, content="Let me see.")
    ) as stream:
        for _ in stream:
            pass
        message = stream.get_final_completion().choices[0].message
    assert message.content == "Let me see."
    assert message.tool_calls is not None
    assert [json.loads(call.function.arguments)["city"] for call in message.tool_calls] == ["Zürich", "Ulm"]
    turns = [
        *MESSAGES,
        message.model_dump(exclude_none=True),
        *({"role": "tool", "tool_call_id": call.id, "content": "rain"} for call in message.tool_calls),
    ]
    # The mock refuses results that answer no call of the turn before.
    answer = client.chat.completions.create(model=CLAUDE, messages=turns, tools=TOOLS)
    assert answer.choices[0].finish_reason == "stop"
    last = json.loads(world.sent()["body"])["messages"][-1]
    assert [block["type"] for block in last["content"]] == ["tool_result", "tool_result"]


@pytest.mark.parametrize("model", [CLAUDE, "old-claude"])
@pytest.mark.parametrize("stream", [False, True])
def test_json_schema(client: openai.OpenAI, model: str, stream: bool) -> None:
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "c", "schema": CITY, "strict": True}}
    if stream:
        with client.chat.completions.stream(model=model, messages=MESSAGES, response_format=wanted) as events:
            choice: Any = events.until_done().get_final_completion().choices[0]
    else:
        choice = client.chat.completions.create(model=model, messages=MESSAGES, response_format=wanted).choices[0]
    assert (json.loads(choice.message.content), choice.finish_reason) == ({"city": "mock"}, "stop")


def test_reasoning(client: openai.OpenAI) -> None:
    options: dict[str, Any] = {"model": CLAUDE, "messages": MESSAGES, "reasoning_effort": "low", "temperature": 0}
    message: Any = client.chat.completions.create(**options, extra_body=script(reasoning="Hm.")).choices[0].message
    assert message.reasoning_content == "Hm."
    chunks: Any = client.chat.completions.create(**options, stream=True, extra_body=script(reasoning="Hm, well."))
    assert "".join(getattr(c.choices[0].delta, "reasoning_content", "") for c in chunks) == "Hm, well."


def test_automatic_caching(world: Families, client: openai.OpenAI) -> None:
    client.chat.completions.create(model="cached-claude", messages=MESSAGES)
    last = json.loads(world.sent()["body"])["messages"][-1]["content"][-1]
    assert last["cache_control"] == {"type": "ephemeral"}


@pytest.mark.parametrize(
    ("status", "expected", "message"),
    [
        (400, 400, "The mock was told to refuse this request."),
        (404, 404, "The requested resource could not be found."),
        (500, 502, "upstream returned 500"),
        (529, 502, "upstream returned 529"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors(client: openai.OpenAI, status: int, expected: int, message: str, stream: bool) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model=CLAUDE, messages=MESSAGES, stream=stream, extra_body=script(status=status))
    assert caught.value.status_code == expected
    assert isinstance(caught.value.body, dict)
    assert (caught.value.body["message"], caught.value.type) == (message, "upstream_error")


def test_rate_limit_with_its_wait(client: openai.OpenAI) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model=CLAUDE, messages=MESSAGES, extra_body=script(status=429, retry_after=7))
    assert (caught.value.code, caught.value.response.headers["retry-after"]) == ("rate_limit_exceeded", "7")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("completions", "this provider does not support text completions"),
        ("embeddings", "this provider does not support embeddings"),
    ],
)
def test_operations_that_it_does_not_have(world: Families, client: openai.OpenAI, call: str, message: str) -> None:
    before = world.mock.stats()["requests"]
    with pytest.raises(openai.InternalServerError) as caught:
        if call == "completions":
            client.completions.create(model=CLAUDE, prompt="x")
        else:
            client.embeddings.create(model=CLAUDE, input="x")
    assert caught.value.status_code == 501
    assert (caught.value.body, caught.value.type) == (
        {"message": message, "type": "not_implemented"}, "not_implemented"
    )  # fmt: skip
    assert world.mock.stats()["requests"] == before


ERROR = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
START = {"type": "message_start", "message": {"id": "m", "model": "c", "usage": {"input_tokens": 1}}}


def test_error_event_mid_stream(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIError, match="upstream reported an in-band stream error: Overloaded") as caught:
        list(
            client.chat.completions.create(
                model=CLAUDE, messages=MESSAGES, stream=True, extra_body=script(events=[START, ERROR])
            )
        )
    assert caught.value.type == "upstream_in_band_error"


@pytest.mark.parametrize(("kind", "status"), [("overloaded_error", 502), ("rate_limit_error", 429), ("odd", 502)])
def test_error_event_before_anything_else(client: openai.OpenAI, kind: str, status: int) -> None:
    event = {"type": "error", "error": {"type": kind, "message": "words"}}
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(
            model=f"{CLAUDE}-timed", messages=MESSAGES, stream=True, extra_body=script(events=[event])
        )
    assert caught.value.status_code == status


@pytest.mark.parametrize("fault", ["reset", "truncate"])
@pytest.mark.parametrize("at", ["body", "mid_event", "before_done"])
def test_cut_streams_never_look_complete(client: openai.OpenAI, fault: str, at: str) -> None:
    with pytest.raises(openai.APIError) as caught:
        list(
            client.chat.completions.create(
                model=CLAUDE, messages=MESSAGES, stream=True, extra_body=script(fault=fault, at=at)
            )
        )
    assert caught.value.type in ("transport_error", "stream_aborted")


@pytest.mark.parametrize("stream", [False, True])
def test_failures_before_the_first_byte_are_retried(world: Families, client: openai.OpenAI, stream: bool) -> None:
    before = world.mock.stats()["requests"]
    key = f"retried {stream}"
    answer: Any = client.chat.completions.create(
        model=f"{CLAUDE}-timed",
        messages=MESSAGES,
        stream=stream,
        extra_body=script(status=529, fail_times=1, key=key),
    )
    text = "".join(c.choices[0].delta.content or "" for c in answer) if stream else answer.choices[0].message.content
    assert text.startswith("The mock")
    assert world.mock.stats()["requests"] == before + 2


def test_unreadable_answers(client: openai.OpenAI) -> None:
    for raw in ("nonsense", "[]", '{"id":"a","model":"b"}', '{"model":"b","content":[]}'):
        with pytest.raises(openai.APIStatusError) as caught:
            client.chat.completions.create(model=CLAUDE, messages=MESSAGES, extra_body=script(raw=raw))
        assert (caught.value.status_code, caught.value.type) == (502, "upstream_decode_error")
    with pytest.raises(openai.APIError) as broken:
        list(
            client.chat.completions.create(
                model=CLAUDE, messages=MESSAGES, stream=True, extra_body=script(events=[START, "nonsense"])
            )
        )
    assert broken.value.type == "upstream_decode_error"


def test_nobody_there(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model="dead", messages=MESSAGES)
    assert (caught.value.status_code, caught.value.type) == (502, "transport_error")
