"""Secrets stay where they belong: never in an answer, a log line, a metric or the status page, whatever goes wrong."""

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.support.gateway import API_KEY, PATIENCE, Gateway, gateway, resources
from tests.support.mock import Mock, mock_upstream

pytestmark = pytest.mark.any_workers

SECRET = "up-secret-7f3a9c"
USER_INFO = "user-secret-51d0"
WRONG_KEY = "sk-wrong-b2e8"
BAD = (
    {"status": 400},
    {"status": 401, "raw": "no"},
    {"status": 429, "retry_after": 1},
    {"status": 500, "raw": "boom"},
    {"raw": "no json"},
    {"fault": "reset"},
    {"fault": "garbage"},
    {"fault": "truncate"},
    {"events": ["not json"], "stream": True},
    {"fault": "close", "at": "after_events", "stream": True},
)


def document(mock: Mock, **tls: Any) -> dict[str, Any]:
    """`fast-chat` on the mock, and aliases of targets that cannot be reached, all with the secret."""
    made = resources(mock.url, retries=0)
    bases = {
        "up": mock.url,
        "closed": f"http://{USER_INFO}:{SECRET}@127.0.0.1:9/v1",
        "nowhere": f"http://{USER_INFO}@no-such-host.invalid/v1?key={SECRET}",
        "no-url": f"{USER_INFO}{SECRET}",
    }
    key, model = made["provider_keys"][0], made["models"][0]
    made["provider_keys"] = [
        {**key, "display_name": name, "api_base": base, "api_key": SECRET, **tls} for name, base in bases.items()
    ]
    made["provider_keys"].append({**key, "display_name": "unsendable", "api_key": f"{SECRET}\nx"})
    made["models"] = [model] + [
        {**model, "display_name": entry["display_name"], "provider_key": entry["display_name"]}
        for entry in made["provider_keys"][1:]
    ]
    return made


def ask(running: Gateway, body: dict[str, Any], key: str = API_KEY) -> tuple[int, str]:
    """(status, whole answer with its head)."""
    request = urllib.request.Request(
        f"{running.url}/chat/completions",
        json.dumps({"model": "fast-chat", "messages": [{"role": "user", "content": "hi"}], **body}).encode(),
        {"authorization": f"Bearer {key}", "content-type": "application/json", "cookie": "c=d"},
    )
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, f"{answer.headers}{answer.read().decode()}"
    except urllib.error.HTTPError as error:
        with error:
            return error.code, f"{error.headers}{error.read().decode()}"


def test_secrets_appear_nowhere() -> None:
    with mock_upstream(record=50) as mock, gateway(document(mock), environ={"RUST_LOG": "trace"}) as running:
        seen = [ask(running, {})]
        for directives in BAD:
            stream = {"stream": True} if directives.get("stream") else {}
            script = {name: value for name, value in directives.items() if name != "stream"}
            seen.append(ask(running, {**stream, "mock": script}))
        seen += [ask(running, {"model": alias}) for alias in ("closed", "nowhere", "no-url", "unsendable")]
        seen.append(ask(running, {}, key=WRONG_KEY))
        sent = mock.requests()
        texts = [answer for _, answer in seen]
        texts += [running.metrics(), json.dumps(running.status())]
        assert running.stop() == 0
        texts.append(running.log)
    assert seen[0][0] == 200
    assert all(status >= 400 for status, _ in seen[-5:])
    # It did reach the upstream, as the credential and nothing else; the caller's did not.
    assert {value for request in sent for name, value in request["headers"] if SECRET in value} == {f"Bearer {SECRET}"}
    assert not any(API_KEY in json.dumps(request) or "c=d" in json.dumps(request["headers"]) for request in sent)
    for text in texts:
        for secret in (SECRET, USER_INFO, API_KEY, WRONG_KEY):
            assert secret not in text, text


@pytest.mark.parametrize("accepting", [{"ca_cert": "authority"}, {"verify": False}])
def test_one_keys_trust_serves_no_other(accepting: dict[str, Any], tmp_path: Path) -> None:
    """Same origin, two keys: the connection that one of them may use is not there for the other."""
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    if "ca_cert" in accepting:
        accepting = {"ca_cert": authority.cert_pem.bytes().decode()}
    pem = str(tmp_path / "server.pem")
    with mock_upstream(tls_cert=pem, tls_key=pem) as mock:
        made = resources(mock.url, retries=0)
        strict = made["provider_keys"][0]
        made["provider_keys"].append({**strict, "display_name": "accepting", "tls": accepting})
        made["models"].append({**made["models"][0], "display_name": "accepted", "provider_key": "accepting"})
        with gateway(made) as running:
            for _ in range(2):
                assert ask(running, {"model": "accepted"})[0] == 200
                status, answer = ask(running, {})
                assert status == 502
                assert "certificate" in answer


def test_nothing_of_the_upstreams_head_reaches_the_caller() -> None:
    foreign = {"set-cookie": "a=b", "x-request-id": "theirs", "server": "theirs", "x-other": "theirs", "location": "/"}
    with mock_upstream() as mock, gateway(resources(mock.url)) as running:
        for script in ({}, {"status": 400}):
            _, answer = ask(running, {"mock": {"headers": foreign, **script}})
            head = answer.partition("\n\n")[0].lower()
            assert "theirs" not in head
            assert not any(
                f"\n{name}:" in f"\n{head}" for name in ("set-cookie", "x-request-id", "x-other", "location")
            )
