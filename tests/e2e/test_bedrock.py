"""Models of Amazon Bedrock behind the gateway, with the official SDKs and an upstream that checks signatures."""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from tests.support.eventstream_reference import event
from tests.support.gateway import API_KEY, Gateway, gateway, resources
from tests.support.mock import Mock, mock_upstream
from tests.support.observe import total, until

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
KEY: dict[str, Any] = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": SECRET, "region": "eu-west-3"}
NOVA = "eu.amazon.nova-pro-v1:0"
SONNET = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
TITAN, TITAN_2, COHERE = "amazon.titan-embed-text-v1", "eu.amazon.titan-embed-text-v2:0", "cohere.embed-english-v3"
MESSAGES: list[Any] = [{"role": "user", "content": "Say something."}]
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS: list[Any] = [{"type": "function", "function": {"name": "weather", "parameters": CITY}}]
CHOICE: Any = {"type": "function", "function": {"name": "weather"}}
PNG = "iVBORw0KGgo="


def document(origin: str) -> dict[str, Any]:
    """Aliases by what they stand for. Directives for the mock travel as a field for the model."""
    found = resources(origin)
    key = {"provider": "aws", "adapter": "bedrock", "api_base": origin, "api_key": json.dumps(KEY)}
    fields = {"default_body_fields": {"mock": {}}}
    changes = {
        "default_body_fields": {"mock": {}, "top_k": 5},
        "param_renames": {"top_p": "topP"},
        "param_constraints": {"temperature_max": 0.5},
        "default_headers": {"X-Team": "$${model.name} / harbour", "X-Amz-Target": "no", "x-amz-meta": "a  b"},
        "forward_client_headers": ["x-trace-*", "x-amzn-bedrock-*"],
    }
    keys: dict[str, dict[str, Any]] = {
        "plain": {"request": fields},
        "temporary": {"request": fields, "api_key": json.dumps({**KEY, "session_token": "tok/en+=="})},
        "bearer": {"api_key": json.dumps({"api_key": "bedrock-api-key-x", "region": "eu-west-3"})},
        "wrong": {"api_key": json.dumps({**KEY, "secret_access_key": "other"})},
        "changing": {"request": changes},
        "blank": {"api_key": json.dumps({**KEY, "region": " "})},
        "text": {"api_key": "AKIDEXAMPLE"},
    }
    found["provider_keys"] = [{**key, "display_name": name, **more} for name, more in keys.items()]
    models: dict[str, dict[str, Any]] = {
        "nova": {"model_name": NOVA},
        "sonnet": {"model_name": SONNET},
        "timed-nova": {"model_name": NOVA, "stream_timeout": 20_000, "retries": 1},
        "brisk-titan": {"model_name": TITAN, "timeout": 2500},
        "titan": {"model_name": TITAN},
        "titan-2": {"model_name": TITAN_2},
        "cohere": {"model_name": COHERE},
        "odd": {"model_name": "acme.x"},
        "odd-id": {"model_name": "amazon.nova pro"},
        "any/*": {"model_name": "*"},
        **{name: {"model_name": NOVA, "provider_key": name} for name in keys},
        "changing-sonnet": {"model_name": SONNET, "provider_key": "changing"},
    }
    found["models"] = [
        {"display_name": name, "provider": "aws", "provider_key": "plain", "retries": 0, **more}
        for name, more in models.items()
    ]
    return found


@pytest.fixture(scope="module")
def mock() -> Iterator[Mock]:
    with mock_upstream(record=100, aws_secret=SECRET) as made:
        yield made


@pytest.fixture(scope="module")
def gw(mock: Mock) -> Iterator[Gateway]:
    # Credentials of the machine are none of the gateway's business.
    ambient = {"AWS_ACCESS_KEY_ID": "AKIDOTHER", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "us-east-1"}
    with gateway(document(mock.origin), environ=ambient) as made:
        yield made


@pytest.fixture
def client(gw: Gateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=gw.url, api_key=API_KEY, max_retries=0, timeout=30) as made:
        yield made


def script(**directives: Any) -> dict[str, Any]:
    return {"mock": directives}


def sent(mock: Mock) -> tuple[str, dict[str, str], dict[str, Any]]:
    """Path, headers and body of the newest request."""
    request = mock.requests()[-1]
    headers = {name.lower(): value for name, value in request["headers"]}
    return request["path"], headers, json.loads(request["body"])


def test_whole_answers_by_way_of_converse(mock: Mock, client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="nova", messages=MESSAGES, max_tokens=9, temperature=0.3)
    assert answer.model == "nova"
    assert (answer.choices[0].message.content or "").startswith("The mock upstream answers")
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    path, headers, body = sent(mock)
    assert path == "/model/eu.amazon.nova-pro-v1%3A0/converse"
    scope = f"{headers['x-amz-date'][:8]}/eu-west-3/bedrock/aws4_request"
    assert headers["authorization"].startswith(f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{scope}, SignedHeaders=")
    assert "x-amz-security-token" not in headers
    assert "accept" not in headers
    assert body == {
        "messages": [{"role": "user", "content": [{"text": "Say something."}]}],
        "inferenceConfig": {"maxTokens": 9, "temperature": 0.3},
        "additionalModelRequestFields": {"mock": {}},
    }


def test_whole_answers_of_claude_by_way_of_invoke(mock: Mock, client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="sonnet", messages=MESSAGES)
    assert (answer.choices[0].message.content or "").startswith("The mock upstream answers")
    path, headers, body = sent(mock)
    assert path == "/model/eu.anthropic.claude-sonnet-4-5-20250929-v1%3A0/invoke"
    assert headers["accept"] == "application/json"
    assert body["anthropic_version"] == "bedrock-2023-05-31"
    assert not {"model", "stream"} & body.keys()


@pytest.mark.parametrize("model", ["nova", "sonnet"])
@pytest.mark.parametrize("split", [0, 1, 7])
def test_streams(mock: Mock, client: openai.OpenAI, gw: Gateway, model: str, split: int) -> None:
    usage = {"inputTokens": 20, "outputTokens": 7, "totalTokens": 130, "cacheReadInputTokens": 103}
    before = total(gw.metrics(), "fastgw_llm_output_tokens_total", model=model)
    chunks = list(
        client.chat.completions.create(
            model=model,
            messages=MESSAGES,
            stream=True,
            stream_options={"include_usage": True},
            extra_body=script(usage=usage, tokens=40, split=split),
        )
    )
    assert sent(mock)[0].endswith("/converse-stream")
    assert "accept" not in sent(mock)[1]
    assert len("".join(chunk.choices[0].delta.content or "" for chunk in chunks).split()) > 30
    assert [chunk.choices[0].finish_reason for chunk in chunks[-2:]] == ["stop", None]
    last = chunks[-1].usage
    assert last is not None
    assert last.prompt_tokens_details is not None
    assert (last.prompt_tokens, last.completion_tokens, last.total_tokens) == (20, 7, 130)
    assert last.prompt_tokens_details.cached_tokens == 103
    until(lambda: total(gw.metrics(), "fastgw_llm_output_tokens_total", model=model), lambda now: now == before + 7)


@pytest.mark.parametrize("stream", [False, True])
def test_temporary_credentials(mock: Mock, client: openai.OpenAI, stream: bool) -> None:
    answer: Any = client.chat.completions.create(model="temporary", messages=MESSAGES, stream=stream)
    assert list(answer) if stream else answer.choices
    _, headers, _ = sent(mock)
    assert headers["x-amz-security-token"] == "tok/en+=="
    assert "x-amz-security-token" in headers["authorization"].partition("SignedHeaders=")[2]


def test_api_keys_are_sent_and_sign_nothing(mock: Mock) -> None:
    with mock_upstream(record=1) as other, gateway(document(other.origin)) as gw:
        with openai.OpenAI(base_url=gw.url, api_key=API_KEY, max_retries=0) as client:
            client.chat.completions.create(model="bearer", messages=MESSAGES)
        _, headers, _ = sent(other)
        assert headers["authorization"] == "Bearer bedrock-api-key-x"
        assert not [name for name in headers if name.startswith("x-amz-")]


def test_a_wrong_secret_is_told_without_words(client: openai.OpenAI) -> None:
    with pytest.raises(openai.PermissionDeniedError) as caught:
        client.chat.completions.create(model="wrong", messages=MESSAGES)
    assert caught.value.body == {
        "message": "upstream authentication failed", "type": "upstream_error", "code": "permission_denied"
    }  # fmt: skip


def test_extra_headers_are_signed(mock: Mock, client: openai.OpenAI) -> None:
    forwarded = {"x-trace-a": "1  2", "x-amzn-bedrock-accept": "no", "x-amzn-bedrock-trace": "ENABLED"}
    client.chat.completions.create(model="changing", messages=MESSAGES, extra_headers=forwarded)
    _, headers, _ = sent(mock)
    assert headers["x-team"] == "changing / harbour"
    assert headers["x-trace-a"] == "1  2"
    assert not {"x-amz-target", "x-amzn-bedrock-accept"} & headers.keys()
    signed = headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    assert {"host", "content-type", "x-amz-date", "x-team", "x-amz-meta", "x-trace-a", "x-amzn-bedrock-trace"} <= set(
        signed
    )


def test_what_a_key_changes_in_bodies(mock: Mock, client: openai.OpenAI) -> None:
    options: dict[str, Any] = {"messages": MESSAGES, "temperature": 0.9, "top_p": 0.8}
    client.chat.completions.create(model="changing", **options)
    body = sent(mock)[2]
    assert body["inferenceConfig"] == {"temperature": 0.5, "topP": 0.8}
    assert body["additionalModelRequestFields"] == {"mock": {}, "top_k": 5}
    client.chat.completions.create(model="changing", **options, extra_body={"top_k": 7})
    assert sent(mock)[2]["additionalModelRequestFields"] == {"mock": {}, "top_k": 7}
    # The mock's Messages API knows no topP, as the real one.
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="changing-sonnet", **options)
    body = sent(mock)[2]
    assert (body["temperature"], body["topP"], body["top_k"]) == (0.5, 0.8, 5)


@pytest.mark.parametrize("model", ["nova", "sonnet"])
def test_tool_conversations(mock: Mock, client: openai.OpenAI, model: str) -> None:
    calls = [{"name": "weather", "arguments": {"city": "Zürich"}}, {"name": "weather", "arguments": {"city": "Ulm"}}]
    with client.chat.completions.stream(
        model=model, messages=MESSAGES, tools=TOOLS, extra_body=script(tool_calls=calls, content="Let me see.")
    ) as stream:
        message = stream.get_final_completion().choices[0].message
    assert message.content == "Let me see."
    assert message.tool_calls is not None
    assert [json.loads(call.function.arguments)["city"] for call in message.tool_calls] == ["Zürich", "Ulm"]
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    turns: list[Any] = [
        *MESSAGES,
        message.model_dump(exclude_none=True),
        *({"role": "tool", "tool_call_id": call.id, "content": "rain"} for call in message.tool_calls[:1]),
        {"role": "tool", "tool_call_id": message.tool_calls[1].id, "content": [image]},
        {"role": "user", "content": "And?"},
    ]
    # The mock refuses results that answer no call of the turn before, and turns that do not alternate.
    answer = client.chat.completions.create(model=model, messages=turns, tools=TOOLS)
    assert answer.choices[0].finish_reason == "stop"
    assert len(list(client.chat.completions.create(model=model, messages=turns, tools=TOOLS, stream=True))) > 3
    last = sent(mock)[2]["messages"][-1]["content"]
    assert [next(iter(block)) for block in last] == ["toolResult", "toolResult", "text"]
    one = client.chat.completions.create(model=model, messages=MESSAGES, tools=TOOLS, tool_choice=CHOICE)
    assert one.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize("model", ["nova", "sonnet", "any/anthropic.claude-3-5-sonnet-20240620-v1:0"])
@pytest.mark.parametrize("stream", [False, True])
def test_json_schema(client: openai.OpenAI, model: str, stream: bool) -> None:
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "c", "schema": CITY, "strict": True}}
    if stream:
        with client.chat.completions.stream(model=model, messages=MESSAGES, response_format=wanted) as events:
            choice: Any = events.until_done().get_final_completion().choices[0]
    else:
        choice = client.chat.completions.create(model=model, messages=MESSAGES, response_format=wanted).choices[0]
    assert (json.loads(choice.message.content), choice.finish_reason) == ({"city": "mock"}, "stop")


@pytest.mark.parametrize("model", ["nova", "sonnet"])
def test_reasoning(client: openai.OpenAI, model: str) -> None:
    options: dict[str, Any] = {"model": model, "messages": MESSAGES, "reasoning_effort": "low"}
    message: Any = client.chat.completions.create(**options, extra_body=script(reasoning="Hm.")).choices[0].message
    assert message.reasoning_content == "Hm."
    chunks: Any = client.chat.completions.create(**options, stream=True, extra_body=script(reasoning="Hm, well."))
    assert "".join(getattr(c.choices[0].delta, "reasoning_content", "") for c in chunks) == "Hm, well."


def test_the_messages_api(gw: Gateway) -> None:
    tools: Any = [{"name": "weather", "description": "w", "input_schema": CITY}]
    with anthropic.Anthropic(base_url=gw.base, api_key=API_KEY, max_retries=0) as client:
        with client.messages.stream(
            model="nova", max_tokens=50, messages=MESSAGES, tools=tools, extra_body={"tool_choice": {"type": "any"}}
        ) as stream:
            message = stream.get_final_message()
        assert message.stop_reason == "tool_use"
        [use] = message.content
        assert use.type == "tool_use"
        assert use.input == {"city": "mock"}
        result: Any = {"type": "tool_result", "tool_use_id": use.id, "content": "rain"}
        turns: Any = [
            *MESSAGES,
            {"role": "assistant", "content": [use.model_dump(include={"type", "id", "name", "input"})]},
            {"role": "user", "content": [result, {"type": "text", "text": "And?"}]},
        ]
        answer = client.messages.create(model="nova", max_tokens=50, messages=turns, tools=tools)
        assert answer.content[0].type == "text"
        assert answer.usage.output_tokens > 0


def test_the_responses_api(client: openai.OpenAI) -> None:
    tools: Any = [{"type": "function", "name": "weather", "parameters": CITY, "strict": True}]
    with client.responses.stream(model="nova", input="Weather?", tools=tools, tool_choice="required") as stream:
        response = stream.until_done().get_final_response()
    [call] = response.output
    assert call.type == "function_call"
    assert json.loads(call.arguments) == {"city": "mock"}
    assert response.usage is not None
    assert response.usage.output_tokens > 0
    turns: Any = [
        {"role": "user", "content": "Weather?"},
        {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments},
        {"type": "function_call_output", "call_id": call.call_id, "output": "rain"},
    ]
    answer = client.responses.create(model="nova", input=turns, tools=tools)
    assert answer.output_text.startswith("The mock upstream answers")


@pytest.mark.parametrize(
    ("status", "expected", "message", "code"),
    [
        (400, 400, "upstream returned 400", None),
        (403, 403, "upstream authentication failed", "permission_denied"),
        (404, 404, "upstream model not found", "model_not_found"),
        (408, 408, "upstream request timeout", "timeout"),
        (424, 424, "upstream returned 424", "model_error"),
        (500, 502, "upstream returned 500", None),
        (503, 502, "upstream returned 503", None),
    ],
)
@pytest.mark.parametrize("model", ["nova", "sonnet"])
@pytest.mark.parametrize("stream", [False, True])
def test_errors(
    client: openai.OpenAI, model: str, status: int, expected: int, message: str, code: str | None, stream: bool
) -> None:
    # Their names are in the head alone.
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model=model, messages=MESSAGES, stream=stream, extra_body=script(status=status))
    assert caught.value.status_code == expected
    assert isinstance(caught.value.body, dict)
    assert (caught.value.body["message"], caught.value.type) == (message, "upstream_error")
    assert caught.value.code == code


def test_rate_limit_with_its_wait(client: openai.OpenAI) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="nova", messages=MESSAGES, extra_body=script(status=429, retry_after=7))
    assert (caught.value.code, caught.value.response.headers["retry-after"]) == ("rate_limit_exceeded", "7")


START: dict[str, Any] = {"messageStart": {"role": "assistant"}}
EXCEPTIONS: list[tuple[str, dict[str, Any], int, str]] = [
    ("internalServerException", {}, 502, "upstream reported stream error 500"),
    ("modelStreamErrorException", {"originalStatusCode": 404}, 404, "upstream reported stream error 404"),
    ("modelStreamErrorException", {}, 502, "upstream reported stream error 502"),
    ("throttlingException", {}, 429, "upstream rate limited"),
    ("validationException", {}, 400, "upstream rejected the streaming request"),
    ("serviceUnavailableException", {}, 502, "upstream reported stream error 503"),
    ("modelTimeoutException", {}, 502, "upstream reported a stream error"),
]


@pytest.mark.parametrize(("name", "payload", "status", "message"), EXCEPTIONS)
def test_exceptions_inside_of_streams(
    client: openai.OpenAI, name: str, payload: dict[str, Any], status: int, message: str
) -> None:
    failing = {f"exception {name}": {"message": "arn:aws:secret words", **payload}}
    with pytest.raises(openai.APIError) as caught:
        list(
            client.chat.completions.create(
                model="nova", messages=MESSAGES, stream=True, extra_body=script(events=[START, failing])
            )
        )
    assert caught.value.message == f"upstream reported an in-band stream error: {message}"
    assert caught.value.type == "upstream_in_band_error"
    with pytest.raises(openai.APIStatusError) as before:
        client.chat.completions.create(
            model="timed-nova", messages=MESSAGES, stream=True, extra_body=script(events=[failing])
        )
    assert before.value.status_code == status
    assert isinstance(before.value.body, dict)
    number = message.rpartition(" ")[2] if message[-1].isdigit() else "502"
    assert before.value.body["message"] == (message if status < 500 else f"upstream returned {number}")


def test_an_error_message_in_a_stream(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIError, match="upstream reported a stream error"):
        list(
            client.chat.completions.create(
                model="nova", messages=MESSAGES, stream=True, extra_body=script(events=[START, {"error 500": "words"}])
            )
        )


WIRE = event("contentBlockDelta", b'{"contentBlockIndex":0,"delta":{"text":"x"}}')


@pytest.mark.parametrize(
    "damaged",
    [WIRE[:-1] + bytes([WIRE[-1] ^ 1]), WIRE[:30], b"\0" * 12, WIRE[:60] + b"\xff" + WIRE[61:]],
    ids=["checksum", "truncated", "no-message", "payload"],
)
def test_damaged_streams(client: openai.OpenAI, damaged: bytes) -> None:
    directives = script(events=[START, damaged.decode("latin-1")])
    with pytest.raises(openai.APIError) as caught:
        list(client.chat.completions.create(model="nova", messages=MESSAGES, stream=True, extra_body=directives))
    assert caught.value.type == "transport_error"
    with pytest.raises(openai.APIStatusError) as before:
        client.chat.completions.create(
            model="timed-nova", messages=MESSAGES, stream=True, extra_body=script(events=[damaged.decode("latin-1")])
        )
    assert (before.value.status_code, before.value.type) == (502, "transport_error")


def test_events_that_are_no_json(client: openai.OpenAI) -> None:
    for wire in (event("messageStart", b"{"), event("messageStart", b"[]")):
        with pytest.raises(openai.APIError) as caught:
            list(
                client.chat.completions.create(
                    model="nova",
                    messages=MESSAGES,
                    stream=True,
                    extra_body=script(events=[START, wire.decode("latin-1")]),
                )
            )
        assert caught.value.type == "upstream_decode_error"


@pytest.mark.parametrize("fault", ["reset", "truncate"])
@pytest.mark.parametrize("at", ["body", "mid_event", "before_done"])
def test_cut_streams_never_look_complete(client: openai.OpenAI, fault: str, at: str) -> None:
    with pytest.raises(openai.APIError) as caught:
        list(
            client.chat.completions.create(
                model="nova", messages=MESSAGES, stream=True, extra_body=script(fault=fault, at=at)
            )
        )
    assert caught.value.type in ("transport_error", "stream_aborted")


@pytest.mark.parametrize("stream", [False, True])
def test_failures_before_the_first_byte_are_retried(mock: Mock, client: openai.OpenAI, stream: bool) -> None:
    before = mock.stats()["requests"]
    answer: Any = client.chat.completions.create(
        model="timed-nova",
        messages=MESSAGES,
        stream=stream,
        extra_body=script(status=503, fail_times=1, key=f"bedrock {stream}"),
    )
    assert list(answer) if stream else answer.choices
    assert mock.stats()["requests"] == before + 2


def test_unreadable_answers(client: openai.OpenAI) -> None:
    for raw in ("nonsense", "[]", '{"output":{}}', '{"output":{"message":{"content":"x"}}}'):
        with pytest.raises(openai.APIStatusError) as caught:
            client.chat.completions.create(model="nova", messages=MESSAGES, extra_body=script(raw=raw))
        assert (caught.value.status_code, caught.value.type) == (502, "upstream_decode_error")


@pytest.mark.parametrize(
    ("model", "status", "message"),
    [
        ("blank", 400, "invalid upstream configuration: bedrock provider_key.api_key.region is empty — AWS Bedrock"),
        ("text", 401, "invalid upstream credentials: bedrock provider_key.api_key must be valid JSON: {access_key_id"),
        ("odd", 500, 'bridge is misconfigured: bedrock publisher unknown for model id "acme.x"; expected one of'),
        ("odd-id", 500, 'bridge is misconfigured: bedrock model id "amazon.nova pro" contains unexpected characters'),
        ("any/meta.llama 3", 500, 'bridge is misconfigured: bedrock model id "meta.llama 3" contains unexpected'),
    ],
)
def test_what_is_not_sent(mock: Mock, client: openai.OpenAI, model: str, status: int, message: str) -> None:
    before = mock.stats()["requests"]
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model=model, messages=MESSAGES)
    assert caught.value.status_code == status
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["message"].startswith(message)
    assert mock.stats()["requests"] == before


def test_a_wildcard_reaches_the_model_of_its_name(mock: Mock, client: openai.OpenAI) -> None:
    client.chat.completions.create(model="any/us.meta.llama3-3-70b-instruct-v1:0", messages=MESSAGES)
    assert sent(mock)[0] == "/model/us.meta.llama3-3-70b-instruct-v1%3A0/converse"


def test_titan_embeds_text_by_text(mock: Mock, client: openai.OpenAI) -> None:
    before = mock.stats()["requests"]
    answer = client.embeddings.create(model="titan", input=["a", "bb", "a"], dimensions=4, encoding_format="float")
    made = mock.requests()[before - mock.stats()["requests"] :]
    assert [json.loads(one["body"]) for one in made] == [{"inputText": text} for text in ("a", "bb", "a")]
    assert {one["path"] for one in made} == {f"/model/{TITAN}/invoke"}
    assert len({one["connection"] for one in made}) == 1
    assert (answer.model, answer.object) == (TITAN, "list")
    assert [one.index for one in answer.data] == [0, 1, 2]
    assert answer.data[0].embedding == answer.data[2].embedding != answer.data[1].embedding
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (3, 3)
    answer = client.embeddings.create(model="titan-2", input="a", dimensions=4, encoding_format="float")
    assert sent(mock)[2] == {"inputText": "a", "dimensions": 4}
    assert len(answer.data[0].embedding) == 4


def test_cohere_embeds_all_texts_at_once(mock: Mock, client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="cohere", input=["a", "b"], encoding_format="float")
    assert sent(mock)[2] == {"texts": ["a", "b"], "input_type": "search_document"}
    assert [one.index for one in answer.data] == [0, 1]
    assert answer.usage.total_tokens == 0


def test_embeddings_that_are_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.InternalServerError, match="bedrock embeddings support amazon") as caught:
        client.embeddings.create(model="nova", input="a")
    assert caught.value.type == "config_error"
    for given in ([1, 2], []):
        with pytest.raises(openai.BadRequestError) as refused:
            client.embeddings.create(model="titan", input=given)  # type: ignore[arg-type]
        assert refused.value.param == "input"
    with pytest.raises(openai.InternalServerError) as unknown:
        client.completions.create(model="nova", prompt="x")
    assert unknown.value.status_code == 501


def test_a_series_fails_and_times_out_as_one() -> None:
    with mock_upstream(record=20, latency_ms=500) as slow, gateway(document(slow.origin)) as gw:
        with openai.OpenAI(base_url=gw.url, api_key=API_KEY, max_retries=0) as client:
            client.embeddings.create(model="brisk-titan", input="a", encoding_format="float")
            with pytest.raises(openai.APIStatusError) as caught:
                client.embeddings.create(model="brisk-titan", input=["a"] * 9, encoding_format="float")
            assert (caught.value.status_code, caught.value.type) == (504, "timeout")
            assert len(slow.requests()) < 9
    with mock_upstream(record=20) as refusing, gateway(document(refusing.origin)) as gw:
        with openai.OpenAI(base_url=gw.url, api_key=API_KEY, max_retries=0) as client:
            # The upstream refuses the empty text in the middle.
            with pytest.raises(openai.BadRequestError) as failed:
                client.embeddings.create(model="titan", input=["a", "", "b"], encoding_format="float")
            assert failed.value.type == "upstream_error"
            assert len(refusing.requests()) == 2
        # What the texts before it used was used.
        assert " status=400 " in (line := gw.wait_log('error_kind="upstream_error"'))
        assert " prompt_tokens=1 total_tokens=1 " in line.splitlines()[-1]


def test_redirects_are_signed_anew_at_home_and_not_abroad() -> None:
    away: dict[str, Any] = {"status": 307, "fail_times": 1}
    with mock_upstream(record=5) as abroad:
        place = f"{abroad.origin}/model/{NOVA}/converse"
        flags = {**away, "headers": {"location": place}}
        with mock_upstream(record=5, aws_secret=SECRET, **flags) as home, gateway(document(home.origin)) as gw:
            with openai.OpenAI(base_url=gw.url, api_key=API_KEY, max_retries=0) as client:
                client.chat.completions.create(model="temporary", messages=MESSAGES, extra_body={"mock": {}})
            assert "authorization" in sent(home)[1]
            _, headers, _ = sent(abroad)
            assert not [name for name in headers if name == "authorization" or name.startswith("x-amz-")]
    flags = {**away, "headers": {"location": "/model/us.amazon.nova-lite/converse?x=%20a"}}
    with mock_upstream(record=5, aws_secret=SECRET, **flags) as home, gateway(document(home.origin)) as gw:
        with openai.OpenAI(base_url=gw.url, api_key=API_KEY, max_retries=0) as client:
            client.chat.completions.create(model="nova", messages=MESSAGES)
        assert sent(home)[0] == "/model/us.amazon.nova-lite/converse?x=%20a"
