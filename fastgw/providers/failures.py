"""What an upstream said went wrong, as the failure of an attempt.

A caller sees the status and the words of a 4xx, and nothing of the body of a 5xx. `code` is translated to the
vocabulary of the OpenAI API, one table per wire family.
"""

from typing import Any, Final, Literal

import orjson

from fastgw.core.errors import UpstreamFailure, cut
from fastgw.core.json import load
from fastgw.core.redact import redact_urls

Family = Literal["openai", "azure", "anthropic", "bedrock", "vertex"]

BODY_LIMIT: Final = 64 * 1024
"""Bytes of an error body that are worth reading."""

RELAYED_LIMIT: Final = 1024
"""Characters of an error body that is no error object, on a relay of the Responses API."""

WAIT_LIMIT: Final = 5
"""Longest `Retry-After`, in seconds, that a retry of the same target waits for."""

_CLAUDE: Final = {
    "authentication_error": "invalid_api_key",
    "permission_error": "permission_denied",
    "not_found_error": "model_not_found",
    "request_too_large": "request_too_large",
    "rate_limit_error": "rate_limit_exceeded",
    "overloaded_error": "overloaded",
}
_CODES: Final[dict[str, dict[str, str]]] = {
    "azure": {
        "DeploymentNotFound": "model_not_found",
        "ResponsibleAIPolicyViolation": "content_policy_violation",
        "content_filter": "content_policy_violation",
        "invalid_encrypted_content": "invalid_encrypted_content",
    },
    "anthropic": _CLAUDE,
    "bedrock": {
        "ThrottlingException": "rate_limit_exceeded",
        "ServiceQuotaExceededException": "insufficient_quota",
        "AccessDeniedException": "permission_denied",
        "ResourceNotFoundException": "model_not_found",
        "ModelNotReadyException": "model_not_ready",
        "ModelTimeoutException": "timeout",
        "ModelStreamErrorException": "stream_error",
        "ModelErrorException": "model_error",
        "ServiceUnavailableException": "overloaded",
    },
    "vertex": {
        "RESOURCE_EXHAUSTED": "rate_limit_exceeded",
        "PERMISSION_DENIED": "permission_denied",
        "UNAUTHENTICATED": "invalid_api_key",
        "NOT_FOUND": "model_not_found",
        "UNAVAILABLE": "overloaded",
        "DEADLINE_EXCEEDED": "timeout",
        **_CLAUDE,  # in streams
    },
}

_ANTHROPIC_STATUS: Final = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "overloaded_error": 529,
}

# The exceptions of ConverseStream; modelStreamErrorException brings a status of its own, at times.
_BEDROCK_STATUS: Final = {
    "internalServerException": 500,
    "modelStreamErrorException": 502,
    "throttlingException": 429,
    "validationException": 400,
    "serviceUnavailableException": 503,
}
_BEDROCK_WORDS: Final = {400: "upstream rejected the streaming request", 429: "upstream rate limited"}

# Families whose messages name accounts, projects or deployments: the caller gets a fixed text instead.
_AUTHENTICATION: Final = "upstream authentication failed"
_CANNED: Final[dict[str, dict[int, str]]] = {
    family: {
        401: _AUTHENTICATION,
        403: _AUTHENTICATION,
        408: "upstream request timeout",
        429: "upstream rate limited",
        **more,
    }
    for family, more in {
        "vertex": {404: "upstream model or endpoint not found"},
        "bedrock": {404: "upstream model not found"},
        "azure": {
            404: "upstream deployment or model not found",
            409: "upstream conflict",
            413: "upstream request entity too large",
        },
    }.items()
}


_LABELLED: Final = ("azure", "vertex")
"""Families whose errors are objects only where the content type says so."""


class _Reported:
    """The members of an error object, as far as they are what they should be."""

    __slots__ = ("code", "kind", "message", "param")

    def __init__(self, message: str | None, kind: str | None, code: str | None, param: str | None) -> None:
        self.message = message
        self.kind = kind
        self.code = code
        self.param = param


def answer_failure(
    status: int,
    body: bytes,
    retry_after: bytes | None,
    family: Family = "openai",
    *,
    own: bool = False,
    name: bytes | None = None,
    kind: bytes | None = b"application/json",
) -> UpstreamFailure:
    """The failure that a non-2xx answer is. Reads at most the first 64 KiB of `body`, whatever its content type `kind`,
    which has to be JSON only on Azure and Vertex.

    `retry_after` is the field's value: a 429 passes whole seconds on to the caller; a wait of 1 to 5 s is kept as
    `wait_hint` for a retry, whatever the status. `own`: the caller speaks the upstream's dialect, so a 4xx keeps its
    error object, or its whole text where that is none. `name`: what the head says about the kind of error, which counts
    where the body does not.
    """
    raw = body[:BODY_LIMIT]
    text, document = raw.decode("utf-8", "replace"), load(raw)
    if family == "bedrock" and name and _exception_of(document) is None:
        document = {"__type": name.decode("latin-1")}
    unread = own or (family in _LABELLED and b"json" not in (kind or b"").lower())
    failure = _http_failure(status, text, None if unread else _recognise(document, family), family)
    if own and 400 <= status < 500:
        if _is_envelope(document, family):
            failure.own = raw
        elif family == "openai":
            failure.message = text[:RELAYED_LIMIT] or failure.message
    seconds = _whole_seconds(retry_after)
    if seconds is not None:
        if status == 429:
            failure.retry_after = seconds
        if 0 < seconds <= WAIT_LIMIT:
            failure.wait_hint = float(seconds)
    return failure


def in_band_failure(
    frame: bytes, *, before_first: bool, family: Family = "openai", stream: bool = True
) -> UpstreamFailure:
    """The failure that a data frame with an `error` member is, inside an answer of status 200.

    `before_first`: nothing was sent to the caller yet, so it is answered like an HTTP error of the status that the
    frame embeds (502 without one). Afterwards it ends the caller's stream under a type of its own. `stream`: the answer
    is one.
    """
    text = frame[:BODY_LIMIT].decode("utf-8", "replace")
    reported = _Reported(text, None, None, None)
    status = None
    document = load(frame)
    error = _error_of(document) if isinstance(document, dict) else None
    if isinstance(error, str):
        reported.message = error
    elif isinstance(error, dict):
        status = _embedded_status(error.get("code"))
        if family == "anthropic" or (family == "vertex" and document.get("type") == "error"):
            # Claude's error events carry no status; the types have one each: https://docs.anthropic.com/en/api/errors
            status = _ANTHROPIC_STATUS.get(_string(error.get("type")) or "")
            text = "upstream reported a stream error"
        code = error.get("code") if status is None else None
        kind = _string(error.get("type")) or _string(error.get("status"))
        message = _string(error.get("message"))
        reported = _Reported(text if message is None else message, kind, _string(code), _string(error.get("param")))
    if before_first:
        failure = _http_failure(502 if status is None else status, text, reported, family)
    else:
        refused = status is not None and status < 500
        failure = UpstreamFailure(
            status if status is not None and refused else 502,
            "upstream_in_band_error",
            f"upstream reported an in-band {'stream ' if stream else ''}error: {cut(reported.message or text)}",
            retryable=not refused,
            code=_code(reported, family),
        )
    failure.upstream_status = status or 0
    return failure


def _error_of(document: dict[str, Any]) -> Any:
    """The error object of an event. Those of the Responses API have its members at the top, or a failed response."""
    kind, response = document.get("type"), document.get("response")
    if kind == "response.failed" and isinstance(response, dict):
        return response.get("error") or "the response failed"
    if document.get("error") is None and kind == "error":
        return {name: document.get(name) for name in ("code", "message", "param")}
    return document.get("error")


def exception_frame(name: bytes, payload: bytes) -> bytes:
    """What `in_band_failure` is given for an exception inside a stream of Bedrock, in words that callers may see."""
    kind = name.decode("utf-8", "replace")
    status = _BEDROCK_STATUS.get(kind)
    if kind == "modelStreamErrorException":
        document = load(payload)
        told = document.get("originalStatusCode") if isinstance(document, dict) else None
        status = _embedded_status(told) or status
    words = "upstream reported a stream error" if status is None else f"upstream reported stream error {status}"
    # Exceptions begin with a capital everywhere else.
    error = {"type": kind[:1].upper() + kind[1:], "code": status, "message": _BEDROCK_WORDS.get(status or 0, words)}
    return orjson.dumps({"error": error})


def _is_envelope(document: Any, family: Family) -> bool:
    """Whether clients of the family's own API can read this error."""
    error = document.get("error") if isinstance(document, dict) else None
    if not isinstance(error, dict) or not isinstance(error.get("message"), str):
        return False
    return family != "anthropic" or (document.get("type") == "error" and isinstance(error.get("type"), str))


def _http_failure(status: int, text: str, reported: _Reported | None, family: Family) -> UpstreamFailure:
    """An error answer of `status`; `reported` None when the body is not an error object."""
    if 400 <= status < 500:
        if family in _CANNED and not (family == "bedrock" and reported is not None and reported.message):
            message = _CANNED[family].get(status, f"upstream returned {status}")
        elif reported is not None and reported.message is not None:
            message = reported.message
        else:
            message = text
        failure = UpstreamFailure(
            status,
            "upstream_error",
            # An empty message would leave the caller without any word about what happened.
            cut(message) or f"upstream returned {status}",
            retryable=False,
            code=_code(reported, family) if reported is not None else None,
            param=cut(reported.param) if reported is not None and reported.param is not None else None,
        )
    else:
        shown = "" if 500 <= status < 600 or family in _CANNED else cut(text)
        told = reported.message if reported is not None and reported.message else text
        failure = UpstreamFailure(
            502,
            "upstream_error",
            shown or f"upstream returned {status}",
            retryable=True,
            # What the caller is not told is for the access log (API: `error`).
            cause=f"upstream returned {status}: {redact_urls(cut(told))}" if told else None,
        )
    failure.upstream_status = status
    return failure


def _recognise(document: Any, family: Family) -> _Reported | None:
    """The error object of a body, or None: one member of a wrong type makes all of it unrecognised."""
    if not isinstance(document, dict):
        return None
    if family == "bedrock":
        name = _exception_of(document)
        return _Reported(None, name.split(":")[0].rpartition("#")[2] if name else None, None, None)
    error = document.get("error")
    if not isinstance(error, dict):
        return None
    if family == "vertex":
        return _Reported(None, _string(error.get("status")), None, None)
    members = [error.get(name) for name in ("message", "type", "code", "param")]
    if not all(member is None or isinstance(member, str) for member in members):
        return None
    reported = _Reported(*members)
    if family == "azure":
        # Azure names the policy violation one level further down, next to a generic outer code.
        for inner in (error.get("inner_error"), error.get("innererror")):
            if isinstance(inner, dict) and inner.get("code") == "ResponsibleAIPolicyViolation":
                reported.kind = "ResponsibleAIPolicyViolation"
    return reported


def _exception_of(document: Any) -> str | None:
    """The name of an exception as AWS writes it in bodies, with a namespace before it or an address behind at times."""
    found = document if isinstance(document, dict) else {}
    return _string(found.get("__type")) or _string(found.get("code"))


def _code(reported: _Reported, family: Family) -> str | None:
    """The code for the caller, at most 1024 bytes."""
    if family == "openai":
        code = reported.code
    elif family == "azure":
        table = _CODES["azure"]
        code = table.get(reported.kind or "") or table.get(reported.code or "") or reported.code
    else:
        code = _CODES[family].get(reported.kind or "")
    return None if code is None else cut(code)


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _embedded_status(code: Any) -> int | None:
    """400 to 599 as a JSON integer or a string of digits."""
    if isinstance(code, str) and len(code) == 3 and code.isascii() and code.isdigit():
        code = int(code)
    return code if type(code) is int and 400 <= code < 600 else None


def _whole_seconds(value: bytes | None) -> int | None:
    """Seconds of a Retry-After field; None for its date form (RFC 9110 §10.2.3) and for anything else."""
    if value is None:
        return None
    digits = value.strip(b" \t")
    # Nobody waits longer than 12 digits of seconds; the bound keeps the conversion cheap.
    return int(digits) if digits.isdigit() and len(digits) <= 12 else None
