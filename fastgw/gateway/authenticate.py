"""Who is calling: a static key, looked up by its SHA-256, or a token of an identity provider (gateway/bearer.py).

Every denial is counted and leaves one line, which never holds any part of the credential.
"""

import time
from hashlib import sha256
from typing import Any

from fastgw.core.errors import GatewayError
from fastgw.gateway.bearer import by_token
from fastgw.gateway.exchange import Exchange
from fastgw.gateway.identity import Identity, Principal
from fastgw.gateway.jwt import UNVERIFIED, Rejected
from fastgw.gateway.snapshot import Caller
from fastgw.telemetry.levels import LEVELS

BEARER = b"Bearer "
SHOWN = 128
"""Characters of a value out of a token that a log line shows."""


async def authenticate(ex: Exchange) -> Caller:
    """The caller of the exchange, also left in `ex.caller`. Raises GatewayError: mostly 401, for tokens also 403, 503.

    A present Authorization field decides alone; only without one does `x-api-key` count. What has the form of a token
    is never looked up as a key, but only while there is an enabled identity provider.
    """
    token, identity = credential(ex.request.authorization, ex.request.api_key), ex.snapshot.identity
    if token is None:
        raise missing(ex)
    caller = None if identity is None else await token_caller(ex, identity, token)
    if caller is None:
        caller = key_caller(ex, token)
    ex.caller = caller
    return caller


def by_key(ex: Exchange) -> Caller | None:
    """`authenticate` where no token can be meant: the common case costs no coroutine. None where one can."""
    if ex.snapshot.identity is not None:
        return None
    key = credential(ex.request.authorization, ex.request.api_key)
    if key is None:
        raise missing(ex)
    caller = ex.caller = key_caller(ex, key)
    return caller


def missing(ex: Exchange) -> GatewayError:
    """401 for a request without a usable credential, counted."""
    deny(ex, "debug", "none", "missing_credentials")
    return denial("missing or malformed Authorization header")


def key_caller(ex: Exchange, key: bytes) -> Caller:
    """The caller with this key. Raises 401."""
    key_hash = sha256(key).hexdigest()
    caller = ex.snapshot.callers.get(key_hash) or ex.snapshot.key_caller(key_hash)
    if caller is None:
        deny(ex, "debug", "api_key", "unknown_key")
        raise denial("invalid API key")
    refused = unusable(caller) if caller.disabled or caller.expires_at is not None else None
    if refused is not None:
        deny(ex, "warn", "api_key", refused[0], api_key_id=caller.id)
        raise refused[1]
    ex.gateway.accounts.allowed()
    return caller


async def token_caller(ex: Exchange, identity: Identity, token: bytes) -> Caller | None:
    """The caller that a token stands for, None when it is no token. `ex.principal` tells whom it speaks for. Raises
    GatewayError."""
    principal = Principal()
    try:
        verified = await by_token(ex, identity, token, principal)
    except Rejected as error:
        deny_token(ex, error.reason, principal)
        raise
    if verified is None:
        return None
    refused = unusable(verified.caller)
    if refused is not None:
        deny_token(ex, refused[0], verified.principal)
        raise refused[1]
    ex.gateway.accounts.allowed_token()
    ex.principal = verified.principal
    return verified.caller


def unusable(caller: Caller) -> tuple[str, GatewayError] | None:
    """Why a known key may not be used at this moment: reason and error."""
    if caller.disabled:
        return "key_disabled", denial("API key has been disabled", "api_key_disabled")
    if caller.expires_at is not None and caller.expires_at < time.time():
        return "key_expired", denial("API key has expired", "api_key_expired")
    return None


def credential(authorization: bytes | None, api_key: bytes | None) -> bytes | None:
    """The presented key or token, or None when there is no usable one."""
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


def deny_token(ex: Exchange, reason: str, principal: Principal) -> None:
    """Count and log a refused token. What anybody can send at will is only said when looking for a fault."""
    early = reason in UNVERIFIED
    deny(
        ex,
        "debug" if early else "warn",
        "jwt",
        reason,
        "rejected inbound JWT (pre-verification)" if early else "rejected inbound JWT",
        issuer=shown(principal.issuer),
        kid=shown(principal.kid),
        subject=shown(principal.subject),
        claim_mapping=shown(principal.mapping),
    )


def deny(
    ex: Exchange,
    level: str,
    method: str,
    reason: str,
    message: str = "rejected inbound credential",
    **fields: Any,
) -> None:
    """Count and log a denial."""
    ex.gateway.accounts.denied(method, reason)
    log = ex.gateway.log
    if log.enabled(level, "fastgw::auth"):
        log.denied(
            LEVELS[level],
            message,
            method=method,
            reason=reason,
            **fields,
            http_method=ex.request.method.decode(),
            path=ex.request.path.decode("ascii", "replace"),
            request_id=ex.request_id.decode(),
            source_ip=client_address(ex),
        )


def shown(value: str | None) -> str | None:
    """A value out of a token as log lines show it."""
    return value if value is None else value[:SHOWN]


def client_address(ex: Exchange) -> str:
    """The caller's address as the trusted proxies tell it."""
    address = ex.gateway.address
    if not address.enabled:
        return ex.downstream.peer
    return address.resolve(ex.downstream.peer, ex.request.all(address.header))
