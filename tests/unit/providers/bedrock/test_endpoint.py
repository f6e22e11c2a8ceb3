"""Credentials, URLs, publishers, heads."""

import json
from typing import Any

import pytest

from fastgw.core.errors import GatewayError
from fastgw.providers.adapter import Endpoint, Operation
from fastgw.providers.bedrock import Adapter
from fastgw.providers.bedrock.credential import AccessKey, ApiKey, credential
from fastgw.providers.bedrock.endpoint import embedder_of, model_url, plain_id, publisher_of
from fastgw.resources.models import Model, ProviderKey

KEY: dict[str, Any] = {"access_key_id": "AK", "secret_access_key": "s3cret", "region": "us-west-2"}
SHAPE = "{access_key_id, secret_access_key, region, session_token?}"
NO_JSON = f"invalid upstream credentials: bedrock provider_key.api_key must be valid JSON: {SHAPE}"
NO_REGION = (
    "invalid upstream configuration: bedrock provider_key.api_key.region is empty — AWS Bedrock dispatch is "
    'region-keyed and requires e.g. "us-west-2"'
)


def test_credentials() -> None:
    assert credential(json.dumps(KEY)) == AccessKey("AK", "s3cret", "us-west-2")
    assert credential(json.dumps({**KEY, "session_token": None, "more": 1})) == AccessKey("AK", "s3cret", "us-west-2")
    temporary = {**KEY, "session_token": "t", "region": " us-west-2\n", "api_key": "x"}
    assert credential(json.dumps(temporary)) == AccessKey("AK", "s3cret", "us-west-2", "t")
    assert credential('{"api_key": "b", "region": "r"}') == ApiKey("b", "r")
    assert "s3cret" not in repr(credential(json.dumps(KEY)))
    assert "b-1" not in repr(credential('{"api_key": "b-1", "region": "r"}'))


@pytest.mark.parametrize(
    ("secret", "status", "message"),
    [
        ("", 401, f"invalid upstream credentials: bedrock provider_key.api_key is empty — expected JSON {SHAPE}"),
        (" \n", 401, f"invalid upstream credentials: bedrock provider_key.api_key is empty — expected JSON {SHAPE}"),
        ("AKIA", 401, NO_JSON),
        ("[]", 401, NO_JSON),
        ("{", 401, NO_JSON),
        ({}, 401, NO_JSON),
        ({**KEY, "secret_access_key": 5}, 401, NO_JSON),
        ({**KEY, "session_token": 5}, 401, NO_JSON),
        ({**KEY, "region": None}, 401, NO_JSON),
        ({**KEY, "access_key_id": " "}, 401, NO_JSON),
        ({"api_key": "s3cret"}, 401, NO_JSON),
        ({**KEY, "region": ""}, 400, NO_REGION),
        ({**KEY, "region": " \t"}, 400, NO_REGION),
        ({"api_key": "s3cret", "region": ""}, 400, NO_REGION),
        (
            {**KEY, "region": "s3cret.evil/"},
            400,
            "invalid upstream configuration: bedrock provider_key.api_key.region must match [A-Za-z0-9-]+",
        ),
        (
            {**KEY, "session_token": "s3cret\r\nx: y"},
            401,
            "invalid upstream credentials: provider_key.api_key contains invalid header characters",
        ),
        (
            {**KEY, "access_key_id": "s3cret\n"},
            401,
            "invalid upstream credentials: provider_key.api_key contains invalid header characters",
        ),
        ({"api_key": "", "region": "r"}, 401, "invalid upstream credentials: provider_key.api_key is empty"),
    ],
)
def test_credentials_that_are_none(secret: Any, status: int, message: str) -> None:
    with pytest.raises(GatewayError) as caught:
        credential(secret if isinstance(secret, str) else json.dumps(secret))
    assert (caught.value.status, caught.value.message) == (status, message)


def test_half_of_a_surrogate_pair_is_no_credential() -> None:
    with pytest.raises(GatewayError, match="must be valid JSON"):
        credential('{"api_key": "\ud800", "region": "r"}')


@pytest.mark.parametrize(
    ("model", "publisher"),
    [
        ("anthropic.claude-3-haiku-20240307-v1:0", "anthropic"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic"),
        ("us-gov.anthropic.claude-3", "anthropic"),
        ("global.amazon.nova-2", "amazon"),
        ("apac.meta.llama3", "meta"),
        ("au.zai-org.glm", "zai-org"),
        ("openai.gpt-oss-120b-1:0", "openai"),
        ("twelvelabs.pegasus", "twelvelabs"),
        ("meta.amazon.odd", "amazon"),
    ],
)
def test_publishers(model: str, publisher: str) -> None:
    assert publisher_of(model) == publisher


@pytest.mark.parametrize(
    "model",
    ["", "acme.x", "u.anthropic.claude", "toolong8.anthropic.claude", "US.anthropic.claude", "us.eu.meta.x", "."],
)
def test_publishers_that_are_none(model: str) -> None:
    with pytest.raises(GatewayError) as caught:
        publisher_of(model)
    assert caught.value.status == 500
    assert caught.value.message == (
        f'bridge is misconfigured: bedrock publisher unknown for model id "{model}"; expected one of '
        "anthropic.claude-* / meta.llama* / mistral.* / amazon.titan-* / amazon.nova-* / cohere.command* / "
        "ai21.jamba-* (optionally prefixed with a cross-region inference profile like us. / eu. / apac.)"
    )


def test_urls() -> None:
    url = model_url(None, "eu-west-3", "us.amazon.nova-pro-v1:0", "converse")
    assert (url.scheme, url.authority) == ("https", "bedrock-runtime.eu-west-3.amazonaws.com")
    assert url.path == "/model/us.amazon.nova-pro-v1%3A0/converse"
    assert model_url(" ", "r", "a/b", "invoke").path == "/model/a%2Fb/invoke"
    url = model_url("http://127.0.0.1:9/vpce/", "r", "m", "converse-stream")
    assert (url.scheme, url.authority, url.path) == ("http", "127.0.0.1:9", "/vpce/model/m/converse-stream")
    with pytest.raises(GatewayError) as caught:
        model_url(None, "r", 'a"b', "invoke")
    assert (caught.value.status, caught.value.message) == (
        500,
        r'bridge is misconfigured: bedrock model id "a\"b" contains unexpected characters — only [A-Za-z0-9._:/-] are '
        "allowed",
    )
    with pytest.raises(GatewayError, match="is not an absolute http or https URL"):
        model_url("bedrock.example", "r", "m", "invoke")


def test_embedders() -> None:
    assert plain_id("eu.amazon.titan-embed-text-v2:0") == "amazon.titan-embed-text-v2:0"
    assert embedder_of("eu.amazon.titan-embed-text-v2:0") == "amazon.titan-embed"
    assert embedder_of("cohere.embed-english-v3") == "cohere.embed"
    with pytest.raises(GatewayError) as caught:
        embedder_of("amazon.nova-pro")
    assert (caught.value.status, caught.value.message) == (
        500,
        "bridge is misconfigured: bedrock embeddings support amazon.titan-embed-* and cohere.embed-* model ids; got "
        '"amazon.nova-pro"',
    )


def endpoint(operation: Operation, name: str, **credentials: Any) -> Endpoint:
    model = Model(display_name="alias", provider="aws", model_name=name, provider_key_id="k")
    secret = json.dumps(credentials or KEY)
    key = ProviderKey(display_name="k", api_key=secret, provider="aws", adapter="bedrock")
    return Adapter().endpoint(operation, model, key, "fastgw")


def test_heads() -> None:
    made = endpoint("chat/completions", "anthropic.claude-3")
    assert made.head.startswith(b"POST /model/anthropic.claude-3/invoke HTTP/1.1\r\n")
    assert made.stream_head.startswith(b"POST /model/anthropic.claude-3/converse-stream HTTP/1.1\r\n")
    assert b"\r\nAccept: application/json\r\n" in made.head
    assert b"Accept" not in made.stream_head
    assert b"uthorization" not in made.head
    assert made.sign is not None
    signed = made.sign(made.head + b"rid\r\n", b"{}", 0.0)
    assert signed.startswith(
        b"x-amz-date: 19700101T000000Z\r\nAuthorization: AWS4-HMAC-SHA256 Credential=AK/19700101/us-west-2/bedrock/"
        b"aws4_request, SignedHeaders=accept;content-type;host;x-amz-date;x-fastgw-request-id, Signature="
    )
    assert (made.edited, made.family, made.series) == (False, "bedrock", False)
    assert Adapter().located
    made = endpoint("messages", "amazon.nova-pro")
    assert b"/converse HTTP/1.1" in made.head
    assert b"Accept" not in made.head
    made = endpoint("embeddings", "amazon.titan-embed-text-v1", api_key="b", region="r")
    assert made.sign is None
    assert b"\r\nAuthorization: Bearer b\r\n" in made.head
    assert made.series
    assert not endpoint("embeddings", "cohere.embed-english-v3").series


def test_what_is_checked_first() -> None:
    for name, message in (("a b", "unexpected characters"), ("acme.x", "publisher unknown")):
        with pytest.raises(GatewayError, match=message):
            endpoint("chat/completions", name)
    with pytest.raises(GatewayError, match="region is empty"):
        endpoint("chat/completions", "a b", **{**KEY, "region": ""})
    with pytest.raises(GatewayError, match="unexpected characters"):
        endpoint("embeddings", "amazon.titan-embed x")
    with pytest.raises(GatewayError) as caught:
        endpoint("completions", "amazon.nova-pro")
    assert caught.value.status == 501
