"""Upstreams behind a forward proxy that the environment names."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.support.forwardproxy import ForwardProxy
from tests.support.gateway import Gateway, free_port, gateway, resources
from tests.support.mock import Mock, mock_upstream
from tests.support.wire import Answer, Wire, chat, request

NAME = "upstream.example"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def secure(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mock]:
    path = tmp_path_factory.mktemp("upstream")
    made = authority.issue_cert(NAME)
    made.cert_chain_pems[0].write_to_path(str(path / "cert.pem"))
    made.private_key_pem.write_to_path(str(path / "key.pem"))
    with mock_upstream(tokens=3, record=10, tls_cert=str(path / "cert.pem"), tls_key=str(path / "key.pem")) as mock:
        yield mock


@pytest.fixture(scope="module")
def plain() -> Iterator[Mock]:
    with mock_upstream(tokens=3, record=10) as mock:
        yield mock


def environment(**variables: str) -> dict[str, str]:
    """Only these proxy variables, whatever the machine has."""
    names = ("http_proxy", "https_proxy", "no_proxy")
    return {name: "" for lower in names for name in (lower, lower.upper())} | variables


@contextlib.contextmanager
def behind(url: str, environ: dict[str, str], authority: trustme.CA | None = None) -> Iterator[Gateway]:
    document: dict[str, Any] = resources(url, retries=0)
    if authority is not None:
        document["provider_keys"][0]["tls"] = {"ca_cert": authority.cert_pem.bytes().decode()}
    with gateway(document, environ=environ) as gw:
        yield gw


def ask(gw: Gateway, **call: Any) -> Answer:
    with Wire(("127.0.0.1", gw.port)) as wire:
        head = request(chat(model="fast-chat", **call))
        wire.send(head.replace(b"host: mock\r\n", b"host: mock\r\nauthorization: Bearer sk-test-caller\r\n"))
        return wire.answer()


@pytest.mark.parametrize("credential", [None, "us@er:se:cret"])
def test_plain_requests_in_absolute_form(plain: Mock, credential: str | None) -> None:
    plain.reset()
    user = "" if credential is None else "us%40er:se%3Acret@"
    with ForwardProxy({NAME: plain.address}, credential) as proxy:
        with behind(f"http://{NAME}:8080/v1", environment(HTTP_PROXY=f"http://{user}{proxy.address}")) as gw:
            assert ask(gw).status == 200
            streamed = ask(gw, stream=True)
            assert streamed.payloads()[-1] == "[DONE]"
        assert proxy.targets() == [f"POST http://{NAME}:8080/v1/chat/completions"] * 2
    for seen in proxy.seen:
        assert seen.fields["host"] == f"{NAME}:8080"
        assert ("proxy-authorization" in seen.fields) == (credential is not None)
    assert len({recorded["connection"] for recorded in plain.requests()}) == 1, "one connection serves both"


@pytest.mark.parametrize("credential", [None, "user:secret"])
def test_tunnels(secure: Mock, authority: trustme.CA, credential: str | None) -> None:
    secure.reset()
    user = "" if credential is None else f"{credential}@"
    with ForwardProxy({NAME: secure.address}, credential) as proxy:
        variables = environment(https_proxy=f"http://{user}{proxy.address}", HTTP_PROXY="http://127.0.0.1:1")
        with behind(f"https://{NAME}/v1", variables, authority) as gw:
            assert ask(gw).status == 200
            assert ask(gw, stream=True).payloads()[-1] == "[DONE]"
        assert proxy.targets() == [f"CONNECT {NAME}:443"], "the second request goes through the first one's tunnel"
    headers = {name.lower() for name, _ in secure.requests()[0]["headers"]}
    assert "proxy-authorization" not in headers


def test_the_name_in_the_certificate_counts_in_a_tunnel(secure: Mock, authority: trustme.CA) -> None:
    with ForwardProxy({"other.example": secure.address}) as proxy:
        with behind("https://other.example/v1", environment(HTTPS_PROXY=f"http://{proxy.address}"), authority) as gw:
            answer = ask(gw)
    assert answer.status == 502
    assert answer.json()["error"]["type"] == "transport_error"
    assert "certificate" in answer.json()["error"]["message"]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_down(scheme: str, authority: trustme.CA) -> None:
    port = free_port()
    variables = environment(**{f"{scheme.upper()}_PROXY": f"http://user:hunter2@127.0.0.1:{port}"})
    with behind(f"{scheme}://{NAME}/v1", variables, authority) as gw:
        answer = ask(gw)
        log = gw.wait_log("status=502")
    assert answer.status == 502
    error = answer.json()["error"]
    assert error["type"] == "transport_error"
    assert f"127.0.0.1:{port}" in error["message"]
    for text in (error["message"], log):
        assert "hunter2" not in text
        assert "Basic" not in text


@pytest.mark.parametrize(("credential", "status"), [("user:other", "407"), ("user:hunter2", "502")])
def test_a_tunnel_that_the_proxy_refuses(authority: trustme.CA, credential: str, status: str) -> None:
    with ForwardProxy({}, credential) as proxy:
        variables = environment(HTTPS_PROXY=f"http://user:hunter2@{proxy.address}")
        with behind(f"https://{NAME}/v1", variables, authority) as gw:
            answer = ask(gw)
    assert answer.status == 502
    assert answer.json()["error"] == {
        "type": "transport_error",
        "message": f"transport error: the proxy answered {status} to CONNECT",
    }


def test_a_proxy_that_wants_another_credential() -> None:
    with ForwardProxy({}, "user:other") as proxy:
        with behind(f"http://{NAME}/v1", environment(HTTP_PROXY=f"http://user:hunter2@{proxy.address}")) as gw:
            answer = ask(gw)
    assert answer.status == 502
    assert answer.json()["error"] == {
        "type": "transport_error",
        "message": "transport error: the proxy answered 407",
    }


@pytest.mark.parametrize("exempt", ["", "*", "127.0.0.0/8", "127.0.0.1"])
def test_exempt_hosts_are_reached_directly(plain: Mock, exempt: str) -> None:
    variables = environment(HTTP_PROXY="http://127.0.0.1:1", NO_PROXY=exempt)
    with behind(plain.url, variables) as gw:
        assert ask(gw).status == 200


def test_a_redirect_to_another_origin_finds_its_own_way(plain: Mock) -> None:
    """From one name to another through the proxy: the proxy's credential goes along, the provider's does not."""
    with ForwardProxy({NAME: plain.address, "moved.example": plain.address}, "u:p") as proxy:
        with behind(f"http://{NAME}/v1", environment(http_proxy=f"http://u:p@{proxy.address}")) as gw:
            # The mock repeats its redirect as often as it is asked: ten are followed.
            answer = ask(gw, status=307, headers={"location": "http://moved.example/v1/chat/completions"})
    assert answer.status == 502
    first, *others = proxy.seen
    assert first.fields["authorization"] == "Bearer up-key"
    assert {(seen.target, "authorization" in seen.fields) for seen in others} == {
        ("http://moved.example/v1/chat/completions", False)
    }
    assert len(others) == 10
    assert all(seen.fields["host"] == "moved.example" for seen in others)
    assert all("proxy-authorization" in seen.fields for seen in others)


def test_a_proxy_that_cannot_be_used_is_a_boot_failure(tmp_path: Path) -> None:
    variables = environment(HTTPS_PROXY="socks5://user:hunter2@127.0.0.1:1080")
    with pytest.raises(AssertionError, match="HTTPS_PROXY is not the URL of an http or https proxy") as caught:
        with behind("http://127.0.0.1:1/v1", variables):
            pass
    assert "hunter2" not in str(caught.value)
