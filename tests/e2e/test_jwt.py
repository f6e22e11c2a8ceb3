"""Tokens of identity providers through the real gateway: answers, log lines, metrics, and who asks the issuer when."""

import asyncio
import contextlib
import http.client
import json
import os
import re
import signal
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.support.gateway import API_KEY, KEY_HASH, Gateway, gateway, resources
from tests.support.issuer import DISCOVERY, JWKS, Issuer, claims, compact, issuer, private_key, sign
from tests.support.mock import mock_upstream

UPSTREAM = "http://127.0.0.1:9/v1"
STRANGER = private_key("EdDSA")
INVALID = (401, "invalid_api_key", "jwt_invalid", "invalid JWT")
CLAIMS = (403, "permission_denied", "jwt_claims_rejected", "JWT does not satisfy the required scopes or claims")
UNMAPPED = (401, "invalid_api_key", "jwt_identity_unmapped", "no API key is bound to this JWT identity")
UNAVAILABLE = (503, "api_error", "jwks_unavailable", "unable to fetch the identity provider's signing keys")
SPACING = 1.05


class Answer(NamedTuple):
    status: int
    request_id: str
    body: dict[str, Any]

    @property
    def error(self) -> tuple[int, str, str | None, str]:
        inner = self.body["error"]
        return self.status, inner["type"], inner.get("code"), inner["message"]


def ask(running: Gateway, credential: str, *, header: str = "authorization", chat: bool = False) -> Answer:
    """GET /v1/models, or a chat call, over a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
    with contextlib.closing(connection):
        fields = {header: f"Bearer {credential}" if header == "authorization" else credential}
        if chat:
            body = json.dumps({"model": "fast-chat", "messages": [{"role": "user", "content": "hi"}]})
            connection.request("POST", "/v1/chat/completions", body, {**fields, "content-type": "application/json"})
        else:
            connection.request("GET", "/v1/models", headers=fields)
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers["x-fastgw-request-id"], json.loads(answer.read()))


def decisions(running: Gateway) -> dict[tuple[str, ...], int]:
    """(method, result, reason) → count."""
    pattern = r'^fastgw_auth_decisions_total\{method="(\w+)",result="(\w+)",reason="(\w+)"\} (\d+)$'
    return {tuple(found[:3]): int(found[3]) for found in re.findall(pattern, running.metrics(), re.MULTILINE)}


def document(issuers: list[Issuer], upstream: str = UPSTREAM) -> dict[str, Any]:
    """The first issuer is found by discovery, the second says where its keys are and wants more."""
    made = resources(upstream)
    caller = made["api_keys"][0]
    bound = {"jwt_provider": "idp", "key_hash": "", "allowed_models": ["*"]}
    made["api_keys"] = [
        caller,
        {**bound, "display_name": "alice", "jwt_subject": "alice", "key_hash": "1"},
        {**bound, "display_name": "off", "jwt_subject": "off", "key_hash": "2", "disabled": True},
        {**bound, "display_name": "old", "jwt_subject": "old", "key_hash": "3", "expires_at": "2020-01-01T00:00:00Z"},
        {**bound, "display_name": "none", "jwt_subject": "none", "key_hash": "4", "allowed_models": []},
    ]
    made["oidc_providers"] = [{"name": "idp", "issuer": issuers[0].url, "audiences": ["gateway"]}]
    for more in issuers[1:]:
        gated = {"required_scopes": ["llm"], "bound_claims": {"org.name": ["acme"]}, "jwks_uri": more.jwks_uri}
        made["oidc_providers"].append({"name": "gated", "issuer": more.url, "audiences": ["gateway"], **gated})
    made["claim_mappings"] = [
        {
            "name": "red-team",
            "jwt_provider": "idp",
            "match": [{"claim": "team", "op": "exact", "values": ["red"]}],
            "resolve": {"api_key": "caller"},
        }
    ]
    return made


@pytest.fixture(scope="module")
def issuers() -> Iterator[list[Issuer]]:
    with issuer() as first, issuer("RS256") as second:
        yield [first, second]


@pytest.fixture(scope="module", params=[1, 3])
def running(request: pytest.FixtureRequest, issuers: list[Issuer]) -> Iterator[Gateway]:
    config = {"proxy": {"workers": request.param}}
    with gateway(document(issuers), config, {"RUST_LOG": "debug"}) as process:
        yield process


def rows(first: Issuer, second: Issuer) -> Iterator[tuple[str, tuple[int, str, str, str], str]]:
    """reason, answer, token: what a resources file makes possible. Ambiguous bindings and mappings to missing keys are
    refused at load and covered by the unit tests."""
    base = claims(first.url)
    good = {"scope": "x llm", "org": {"name": "acme"}}
    yield "jwt_malformed", INVALID, compact({"alg": "EdDSA"}, b"no json")
    yield "jwt_missing_issuer", INVALID, compact({"alg": "EdDSA"}, {})
    yield "jwt_untrusted_issuer", INVALID, compact({"alg": "EdDSA"}, {"iss": "https://nobody.example"})
    yield "jwt_alg_not_allowed", INVALID, compact({"alg": "none"}, base)
    yield "jwt_unknown_kid", INVALID, sign(first.key, base, kid="unknown")
    yield "jwt_bad_signature", INVALID, sign(STRANGER, base, kid=first.kid)
    yield "jwt_not_yet_valid", INVALID, first.token(nbf=int(time.time()) + 600)
    yield "jwt_audience_mismatch", INVALID, first.token(aud="elsewhere")
    yield "jwt_missing_claim", INVALID, first.token(exp=None)
    yield "jwt_invalid", INVALID, first.token(nbf="soon")
    yield "jwt_identity_claim_missing", INVALID, first.token(sub=None, uid=1)
    yield "jwt_expired", (401, "invalid_api_key", "jwt_expired", "JWT has expired"), first.token(exp=1)
    yield "jwt_scope_missing", CLAIMS, second.token("RS256", **{**good, "scope": "x"})
    yield "jwt_bound_claim_mismatch", CLAIMS, second.token("RS256", **{**good, "org": {"name": "evil"}})
    yield "jwt_identity_unmapped", UNMAPPED, second.token("RS256", **good)
    yield "jwt_identity_unmapped", UNMAPPED, first.token(sub="bob", team=["red"])
    disabled = (401, "invalid_api_key", "api_key_disabled", "API key has been disabled")
    yield "key_disabled", disabled, first.token(sub="off")
    yield "key_expired", (401, "invalid_api_key", "api_key_expired", "API key has expired"), first.token(sub="old")


EARLY = {"jwt_malformed", "jwt_missing_issuer", "jwt_untrusted_issuer", "jwt_alg_not_allowed"}


def test_every_outcome(running: Gateway, issuers: list[Issuer]) -> None:
    for reason, answer, token in rows(*issuers):
        counted = ("jwt", "denied", reason)
        before = decisions(running).get(counted, 0)
        told = ask(running, token)
        assert told.error == answer, reason
        assert decisions(running)[counted] == before + 1
        log = running.wait_log(f"request_id={told.request_id}")
        (line,) = [line for line in log.splitlines() if told.request_id in line]
        early = reason in EARLY
        message = "rejected inbound JWT (pre-verification)" if early else "rejected inbound JWT"
        assert f'{"DEBUG" if early else " WARN"} fastgw::auth: {message} method="jwt" reason={reason} ' in line
        assert line.endswith(f"http_method=GET path=/v1/models request_id={told.request_id} source_ip=127.0.0.1")
    assert not re.search(r"ey[A-Za-z0-9_-]{10}", running.log)


def test_accepted(running: Gateway, issuers: list[Issuer]) -> None:
    before = decisions(running)
    token = issuers[0].token()
    assert ask(running, token).status == 200
    assert ask(running, token, header="x-api-key").status == 200
    assert ask(running, issuers[0].token(sub="bob", team="red")).status == 200
    assert ask(running, API_KEY).status == 200
    after = decisions(running)
    assert after["jwt", "allowed", "none"] == before.get(("jwt", "allowed", "none"), 0) + 3
    assert after["api_key", "allowed", "none"] == before.get(("api_key", "allowed", "none"), 0) + 1
    assert ask(running, issuers[0].token(sub="none")).body["data"] == []
    assert ask(running, f"{token}.x").error == (401, "invalid_api_key", None, "invalid API key")


def test_a_token_acts_as_its_key(issuers: list[Issuer]) -> None:
    with mock_upstream(record=10) as mock, gateway(document(issuers, mock.url)) as running:
        token = issuers[0].token(sub="bob", team="red")
        assert ask(running, token, chat=True).status == 200
        assert ask(running, API_KEY, chat=True).status == 200
        assert ask(running, issuers[0].token(sub="none"), chat=True).status == 403
        log = running.wait_log("status=403")
        by_token, by_key, refused = (line for line in log.splitlines() if "proxy request completed" in line)
        identity = re.compile(r'api_key_id="[^"]+"')
        assert identity.findall(by_token) == identity.findall(by_key) != identity.findall(refused)
        sent = json.dumps(mock.requests())
        assert token not in sent
        assert KEY_HASH not in sent


def test_nothing_is_fetched_for_a_provider_that_is_off(issuers: list[Issuer]) -> None:
    first = issuers[0]
    made = document(issuers)
    for provider in made["oidc_providers"]:
        provider["enabled"] = False
    with gateway(made) as running:
        before = first.hits.total()
        assert ask(running, first.token()).error == (401, "invalid_api_key", None, "invalid API key")
        assert first.hits.total() == before
        running.write_resources(document(issuers))
        running.reload()
        running.wait_log("resources file reloaded")
        assert ask(running, first.token()).status == 200
        assert running.status()["applied"]["resource_counts"]["oidc_providers"] == 2


def test_an_issuer_that_is_down() -> None:
    with issuer() as provider, gateway(document([provider]), {"proxy": {"workers": 3}}) as running:
        for path, answer in ((DISCOVERY, (500, {}, b"")), (JWKS, (302, {"location": "/elsewhere"}, b""))):
            provider.answers = {path: answer}
            provider.hits.clear()
            end = time.monotonic() + SPACING
            refused = [ask(running, provider.token()) for _ in range(20)]
            assert {told.error for told in refused} == {UNAVAILABLE}
            assert provider.hits[path] <= 1 + int(time.monotonic() - end + SPACING)
            assert provider.hits["/elsewhere"] == 0
            wait_until(end)
        provider.answers = {}
        assert decisions(running)["jwt", "denied", "jwks_unavailable"] == 40
        assert "key set fetch failed" in running.wait_log("rejected inbound JWT")
        token, key, kid = provider.token(), provider.key, provider.kid
        assert ask(running, token).status == 200
        provider.close()
        wait_until(time.monotonic() + SPACING)
        # What is cached keeps serving, on every worker, also on one that has never seen a key.
        assert ask(running, sign(STRANGER, claims(provider.url), kid="unknown")).error == INVALID
        assert {ask(running, sign(key, claims(provider.url, n=n), kid=kid)).status for n in range(20)} == {200}
        for worker in running.workers():
            os.kill(worker, signal.SIGKILL)
        running.wait_log("worker ended unexpectedly")
        assert told_again(running, sign(key, claims(provider.url, n=99), kid=kid)).status == 200


def told_again(running: Gateway, token: str) -> Answer:
    """The answer of a gateway whose workers have just been replaced."""
    end = time.monotonic() + 10
    while True:
        try:
            return ask(running, token)
        except (OSError, http.client.HTTPException):
            assert time.monotonic() < end


def wait_until(moment: float) -> None:
    """The spacing of fetches is a matter of time and nothing else."""
    time.sleep(max(0.0, moment - time.monotonic()))


ROTATIONS = 5
TOKENS = 2000
CONNECTIONS = 16


async def burst(running: Gateway, tokens: list[str]) -> list[int]:
    """The statuses of requests with these tokens, over kept connections that work in parallel."""
    waiting = iter(tokens)
    statuses: list[int] = []

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        for token in waiting:
            writer.write(f"GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = re.search(rb"content-length: (\d+)", head)
            assert length is not None
            await reader.readexactly(int(length[1]))
            statuses.append(int(head.split()[1]))
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(client() for _ in range(CONNECTIONS)))
    return statuses


@pytest.mark.parametrize("alg", ["EdDSA", "ES256"])
def test_one_fetch_per_rotation(alg: str) -> None:
    """10,000 tokens, none of them twice, over three workers and five keys."""
    with issuer(alg) as provider, gateway(document([provider]), {"proxy": {"workers": 3}}) as running:
        retired: list[str] = []
        for rotation in range(1, ROTATIONS + 1):
            tokens = [provider.token(alg, n=number) for number in range(TOKENS)]
            fetched = provider.hits[JWKS]
            assert asyncio.run(burst(running, tokens)) == [200] * TOKENS
            assert provider.hits[JWKS] == fetched + 1
            assert decisions(running)["jwt", "allowed", "none"] == rotation * TOKENS
            # The key before this one is gone on every worker. (Asking for it may cause a fetch of its own.)
            assert set(asyncio.run(burst(running, retired[: 4 * CONNECTIONS]))) <= {401}
            wait_until(time.monotonic() + SPACING)
            retired = tokens
            provider.rotate(alg)
        assert provider.hits[DISCOVERY] == 1
