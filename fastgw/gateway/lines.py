"""The two log lines of a served request, `proxy request completed` and `provider call completed`.

Both are bytes from the start. What a caller and a target say on every line is made once and remembered with the caller;
a line costs the formatting of its numbers.
"""

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from fastgw.gateway.series import provider_of
from fastgw.gateway.snapshot import Target, remember
from fastgw.telemetry.labels import FIXED, HANDLERS, TRACKED
from fastgw.telemetry.log import shown
from fastgw.telemetry.usage import MAX_MESSAGE, MAX_NAME, plain

if TYPE_CHECKING:
    from fastgw.gateway.exchange import Exchange
    from fastgw.gateway.gateway import Gateway
    from fastgw.providers.adapter import RelayedStream, Reported

MAX_MODEL = 1024
"""Characters of the model name as a line shows it: what was asked for may be as long as a body. Also bytes of a path
that could not be read to its end."""
LEFT = b' error_kind="client_disconnected" error="client closed the request before the response head was written"'
# Bytes that are their own spelling between quotes.
_PLAIN = re.compile(rb"[ !#-\[\]-~]*").fullmatch
_PATHS = frozenset(path.encode() for path in FIXED)


def write_lines(ex: "Exchange", event: int, now: float) -> None:
    """What is to be said about an exchange at its end, or at the head of its stream.

    The access line: one per request that got past authentication; for a stream when its head is written, hence
    without what is only known at its end. Before it, the line of the attempt that was answered, with the status
    `event`, where attempts are told apart and the provider's answer had an id.
    """
    log, request_id = ex.gateway.log, ex.request_id
    # Other characters that need an escape are in no request id.
    quoted = request_id if b'"' not in request_id and b"\\" not in request_id else inside(request_id)
    stamp, named = log.stamp(), answer_id(ex) if event and ex.relayed else b""
    if named:
        handler = HANDLERS.get(ex.endpoint, "")
        if handler in TRACKED:
            log.put(call_line(ex, handler, event, stamp, quoted, named))
    if not ex.headed or not event:
        log.put(access_line(ex, now, stamp, quoted, named))


def call_line(ex: "Exchange", handler: str, status: int, stamp: bytes, quoted: bytes, named: bytes) -> bytes:
    """`provider call completed`."""
    version, alias = served_model(ex.reported), ex.alias or ""
    if len(version) > MAX_NAME:
        version = version[:MAX_MODEL]
    return (
        b'%b request{request_id=%b}: fastgw::proxy: provider call completed request_id="%b"%b attempt_index=%d '
        b'attempt_kind="%b" handler="%b" status=%d requested_model="%b"%b\n'
        % (
            stamp,
            ex.request_id,
            quoted,
            named,
            ex.attempts - 1,
            attempt_kind(ex).encode(),
            handler.encode(),
            status,
            _model(alias) if len(alias) <= MAX_MODEL else inside(alias[:MAX_MODEL]),
            b' provider_model_version="%b"' % _version(version) if version else b"",
        )
    )


def access_line(ex: "Exchange", now: float, stamp: bytes, quoted: bytes, named: bytes) -> bytes:
    """`proxy request completed`."""
    lost = ex.gone and not ex.head_sent
    path = ex.request.path
    if ex.status == 413:
        path = ex.endpoint.encode()
    elif path not in _PATHS:
        path = inside(path)
    return (
        b'%b request{request_id=%b}: fastgw::proxy: proxy request completed method="%b" path="%b" status=%d '
        b'latency_ms=%d%b%b request_id="%b"%b%b%b\n'
        % (
            stamp,
            ex.request_id,
            ex.request.method,
            path,
            ex.status,
            (now - ex.started) * 1000,
            who(ex, lost),
            b"" if ex.headed or lost else tokens(ex),
            quoted,
            named,
            b" routing_attempt_count=%d" % ex.attempts if ex.attempts else b"",
            b"" if ex.error is None and not lost else LEFT if lost else failure(ex),
        )
    )


def refusal_line(
    gateway: "Gateway", request_id: bytes, method: bytes, path: bytes, status: int, kind: str, message: str
) -> None:
    """The access line of a request that was answered, at once, before it became an exchange."""
    log = gateway.log
    log.put(
        b'%b request{request_id=%b}: fastgw::proxy: proxy request completed method="%b" path="%b" status=%d '
        b'latency_ms=0 request_id="%b" error_kind="%b" error="%b"\n'
        % (
            *(log.stamp(), request_id, inside(method), inside(path[:MAX_MODEL]), status, inside(request_id)),
            *(kind.encode(), inside(message)),
        )
    )


def who(ex: "Exchange", lost: bool) -> bytes:
    """The fields `provider`, `model`, `api_key_id`. Remembered where the model is the target's own name."""
    target, caller, alias = ex.target, ex.caller, ex.alias
    if target is None or caller is None or target.name != alias or lost:
        row = (target.row or target) if target is not None else None
        return _who(row, ex.operation, alias, caller.id if caller is not None and not lost else "")
    key = target.labels, ex.operation
    found = caller.shown.get(key)
    if found is None:
        found = remember(caller.shown, key, _who(target, ex.operation, alias, caller.id))
    return found


def _who(row: Target | None, operation: str, alias: str | None, caller: str) -> bytes:
    fields = (
        ("provider", provider_of(row, operation) if row is not None else ""),
        ("model", (alias or "")[:MAX_MODEL]),
        ("api_key_id", caller),
    )
    return b"".join(b' %b="%b"' % (key.encode(), inside(value)) for key, value in fields if value)


def tokens(ex: "Exchange") -> bytes:
    """The fields of the counters that are known."""
    prompt, completion = ex.prompt_tokens, ex.completion_tokens
    total = max(ex.total_tokens, prompt + completion)
    if prompt and completion:
        return b" prompt_tokens=%d completion_tokens=%d total_tokens=%d" % (prompt, completion, total)
    counters = ((b"prompt", prompt), (b"completion", completion), (b"total", total))
    return b"".join(b" %b_tokens=%d" % counter for counter in counters if counter[1])


def answer_id(ex: "Exchange") -> bytes:
    """The field `provider_request_id`, when the provider's answer had an id."""
    found = ex.reported.id if ex.reported is not None else ""
    if type(found) is str and len(found) <= MAX_NAME and found.isascii() and found.isprintable():
        # As nearly all are: what `plain` does is not needed.
        raw = found.encode() if '"' not in found and "\\" not in found else inside(found)
    else:
        raw = inside(plain(found))
    return b' provider_request_id="%b"' % raw if raw else b""


def served_model(reported: "Reported | RelayedStream | None") -> str | bytes:
    """The provider's name for the model that answered."""
    name: str | bytes = getattr(reported, "served_model", b"") or getattr(reported, "model", "")
    return name


def attempt_kind(ex: "Exchange") -> str:
    """What the latest attempt was."""
    return "retry" if ex.attempts > 1 else "initial"


def failure(ex: "Exchange") -> bytes:
    """The fields of what went wrong: also the cause of a timeout and the whole message of the upstream."""
    error = ex.error
    if error is None:
        return b""
    return b' error_kind="%b" error="%b"' % (
        inside(error.type),
        inside(plain(error.cause or error.message, MAX_MESSAGE)),
    )


@lru_cache(1024)
def _version(value: str | bytes) -> bytes:
    """The provider's name for its model: there are few, and they come again."""
    return inside(plain(value))


@lru_cache(1024)
def _model(value: str) -> bytes:
    return inside(value)


def inside(value: str | bytes) -> bytes:
    """Text as it stands between quotes: quotes, backslashes and controls escaped."""
    raw = value.encode("utf-8", "replace") if isinstance(value, str) else value
    return raw if _PLAIN(raw) else shown(raw.decode("utf-8", "replace"))[1:-1].encode()
