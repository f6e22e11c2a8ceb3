"""Header names that carry credentials or routing data."""

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
