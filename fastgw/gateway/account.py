"""What a finished exchange is worth: counters, log lines, and a usage event per attempt.

The series are those of gateway/series.py, the lines those of gateway/lines.py.
"""

from time import monotonic
from typing import TYPE_CHECKING

from fastgw.core.errors import GatewayError
from fastgw.gateway.lines import refusal_line, write_lines
from fastgw.gateway.series import CHAT, LEFT
from fastgw.gateway.snapshot import Target
from fastgw.telemetry.labels import HANDLERS, TRACKED, endpoint_of

if TYPE_CHECKING:
    from fastgw.gateway.exchange import Exchange
    from fastgw.gateway.gateway import Gateway


def settle(ex: "Exchange") -> None:
    """Count a finished exchange and write its access line, once.

    Called before the last bytes of the answer are written: a write may leave at once, and whoever has read the end of
    an answer must find it counted. Refused callers, health checks and the model list are not counted.
    """
    if ex.settled:
        return
    ex.settled = True
    under_way, gateway = ex.under_way, ex.gateway
    if under_way is not None:
        under_way(-1)
        ex.under_way = None
    if ex.gone and not ex.head_sent:
        # Nothing was answered: a counter and a line of their own, none of the counters of answers.
        gateway.accounts.cancelled(ex)
        if gateway.log.access:
            write_lines(ex, 0, monotonic())
        return
    if not ex.counted and ex.status != 413:
        return
    event = event_status(ex)
    now = monotonic()
    accounts = gateway.accounts
    accounts.tally(ex, event).count(
        ex.prompt_tokens, ex.completion_tokens, ex.total_tokens, ex.started, ex.headed or now, now, ex.ttft
    )
    if ex.error is not None and ex.relayed and ex.target is not None and ex.operation in CHAT:
        accounts.broke_off(ex.target, ex.error)
    if gateway.log.access:
        write_lines(ex, event, now)
    if event and accounts.sink is not None:
        accounts.sink(ex, event, ex.error)


def refusal(
    gateway: "Gateway", request_id: bytes, method: bytes, path: bytes, status: int, kind: str, message: str
) -> None:
    """Count and log a request that the server refused before it became an exchange."""
    gateway.accounts.refused(endpoint_of(path), status, monotonic())
    if gateway.log.access:
        refusal_line(gateway, request_id, method, path, status, kind, message)


def opened(ex: "Exchange") -> None:
    """The head of a stream is about to be written: its access line goes out now, its counts follow at its end."""
    ex.head_sent = True
    ex.status = 200
    ex.headed = monotonic()
    under_way = ex.under_way
    if under_way is not None:
        # The answer begins: the request is not in flight any longer.
        under_way(-1)
        ex.under_way = None
    if ex.gateway.log.access:
        write_lines(ex, 0, ex.headed)


def attempt_failed(ex: "Exchange", target: Target, failure: GatewayError) -> None:
    """An attempt came to nothing. Where attempts are told apart it is an event of its own."""
    ex.relayed = False
    if failure.status == 501 or HANDLERS.get(ex.endpoint) not in TRACKED:
        return
    ex.failed += 1
    accounts = ex.gateway.accounts
    accounts.attempt_failed(ex, target, failure)
    if accounts.sink is not None:
        accounts.sink(ex, failure.status, failure)


def event_status(ex: "Exchange") -> int:
    """The status of the usage event that the end of the exchange is; 0 when it is none.

    None: a request that was refused before it could be read, one whose failed attempts were all events already, and
    an operation that the provider does not offer.
    """
    if ex.endpoint not in HANDLERS:
        return 0
    if ex.relayed:
        if ex.error is not None:
            return ex.error.status  # a caller who leaves then has seen it
        return LEFT if ex.gone else ex.status
    if ex.alias is None or ex.status == 501:
        return 0
    return 0 if ex.failed and ex.failed == ex.attempts else ex.status
