"""Tokens of identity providers (RFC 7515, RFC 7519): reading one, checking its signature and its claims.

Nothing here waits or looks at the clock. Every refusal is a `Rejected` with its reason.
"""

import re
from binascii import a2b_base64
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TypeGuard

import orjson

from fastgw.core.errors import GatewayError
from fastgw.gateway.keys import ALGORITHMS, Key

if TYPE_CHECKING:
    from fastgw.gateway.identity import Provider

MAX_TOKEN: Final = 16 * 1024

REGISTERED: Final = ALGORITHMS | {"none", "HS256", "HS384", "HS512", "ES256K", "ES512"}
"""RFC 7518 §3.1, RFC 8037, RFC 8812: what a well-formed header may name."""

_FOREIGN: Final = re.compile(rb"[^A-Za-z0-9_-]")
_STANDARD: Final = bytes.maketrans(b"-_", b"+/")

_INVALID: Final = (401, "invalid_api_key", "jwt_invalid", "invalid JWT")
_CLAIMS: Final = (
    403,
    "permission_denied",
    "jwt_claims_rejected",
    "JWT does not satisfy the required scopes or claims",
)
_UNMAPPED: Final = (401, "invalid_api_key", "jwt_identity_unmapped", "no API key is bound to this JWT identity")

OUTCOMES: Final[dict[str, tuple[int, str, str, str]]] = {
    "jwt_malformed": _INVALID,
    "jwt_missing_issuer": _INVALID,
    "jwt_untrusted_issuer": _INVALID,
    "jwt_alg_not_allowed": _INVALID,
    "jwt_unknown_kid": _INVALID,
    "jwt_bad_signature": _INVALID,
    "jwt_not_yet_valid": _INVALID,
    "jwt_audience_mismatch": _INVALID,
    "jwt_issuer_mismatch": _INVALID,
    "jwt_missing_claim": _INVALID,
    "jwt_invalid": _INVALID,
    "jwt_identity_claim_missing": _INVALID,
    "jwt_expired": (401, "invalid_api_key", "jwt_expired", "JWT has expired"),
    "jwt_scope_missing": _CLAIMS,
    "jwt_bound_claim_mismatch": _CLAIMS,
    "jwt_binding_ambiguous": _UNMAPPED,
    "claim_mapping_target_missing": _UNMAPPED,
    "jwt_identity_unmapped": _UNMAPPED,
    "jwks_unavailable": (
        503,
        "api_error",
        "jwks_unavailable",
        "unable to fetch the identity provider's signing keys",
    ),
}
"""reason → status, type, code, message"""

UNVERIFIED: Final = frozenset({"jwt_malformed", "jwt_missing_issuer", "jwt_untrusted_issuer", "jwt_alg_not_allowed"})
"""Reasons that anybody can cause at will, before any key was looked at."""


class Rejected(GatewayError):
    """A token that is not accepted. `reason` is for metrics and logs."""

    def __init__(self, reason: str) -> None:
        status, type, code, message = OUTCOMES[reason]
        super().__init__(status, type, message, code=code, fault="gateway" if status >= 500 else "caller")
        self.reason = reason


class Token:
    """A token in its compact form; `claims` are unverified until `check_signature` has passed."""

    __slots__ = ("alg", "claims", "header", "issuer", "kid", "signature", "signed")

    def __init__(self, credential: bytes, header: dict[str, Any]) -> None:
        """Raises Rejected: malformed, or without an issuer."""
        alg, kid = header["alg"], header.get("kid")
        self.header = header
        self.signed, _, signature = credential.rpartition(b".")
        try:
            claims = orjson.loads(unbase64(self.signed.partition(b".")[2]))
            self.signature = unbase64(signature)
        except ValueError:
            raise Rejected("jwt_malformed") from None
        # RFC 7515 §4.1.4: the value of kid is a string.
        if not isinstance(claims, dict) or not isinstance(kid, str | None):
            raise Rejected("jwt_malformed")
        if not isinstance(alg, str) or alg not in REGISTERED:
            raise Rejected("jwt_malformed")
        issuer = claims.get("iss")
        if not isinstance(issuer, str):
            raise Rejected("jwt_missing_issuer")
        self.claims: dict[str, Any] = claims
        self.alg, self.kid, self.issuer = alg, kid, issuer


def header_of(credential: bytes) -> dict[str, Any] | None:
    """The header when the credential has the form of a token, None when it is an ordinary key.

    A token has at most `MAX_TOKEN` bytes and three non-empty segments, the first of which is a JSON object in base64url
    with the member `alg`.
    """
    if len(credential) > MAX_TOKEN:
        return None
    segments = credential.split(b".")
    if len(segments) != 3 or not all(segments):
        return None
    try:
        header = orjson.loads(unbase64(segments[0]))
    except ValueError:
        return None
    return header if isinstance(header, dict) and "alg" in header else None


def check_algorithm(token: Token) -> None:
    """Raises Rejected for algorithms without a public key, and for extensions of the format (RFC 7515 §4.1.11)."""
    if token.alg not in ALGORITHMS:
        raise Rejected("jwt_alg_not_allowed")
    if "crit" in token.header:
        raise Rejected("jwt_invalid")


def check_signature(token: Token, keys: Sequence[Key]) -> None:
    """Raises Rejected unless one of the keys verifies the token. O(keys) signature checks."""
    if not any(key.verifies(token.alg, token.signed, token.signature) for key in keys):
        raise Rejected("jwt_bad_signature")


def check_claims(claims: dict[str, Any], provider: "Provider", now: float) -> str:
    """The identity that the claims of a verified token assert at `now`. Raises Rejected.

    `exp`, `iss` and `aud` have to be there, in a type that can hold them; `nbf` may be. Nothing else is looked at.
    """
    expires, audience = claims.get("exp"), claims.get("aud")
    if isinstance(audience, str):
        audience = [audience]
    if not is_number(expires) or not isinstance(claims.get("iss"), str) or not isinstance(audience, list):
        raise Rejected("jwt_missing_claim")
    if expires < now - provider.leeway:
        raise Rejected("jwt_expired")
    start = claims.get("nbf", now)
    if not is_number(start):
        raise Rejected("jwt_invalid")
    if start > now + provider.leeway:
        raise Rejected("jwt_not_yet_valid")
    if claims["iss"] != provider.issuer:
        raise Rejected("jwt_issuer_mismatch")
    if not among(audience, provider.audiences):
        raise Rejected("jwt_audience_mismatch")
    if not provider.scopes <= scopes(claims.get("scope")):
        raise Rejected("jwt_scope_missing")
    for path, values in provider.bound:
        if not matches(claim(claims, path), values):
            raise Rejected("jwt_bound_claim_mismatch")
    identity = claim(claims, provider.identity_claim)
    if not isinstance(identity, str):
        raise Rejected("jwt_identity_claim_missing")
    return identity


def claim(claims: dict[str, Any], path: tuple[str, ...]) -> Any:
    """The value at a path of member names, None when there is none."""
    value: Any = claims
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def matches(value: Any, values: frozenset[str]) -> bool:
    """A string claim is one of `values`, an array claim has one of them."""
    return value in values if isinstance(value, str) else isinstance(value, list) and among(value, values)


def among(items: list[Any], values: frozenset[str]) -> bool:
    """One of the items is a string of `values`."""
    return any(isinstance(item, str) and item in values for item in items)


def scopes(value: Any) -> frozenset[str]:
    """RFC 6749 §3.3: a list separated by spaces; some issuers send an array."""
    if isinstance(value, str):
        return frozenset(value.split(" "))
    return frozenset(item for item in value if isinstance(item, str)) if isinstance(value, list) else frozenset()


def is_number(value: Any) -> TypeGuard[float]:
    """RFC 7519 §2, NumericDate."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def unbase64(text: bytes) -> bytes:
    """RFC 7515 §2: base64url without padding and without anything between. Raises ValueError."""
    if _FOREIGN.search(text):
        raise ValueError("not base64url")
    return a2b_base64(text.translate(_STANDARD) + b"=" * (-len(text) % 4), strict_mode=True)
