"""The usage event: what one attempt used and how it ended, as one record for whoever wants it.

Nobody does unless a sink is set (`gateway.account.Accounts.sink`); the record is not built then.
"""

import time
from typing import Final

from msgspec import Struct

MAX_MESSAGE: Final = 2048
"""Characters of an error message."""

_CLASSES: Final = {
    "upstream_error": "upstream_status",
    "upstream_decode_error": "upstream_decode",
    "upstream_in_band_error": "upstream_in_band",
    "transport_error": "transport",
    "config_error": "config",
    "authentication_error": "invalid_credentials",
}


class UsageEvent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Fields with a default are left out where they have it. Times in whole milliseconds."""

    request_id: str
    occurred_at: str
    model_id: str
    api_key_id: str
    prompt_tokens: int
    completion_tokens: int
    upstream_latency_ms: int
    status_code: int
    attempt_index: int
    requested_model: str = ""
    cached_prompt_tokens: int = 0
    reasoning_tokens: int = 0
    cache_creation_tokens: int = 0
    cache_read_tokens: int = 0
    usage_estimated: bool = False
    upstream_ttft_ms: int = 0
    downstream_latency_ms: int = 0
    provider_request_id: str = ""
    provider_model_version: str = ""
    finish_reason: str = ""
    inbound_protocol: str = ""
    attempt_kind: str = ""
    error_class: str = ""
    error_message: str = ""
    client_source_ip: str = ""
    client_user_agent: str = ""
    jwt_subject: str = ""
    jwt_provider: str = ""
    jwt_claim_mapping: str = ""


def error_class(type: str) -> str:
    """The class of an error by its type in the envelope."""
    return _CLASSES.get(type, type)


def occurred_at() -> str:
    """Now: RFC 3339 UTC, whole seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def milliseconds(seconds: float) -> int:
    """Rounded down; what was measured is never 0, and 0 stands for what was not."""
    return max(1, int(seconds * 1000)) if seconds >= 0 else 0
