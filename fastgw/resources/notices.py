"""Settings that load and validate but have no effect in this version: the operator is told, once per load."""

from collections.abc import Iterator

from fastgw.config.schema import Config
from fastgw.resources.models import Resources

# Collections and fields that are accepted for compatibility; their features are not there yet.
_COLLECTIONS = (
    "guardrails",
    "guardrail_attachments",
    "mcp_servers",
    "mcp_policies",
    "mcp_auth_settings",
    "a2a_agents",
    "cache_policies",
    "observability_exporters",
    "rate_limit_policies",
    "passthrough_routes",
)
_MODEL_SHAPES = ("routing", "ensemble", "semantic")
_MODEL_FIELDS = ("rate_limit", "cooldown", "background_model_check", "embedding", "cost")
_KEY_FIELDS = ("rate_limit", "mcp_access", "mcp_rate_limits", "allowed_agents", "allowed_routes")


def resource_notices(resources: Resources) -> Iterator[str]:
    """One text per collection or field that is set somewhere and has no effect."""
    for name in _COLLECTIONS:
        count = len(getattr(resources, name))
        if count:
            yield f"{name} have no effect in this version ({count} defined)"
    for field in _MODEL_SHAPES:
        count = sum(getattr(row.value, field) is not None for row in resources.models)
        if count:
            yield f"models with {field} cannot be called in this version ({count} defined)"
    for field in _MODEL_FIELDS:
        count = sum(getattr(row.value, field) is not None for row in resources.models)
        if count:
            yield f"models.{field} is not enforced in this version (set on {count})"
    for field in _KEY_FIELDS:
        count = sum(getattr(row.value, field) is not None for row in resources.api_keys)
        if count:
            yield f"api_keys.{field} is not enforced in this version (set on {count})"
    providers = {row.value.name for row in resources.oidc_providers}
    count = sum(row.value.jwt_provider not in {None, *providers} for row in resources.api_keys)
    if count:
        yield f"api_keys.jwt_provider names no OIDC provider that is defined (on {count})"


def config_notices(config: Config) -> Iterator[str]:
    """One text per switched-on feature of the bootstrap file that this version does not have."""
    if config.observability.metrics.otlp.enabled:
        yield "observability.metrics.otlp has no effect in this version"
    if config.observability.tracing.otlp.enabled:
        yield "observability.tracing.otlp has no effect in this version"
