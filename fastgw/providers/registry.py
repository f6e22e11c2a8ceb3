"""Which adapter speaks for a provider key: a table, and the rules of who is asked."""

import msgspec

from fastgw.core.errors import GatewayError, invalid_request
from fastgw.providers import anthropic, azure, bedrock, openai, vertex
from fastgw.providers.adapter import Adapter, Operation
from fastgw.providers.overrides import Overrides
from fastgw.resources.models import Model, ProviderKey

ADAPTERS: dict[str, Adapter] = {
    "openai": openai.Adapter(),
    "anthropic": anthropic.Adapter(),
    "azure-openai": azure.Adapter(),
    "bedrock": bedrock.Adapter(),
    "vertex": vertex.Adapter(),
}
"""By wire family."""

NOT_OFFERED: dict[str, tuple[str, frozenset[str]]] = {
    "completions": ("text completions", frozenset({"anthropic", "azure-openai", "bedrock", "vertex"})),
    "embeddings": ("embeddings", frozenset({"anthropic"})),
}
"""Operations that some families do not have: how callers know them, and these families."""

OWN_FIELDS: dict[str, frozenset[str]] = {"azure-openai": frozenset({azure.VERSION_FIELD})}
"""Default body fields that a family takes for itself: they are no members of bodies."""

UNSENT: dict[str, frozenset[str]] = {"bedrock": bedrock.UNSENT_FIELDS}
"""Headers that a family lets neither configuration nor callers add."""


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
    if operation == "responses" and openai.speaks_responses(model, key):
        family = "openai"
    what, without = NOT_OFFERED.get(operation, ("", frozenset()))
    if family in without:
        raise GatewayError(501, "not_implemented", f"this provider does not support {what}", fault="gateway")
    if operation == "messages/count_tokens" and family != "anthropic":
        raise invalid_request(
            f"model `{model.display_name}` is not backed by an Anthropic-protocol upstream; "
            "/v1/messages/count_tokens requires a model whose provider key uses the anthropic adapter"
        )
    adapter = ADAPTERS.get(family or "")
    if adapter is None:
        raise GatewayError(503, "provider_unavailable", "no bridge registered for provider", fault="gateway")
    return adapter


def located(key: ProviderKey) -> bool:
    """Whether the URLs under a key name the model. The APIs that a key has beside its family's never do."""
    adapter = ADAPTERS.get(wire_family(key.provider, key.adapter) or "")
    return adapter is not None and adapter.located


def overrides_for(key: ProviderKey, namespace: str) -> Overrides | None:
    """What a provider key changes in requests, without what its family takes for itself."""
    family = wire_family(key.provider, key.adapter) or ""
    request, own = key.request, OWN_FIELDS.get(family, frozenset())
    if request is not None and not own.isdisjoint(request.default_body_fields):
        fields = {name: value for name, value in request.default_body_fields.items() if name not in own}
        request = msgspec.structs.replace(request, default_body_fields=fields)
    return Overrides.compile(request, key.response, namespace, UNSENT.get(family, frozenset()))


def speaks_messages(model: Model, key: ProviderKey) -> bool:
    """Whether the Messages API is there under a key whatever its wire family is: the key says so by its adapter, or
    the model is Anthropic's and the key is a plain bearer secret."""
    return key.adapter == "anthropic" or (model.provider == "anthropic" and (key.adapter or key.provider) == "openai")
