"""What a request head keeps when it is sent to another place."""

import pytest

from fastgw.gateway.redirect import readdressed
from fastgw.providers.anthropic import endpoint as anthropic
from fastgw.providers.openai import endpoint as openai
from fastgw.providers.place import UpstreamURL

THERE = UpstreamURL("https", "other.example", 443, "other.example", "/moved?x=1")
HEADS = {
    "openai": openai.head(openai.endpoint_url("http://h/v1", "x", "chat/completions"), "sk-1", "acme", stream=True),
    "anthropic": anthropic.head(anthropic.translated_url("http://h", "x"), "sk-1", "acme", stream=True),
}


@pytest.mark.parametrize("family", sorted(HEADS))
def test_the_credential_of_every_family_stays_with_its_origin(family: str) -> None:
    head = HEADS[family]
    near = readdressed(head, b"POST", THERE, False)
    assert near.startswith(b"POST /moved?x=1 HTTP/1.1\r\nHost: other.example\r\n")
    assert near.split(b"\r\n")[2:] == [line for line in head.split(b"\r\n")[1:] if not line.startswith(b"Host:")]
    assert b"sk-1" in near
    away = readdressed(head, b"GET", THERE, True)
    assert away.startswith(b"GET /moved")
    assert b"sk-1" not in away
    assert away.endswith(b"x-acme-request-id: ")
