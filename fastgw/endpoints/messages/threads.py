"""Conversations that Anthropic's servers keep between requests (beta `message-threads`, member `thread`).

A request that continues one holds its newest messages alone, so whoever leaves `thread` out answers without the rest.
Clients know an error that makes them send everything instead, which the tool runners of the SDKs do by themselves.
"""

from typing import Any, Final

from fastgw.core.errors import GatewayError, invalid_request
from fastgw.gateway.snapshot import Target

_BETA: Final = "anthropic-beta"


def check_translated(body: dict[str, Any]) -> None:
    """Raise the 400 for a request that continues a conversation; one that begins it holds everything."""
    thread = body.get("thread")
    if isinstance(thread, dict) and thread.get("type") != "create":
        raise _refused("other providers keep no conversation")


def check_native(target: Target) -> None:
    """Raise the 400 for any request with a `thread` that goes without the header that allows the member."""
    overrides = target.overrides
    if overrides is None or not overrides.forwards(_BETA):
        raise _refused(f"the provider key does not forward the header {_BETA}")


def _refused(reason: str) -> GatewayError:
    detail = f"`thread` is not supported, send all messages without it: {reason}"
    error = invalid_request(detail, param="thread", code="unsupported_parameter")
    error.details = {"error_code": "thread_unsupported_request"}
    return error
