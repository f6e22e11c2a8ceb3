"""Who is calling: static keys, looked up by their SHA-256."""

import time
from hashlib import sha256

from fastgw.core.errors import GatewayError
from fastgw.gateway.exchange import Exchange
from fastgw.gateway.snapshot import Caller

BEARER = b"Bearer "


def authenticate(ex: Exchange) -> Caller:
    """The caller of the exchange, also left in `ex.caller`. Raises 401.

    A present Authorization field decides alone; only without one does `x-api-key` count.
    """
    token = credential(ex.request.authorization, ex.request.api_key)
    if token is None:
        debug(ex, "none", "missing_credentials")
        ex.gateway.accounts.denied("none", "missing_credentials")
        raise denial("missing or malformed Authorization header")
    caller = ex.snapshot.callers.get(sha256(token).hexdigest())
    if caller is None:
        debug(ex, "api_key", "unknown_key")
        ex.gateway.accounts.denied("api_key", "unknown_key")
        raise denial("invalid API key")
    if caller.disabled:
        warn(ex, caller, "key_disabled")
        raise denial("API key has been disabled", "api_key_disabled")
    if caller.expires_at is not None and caller.expires_at < time.time():
        warn(ex, caller, "key_expired")
        raise denial("API key has expired", "api_key_expired")
    ex.gateway.accounts.allowed()
    ex.caller = caller
    return caller


def credential(authorization: bytes | None, api_key: bytes | None) -> bytes | None:
    """The presented key, or None when there is no usable one."""
    if authorization is not None:
        if not authorization.startswith(BEARER) or not authorization.isascii():
            return None
        return authorization[7:].strip() or None
    if api_key is not None:
        return api_key.strip() or None
    return None


def denial(message: str, code: str | None = None) -> GatewayError:
    """401 in the form that all key problems share."""
    return GatewayError(401, "invalid_api_key", message, code=code)


def debug(ex: Exchange, method: str, reason: str) -> None:
    """A line for a credential that is missing or unknown: too common for a warning."""
    if ex.gateway.log.level >= 4:
        ex.gateway.log.debug(
            "fastgw::auth",
            "rejected inbound credential",
            method=method,
            reason=reason,
            path=ex.request.path.decode("ascii", "replace"),
            request_id=ex.request_id.decode(),
            source_ip=client_address(ex),
        )


def warn(ex: Exchange, caller: Caller, reason: str) -> None:
    """One line for a key that was known but may not be used. Never any part of the credential."""
    ex.gateway.accounts.denied("api_key", reason)
    ex.gateway.log.rejected_credential(
        reason=reason,
        method="api_key",
        api_key_id=caller.id,
        http_method=ex.request.method.decode(),
        path=ex.request.path.decode("ascii", "replace"),
        request_id=ex.request_id.decode(),
        source_ip=client_address(ex),
    )


def client_address(ex: Exchange) -> str:
    """The caller's address as the trusted proxies tell it."""
    address = ex.gateway.address
    if not address.enabled:
        return ex.downstream.peer
    return address.resolve(ex.downstream.peer, ex.request.all(address.header))
