"""Where Azure deployments are, and what their credentials say."""

import json

import pytest

from fastgw.core.errors import GatewayError
from fastgw.core.grants import ClientAssertion, ClientCredentials
from fastgw.providers.azure import Adapter
from fastgw.providers.azure.credential import credential
from fastgw.providers.azure.endpoint import deployment_url
from fastgw.providers.registry import overrides_for
from fastgw.resources.models import Model, ProviderKey, RequestOverrides

ENTRA = {"tenant_id": "t-1", "client_id": "c-1", "client_secret": "s-1"}


def place(api_base: str | None, deployment: str = "gpt-4o", operation: str = "chat/completions") -> str:
    url = deployment_url(api_base, deployment, operation, "2024-10-21")
    return f"{url.scheme}://{url.authority}{url.path}"


@pytest.mark.parametrize(
    ("api_base", "root"),
    [
        ("https://acme.openai.azure.com", "https://acme.openai.azure.com"),
        ("https://acme.openai.azure.com/", "https://acme.openai.azure.com"),
        (" https://acme.openai.azure.com/openai/deployments/x?api-version=1 ", "https://acme.openai.azure.com"),
        ("HTTPS://Acme.OpenAI.Azure.com/anything", "https://acme.openai.azure.com"),
        ("acme", "https://acme.openai.azure.com"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("https://proxy.example/azure/", "https://proxy.example/azure"),
        ("http://acme.openai.azure.com/x", "http://acme.openai.azure.com/x"),
    ],
)
def test_roots(api_base: str, root: str) -> None:
    assert place(api_base) == f"{root}/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"


@pytest.mark.parametrize("root", ["https://acme.openai.azure.com/openai/v1", "http://127.0.0.1:1/openai/v1"])
def test_the_version_less_root(root: str) -> None:
    assert place(f"{root}/", "gpt-4.1") == f"{root}/chat/completions"


@pytest.mark.parametrize(
    ("api_base", "deployment", "text"),
    [
        (None, "d", "azure provider_key has no api_base — expected https://<resource>.openai.azure.com, a bare"),
        ("  ", "d", "azure provider_key has no api_base"),
        ("acme", "", "azure deployment name is empty (expected an identifier matching [A-Za-z0-9_-]+)"),
        ("acme", "a/b", 'azure deployment name "a/b" contains URL-control characters — must match [A-Za-z0-9_-]+'),
        ("acme", 'q"\\', 'azure deployment name "q\\"\\\\" contains URL-control characters'),
        ("https://a.b.openai.azure.com", "d", 'azure resource name "a.b" contains URL-control characters'),
        ("a b", "d", 'azure resource name "a b" contains URL-control characters'),
        (
            "https://u:p@h",
            "d",
            "must not embed userinfo (@); use the api-key / AAD credentials in `provider_key.api_key`",
        ),
        ("https://h?x=1", "d", 'azure api_base "https://h?x=1" must not contain a query string (the bridge appends'),
        ("https://h/#x", "d", 'azure api_base "https://h/#x" must not contain a fragment'),
        ("https:///x", "d", "provider_key.api_base is not an absolute http or https URL"),
    ],
)
def test_refused_places(api_base: str | None, deployment: str, text: str) -> None:
    with pytest.raises(GatewayError) as caught:
        place(api_base, deployment)
    assert (caught.value.status, caught.value.type) == (400, "invalid_request_error")
    assert caught.value.message.startswith("invalid upstream configuration: ")
    assert text in caught.value.message
    assert "u:p" not in caught.value.message


def test_credentials() -> None:
    assert credential("key-1") == "key-1"
    assert credential(json.dumps(ENTRA)) == ClientCredentials(
        "https://login.microsoftonline.com/t-1/oauth2/v2.0/token",
        "c-1",
        "s-1",
        "https://cognitiveservices.azure.com/.default",
    )
    grant = credential("\n " + json.dumps({**ENTRA, "authority_host": "http://127.0.0.1:9/"}))
    assert isinstance(grant, ClientCredentials)
    assert grant.url == "http://127.0.0.1:9/t-1/oauth2/v2.0/token"
    assert "s-1" not in repr(grant)


def test_the_identity_of_a_workload() -> None:
    found = credential(json.dumps({"tenant_id": "t-1", "client_id": "c-1", "federated_token_file": "/run/token"}))
    assert found == ClientAssertion(
        "https://login.microsoftonline.com/t-1/oauth2/v2.0/token",
        "c-1",
        "/run/token",
        "https://cognitiveservices.azure.com/.default",
    )


@pytest.mark.parametrize(
    ("secret", "status", "text"),
    [
        ({**ENTRA, "federated_token_file": "/run/token"}, 401, "must set exactly one of client_secret or federated_"),
        ({**ENTRA, "client_secret": None, "federated_token_file": " "}, 401, "federated_token_file is empty"),
        ({"client_id": "c-1", "federated_token_file": "f"}, 401, "looks JSON-shaped but failed to parse"),
        (" ", 401, "provider_key.api_key is empty"),
        ("a\nb", 401, "provider_key.api_key contains invalid header characters"),
        (
            "{",
            401,
            "azure provider_key.api_key looks JSON-shaped but failed to parse as AAD client_credentials {tenant_",
        ),
        ({"tenant_id": "t"}, 401, "looks JSON-shaped but failed to parse"),
        ({**ENTRA, "client_id": 7}, 401, "looks JSON-shaped but failed to parse"),
        ({**ENTRA, "client_secret": ""}, 401, "azure aad credentials.client_secret is empty"),
        (
            {**ENTRA, "tenant_id": "a/b"},
            401,
            'azure aad credentials.tenant_id "a/b" contains URL-control characters — reject `/`, `?`, `#`, whitespace, '
            "`..`",
        ),
        ({**ENTRA, "client_id": "a..b"}, 401, 'azure aad credentials.client_id "a..b" contains'),
        ({**ENTRA, "authority_host": "https://h/x"}, 400, "authority_host"),
        ({**ENTRA, "authority_host": "https://u@h"}, 400, "authority_host"),
        ({**ENTRA, "authority_host": "ftp://h"}, 400, "authority_host"),
        ({**ENTRA, "authority_host": "https://h\\x"}, 400, "authority_host"),
    ],
)
def test_refused_credentials(secret: object, status: int, text: str) -> None:
    with pytest.raises(GatewayError) as caught:
        credential(secret if isinstance(secret, str) else json.dumps(secret))
    assert caught.value.status == status
    assert text in caught.value.message
    assert "s-1" not in caught.value.message


def key(**more: object) -> ProviderKey:
    return ProviderKey(display_name="az", api_key="k", api_base="acme", adapter="azure-openai", **more)  # type: ignore[arg-type]


MODEL = Model(display_name="m", provider="azure", model_name="dep", provider_key_id="x")


def test_the_api_version_is_a_matter_of_the_url() -> None:
    request = RequestOverrides(default_body_fields={"api-version": "2025-04-01-preview", "seed": 7})
    versioned = key(request=request)
    endpoint = Adapter().endpoint("chat/completions", MODEL, versioned, "fastgw")
    assert endpoint.url.path == "/openai/deployments/dep/chat/completions?api-version=2025-04-01-preview"
    overrides = overrides_for(versioned, "fastgw")
    assert overrides is not None
    assert json.loads(overrides.apply_body(b"{}")) == {"seed": 7}
    with pytest.raises(GatewayError, match="api-version must match"):
        Adapter().endpoint(
            "chat/completions",
            MODEL,
            key(request=RequestOverrides(default_body_fields={"api-version": "1&x=2"})),
            "fastgw",
        )


def test_embeddings_are_offered_to_keys_that_ask_for_more_than_the_default_version() -> None:
    with pytest.raises(GatewayError) as caught:
        Adapter().endpoint("embeddings", MODEL, key(), "fastgw")
    assert (caught.value.status, caught.value.message) == (501, "this provider does not support embeddings")
    request = RequestOverrides(default_body_fields={"api-version": "2024-10-21"})
    url = Adapter().endpoint("embeddings", MODEL, key(request=request), "fastgw").url
    assert url.path == "/openai/deployments/dep/embeddings?api-version=2024-10-21"


def test_heads() -> None:
    endpoint = Adapter().endpoint("chat/completions", MODEL, key(), "fastgw")
    assert b"\r\napi-key: k\r\n" in endpoint.head
    assert b"Authorization" not in endpoint.head
    assert b"\r\nAccept: text/event-stream\r\n" in endpoint.stream_head
    assert b"Accept: " not in endpoint.head
