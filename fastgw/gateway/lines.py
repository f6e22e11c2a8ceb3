"""The two log lines of a served request, `proxy request completed` and `provider call completed`.

What is in them is gathered here and made up in compiled code, both with one call.
"""

from typing import TYPE_CHECKING

from fastgw._speedups.loglines import plain
from fastgw.gateway.series import provider_of
from fastgw.telemetry.labels import HANDLERS, TRACKED
from fastgw.telemetry.usage import MAX_MESSAGE

if TYPE_CHECKING:
    from fastgw.gateway.exchange import Exchange
    from fastgw.gateway.gateway import Gateway

MAX_PATH = 1024
"""Bytes of a path that could not be read to its end."""
LEFT = "client_disconnected", "client closed the request before the response head was written"
_TRACKED = {endpoint: handler for endpoint, handler in HANDLERS.items() if handler in TRACKED}


def write_lines(ex: "Exchange", event: int, now: float) -> None:
    """What is to be said about an exchange at its end, or at the head of its stream.

    The access line: one per request that got past authentication; for a stream when its head is written, hence
    without what is only known at its end. Before it, the line of the attempt that was answered, with the status
    `event`, where attempts are told apart and the provider's answer had an id.
    """
    request, target, caller, error, reported = ex.request, ex.target, ex.caller, ex.error, ex.reported
    streamed, attempts = ex.headed, ex.attempts
    answer = version = problem = message = None
    if reported is not None and event and ex.relayed:
        answer, version = reported.id, reported.model
    if error is not None:
        problem, message = error.type, plain(error.cause or error.message, MAX_MESSAGE)
    if ex.gone and not ex.head_sent:
        streamed, caller, (problem, message) = True, None, LEFT
    ex.gateway.log.backlog.request(
        ex.request_id,
        event,
        streamed,
        request.method,
        request.path if ex.status != 413 else ex.endpoint,
        ex.status,
        now - ex.started,
        provider_of(target, ex.operation) if target is not None else None,
        ex.alias,
        caller.id if caller is not None else None,
        ex.prompt_tokens,
        ex.completion_tokens,
        ex.total_tokens,
        answer,
        version,
        _TRACKED.get(ex.endpoint),
        attempt_kind(ex) if attempts > 1 else None,
        attempts,
        problem,
        message,
    )


def refusal_line(
    gateway: "Gateway", request_id: bytes, method: bytes, path: bytes, status: int, kind: str, message: str
) -> None:
    """The access line of a request that was answered, at once, before it became an exchange."""
    gateway.log.backlog.request(
        *(request_id, 0, True, method, path[:MAX_PATH], status, 0.0, None, None, None),
        *(0, 0, 0, None, None, None, None, 0, kind, message),
    )


def attempt_kind(ex: "Exchange") -> str:
    """What the latest attempt was."""
    return "retry" if ex.attempts > 1 else "initial"
