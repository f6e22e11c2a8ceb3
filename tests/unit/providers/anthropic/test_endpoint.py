"""URLs and heads of the Messages API."""

import pytest

from fastgw.core.errors import GatewayError
from fastgw.providers.anthropic.endpoint import head, native_url, translated_url
from fastgw.providers.place import UpstreamURL


def text(url: UpstreamURL) -> str:
    return f"{url.scheme}://{url.authority}{url.path}"


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        (None, "https://api.anthropic.com/v1/messages"),
        (" ", "https://api.anthropic.com/v1/messages"),
        ("https://api.anthropic.com/", "https://api.anthropic.com/v1/messages"),
        ("https://h/v1", "https://h/v1/messages"),
        ("https://h/v1/messages/", "https://h/v1/messages"),
        ("http://h:81/anthropic", "http://h:81/anthropic/v1/messages"),
        ("http://h/anthropic/v1/", "http://h/anthropic/v1/messages"),
        ("http://h/v1/messages?beta=true", "http://h/v1/messages?beta=true"),
    ],
)
def test_translated(base: str | None, expected: str) -> None:
    assert text(translated_url(base, "anthropic")) == expected


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("http://h", "http://h/v1/messages/count_tokens"),
        ("http://h/v1", "http://h/v1/messages/count_tokens"),
        ("http://h/v1/messages", "http://h/v1/messages/count_tokens"),
        ("http://h/v1/chat/completions", "http://h/v1/messages/count_tokens"),
        ("http://h/a/v1/responses/", "http://h/a/v1/messages/count_tokens"),
        ("http://h/anthropic", "http://h/anthropic/v1/messages/count_tokens"),
    ],
)
def test_native(base: str, expected: str) -> None:
    assert text(native_url(base, "acme", "pk", "messages/count_tokens")) == expected


def test_defaults_and_their_absence() -> None:
    assert text(native_url(None, "Anthropic", "pk", "messages")) == "https://api.anthropic.com/v1/messages"
    assert text(native_url(None, "openai", "pk", "messages")) == "https://api.openai.com/v1/messages"
    with pytest.raises(GatewayError) as caught:
        native_url("", "acme", "pk", "messages")
    assert caught.value.message == 'request payload is invalid: provider_key "pk" has no api_base configured'
    with pytest.raises(GatewayError) as caught:
        translated_url("", "acme")
    assert caught.value.message == (
        'invalid upstream configuration: provider_key for vendor "acme" has no upstream base URL configured'
    )


def test_no_urls() -> None:
    with pytest.raises(GatewayError) as caught:
        native_url("nonsense", "anthropic", "pk", "messages")
    assert (caught.value.status, caught.value.type) == (502, "transport_error")
    with pytest.raises(GatewayError) as caught:
        translated_url("nonsense", "anthropic")
    assert (caught.value.status, caught.value.type) == (400, "invalid_request_error")


def test_head() -> None:
    url = translated_url("http://h", "anthropic")
    assert head(url, "sk", "acme", stream=True) == (
        b"POST /v1/messages HTTP/1.1\r\n"
        b"Host: h\r\n"
        b"x-api-key: sk\r\n"
        b"anthropic-version: 2023-06-01\r\n"
        b"Content-Type: application/json\r\n"
        b"Accept: text/event-stream\r\n"
        b"User-Agent: acme/0.1\r\n"
        b"x-acme-request-id: "
    )
    assert b"Accept" not in head(url, "sk", "acme", stream=False)
    with pytest.raises(GatewayError) as caught:
        head(url, "s\r\nk", "acme", stream=False)
    assert caught.value.status == 401
