"""Azure deployments behind the gateway: resource keys, tokens of Entra ID, wildcards."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.authority import authority
from tests.support.gateway import Gateway, gateway, resources
from tests.support.mock import Mock, mock_upstream
from tests.support.observe import ask

ENTRA = {"tenant_id": "t-1", "client_id": "c-1", "client_secret": "entra-secret"}


def azure(mock: Mock, secret: str = "az-key", **model: Any) -> dict[str, Any]:
    document = resources(mock.origin, retries=0, **model)
    document["provider_keys"][0].update(provider="azure", adapter="azure-openai", api_key=secret)
    return document


@pytest.fixture(scope="module")
def mock() -> Iterator[Mock]:
    with mock_upstream(record=50) as running:
        yield running


@pytest.fixture(scope="module")
def gw(mock: Mock) -> Iterator[Gateway]:
    """A deployment, and a wildcard for all."""
    document = azure(mock, model_name="dep-1")
    document["models"].append({**document["models"][0], "display_name": "az/*", "model_name": "*"})
    with gateway(document) as running:
        yield running


def sent(mock: Mock) -> tuple[str, dict[str, str], dict[str, Any]]:
    """Path, headers and body of the newest request."""
    request = mock.requests()[-1]
    headers = {name.lower(): value for name, value in request["headers"]}
    return request["path"], headers, json.loads(request["body"])


def test_a_resource_key(mock: Mock, gw: Gateway) -> None:
    for stream in (False, True):
        answer = ask(gw, "fast-chat", stream=stream)
        assert (answer.end, answer.status) == ("complete", 200)
        path, headers, body = sent(mock)
        assert path == "/openai/deployments/dep-1/chat/completions?api-version=2024-10-21"
        assert headers["api-key"] == "az-key"
        assert "authorization" not in headers
        assert body["model"] == "dep-1"
    assert b'"model":"fast-chat"' in answer.body.replace(b" ", b"")


def test_a_wildcard_reaches_the_deployment_of_its_name(mock: Mock, gw: Gateway) -> None:
    assert ask(gw, "az/gpt-4o").status == 200
    assert sent(mock)[0].startswith("/openai/deployments/gpt-4o/")
    refused = ask(gw, "az/a.b")
    assert refused.status == 400
    assert refused.json()["error"]["message"].startswith(
        'invalid upstream configuration: azure deployment name "a.b" contains URL-control characters'
    )


def test_tokens_of_entra_id_are_granted_once_for_all_workers(mock: Mock) -> None:
    with authority() as entra:
        secret = json.dumps({**ENTRA, "authority_host": f"http://127.0.0.1:{entra.server_port}"})
        document = azure(mock, secret)
        with gateway(document, {"proxy": {"workers": 2}}) as gw:
            for _ in range(20):
                assert ask(gw, "fast-chat").status == 200
                assert sent(mock)[1]["authorization"] == "Bearer granted-1"
                assert "api-key" not in sent(mock)[1]
            assert entra.forms == [
                (
                    "/t-1/oauth2/v2.0/token",
                    {
                        "grant_type": ["client_credentials"],
                        "client_id": ["c-1"],
                        "client_secret": ["entra-secret"],
                        "scope": ["https://cognitiveservices.azure.com/.default"],
                    },
                )
            ]
            assert entra.agents == {"fastgw/0.1"}
            document["provider_keys"][0]["api_key"] = secret.replace("entra-secret", "rotated")
            gw.write_resources(document)
            gw.reload()
            gw.wait_log("resources file reloaded")
            assert ask(gw, "fast-chat").status == 200
            assert sent(mock)[1]["authorization"] == "Bearer granted-2"
            assert "entra-secret" not in gw.log


def test_the_identity_of_a_workload(mock: Mock, tmp_path: Path) -> None:
    file = tmp_path / "token"
    federated = {name: value for name, value in ENTRA.items() if name != "client_secret"}
    with authority() as entra:
        place = f"http://127.0.0.1:{entra.server_port}/"
        secret = json.dumps({**federated, "federated_token_file": "${TOKEN_FILE}", "authority_host": place})
        with gateway(azure(mock, secret), environ={"TOKEN_FILE": str(file)}) as gw:
            refused = ask(gw, "fast-chat")
            assert (refused.status, refused.json()["error"]["type"]) == (500, "config_error")
            assert refused.json()["error"]["message"] == (
                "bridge is misconfigured: the token file cannot be read: No such file or directory"
            )
            file.write_text("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmVk\n")
            assert ask(gw, "fast-chat").status == 200
            assert sent(mock)[1]["authorization"] == "Bearer granted-1"
        assert entra.forms == [
            (
                "/t-1/oauth2/v2.0/token",
                {
                    "grant_type": ["client_credentials"],
                    "client_id": ["c-1"],
                    "client_assertion_type": ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"],
                    "client_assertion": ["eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmVk"],
                    "scope": ["https://cognitiveservices.azure.com/.default"],
                },
            )
        ]


@pytest.mark.parametrize(("status", "answered", "kind"), [(400, 500, "config_error"), (503, 502, "upstream_error")])
def test_an_authority_that_refuses(mock: Mock, status: int, answered: int, kind: str) -> None:
    with authority() as entra:
        entra.status = status
        secret = json.dumps({**ENTRA, "authority_host": f"http://127.0.0.1:{entra.server_port}"})
        before = mock.stats()["requests"]
        with gateway(azure(mock, secret)) as gw:
            answer = ask(gw, "fast-chat")
            assert (answer.status, answer.json()["error"]["type"]) == (answered, kind)
            assert mock.stats()["requests"] == before
            entra.status = 200
            assert ask(gw, "fast-chat").status == 200


def test_errors_are_told_in_general_terms(gw: Gateway) -> None:
    body = {"error": {"code": "DeploymentNotFound", "message": "resource acme has no dep-1"}}
    answer = ask(gw, "fast-chat", status=404, error=body["error"])
    assert answer.status == 404
    assert "acme" not in answer.body.decode()
    assert answer.json()["error"]["message"] == "upstream deployment or model not found"
