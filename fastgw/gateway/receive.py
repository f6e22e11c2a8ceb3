"""Request bodies: size limit, content type, draining what will not be read."""

from fastgw.core.errors import GatewayError, invalid_request
from fastgw.gateway.exchange import Exchange

DRAIN_BYTES = 32 * 1024 * 1024
DRAIN_SECONDS = 5.0


def too_large(limit: int) -> GatewayError:
    """413 for a body above the configured limit."""
    return GatewayError(413, "invalid_request_error", f"request body exceeds {limit}-byte limit")


async def check_declared_length(ex: Exchange) -> None:
    """Refuse a body that declares itself too large, after reading and dropping it so that the client, which may
    still be writing, sees the answer and not a reset. Bounded by DRAIN_BYTES and DRAIN_SECONDS. Raises 413."""
    limit, request = ex.gateway.body_limit, ex.request
    if request.content_length <= limit:
        return
    if not request.complete and request.content_length <= DRAIN_BYTES:
        ex.body_limit = -1
        handle = ex.loop.call_later(DRAIN_SECONDS, ex.body_failed, 413, "")
        try:
            await ex.body()
        except GatewayError:
            pass
        finally:
            handle.cancel()
            ex.body_limit = 0
    ex.request.forget_body()
    raise too_large(limit)


async def receive(ex: Exchange) -> bytes:
    """The whole JSON body. Raises 413 when it grows above the limit, 400 when it is not declared as JSON."""
    limit, request = ex.gateway.body_limit, ex.request
    if limit:
        ex.body_limit = limit
    body = request.body() if request.complete else await ex.body()
    if limit and request.received > limit:
        raise too_large(limit)
    if not is_json(request.content_type):
        raise not_json()
    return body


def is_json(content_type: bytes | None) -> bool:
    """`application/json` or `application/*+json`, any parameters."""
    if content_type == b"application/json":
        return True
    if content_type is None:
        return False
    essence = content_type.partition(b";")[0].strip().lower()
    return essence == b"application/json" or (essence.startswith(b"application/") and essence.endswith(b"+json"))


def not_json(param: str | None = None, code: str | None = None) -> GatewayError:
    """400 for everything that makes a body no JSON request: one message for all of it."""
    return invalid_request("invalid JSON request body", param=param, code=code)
