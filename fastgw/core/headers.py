"""Header names that carry credentials or routing data, and the name under which the gateway asks others."""

from typing import Final

RESERVED: Final = frozenset(
    {
        "authorization",
        "x-api-key",
        "x-goog-api-key",
        "api-key",
        "x-amz-security-token",
        "x-amz-date",
        "x-amz-content-sha256",
        "proxy-authorization",
        "cookie",
        "host",
    }
)
"""Neither configuration nor a caller may set them upstream, and none of them may become a request id."""

TRACE_CONTEXT: Final = frozenset({"traceparent", "tracestate"})
"""W3C trace context: the gateway's own business."""


def user_agent(namespace: str) -> str:
    """What the gateway calls itself towards providers, identity providers and token endpoints."""
    return f"{namespace}/0.1"
