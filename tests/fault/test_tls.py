"""Trust towards an upstream with a private authority, through the real gateway."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.support.gateway import gateway, resources
from tests.support.mock import Mock, mock_upstream
from tests.support.observe import ask, until


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def mock(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mock]:
    directory = tmp_path_factory.mktemp("tls")
    certificate, key = directory / "cert.pem", directory / "key.pem"
    leaf = authority.issue_cert("127.0.0.1")
    leaf.cert_chain_pems[0].write_to_path(certificate)
    leaf.private_key_pem.write_to_path(key)
    with mock_upstream(tls_cert=str(certificate), tls_key=str(key), tokens=5) as running:
        yield running


def trusting(mock: Mock, **tls: Any) -> dict[str, Any]:
    document = resources(mock.url, retries=0)
    if tls:
        document["provider_keys"][0]["tls"] = tls
    return document


def works(gw: Any) -> None:
    assert ask(gw, "fast-chat").status == 200
    assert ask(gw, "fast-chat", stream=True).body.endswith(b"data: [DONE]\n\n")
    assert len(ask(gw, "fast-chat", answer_bytes=1_000_000).body) > 1_000_000


def test_an_untrusted_authority(mock: Mock) -> None:
    before = mock.stats()["requests"]
    with gateway(trusting(mock)) as gw:
        answer = ask(gw, "fast-chat")
        error = answer.json()["error"]
        assert (answer.status, error["type"]) == (502, "transport_error")
        assert "certificate" in error["message"]
    assert mock.stats()["requests"] == before


def test_trust_of_the_deployment(mock: Mock, authority: trustme.CA, tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(bundle)
    with gateway(trusting(mock), {"upstream": {"tls": {"ca_file": str(bundle)}}}) as gw:
        works(gw)
    with gateway(trusting(mock), {"upstream": {"tls": {"verify": False}}}) as gw:
        works(gw)


def test_trust_that_has_gone_from_the_disk(mock: Mock, authority: trustme.CA, tmp_path: Path) -> None:
    """A worker that starts without the file serves what does not need it; what does is told, and retried."""
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(bundle)
    document = trusting(mock)
    document["models"][0]["retries"] = 1
    with gateway(document, {"upstream": {"tls": {"ca_file": str(bundle)}}}) as gw:
        works(gw)
        bundle.unlink()
        (before,) = gw.workers()
        os.kill(before, signal.SIGKILL)
        until(gw.workers, lambda pids: len(pids) == 1 and pids != [before])
        until(lambda: gw.get("/livez")[0], lambda status: status == 200)
        answer = ask(gw, "fast-chat")
        assert answer.status == 500
        assert answer.json()["error"] == {
            "type": "config_error",
            "message": "bridge is misconfigured: upstream.tls cannot be used",
        }
        log = gw.wait_log('error_kind="config_error"')
        line = next(line for line in log.splitlines() if 'error_kind="config_error"' in line)
        assert "routing_attempt_count=2" in line
        assert str(bundle) in line


def test_trust_of_a_key_is_no_trust_of_another(mock: Mock, authority: trustme.CA) -> None:
    document = trusting(mock, ca_cert=authority.cert_pem.bytes().decode())
    key, model = document["provider_keys"][0], document["models"][0]
    document["provider_keys"] += [
        {**key, "display_name": "plain", "tls": {}},
        {**key, "display_name": "careless", "tls": {"verify": False}},
    ]
    document["models"] += [
        {**model, "display_name": "plain", "provider_key": "plain"},
        {**model, "display_name": "careless", "provider_key": "careless"},
    ]
    with gateway(document) as gw:
        works(gw)
        assert ask(gw, "careless").status == 200
        assert ask(gw, "plain").status == 502
        works(gw)


def test_a_reset_and_a_stall_under_tls(mock: Mock) -> None:
    with gateway(trusting(mock, verify=False), {"upstream": {"stream_timeout_ms": 1500}}) as gw:
        for fault, kind in (("reset", "stream_aborted"), ("truncate", "stream_aborted"), ("stall", "timeout")):
            answer = ask(gw, "fast-chat", stream=True, fault=fault, at="after_events", events_before=2)
            assert b"[DONE]" not in answer.body
            assert b'"type":"%b"' % kind.encode() in answer.body
        assert ask(gw, "fast-chat").status == 200
