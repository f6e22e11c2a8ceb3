"""Header fields of upstream requests that come from configuration or from the caller: what is let through.

Everything that ends up in a request head passes `field_line`, so that no value can end its line or begin another
(RFC 9110 §5.5). Configured values are sent as UTF-8, which arrives as opaque obs-text.
"""

import re
from typing import Final

from fastgw.core.headers import TRACE_CONTEXT

# What describes this connection and this message belongs to the gateway alone: RFC 9110 §7.6.1, §8, §10.1.
GATEWAY: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "anthropic-version",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "keep-alive",
        "proxy-authenticate",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    }
)

# Meant for the gateway itself, or owned by its own tracing: never copied from a caller.
NOT_FORWARDED: Final = TRACE_CONTEXT | {"set-cookie"}

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# HTAB is the one control character that a field value may hold (RFC 9110 §5.5).
_FORBIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def field_line(name: str, value: str, charset: str = "utf-8") -> bytes | None:
    """`name: value CRLF`, or None when the name is no token or the value is blank or no field value."""
    value = value.strip(" \t")
    if not value or not _NAME.fullmatch(name) or _FORBIDDEN.search(value):
        return None
    try:
        return f"{name}: {value}\r\n".encode(charset)
    except UnicodeEncodeError:
        return None
