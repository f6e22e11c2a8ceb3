"""Models on Vertex behind the gateway, with the official SDK."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.authority import Authority, authority
from tests.support.gateway import Gateway, gateway, resources
from tests.support.issuer import private_key
from tests.support.mock import Mock, mock_upstream
from tests.support.observe import ask

TOKEN = {"project": "p-1", "region": "r-1", "access_token": "tok"}
PLACE = "/v1/projects/p-1/locations/r-1/publishers"
TOOLS: Any = [
    {
        "type": "function",
        "function": {"name": "tide", "parameters": {"type": "object", "properties": {"port": {"type": "string"}}}},
    }
]


PUBLISHERS = [
    ("claude-sonnet-4", "publishers/anthropic/models/claude-sonnet-4:rawPredict"),
    ("mistral-large", "publishers/mistralai/models/mistral-large:rawPredict"),
    ("meta/llama-4", "endpoints/openapi/chat/completions"),
]
EMBEDDER = "text-embedding-005"


@pytest.fixture(scope="module")
def google() -> Iterator[Authority]:
    with authority() as server:
        yield server


@pytest.fixture(scope="module")
def mock() -> Iterator[Mock]:
    with mock_upstream(record=10, content="Hi") as running:
        yield running


@pytest.fixture(scope="module")
def gw(mock: Mock, google: Authority) -> Iterator[Gateway]:
    """Aliases by what is special about them. Directives for the mock travel as a field for the model."""
    document = resources(mock.origin, retries=0, model_name="gemini-2.5-pro")
    key, model = document["provider_keys"][0], document["models"][0]
    key.update(provider="google", adapter="vertex", api_key=json.dumps(TOKEN))
    pem = private_key("RS256").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    account = {
        "type": "service_account",
        "private_key": pem,
        "client_email": "gw@p-1.example",
        "token_uri": f"http://127.0.0.1:{google.server_port}/token",
    }
    secret = {"project": "p-1", "region": "r-1", "service_account_json": account}
    keys: dict[str, dict[str, Any]] = {
        "account": {"api_key": json.dumps(secret)},
        "calls": {"request": {"default_body_fields": {"mock": {"tool_calls": 1}}}},
        "limited": {"request": {"default_body_fields": {"mock": {"status": 429}}}},
    }
    document["provider_keys"] += [{**key, "display_name": name, **more} for name, more in keys.items()]
    document["models"] += [{**model, "display_name": name, "provider_key": name} for name in keys]
    for name in (EMBEDDER, *(publisher for publisher, _ in PUBLISHERS)):
        document["models"].append({**model, "display_name": name, "model_name": name})
    with gateway(document) as running:
        yield running


@pytest.fixture
def sdk(gw: Gateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=gw.url, api_key=gw.api_key, max_retries=0) as client:
        yield client


def sent(mock: Mock) -> tuple[str, dict[str, str], dict[str, Any]]:
    """Path, headers and body of the newest request."""
    request = mock.requests()[-1]
    headers = {name.lower(): value for name, value in request["headers"]}
    return request["path"], headers, json.loads(request["body"])


def test_chat_whole_and_streamed(mock: Mock, sdk: openai.OpenAI) -> None:
    messages: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
    whole = sdk.chat.completions.create(model="fast-chat", messages=messages)
    path, headers, body = sent(mock)
    assert path == f"{PLACE}/google/models/gemini-2.5-pro:generateContent"
    assert headers["authorization"] == "Bearer tok"
    assert body == {
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "systemInstruction": {"role": "user", "parts": [{"text": "Be brief."}]},
    }
    assert whole.model == "fast-chat"
    assert whole.choices[0].message.content == "Hi"
    assert whole.usage is not None
    with sdk.chat.completions.create(
        model="fast-chat", messages=messages, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    assert sent(mock)[0] == f"{PLACE}/google/models/gemini-2.5-pro:streamGenerateContent?alt=sse"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "Hi"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert any(chunk.usage is not None for chunk in chunks)


def test_every_choice_is_returned(mock: Mock, sdk: openai.OpenAI) -> None:
    answer = sdk.chat.completions.create(model="fast-chat", messages=[{"role": "user", "content": "hi"}], n=3)
    assert sent(mock)[2]["generationConfig"] == {"candidateCount": 3}
    assert [(choice.index, choice.message.content) for choice in answer.choices] == [(n, "Hi") for n in range(3)]


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_loop_returns_the_signature(mock: Mock, sdk: openai.OpenAI, stream: bool) -> None:
    messages: list[Any] = [{"role": "user", "content": "Tide?"}]
    if stream:
        with sdk.chat.completions.stream(model="calls", messages=messages, tools=TOOLS) as running:
            message = running.get_final_completion().choices[0].message
    else:
        message = sdk.chat.completions.create(model="calls", messages=messages, tools=TOOLS).choices[0].message
    (call,) = message.tool_calls or []
    assert call.type == "function"
    assert call.function.name == "tide"
    json.loads(call.function.arguments)
    messages += [
        {"role": "assistant", "tool_calls": [call.model_dump(include={"id", "type", "function"})]},
        {"role": "tool", "tool_call_id": call.id, "content": "6.2 m"},
    ]
    sdk.chat.completions.create(model="calls", messages=messages, tools=TOOLS)
    _, again, result = sent(mock)[2]["contents"]
    assert again["parts"][0]["functionCall"]["name"] == "tide"
    assert again["parts"][0]["thoughtSignature"] == "bW9jay1zaWduYXR1cmU="
    assert result["parts"] == [{"functionResponse": {"name": "tide", "response": {"result": "6.2 m"}}}]


@pytest.mark.parametrize(("model", "place"), PUBLISHERS)
def test_other_publishers(mock: Mock, gw: Gateway, model: str, place: str) -> None:
    for stream in (False, True):
        answer = ask(gw, model, stream=stream)
        assert (answer.end, answer.status) == ("complete", 200)
        assert b"Hi" in answer.body
        path, _, body = sent(mock)
        assert path.endswith(place if not stream else place.replace(":raw", ":streamRaw"))
        if model.startswith("claude"):
            assert body["anthropic_version"] == "vertex-2023-10-16"
            assert "model" not in body
            assert body.get("stream") == (True if stream else None)
        else:
            assert body["model"] == model


def test_embeddings(mock: Mock, sdk: openai.OpenAI) -> None:
    made = sdk.embeddings.create(model=EMBEDDER, input=["a", "b"], dimensions=5, encoding_format="float")
    assert [len(item.embedding) for item in made.data] == [5, 5]
    assert made.model == EMBEDDER
    assert made.usage.prompt_tokens > 0
    assert sent(mock)[0] == f"{PLACE}/google/models/{EMBEDDER}:predict"
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.embeddings.create(model=EMBEDDER, input=[1, 2])
    assert caught.value.param == "input"


def test_errors_are_told_in_general_terms(gw: Gateway) -> None:
    for stream in (False, True):
        answer = ask(gw, "limited", stream=stream)
        assert answer.status == 429
        assert answer.json()["error"] == {
            "message": "upstream rate limited",
            "type": "upstream_error",
            "code": "rate_limit_exceeded",
        }


def test_a_service_account_signs_for_its_token(mock: Mock, google: Authority, gw: Gateway) -> None:
    for _ in range(3):
        assert ask(gw, "account").status == 200
        assert sent(mock)[1]["authorization"] == "Bearer granted-1"
    ((path, form),) = google.forms
    assert path == "/token"
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    assert form["assertion"][0].count(".") == 2
    assert "BEGIN" not in gw.log
