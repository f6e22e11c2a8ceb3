"""Content policies, one Struct per engine, and what they are attached to. ``kind`` tells them apart."""

from typing import Annotated, Literal

from msgspec import Meta

from fastgw.resources.base import NOT_NULL, ONLY_TRUE, DateTime, Document, Int32, Positive64, Text, UInt8, UInt32

Action = Literal["mask", "block"]
HarmCategory = Literal["Hate", "Sexual", "SelfHarm", "Violence"]
Name64 = Annotated[str, Meta(min_length=1, max_length=64)]
Replacement = Annotated[str, Meta(max_length=256)]
OptionalText = Annotated[Text | None, NOT_NULL]


class KeywordLiteral(Document, frozen=True, kw_only=True, tag="literal", tag_field="kind"):
    value: Text


class KeywordRegex(Document, frozen=True, kw_only=True, tag="regex", tag_field="kind"):
    value: Text


class StaticCredentials(Document, frozen=True, kw_only=True, tag="static", tag_field="kind"):
    access_key_id: Text
    secret_access_key: Text

    def __repr__(self) -> str:
        return "<StaticCredentials>"


class SerialLatency(Document, frozen=True, kw_only=True, tag="serial", tag_field="kind"):
    """The answer waits for the verdict."""


class TimedLatency(Document, frozen=True, kw_only=True, tag="timed", tag_field="kind"):
    timeout_ms: Annotated[int, Meta(ge=100, le=5000, extra={"format": "uint32"})]


class PiiDetector(Document, frozen=True, kw_only=True):
    """``action`` None: the guardrail's ``default_action``; the same below."""

    type: Literal[
        "email",
        "china_mobile",
        "china_id_card",
        "bank_card",
        "us_ssn",
        "ip_address",
        "api_key",
        "jwt",
        "private_key",
    ]
    action: Annotated[Action | None, NOT_NULL] = None


class PiiPattern(Document, frozen=True, kw_only=True):
    name: Name64
    regex: Text
    action: Annotated[Action | None, NOT_NULL] = None
    replacement: Annotated[Replacement | None, NOT_NULL] = None


class PresidioEntity(Document, frozen=True, kw_only=True):
    type: Text
    action: Annotated[Action | None, NOT_NULL] = None


class HotwordGroup(Document, frozen=True, kw_only=True):
    terms: Annotated[tuple[str, ...], Meta(min_length=1, max_length=50)]


class SemanticCategory(Document, frozen=True, kw_only=True):
    name: Name64
    description: Annotated[str, Meta(min_length=1, max_length=1000)]
    candidate_patterns: Annotated[tuple[str, ...], Meta(min_length=1, max_length=10)]
    negative_patterns: Annotated[tuple[str, ...], Meta(max_length=20)] = ()
    hotword_groups: Annotated[tuple[HotwordGroup, ...], Meta(max_length=10)] = ()
    threshold: Annotated[Annotated[float, Meta(ge=-1, le=1)] | None, NOT_NULL] = None
    action: Annotated[Literal["mask"] | None, NOT_NULL] = None
    replacement: Annotated[Replacement | None, NOT_NULL] = None


class GuardrailBase(Document, frozen=True, kw_only=True, tag_field="kind"):
    """What every guardrail has. ``created_at`` orders them, oldest first, absent last."""

    name: Text
    enabled: bool = True
    hook_point: Literal["input", "output", "both"] = "both"
    fail_open: bool = True
    enforcement_mode: str = "block"
    mandatory: bool = False
    direction: str = "both"
    created_at: Annotated[DateTime | None, NOT_NULL] = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"


class RemoteGuardrail(GuardrailBase, frozen=True, kw_only=True):
    """One that asks another service."""

    timeout_ms: Annotated[int, Meta(ge=0, le=2**32 - 1, extra={"format": "uint32"})] = 5000
    output_fail_open: bool = False


class KeywordGuardrail(GuardrailBase, frozen=True, kw_only=True, tag="keyword"):
    patterns: tuple[KeywordLiteral | KeywordRegex, ...]


class BedrockGuardrail(GuardrailBase, frozen=True, kw_only=True, tag="bedrock"):
    guardrail_id: Name64
    guardrail_version: Annotated[str, Meta(min_length=1, max_length=16)]
    region: Text
    aws_credentials: StaticCredentials
    latency_mode: SerialLatency | TimedLatency
    output_fail_open: bool = False


class AzureContentSafety(RemoteGuardrail, frozen=True, kw_only=True, tag="azure_content_safety"):
    endpoint: Text
    api_key: Text


class AzureTextModeration(RemoteGuardrail, frozen=True, kw_only=True, tag="azure_content_safety_text_moderation"):
    endpoint: Text
    api_key: Text
    categories: tuple[HarmCategory, ...] = ("Hate", "Sexual", "SelfHarm", "Violence")
    severity_threshold: Annotated[int, Meta(ge=0, le=7, extra={"format": "uint8"})] = 2
    severity_threshold_by_category: dict[str, UInt8] = {}
    output_type: Literal["FourSeverityLevels", "EightSeverityLevels"] = "FourSeverityLevels"
    blocklist_names: tuple[str, ...] = ()
    halt_on_blocklist_hit: bool = False
    text_source: Literal["concatenate_user_content", "concatenate_all_content"] = "concatenate_user_content"
    stream_processing_mode: Literal["window", "buffer_full"] = "window"
    window_size: Annotated[int, Meta(ge=1, le=10000, extra={"format": "uint32"})] = 10000
    window_overlap_size: UInt32 = 256
    max_buffer_bytes: Positive64 = 262144
    on_buffer_exceeded: str = "fail_closed"


class AliyunGuardrail(RemoteGuardrail, frozen=True, kw_only=True):
    """What both Aliyun engines have. ``endpoint`` None: the one of the region."""

    region: Text
    access_key_id: Text
    access_key_secret: Text
    endpoint: OptionalText = None
    window_size: Annotated[int, Meta(ge=1, le=2000, extra={"format": "uint32"})] = 2000
    window_overlap_size: UInt32 = 128
    max_buffer_bytes: Positive64 = 262144
    on_buffer_exceeded: str = "fail_closed"


class AliyunTextModeration(AliyunGuardrail, frozen=True, kw_only=True, tag="aliyun_text_moderation"):
    risk_level_threshold: Literal["low", "medium", "high"] = "high"
    stream_processing_mode: Literal["window", "buffer_full"] = "window"


class AliyunAiGuardrail(AliyunGuardrail, frozen=True, kw_only=True, tag="aliyun_ai_guardrail"):
    service_level: str = "pro"
    stream_processing_mode: str = "window"


class PiiGuardrail(GuardrailBase, frozen=True, kw_only=True, tag="pii"):
    detectors: tuple[PiiDetector, ...] = ()
    custom_patterns: tuple[PiiPattern, ...] = ()
    default_action: Action = "mask"
    max_buffer_bytes: Positive64 = 262144
    on_buffer_exceeded: str = "fail_closed"


class LakeraGuardrail(RemoteGuardrail, frozen=True, kw_only=True, tag="lakera"):
    api_key: Text
    endpoint: OptionalText = None
    project_id: OptionalText = None
    max_buffer_bytes: Positive64 = 262144
    on_buffer_exceeded: str = "fail_closed"


class OpenAIModeration(RemoteGuardrail, frozen=True, kw_only=True, tag="openai_moderation"):
    api_key: Text
    endpoint: OptionalText = None
    model: Text = "omni-moderation-latest"
    category_thresholds: dict[str, float] = {}


class PresidioGuardrail(RemoteGuardrail, frozen=True, kw_only=True, tag="presidio"):
    analyzer_url: Text
    anonymizer_url: Text
    operator: Literal["replace", "mask", "hash", "redact"] = "replace"
    language: Text = "en"
    entities: tuple[PresidioEntity, ...] = ()
    default_action: Action = "mask"
    score_threshold: Annotated[Annotated[float, Meta(ge=0, le=1)] | None, NOT_NULL] = None
    max_buffer_bytes: Positive64 = 262144
    on_buffer_exceeded: str = "fail_closed"


class SemanticGuardrail(GuardrailBase, frozen=True, kw_only=True, tag="semantic"):
    categories: Annotated[tuple[SemanticCategory, ...], Meta(min_length=1, max_length=30)]
    fail_open: Annotated[bool, ONLY_TRUE] = True


Guardrail = (
    KeywordGuardrail
    | BedrockGuardrail
    | AzureContentSafety
    | AzureTextModeration
    | AliyunTextModeration
    | AliyunAiGuardrail
    | PiiGuardrail
    | LakeraGuardrail
    | OpenAIModeration
    | PresidioGuardrail
    | SemanticGuardrail
)


class GuardrailAttachment(Document, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """Where a guardrail applies. ``scope_id`` is None for the scope ``env``; ``env_id`` is not looked at."""

    guardrail_id: Text
    scope_type: Literal["env", "model", "mcp_server", "api_key", "team", "passthrough_route"]
    priority: Int32
    scope_id: str | None = None
    enabled: bool = True
    env_id: str | None = None
