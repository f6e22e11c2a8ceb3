"""Provider keys, models, API keys, identity providers, and all resources of one source together."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

from fastgw.core.rfc3339 import parse_rfc3339
from fastgw.resources.base import (
    IMPLIED,
    NOT_NULL,
    DateTime,
    Document,
    Flaw,
    Positive32,
    Positive64,
    StatusCode,
    Text,
    Texts,
    UInt32,
    UInt64,
)
from fastgw.resources.base import Row as Row
from fastgw.resources.caching import CachePolicy
from fastgw.resources.exporters import Exporter
from fastgw.resources.guardrails import Guardrail, GuardrailAttachment
from fastgw.resources.limits import McpRateLimit, ModelRateLimit, RateLimit, RateLimitPolicy
from fastgw.resources.servers import A2aAgent, McpAuthSettings, McpPolicy, McpServer, PassthroughRoute
from fastgw.resources.virtual import Ensemble, Routing, Semantic

Price = Annotated[float, Meta(ge=0)]
Vendor = Annotated[str, Meta(min_length=1, max_length=64, pattern="^[a-z0-9][a-z0-9._-]*$")]

Shape = Literal["direct", "routing", "ensemble", "semantic"]


class Virtual(NamedTuple):
    """A shape of virtual models: what messages call it, and the common members that mean nothing to it."""

    label: str
    dead: tuple[str, ...]


VIRTUAL: Final = {
    "routing": Virtual("model group", ("auto_prompt_caching", "cost", "retries")),
    "ensemble": Virtual("ensemble", ("auto_prompt_caching", "cost", "retries", "stream_timeout", "timeout")),
    "semantic": Virtual("semantic router", ("auto_prompt_caching", "cost")),
}
_DIRECT: Final = ("provider", "model_name", "provider_key_id")
_DIRECT_ONLY: Final = ("background_model_check", "cooldown", "embedding")

STRIPPED_HEADERS: Final = ("authorization", "cookie", "set-cookie", "x-api-key")
COOLDOWN_STATUSES: Final = (401, 408, 429, 500, 502, 503, 504)


class TelemetryTags(Document, frozen=True, kw_only=True):
    kind: Literal["catalog", "byo"] | None = None
    featured: bool = False
    branded_provider: str | None = None
    pk_label: str | None = None
    byo_label: str | None = None


class ParamConstraints(Document, frozen=True, kw_only=True):
    temperature_max: float | None = None
    temperature_min: float | None = None


class RequestOverrides(Document, frozen=True, kw_only=True):
    """What is changed in requests through a key. ``default_headers`` values may be templates over ``${name}``."""

    param_renames: Annotated[dict[str, str], IMPLIED] = {}
    param_constraints: ParamConstraints | None = None
    default_headers: Annotated[dict[str, str], IMPLIED] = {}
    forward_client_headers: Annotated[tuple[str, ...], IMPLIED] = ()
    default_body_fields: Annotated[dict[str, Any], IMPLIED] = {}

    def __repr__(self) -> str:
        return "<RequestOverrides>"


class ResponseOverrides(Document, frozen=True, kw_only=True):
    stream_done_marker: Literal["required", "optional", "none"] | None = None
    content_list_to_string: bool = False
    error_envelope: str | None = None
    reasoning_field: str | None = None


class ProviderKeyTls(Document, frozen=True, kw_only=True):
    """``ca_cert`` is PEM text that is trusted in addition to the platform's roots."""

    ca_cert: str | None = None
    verify: bool = True


class ProviderKey(Document, frozen=True, kw_only=True):
    """A credential for an upstream and how to speak to it. ``strip_headers`` is normalised on construction."""

    display_name: Text
    api_key: Text
    api_base: str | None = None
    provider: str = ""
    adapter: Literal["openai", "anthropic", "bedrock", "vertex", "azure-openai"] | None = None
    telemetry_tags: TelemetryTags = TelemetryTags()
    request: RequestOverrides | None = None
    response: ResponseOverrides | None = None
    strip_headers: tuple[str, ...] = STRIPPED_HEADERS
    tls: ProviderKeyTls | None = None

    def __post_init__(self) -> None:
        names = dict.fromkeys(name.strip().lower() for name in self.strip_headers)
        msgspec.structs.force_setattr(self, "strip_headers", tuple(name for name in names if name))

    def __repr__(self) -> str:
        return f"<ProviderKey {self.display_name!r}>"


class ModelCost(Document, frozen=True, kw_only=True):
    """USD per 1000 tokens."""

    input_per_1k: Price
    output_per_1k: Price


class BackgroundModelCheck(Document, frozen=True, kw_only=True):
    enabled: bool
    interval_seconds: Annotated[int, Meta(ge=5, extra={"format": "uint64"})]
    timeout_seconds: Positive64
    prompt: Text
    max_tokens: Positive32
    stale_after_seconds: Positive64
    ignore_statuses: Annotated[tuple[StatusCode, ...], IMPLIED] = ()


class CooldownConfig(Document, frozen=True, kw_only=True):
    enabled: Annotated[bool, IMPLIED] = True
    default_seconds: Annotated[UInt64, IMPLIED] = 30
    max_seconds: Annotated[Positive64, IMPLIED] = 600
    honor_retry_after: Annotated[bool, IMPLIED] = True
    trigger_statuses: Annotated[tuple[StatusCode, ...], IMPLIED] = COOLDOWN_STATUSES
    trigger_on_timeout: Annotated[bool, IMPLIED] = True
    trigger_on_transport: Annotated[bool, IMPLIED] = True


class AutoPromptCaching(Document, frozen=True, kw_only=True):
    enabled: bool
    ttl: Annotated[Literal["5m", "1h"], IMPLIED] = "5m"


class EmbeddingConfig(Document, frozen=True, kw_only=True):
    dimensions: Positive32
    normalize: bool = True


class Model(Document, frozen=True, kw_only=True):
    """An alias. Durations in milliseconds.

    Exactly one of these is not None: ``provider`` (direct: with ``model_name`` and ``provider_key_id``, served by one
    upstream model), ``routing``, ``ensemble``, ``semantic`` (virtual: served by other models).
    """

    display_name: Text
    provider: Annotated[Vendor | None, NOT_NULL] = None
    model_name: Annotated[Text | None, NOT_NULL] = None
    provider_key_id: Annotated[Text | None, NOT_NULL] = None
    routing: Annotated[Routing | None, NOT_NULL] = None
    ensemble: Annotated[Ensemble | None, NOT_NULL] = None
    semantic: Annotated[Semantic | None, NOT_NULL] = None
    allowed_cidrs: Annotated[tuple[Text, ...], IMPLIED] = ()
    rate_limit: Annotated[ModelRateLimit | None, NOT_NULL] = None
    timeout: Annotated[UInt64 | None, NOT_NULL] = None
    stream_timeout: Annotated[UInt64 | None, NOT_NULL] = None
    retries: Annotated[UInt32 | None, NOT_NULL] = None
    cost: Annotated[ModelCost | None, NOT_NULL] = None
    background_model_check: Annotated[BackgroundModelCheck | None, NOT_NULL] = None
    cooldown: Annotated[CooldownConfig | None, NOT_NULL] = None
    auto_prompt_caching: Annotated[AutoPromptCaching | None, NOT_NULL] = None
    embedding: Annotated[EmbeddingConfig | None, NOT_NULL] = None

    @property
    def shape(self) -> Shape:
        """Which of the four it is, in the words of ``/status/models``."""
        if self.routing is not None:
            return "routing"
        if self.ensemble is not None:
            return "ensemble"
        return "semantic" if self.semantic is not None else "direct"

    @classmethod
    def rules(cls, document: Mapping[str, Any], strict: bool) -> Iterable[Flaw]:
        """One shape, all of it, and nothing that belongs to another."""
        shapes = [shape for shape in VIRTUAL if shape in document]
        if not shapes:
            for name in _DIRECT:
                if name not in document:
                    yield Flaw("", f"missing required field `{name}`")
            return
        shape = shapes[0]
        foreign = [name for name in (*shapes[1:], *_DIRECT, *_DIRECT_ONLY) if name in document]
        dead = inapplicable(document)
        for name in foreign:
            yield Flaw("", f"`{name}` and `{shape}` are mutually exclusive")
        if strict and dead and not foreign:
            names = ", ".join(f"`{name}`" for name in dead)
            yield Flaw("", f"{names} not accepted on a {VIRTUAL[shape].label}")


def inapplicable(document: Mapping[str, Any]) -> tuple[str, ...]:
    """The members of a virtual model's document that cannot have an effect on it, sorted."""
    shape = next((shape for shape in VIRTUAL if shape in document), None)
    return tuple(name for name in VIRTUAL[shape].dead if name in document) if shape is not None else ()


class McpAccess(Document, frozen=True, kw_only=True):
    STRICT_REQUIRED = frozenset({"allow"})
    UNREPORTED = frozenset({"mode"})

    allow: tuple[str, ...] = ()
    deny: Annotated[tuple[str, ...], IMPLIED] = ()


class ApiKey(Document, frozen=True, kw_only=True):
    """A caller. ``key_hash`` is the lower-case hex SHA-256 of the bearer token."""

    key_hash: Text
    allowed_models: tuple[str, ...]
    display_name: str | None = None
    rate_limit: RateLimit | None = None
    team_id: Text | None = None
    user_id: Text | None = None
    user_name: str | None = None
    jwt_subject: Text | None = None
    jwt_provider: Text | None = None
    mcp_access: McpAccess | None = None
    mcp_rate_limits: dict[str, McpRateLimit] | None = None
    allowed_agents: tuple[str, ...] | None = None
    allowed_routes: tuple[str, ...] | None = None
    expires_at: DateTime | None = None
    disabled: Annotated[bool, IMPLIED] = False

    def expires_at_unix(self) -> float | None:
        """The last second in which the key is valid, as Unix time."""
        return None if self.expires_at is None else parse_rfc3339(self.expires_at)


class OidcProvider(Document, frozen=True, kw_only=True):
    """An issuer of tokens that callers may present instead of a key. Claims are named by dotted paths."""

    name: Text
    issuer: Text
    audiences: Texts
    jwks_uri: Annotated[Text | None, NOT_NULL] = None
    identity_claim: Text = "sub"
    required_scopes: Annotated[tuple[str, ...], IMPLIED] = ()
    bound_claims: Annotated[dict[str, str | Texts], IMPLIED] = {}
    leeway_secs: Annotated[int, Meta(ge=0, le=300, extra={"format": "uint64"}), IMPLIED] = 0
    enabled: bool = True


class ClaimMatch(Document, frozen=True, kw_only=True):
    claim: Text
    op: Literal["exact", "contains"]
    values: Texts


class ClaimResolve(Document, frozen=True, kw_only=True):
    api_key_id: Text


class ClaimMapping(Document, frozen=True, kw_only=True):
    """Which API key the tokens of a provider stand for when all of ``match`` holds. Lower ``priority`` comes first."""

    name: Text
    jwt_provider: Text
    match: Annotated[tuple[ClaimMatch, ...], Meta(min_length=1)]
    resolve: ClaimResolve
    priority: UInt32 = 0
    enabled: bool = True


class Resources(Struct, frozen=True, kw_only=True):
    """Everything that one source defines, in its order. ``source_hash`` is the SHA-256 of what was read, in hex."""

    provider_keys: tuple[Row[ProviderKey], ...] = ()
    models: tuple[Row[Model], ...] = ()
    api_keys: tuple[Row[ApiKey], ...] = ()
    oidc_providers: tuple[Row[OidcProvider], ...] = ()
    claim_mappings: tuple[Row[ClaimMapping], ...] = ()
    guardrails: tuple[Row[Guardrail], ...] = ()
    guardrail_attachments: tuple[Row[GuardrailAttachment], ...] = ()
    mcp_servers: tuple[Row[McpServer], ...] = ()
    mcp_policies: tuple[Row[McpPolicy], ...] = ()
    mcp_auth_settings: tuple[Row[McpAuthSettings], ...] = ()
    a2a_agents: tuple[Row[A2aAgent], ...] = ()
    cache_policies: tuple[Row[CachePolicy], ...] = ()
    observability_exporters: tuple[Row[Exporter], ...] = ()
    rate_limit_policies: tuple[Row[RateLimitPolicy], ...] = ()
    passthrough_routes: tuple[Row[PassthroughRoute], ...] = ()
    source_hash: str
