"""Public keys of identity providers: what a key set (RFC 7517) offers for a token, and checking a signature with it.

The algorithms are PyJWT's, which are imported with the first provider: nobody else pays for them at start.
"""

from functools import cache
from typing import Any, NamedTuple, Protocol

import orjson

ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"})
MAX_CANDIDATES = 8
"""Keys that are tried for a token that does not name its own."""
RSA_BITS = range(2048, 8193)
"""RFC 7518 §3.3 wants 2048; above 8192 a signature costs milliseconds."""

_PUBLIC = ("kty", "crv", "n", "e", "x", "y")


class KeyAddress(NamedTuple):
    """Where the keys of an issuer are: at `jwks_uri`, or where its discovery document says."""

    issuer: str
    jwks_uri: str | None


class KeysUnavailable(Exception):
    """There is no key set, and none can be fetched at the moment."""


class KeySource(Protocol):
    """The key sets that all workers of the gateway share."""

    def current(self, address: KeyAddress) -> "KeySet | None":
        """The key set, when it is at hand and need not be asked for again."""

    def may_refresh(self, address: KeyAddress, refused: "KeySet") -> bool:
        """Asking again may bring newer keys: these are not the newest, or the last attempt is long enough ago."""

    async def fetch(self, address: KeyAddress, refused: "KeySet | None" = None) -> "KeySet":
        """The key set of the gateway. `refused` is one that lacked a key. Raises KeysUnavailable."""


class Key:
    """One member of a set. Prepared on first use, per algorithm: most keys of a large set are never used."""

    __slots__ = ("_prepared", "alg", "jwk", "signs")

    def __init__(self, jwk: dict[str, Any]) -> None:
        self.jwk = {name: jwk[name] for name in _PUBLIC if name in jwk}
        self.alg = jwk.get("alg")
        self.signs = jwk.get("use") in (None, "sig")
        self._prepared: dict[str, Any] = {}

    def serves(self, alg: str) -> bool:
        """The key is there for signatures of this algorithm."""
        return self.signs and self.alg in (None, alg)

    def verifies(self, alg: str, signed: bytes, signature: bytes) -> bool:
        """The signature is good. A key of the wrong kind, curve or size verifies nothing."""
        if alg not in self._prepared:
            self._prepared[alg] = prepare(alg, self.jwk)
        key = self._prepared[alg]
        return key is not None and bool(algorithms()[alg].verify(signed, key, signature))


class KeySet:
    """The keys of one document, in its order. Raises ValueError for a document that is no key set."""

    def __init__(self, document: bytes) -> None:
        self._keys: list[Key] = []
        self._named: dict[str, list[Key]] = {}
        for jwk in members(document):
            key = Key(jwk)
            self._keys.append(key)
            if isinstance(jwk.get("kid"), str):
                self._named.setdefault(jwk["kid"], []).append(key)

    def candidates(self, alg: str, kid: str | None) -> list[Key]:
        """The keys to try: with a `kid` the first usable one of that name, else the first few usable ones."""
        keys, limit = (self._keys, MAX_CANDIDATES) if kid is None else (self._named.get(kid, []), 1)
        found: list[Key] = []
        for key in keys:
            if key.serves(alg):
                found.append(key)
                if len(found) == limit:
                    break
        return found


def members(document: bytes) -> list[dict[str, Any]]:
    """The keys of a set as they stand there. Raises ValueError for a document that is no key set."""
    parsed = orjson.loads(document)
    keys = parsed.get("keys") if isinstance(parsed, dict) else None
    if not isinstance(keys, list):
        raise ValueError("not a key set")
    return [key for key in keys if isinstance(key, dict)]


@cache
def algorithms() -> dict[str, Any]:
    """PyJWT's implementation of each allowed algorithm."""
    from jwt.algorithms import get_default_algorithms

    known = get_default_algorithms()
    return {name: known[name] for name in ALGORITHMS}


def prepare(alg: str, jwk: dict[str, Any]) -> Any:
    """The key in the form that verification takes, or None when it is none for this algorithm."""
    algorithm = algorithms()[alg]
    try:
        key = algorithm.prepare_key(algorithm.from_jwk(jwk))
    except Exception:
        # Whatever is wrong with somebody else's key (there are many ways), it is not usable.
        return None
    if jwk.get("kty") == "RSA" and key.key_size not in RSA_BITS:
        return None
    return key
