"""Provider keys, models, API keys, identity providers, and all resources of one source together."""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from fastgw.core.rfc3339 import parse_rfc3339
from fastgw.resources.base import (
    NOT_NULL,
    DateTime,
    Document,
    Positive32,
    Positive64,
    StatusCode,
    Text,
    Texts,
    UInt32,
    UInt64,
)
from fastgw.resources.base import Row as Row

Price = Annotated[float, Meta(ge=0)]
Vendor = Annotated[str, Meta(min_length=1, max_length=64, pattern="^[a-z0-9][a-z0-9._-]*$")]

STRIPPED_HEADERS: Final = ("authorization", "cookie", "set-cookie", "x-api-key")
COOLDOWN_STATUSES: Final = (401, 408, 429, 500, 502, 503, 504)


class RateLimit(Document, frozen=True, kw_only=True):
    """Requests per second, minute, hour, day; tokens per minute, day; requests at once. None is unlimited."""

    rps: UInt64 | None = None
    rpm: UInt64 | None = None
    rph: UInt64 | None = None
    rpd: UInt64 | None = None
    tpm: UInt64 | None = None
    tpd: UInt64 | None = None
    concurrency: UInt32 | None = None


class ModelRateLimit(RateLimit, frozen=True, kw_only=True):
    """The same block on a model, where no member may be null."""

    rps: Annotated[UInt64 | None, NOT_NULL] = None
    rpm: Annotated[UInt64 | None, NOT_NULL] = None
    rph: Annotated[UInt64 | None, NOT_NULL] = None
    rpd: Annotated[UInt64 | None, NOT_NULL] = None
    tpm: Annotated[UInt64 | None, NOT_NULL] = None
    tpd: Annotated[UInt64 | None, NOT_NULL] = None
    concurrency: Annotated[UInt32 | None, NOT_NULL] = None


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

    param_renames: dict[str, str] = {}
    param_constraints: ParamConstraints | None = None
    default_headers: dict[str, str] = {}
    forward_client_headers: tuple[str, ...] = ()
    default_body_fields: dict[str, Any] = {}

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
    ignore_statuses: tuple[StatusCode, ...] = ()


class CooldownConfig(Document, frozen=True, kw_only=True):
    enabled: bool = True
    default_seconds: UInt64 = 30
    max_seconds: Positive64 = 600
    honor_retry_after: bool = True
    trigger_statuses: tuple[StatusCode, ...] = COOLDOWN_STATUSES
    trigger_on_timeout: bool = True
    trigger_on_transport: bool = True


class AutoPromptCaching(Document, frozen=True, kw_only=True):
    enabled: bool
    ttl: Literal["5m", "1h"] = "5m"


class EmbeddingConfig(Document, frozen=True, kw_only=True):
    dimensions: Positive32
    normalize: bool = True


class Model(Document, frozen=True, kw_only=True):
    """An alias that is served by one upstream model. Durations in milliseconds."""

    display_name: Text
    provider: Vendor
    model_name: Text
    provider_key_id: Text
    allowed_cidrs: tuple[Text, ...] = ()
    rate_limit: Annotated[ModelRateLimit | None, NOT_NULL] = None
    timeout: Annotated[UInt64 | None, NOT_NULL] = None
    stream_timeout: Annotated[UInt64 | None, NOT_NULL] = None
    retries: Annotated[UInt32 | None, NOT_NULL] = None
    cost: Annotated[ModelCost | None, NOT_NULL] = None
    background_model_check: Annotated[BackgroundModelCheck | None, NOT_NULL] = None
    cooldown: Annotated[CooldownConfig | None, NOT_NULL] = None
    auto_prompt_caching: Annotated[AutoPromptCaching | None, NOT_NULL] = None
    embedding: Annotated[EmbeddingConfig | None, NOT_NULL] = None


class McpAccess(Document, frozen=True, kw_only=True):
    STRICT_REQUIRED = frozenset({"allow"})
    UNREPORTED = frozenset({"mode"})

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


class McpRateLimit(Document, frozen=True, kw_only=True):
    rps: UInt64 | None = None
    rpm: UInt64 | None = None
    rph: UInt64 | None = None
    rpd: UInt64 | None = None
    concurrency: UInt32 | None = None


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
    disabled: bool = False

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
    required_scopes: tuple[str, ...] = ()
    bound_claims: dict[str, str | Texts] = {}
    leeway_secs: Annotated[int, Meta(ge=0, le=300, extra={"format": "uint64"})] = 0
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
    source_hash: str


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Resources)


def encode_resources(resources: Resources) -> bytes:
    """The form in which validated resources travel to worker processes."""
    return _encoder.encode(resources)


def decode_resources(data: bytes) -> Resources:
    """The inverse of :func:`encode_resources`. Raises :class:`msgspec.MsgspecError` for anything else."""
    return _decoder.decode(data)
