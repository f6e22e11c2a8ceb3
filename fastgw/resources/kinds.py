"""The collections of a resources file. To serve another one: its Struct, its row here, its field in ``Resources``."""

import uuid
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from msgspec import Struct

from fastgw.resources.desugar import Context, desugar_api_key, desugar_claim_mapping, desugar_model
from fastgw.resources.models import ApiKey, ClaimMapping, Model, OidcProvider, ProviderKey

# Fixed for all namespaces, so that an id depends on nothing but the kind and the name.
_ID_NAMESPACE: Final = uuid.UUID("63e50ab2-677a-54d3-8d1e-c0cb29ceae94")


class Kind(NamedTuple):
    """``identity``: the fields that may name an entry, first wins; none for a collection that holds one entry.

    ``struct`` None: the collection is known but not served by this version. ``aliases``: accepted → canonical spelling.
    """

    name: str
    identity: tuple[str, ...] = ("name",)
    struct: type[Struct] | None = None
    desugar: Callable[[dict[str, object], Context], Iterator[str]] | None = None
    aliases: tuple[tuple[str, str], ...] = ()

    def derive_id(self, identity: str) -> str:
        return str(uuid.uuid5(_ID_NAMESPACE, f"{self.name}/{identity}"))


# In processing order, which is also the order of the report.
KINDS: Final = (
    Kind("provider_keys", ("display_name",), ProviderKey, aliases=(("secret", "api_key"),)),
    Kind("models", ("display_name",), Model, desugar_model),
    Kind("api_keys", ("display_name",), ApiKey, desugar_api_key),
    Kind("guardrails"),
    Kind("mcp_servers", ("name", "display_name")),
    Kind("a2a_agents", ("name", "display_name")),
    Kind("cache_policies"),
    Kind("observability_exporters"),
    Kind("rate_limit_policies"),
    Kind("oidc_providers", struct=OidcProvider),
    Kind("claim_mappings", struct=ClaimMapping, desugar=desugar_claim_mapping),
    Kind("passthrough_routes", ("name", "display_name")),
    Kind("mcp_auth_settings", ()),
)

_BY_NAME: Final = {kind.name: kind for kind in KINDS}


def find_kind(name: str) -> Kind | None:
    """The collection of that name."""
    return _BY_NAME.get(name)
