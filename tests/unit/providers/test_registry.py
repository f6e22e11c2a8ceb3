"""Which adapter is asked."""

from typing import Any

import pytest

from fastgw.core.errors import GatewayError
from fastgw.providers import anthropic, openai
from fastgw.providers.registry import adapter_for
from fastgw.resources.models import Model, ProviderKey


def asked(operation: Any, provider: str, adapter: Any, model_vendor: str = "acme") -> object:
    model = Model(display_name="m", provider=model_vendor, model_name="x", provider_key_id="k")
    return type(
        adapter_for(operation, model, ProviderKey(display_name="k", api_key="s", provider=provider, adapter=adapter))
    )


@pytest.mark.parametrize(
    ("provider", "adapter", "expected"),
    [
        ("openai", None, openai.Adapter),
        ("openai", "anthropic", openai.Adapter),
        ("anthropic", "openai", anthropic.Adapter),
        ("anthropic", None, anthropic.Adapter),
        ("acme", "openai", openai.Adapter),
        ("OpenAI", "anthropic", anthropic.Adapter),
        ("", "openai", openai.Adapter),
    ],
)
def test_the_vendor_then_the_adapter(provider: str, adapter: Any, expected: object) -> None:
    assert asked("chat/completions", provider, adapter) is expected


@pytest.mark.parametrize(
    ("provider", "adapter", "vendor", "expected"),
    [
        ("openai", "openai", "anthropic", anthropic.Adapter),
        ("openai", None, "anthropic", anthropic.Adapter),
        ("acme", "openai", "anthropic", anthropic.Adapter),
        ("byo", "anthropic", "acme", anthropic.Adapter),
        ("openai", "anthropic", "acme", anthropic.Adapter),
        ("anthropic", None, "acme", anthropic.Adapter),
        ("openai", "openai", "deepseek", openai.Adapter),
    ],
)
def test_messages(provider: str, adapter: Any, vendor: str, expected: object) -> None:
    assert asked("messages", provider, adapter, vendor) is expected
    if expected is anthropic.Adapter:
        assert asked("messages/count_tokens", provider, adapter, vendor) is expected
        return
    with pytest.raises(GatewayError) as caught:
        asked("messages/count_tokens", provider, adapter, vendor)
    assert caught.value.message.startswith(
        "request payload is invalid: model `m` is not backed by an Anthropic-protocol"
    )


@pytest.mark.parametrize(("provider", "adapter", "vendor"), [("acme", None, "acme"), ("Anthropic", None, "anthropic")])
def test_nobody(provider: str, adapter: Any, vendor: str) -> None:
    with pytest.raises(GatewayError) as caught:
        asked("messages", provider, adapter, vendor)
    assert (caught.value.status, caught.value.type) == (503, "provider_unavailable")
    assert caught.value.message == "no bridge registered for provider"


@pytest.mark.parametrize(
    ("provider", "adapter", "vendor", "native"),
    [
        ("openai", None, "openai", True),
        ("openai", "openai", "openai", True),
        ("acme", "openai", "openai", True),
        ("anthropic", "openai", "openai", True),
        ("openai", "openai", "deepseek", False),
        ("openai", "openai", "OpenAI", False),
        ("acme", "azure-openai", "openai", False),
        ("acme", "vertex", "openai", False),
        ("anthropic", None, "openai", False),
    ],
)
def test_responses(provider: str, adapter: Any, vendor: str, native: bool) -> None:
    model = Model(display_name="m", provider=vendor, model_name="x", provider_key_id="k")
    key = ProviderKey(display_name="k", api_key="s", provider=provider, adapter=adapter, api_base="https://h")
    assert openai.speaks_responses(model, key) is native
    found = adapter_for("responses", model, key)
    assert isinstance(found, openai.Adapter) or not native
    if isinstance(found, openai.Adapter):
        assert found.endpoint("responses", model, key, "ns").native is native
