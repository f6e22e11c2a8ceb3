"""Request bodies: size limit, content type, draining what will not be read."""

from typing import Any

from fastgw.core.errors import ClientGone, GatewayError, invalid_request
from fastgw.core.json import read
from fastgw.gateway.exchange import Exchange

DRAIN_BYTES = 32 * 1024 * 1024
DRAIN_SECONDS = 5.0
JSON = b"application/json"


def too_large(limit: int) -> GatewayError:
    """413 for a body above the configured limit."""
    return GatewayError(413, "invalid_request_error", f"request body exceeds {limit}-byte limit")


async def check_declared_length(ex: Exchange) -> None:
    """Refuse a body that declares itself too large, after reading and dropping it so that the client, which may
    still be writing, sees the answer and not a reset. Raises 413, or ClientGone."""
    limit, request = ex.gateway.body_limit, ex.request
    if request.content_length <= limit:
        return
    started = ex.loop.time()
    try:
        outcome = await drain(ex)
    except ClientGone:
        note_refusal(ex, "client_read_error", started)
        raise
    note_refusal(ex, outcome, started)
    raise too_large(limit)


async def drain(ex: Exchange) -> str:
    """Read and drop the body, at most DRAIN_BYTES and DRAIN_SECONDS of it; how that ended."""
    request = ex.request
    if request.complete or (request.expects_continue and not request.received):
        # RFC 9110 §10.1.1: whoever waits for 100 has sent nothing and gets the final answer instead.
        return "completed"
    ex.body_limit = -DRAIN_BYTES
    handle = ex.loop.call_later(DRAIN_SECONDS, ex.body_failed, 413, "")
    try:
        await ex.body()
    except GatewayError:
        return "timeout"
    finally:
        handle.cancel()
        request.forget_body()
        ex.body_limit = 0
    return "completed" if request.complete else "cap_reached"


def note_refusal(ex: Exchange, outcome: str, started: float) -> None:
    """Metric and log line of a refused body. A drain that did not finish is a warning, one per second and outcome."""
    gateway = ex.gateway
    gateway.accounts.body_refused(ex.endpoint, outcome)
    fields = {
        "request_id": ex.request_id.decode(),
        "endpoint": ex.endpoint,
        "method": ex.request.method.decode(),
        "status": 413,
        "declared_content_length": ex.request.content_length,
        "configured_limit_bytes": gateway.body_limit,
        "drained_bytes": ex.request.received,
        "drain_outcome": outcome,
        "elapsed_ms": round((ex.loop.time() - started) * 1000),
    }
    message = "request body exceeded the configured limit"
    if outcome == "completed":
        gateway.log.info("fastgw::proxy", message, **fields)
    elif gateway.log.permit(f"drain {outcome}", 1.0):
        gateway.log.warn("fastgw::proxy", f"{message} and the drain did not finish", **fields)


def ready(ex: Exchange) -> bytes | None:
    """The body when it came with the head and needs no further look: the common case costs no coroutine."""
    request = ex.request
    if request.complete and request.content_type == JSON and not ex.gateway.body_limit:
        return request.body()
    return None


async def receive(ex: Exchange) -> bytes:
    """The whole JSON body. Raises 413 when it grows above the limit, 400 when it is not declared as JSON."""
    limit, request = ex.gateway.body_limit, ex.request
    if limit:
        ex.body_limit = limit
    if not request.complete and not (limit and request.received > limit):
        await ex.body()
    if limit and request.received > limit:
        raise too_large(limit)
    if not is_json(request.content_type):
        raise not_json()
    return request.body()


def is_json(content_type: bytes | None) -> bool:
    """`application/json` or `application/*+json`, any parameters."""
    if content_type == JSON:
        return True
    if content_type is None:
        return False
    essence = content_type.partition(b";")[0].strip().lower()
    return essence == JSON or (essence.startswith(b"application/") and essence.endswith(b"+json"))


def parsed(body: bytes) -> Any:
    """The value of a body that was accepted by a scan. Raises the 400 for what only that lets pass."""
    try:
        return read(body)
    except ValueError:
        raise not_json() from None


def not_json(param: str | None = None, code: str | None = None) -> GatewayError:
    """400 for everything that makes a body no JSON request: one message for all of it."""
    return invalid_request("invalid JSON request body", param=param, code=code)
