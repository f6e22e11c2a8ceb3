"""Models that are served by other models: routing groups, ensembles, semantic routers."""

from typing import Annotated, Literal

from msgspec import Meta

from fastgw.resources.base import (
    IMPLIED,
    NOT_NULL,
    Document,
    Int32,
    Positive32,
    Share,
    Text,
    UInt32,
    UInt64,
)

Strategy = Literal["failover", "round_robin", "consistent_hash", "least_cost", "least_latency", "least_busy"]
RetriableStatus = Annotated[int, Meta(ge=400, le=599, extra={"format": "uint16"})]


class RoutingTarget(Document, frozen=True, kw_only=True):
    """A member of a group. Lower ``priority`` is used first; ``weight`` is its share among equals."""

    model: Text
    weight: Annotated[UInt32, IMPLIED] = 1
    priority: Annotated[Int32, IMPLIED] = 0
    tags: Annotated[tuple[Text, ...], IMPLIED] = ()


class HashOnSource(Document, frozen=True, kw_only=True):
    """What keeps a caller on one target. Whether ``name`` fits ``type`` is not checked when it is loaded."""

    type: Literal["header", "cookie", "api_key", "client_ip"]
    name: Annotated[Text | None, NOT_NULL] = None


class Routing(Document, frozen=True, kw_only=True):
    """A group of targets. None: the deployment's default, or for ``max_fallbacks`` every later target."""

    targets: Annotated[tuple[RoutingTarget, ...], Meta(min_length=1)]
    strategy: Strategy = "failover"
    retries: Annotated[UInt32 | None, NOT_NULL] = None
    max_fallbacks: Annotated[UInt32 | None, NOT_NULL] = None
    retry_on_429: Annotated[bool, IMPLIED] = False
    fallback_on_statuses: Annotated[tuple[RetriableStatus, ...], IMPLIED] = ()
    when_all_unavailable: Annotated[Literal["fail", "try_anyway"], IMPLIED] = "fail"
    hash_on: Annotated[Annotated[tuple[HashOnSource, ...], Meta(min_length=1)] | None, NOT_NULL] = None


class PanelMember(Document, frozen=True, kw_only=True):
    model: Text
    temperature: Annotated[Annotated[float, Meta(ge=0)] | None, NOT_NULL] = None
    seed: Annotated[UInt64 | None, NOT_NULL] = None
    weight: Annotated[UInt32 | None, NOT_NULL] = None


class Judge(Document, frozen=True, kw_only=True):
    model: Text
    synthesis_prompt: Annotated[Text | None, NOT_NULL] = None


class Ensemble(Document, frozen=True, kw_only=True):
    """All of ``panel`` answer, ``judge`` makes one answer of them. ``min_responses`` None: two, or the panel's size."""

    panel: Annotated[tuple[PanelMember, ...], Meta(min_length=1)]
    judge: Judge
    min_responses: Annotated[Positive32 | None, NOT_NULL] = None
    timeout_ms: Annotated[UInt64, IMPLIED] = 0


class SemanticMatch(Document, frozen=True, kw_only=True):
    threshold: Share
    aggregation: Literal["max"] = "max"
    distance_metric: Literal["cosine"] = "cosine"


class SemanticRoute(Document, frozen=True, kw_only=True):
    """``threshold`` None: the one of the router."""

    name: Text
    target: Text
    examples: Annotated[tuple[Text, ...], Meta(min_length=1)]
    threshold: Annotated[Share | None, NOT_NULL] = None
    description: Annotated[Text | None, NOT_NULL] = None


class FailureTarget(Document, frozen=True, kw_only=True):
    target: Text


class Semantic(Document, frozen=True, kw_only=True):
    """A router by the meaning of the prompt."""

    embedding_model: Text
    default: Text
    routes: Annotated[tuple[SemanticRoute, ...], Meta(min_length=1)]
    match: SemanticMatch
    embedding_timeout_ms: Annotated[UInt64 | None, NOT_NULL] = None
    on_embedding_failure: Annotated[Literal["default", "fail"] | FailureTarget, IMPLIED] = "default"
