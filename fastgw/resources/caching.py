"""Policies of the response cache."""

from typing import Annotated, Literal

from msgspec import Meta

from fastgw.resources.base import NOT_NULL, Document, Name120, Share, Text, UInt32, UInt64


class SemanticCache(Document, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """Answers of similar prompts."""

    embedding_model: Text
    threshold: Share
    max_entries: Annotated[int, Meta(ge=1, le=10000, extra={"format": "uint32"})] = 1000
    embedding_timeout_ms: Annotated[UInt64 | None, NOT_NULL] = None


class CachePolicy(Document, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """``applies_to``: ``all``, ``model:<display_name>`` or ``api_key:<id>``; anything else is ``all``."""

    name: Name120
    enabled: bool = True
    backend: Literal["memory", "redis"] = "memory"
    ttl_seconds: Annotated[int, Meta(ge=1, le=604800, extra={"format": "uint32"})] = 3600
    applies_to: Annotated[str, Meta(min_length=1, max_length=255)] = "all"
    scope: Literal["api_key", "env"] = "api_key"
    purge_generation: UInt32 = 0
    semantic: Annotated[SemanticCache | None, NOT_NULL] = None
