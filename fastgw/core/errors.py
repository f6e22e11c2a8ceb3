"""What goes wrong, whose fault it is, and how each dialect says it.

Every refusal or failure on the request path is a `GatewayError`. The two renderers at the end are the only
place where an error becomes bytes.
"""

from typing import Any, Literal

import orjson

from fastgw.core.redact import redact_urls

Fault = Literal["caller", "upstream", "policy", "gateway"]
Dialect = Literal["openai", "anthropic", "responses"]

MESSAGE_LIMIT = 1024


class GatewayError(Exception):
    """An answer that is not a success.

    `status` is the HTTP status for the caller, `type`/`code`/`param` and `message` go into the envelope, `retry_after`
    is in whole seconds. `cause` is for logs only. `own` is an upstream's error body in the caller's dialect, to be
    passed on in place of the envelope. `details` is what programs read in Anthropic's.
    """

    def __init__(
        self,
        status: int,
        type: str,
        message: str,
        *,
        fault: Fault = "caller",
        code: Any = None,
        param: str | None = None,
        retry_after: int | None = None,
        cause: str | None = None,
    ) -> None:
        super().__init__(message)
        self.own: bytes | None = None
        self.details: dict[str, Any] | None = None
        self.status = status
        self.type = type
        self.message = message
        self.fault = fault
        self.code = code
        self.param = param
        self.retry_after = retry_after
        self.cause = cause


class UpstreamFailure(GatewayError):
    """A failed attempt. `retryable`: the same target may be tried again; `timed_out`: a deadline passed."""

    def __init__(
        self, status: int, type: str, message: str, *, retryable: bool, timed_out: bool = False, **envelope: Any
    ) -> None:
        super().__init__(status, type, message, fault="upstream", **envelope)
        self.retryable = retryable
        self.timed_out = timed_out
        self.upstream_status = 0
        self.wait_hint: float | None = None


class ClientGone(Exception):
    """The caller closed its connection before its answer was complete."""


def invalid_request(detail: str, *, param: str | None = None, code: str | None = None) -> GatewayError:
    """400: the request itself is at fault."""
    return GatewayError(400, "invalid_request_error", f"request payload is invalid: {detail}", param=param, code=code)


def invalid_upstream(detail: str) -> GatewayError:
    """400 for a target that cannot be called as configured (never retried, nothing sent)."""
    return GatewayError(400, "invalid_request_error", f"invalid upstream configuration: {detail}", fault="gateway")


def invalid_credentials(detail: str) -> GatewayError:
    """401 for a provider secret that cannot be sent (never retried, nothing sent)."""
    return GatewayError(401, "authentication_error", f"invalid upstream credentials: {detail}", fault="gateway")


def misconfigured(detail: str, cause: str | None = None) -> GatewayError:
    """500: a setting of the gateway is at fault. Retried like a failure of the upstream."""
    return GatewayError(500, "config_error", f"bridge is misconfigured: {detail}", fault="gateway", cause=cause)


def transport_error(cause: str) -> UpstreamFailure:
    """502: the upstream could not be reached or broke the connection."""
    return UpstreamFailure(502, "transport_error", f"transport error: {redact_urls(cause)}", retryable=True)


def upstream_timeout(milliseconds: int, cause: str | None = None) -> UpstreamFailure:
    """504: the deadline of an attempt passed."""
    return UpstreamFailure(
        504,
        "timeout",
        f"upstream request timed out after {milliseconds}ms",
        retryable=False,
        timed_out=True,
        cause=cause,
    )


def decode_error(cause: str) -> UpstreamFailure:
    """502: a success status with a body that is not what the operation answers."""
    return UpstreamFailure(
        502, "upstream_decode_error", f"upstream returned an unparseable body: {redact_urls(cause)}", retryable=True
    )


def stream_aborted() -> UpstreamFailure:
    """502: the upstream's stream ended before it was complete."""
    return UpstreamFailure(502, "stream_aborted", "upstream cancelled the response mid-stream", retryable=True)


def internal_error() -> GatewayError:
    """500: a defect of the gateway. The cause is logged, never told."""
    return GatewayError(500, "api_error", "internal error", fault="gateway")


def cut(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """At most `limit` UTF-8 bytes, cut at a character boundary with an ellipsis appended."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= limit:
        return text
    return raw[:limit].decode("utf-8", "ignore") + "…"


_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
}


def render(error: GatewayError, dialect: Dialect = "openai") -> bytes:
    """The JSON body of an error answer in the caller's dialect."""
    if error.own is not None:
        return error.own
    if dialect == "anthropic":
        kind = _ANTHROPIC_TYPES.get(error.status, "api_error")
        told: dict[str, Any] = {"type": kind, "message": error.message}
        if error.details is not None:
            told["details"] = error.details
        return orjson.dumps({"type": "error", "error": told})
    inner: dict[str, Any] = {"message": error.message, "type": error.type}
    if error.param is not None:
        inner["param"] = error.param
    if error.code is not None:
        inner["code"] = error.code
    return orjson.dumps({"error": inner})


def render_event(error: GatewayError, dialect: Dialect = "openai") -> bytes:
    """The data of the event that ends a stream with an error."""
    if dialect == "anthropic":
        return orjson.dumps({"type": "error", "error": {"type": error.type, "message": error.message}})
    if dialect == "responses":
        return orjson.dumps({"type": "error", "code": error.type, "message": error.message})
    return render(error, dialect)
