"""Where Vertex models are, what their credentials say, whose protocol they speak."""

import json
from typing import Any

import pytest

from fastgw.core.errors import GatewayError
from fastgw.core.grants import ServiceAccount
from fastgw.endpoints import embeddings
from fastgw.providers.vertex import Adapter
from fastgw.providers.vertex.credential import credential
from fastgw.providers.vertex.embeddings import embedded
from fastgw.providers.vertex.endpoint import Project, origin, publisher_of
from fastgw.resources.models import Model, ProviderKey

TOKEN = {"project": "p-1", "region": "europe-west4", "access_token": "tok"}
ACCOUNT = {
    "type": "service_account",
    "private_key": "-----BEGIN PRIVATE KEY-----",
    "client_email": "a@b",
    "token_uri": "https://oauth2.googleapis.com/token",
    "extra": 1,
}
P = "https://europe-west4-aiplatform.googleapis.com/v1/projects/p-1/locations/europe-west4"


def refusal(status: int, text: str) -> Any:
    class Refusal:
        def __enter__(self) -> None: ...
        def __exit__(self, kind: object, error: object, trace: object) -> bool:
            assert isinstance(error, GatewayError)
            assert (error.status, text in error.message) == (status, True), error.message
            assert "secret" not in error.message
            return True

    return Refusal()


@pytest.mark.parametrize(
    ("model", "publisher", "path", "stream"),
    [
        (
            "gemini-2.5-pro",
            "google",
            "publishers/google/models/gemini-2.5-pro:generateContent",
            "streamGenerateContent?alt=sse",
        ),
        ("Claude-x@1", "anthropic", "publishers/anthropic/models/Claude-x@1:rawPredict", "streamRawPredict"),
        ("mistral-large", "mistralai", "publishers/mistralai/models/mistral-large:rawPredict", "streamRawPredict"),
        ("codestral-2", "mistralai", "publishers/mistralai/models/codestral-2:rawPredict", "streamRawPredict"),
        ("jamba-1.5", "ai21", "publishers/ai21/models/jamba-1.5:rawPredict", "streamRawPredict"),
    ],
)
def test_places(model: str, publisher: Any, path: str, stream: str) -> None:
    assert publisher_of(model) == publisher
    project = Project(None, "p-1", "europe-west4")
    url = project.chat(publisher, model, stream=False)
    assert f"https://{url.authority}{url.path}" == f"{P}/{path}"
    assert project.chat(publisher, model, stream=True).path.endswith(f":{stream}")


def test_the_place_that_is_everywhere() -> None:
    url = Project(None, "p-1", "global").chat("google", "gemini-3", stream=False)
    assert url.host == "aiplatform.googleapis.com"
    assert url.path.startswith("/v1/projects/p-1/locations/global/")


@pytest.mark.parametrize(
    "model", ["meta/llama-3", "llama-3", "deepseek-r1", "qwen3", "openai/gpt-oss-20b", "zai-org/x"]
)
def test_the_endpoint_with_openais_protocol(model: str) -> None:
    for stream in (False, True):
        url = Project("http://127.0.0.1:9/", "p", "r").chat(publisher_of(model), model, stream=stream)
        assert (url.authority, url.path) == (
            "127.0.0.1:9",
            "/v1/projects/p/locations/r/endpoints/openapi/chat/completions",
        )


def test_what_a_name_has_encoded_stays_a_part_of_it() -> None:
    place = Project(None, "p", "r").chat("google", "gemini-%2F%2e%2e%2Fx", stream=False)
    assert place.path.endswith("/models/gemini-%252F%252e%252e%252Fx:generateContent")


def test_an_unknown_publisher() -> None:
    with refusal(500, 'vertex publisher unknown for upstream model id "gpt-4"; expected one of gemini-* / claude-*'):
        publisher_of("gpt-4")


@pytest.mark.parametrize(
    ("base", "text"),
    [
        ("ftp://h", 'must use http:// or https:// scheme, got "ftp://h"'),
        (
            "https://me:secret@h",
            "must not embed userinfo (@); use the request's Authorization header instead, got \"https",
        ),
        (
            "https://h?x",
            "must not contain a query string (the bridge appends `?alt=sse` on streaming; an operator query",
        ),
        ("https://h#x", 'must not contain a fragment, got "https://h#x"'),
        ("https://h/x", 'must be a bare origin (scheme://host[:port]) with no path, got "https://h/x"'),
        ("https://h\\x", "must be a bare origin"),
    ],
)
def test_refused_bases(base: str, text: str) -> None:
    with refusal(400, f"invalid upstream configuration: vertex provider_key api_base {text}"):
        origin(base)


@pytest.mark.parametrize(
    ("project", "region", "what"), [("a/b", "r", "project"), ("p", "r..", "region"), ("", "r", "project")]
)
def test_names_that_would_change_the_url(project: str, region: str, what: str) -> None:
    with refusal(500, f"vertex {what} "):
        Project("http://h", project, region)
    with refusal(
        500, 'vertex model id "gemini-/x" contains URL-control characters — reject `/`, `?`, `#`, whitespace, `..`'
    ):
        Project("http://h", "p", "r").chat("google", "gemini-/x", stream=False)


def test_credentials() -> None:
    assert credential(json.dumps(TOKEN)) == ("p-1", "europe-west4", "tok", None)
    found = credential(json.dumps({"project": "p", "region": "r", "service_account_json": ACCOUNT}))
    assert found.token is None
    assert isinstance(found.grant, ServiceAccount)
    assert found.grant.scope == "https://www.googleapis.com/auth/cloud-platform"


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        (" ", "vertex provider_key.api_key is empty — expected JSON with project, region, and either access_token or"),
        ("secret", "vertex provider_key.api_key must be valid JSON: {project, region, and either access_token or"),
        ({"project": "p"}, "must be valid JSON"),
        ({**TOKEN, "access_token": " "}, "vertex provider_key.api_key.access_token is empty"),
        ({**TOKEN, "access_token": "a\nsecret"}, "invalid header characters"),
        (
            {**TOKEN, "service_account_json": ACCOUNT},
            "must set exactly one of access_token or service_account_json (both",
        ),
        (
            {"project": "p", "region": "r"},
            "must set either access_token or service_account_json (neither was provided)",
        ),
        *(
            ({"project": "p", "region": "r", "service_account_json": {**ACCOUNT, name: value}}, f"json.{name}")
            for name, value in (("type", "user"), ("private_key", "secret"), ("client_email", ""), ("token_uri", None))
        ),
    ],
)
def test_refused_credentials(secret: object, text: str) -> None:
    with refusal(401, text):
        credential(secret if isinstance(secret, str) else json.dumps(secret))


def test_heads_and_grants() -> None:
    model = Model(display_name="m", provider="google", model_name="gemini-x", provider_key_id="k")

    def endpoint(secret: object) -> Any:
        key = ProviderKey(display_name="k", api_key=json.dumps(secret), adapter="vertex")
        return Adapter().endpoint("chat/completions", model, key, "fastgw")

    made = endpoint(TOKEN)
    assert b"\r\nAuthorization: Bearer tok\r\n" in made.head
    assert b"Accept" not in made.stream_head
    assert made.stream_head.startswith(
        b"POST /v1/projects/p-1/locations/europe-west4/publishers/google/models/gemini-x:stream"
    )
    made = endpoint({"project": "p", "region": "r", "service_account_json": ACCOUNT})
    assert made.grant is not None
    assert b"Authorization" not in made.head


class Target:
    model_name = "text-embedding-005"


def speaker(body: dict[str, Any]) -> Any:
    call = embeddings.decode(None, json.dumps({"model": "alias", **body}).encode())  # type: ignore[arg-type]
    return embedded(call, Target())


def test_embeddings() -> None:
    assert json.loads(speaker({"input": "a"}).upstream_body(None)) == {"instances": [{"content": "a"}]}
    assert json.loads(speaker({"input": ["a", "b"], "dimensions": 3}).upstream_body(None)) == {
        "instances": [{"content": "a"}, {"content": "b"}],
        "parameters": {"outputDimensionality": 3},
    }
    vectors = ["[0.12345678901234567890,1e-3]", "[1, 2]"]
    predictions = ",".join(
        f'{{"embeddings":{{"values":{vector},"statistics":{{"token_count":{count},"truncated":false}}}},"x":1}}'
        for vector, count in zip(vectors, ("3", "4.0"), strict=True)
    )
    body, used = speaker({"input": ["a", "b"]}).answer(b'{"predictions":[%b]}' % predictions.encode())
    assert body == (
        b'{"object":"list","model":"text-embedding-005","data":[{"index":0,"object":"embedding","embedding":'
        b'[0.12345678901234567890,1e-3]},{"index":1,"object":"embedding","embedding":[1, 2]}],'
        b'"usage":{"prompt_tokens":7,"total_tokens":7}}'
    )
    assert (used.prompt_tokens, used.total_tokens) == (7, 7)
    for bad in (b"{}", b"[]", b"<", b'{"predictions":[{"embeddings":{"values":"x"}}]}'):
        with refusal(502, "unparseable"):
            speaker({"input": "a"}).answer(bad)


def test_tokens_mean_nothing_to_other_models() -> None:
    with refusal(400, "token arrays are not supported by this provider"):
        speaker({"input": [1, 2]}).upstream_body(None)
