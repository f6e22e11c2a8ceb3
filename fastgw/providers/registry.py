"""Which adapter speaks for a provider key: a table, and the rules of who is asked."""

from fastgw.core.errors import GatewayError
from fastgw.providers import openai
from fastgw.providers.adapter import Adapter, Operation
from fastgw.resources.models import Model, ProviderKey

ADAPTERS: dict[str, Adapter] = {"openai": openai.Adapter()}
"""By wire family."""


def wire_family(provider: str, adapter: str | None) -> str | None:
    """The vendor's own family when it has one, else the adapter's; None when neither says."""
    if provider in ("openai", "anthropic"):
        return provider
    return adapter


def adapter_for(operation: Operation, model: Model, key: ProviderKey) -> Adapter:
    """The adapter for an operation of a target. Raises 503 when there is none."""
    family = wire_family(key.provider, key.adapter)
    if operation.startswith("messages") and speaks_messages(model, key):
        family = "anthropic"
    adapter = ADAPTERS.get(family or "")
    if adapter is None:
        raise GatewayError(503, "provider_unavailable", "no bridge registered for provider", fault="gateway")
    return adapter


def speaks_messages(model: Model, key: ProviderKey) -> bool:
    """Whether the Messages API is there under a key whatever its wire family is: the key says so by its adapter, or
    the model is Anthropic's and the key is a plain bearer secret."""
    return key.adapter == "anthropic" or (model.provider == "anthropic" and (key.adapter or key.provider) == "openai")
