"""Which collections the admin listener shows."""

from typing import Final

COLLECTIONS: Final = (
    "models",
    "api_keys",
    "provider_keys",
    "mcp_servers",
    "a2a_agents",
    "passthrough_routes",
    "guardrails",
    "cache_policies",
    "observability_exporters",
)
SPELLINGS: Final = {"apikeys": "api_keys"}
"""Second names of collections."""
PROJECTED: Final = {
    "api_keys": (
        "key_hash",
        "allowed_models",
        "rate_limit",
        "mcp_access",
        "allowed_agents",
        "expires_at",
        "disabled",
    )
}
"""Collections of which only these fields are shown."""
