"""URLs and heads of the Responses API."""

from typing import Any

import pytest

from fastgw.core.errors import GatewayError
from fastgw.policy.retry import may_retry
from fastgw.providers.openai.responses import responses_head, responses_url
from fastgw.resources.models import Model, ProviderKey


def key(base: str | None, secret: str = "s", **more: Any) -> ProviderKey:
    return ProviderKey(
        **{"display_name": "pk", "provider": "acme", "adapter": "openai", **more}, api_key=secret, api_base=base
    )


def model(name: str | None = "up") -> Model:
    return Model(display_name="m", provider="openai", model_name=name, provider_key_id="k")


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("https://h", "https://h/v1/responses"),
        ("https://h/", "https://h/v1/responses"),
        ("https://h/v1", "https://h/v1/responses"),
        ("https://h/v2/", "https://h/v2/responses"),
        ("http://h:81/v1/responses", "http://h:81/v1/responses"),
        ("https://h/v1/chat/completions", "https://h/v1/responses"),
        ("https://h/responses", "https://h/v1/responses"),
        ("https://h/a/rerank", "https://h/a/responses"),
        ("https://api.openai.com", "https://api.openai.com/v1/responses"),
    ],
)
def test_urls(base: str, expected: str) -> None:
    url = responses_url(key(base))
    assert f"{url.scheme}://{url.authority}{url.path}" == expected


def test_no_urls() -> None:
    assert responses_url(key(" ", provider="OpenAI")).authority == "api.openai.com"
    with pytest.raises(GatewayError) as caught:
        responses_url(key(None))
    assert (caught.value.status, caught.value.message) == (
        400,
        'request payload is invalid: provider_key "pk" has no api_base configured',
    )
    with pytest.raises(GatewayError) as caught:
        responses_url(key("h/v1"))
    assert (caught.value.status, caught.value.type) == (502, "transport_error")


def test_heads() -> None:
    one = key("https://h")
    head = responses_head(responses_url(one), model(), one, "ns", stream=False).decode()
    assert head.startswith("POST /v1/responses HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer s\r\n")
    assert "Accept" not in head
    assert "Accept: text/event-stream" in responses_head(responses_url(one), model(), one, "ns", stream=True).decode()


@pytest.mark.parametrize("secret", ["a\r\nb", "a\x00", "\x7f", "é"])
def test_a_secret_that_cannot_be_sent(secret: str) -> None:
    one = key("https://h", secret)
    with pytest.raises(GatewayError) as caught:
        responses_head(responses_url(one), model(), one, "ns", stream=False)
    assert (caught.value.status, caught.value.type) == (500, "config_error")
    assert caught.value.message.startswith("bridge is misconfigured: api key contains invalid header chars: ")
    assert secret not in caught.value.message
    assert may_retry(caught.value, explicit=False)


@pytest.mark.parametrize(
    ("secret", "name", "text"),
    [
        (" ", "up", 'model "m" provider_key has empty api_key'),
        ("s", None, 'model "m" has no model_name (routing models can\'t be dispatched directly)'),
    ],
)
def test_what_is_missing(secret: str, name: str | None, text: str) -> None:
    one = key("https://h", secret)
    with pytest.raises(GatewayError) as caught:
        responses_head(responses_url(one), model(name), one, "ns", stream=False)
    assert (caught.value.status, caught.value.message) == (400, f"request payload is invalid: {text}")
