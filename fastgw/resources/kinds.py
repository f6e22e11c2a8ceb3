"""The collections. To add one: its Struct, its row here, its field in ``Resources``."""

import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from fastgw.resources.caching import CachePolicy
from fastgw.resources.desugar import (
    Context,
    desugar_api_key,
    desugar_claim_mapping,
    desugar_model,
    desugar_passthrough_route,
    desugar_rate_limit_policy,
)
from fastgw.resources.exporters import Exporter
from fastgw.resources.guardrails import Guardrail, GuardrailAttachment
from fastgw.resources.limits import RateLimitPolicy
from fastgw.resources.models import ApiKey, ClaimMapping, Model, OidcProvider, ProviderKey, inapplicable
from fastgw.resources.servers import A2aAgent, McpAuthSettings, McpPolicy, McpServer, PassthroughRoute

_DISPLAY_NAME: Final = (("display_name", "name"),)

# Fixed for all namespaces, so that an id depends on nothing but the kind and the name.
_ID_NAMESPACE: Final = uuid.UUID("63e50ab2-677a-54d3-8d1e-c0cb29ceae94")


class Kind(NamedTuple):
    """``identity``: the fields that may name an entry, first wins; none for a collection that holds one entry.

    ``struct`` is a Struct or a union of tagged Structs. ``aliases``: accepted → canonical spelling. ``inapplicable``:
    members of a document that mean nothing to what it describes; a lenient reader leaves them out.
    """

    name: str
    identity: tuple[str, ...] = ("name",)
    struct: Any = None
    desugar: Callable[[dict[str, object], Context], Iterator[str]] | None = None
    aliases: tuple[tuple[str, str], ...] = ()
    inapplicable: Callable[[Mapping[str, Any]], tuple[str, ...]] | None = None

    def derive_id(self, identity: str) -> str:
        return str(uuid.uuid5(_ID_NAMESPACE, f"{self.name}/{identity}"))


# In processing order, which is also the order of the report.
KINDS: Final = (
    Kind("provider_keys", ("display_name",), ProviderKey, aliases=(("secret", "api_key"),)),
    Kind("models", ("display_name",), Model, desugar_model, inapplicable=inapplicable),
    Kind("api_keys", ("display_name",), ApiKey, desugar_api_key),
    Kind("guardrails", struct=Guardrail),
    Kind("mcp_servers", ("name", "display_name"), McpServer, aliases=_DISPLAY_NAME),
    Kind("a2a_agents", ("name", "display_name"), A2aAgent, aliases=_DISPLAY_NAME),
    Kind("cache_policies", struct=CachePolicy),
    Kind("observability_exporters", struct=Exporter),
    Kind("rate_limit_policies", struct=RateLimitPolicy, desugar=desugar_rate_limit_policy),
    Kind("oidc_providers", struct=OidcProvider),
    Kind("claim_mappings", struct=ClaimMapping, desugar=desugar_claim_mapping),
    Kind("passthrough_routes", ("name", "display_name"), PassthroughRoute, desugar_passthrough_route, _DISPLAY_NAME),
    Kind("mcp_auth_settings", (), McpAuthSettings),
)

# Collections that a file cannot hold.
STORED_ONLY: Final = (
    Kind("guardrail_attachments", (), GuardrailAttachment),
    Kind("mcp_policies", (), McpPolicy),
)

_BY_NAME: Final = {kind.name: kind for kind in (*KINDS, *STORED_ONLY)}


def find_kind(name: str) -> Kind | None:
    """The collection of that name."""
    return _BY_NAME.get(name)
