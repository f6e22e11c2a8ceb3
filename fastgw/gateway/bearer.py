"""Who is calling: tokens of identity providers.

A token that was accepted is remembered with the key set that verified it: the next request with it costs a hash and
two lookups. Configuration and key sets that change make it go through everything again; the state of the API key it
stands for is looked at every time.

Signatures are checked on the loop: 20 to 400 µs by algorithm, once per token. A thread would not free the loop, because
the library holds the interpreter's lock while it computes.
"""

import time
from hashlib import sha256
from typing import Any

from fastgw.gateway.exchange import Exchange
from fastgw.gateway.identity import Identity, Principal, Provider, Verified
from fastgw.gateway.jwt import Rejected, Token, check_algorithm, check_claims, check_signature, header_of
from fastgw.gateway.keys import Key, KeySet, KeysUnavailable


async def by_token(ex: Exchange, identity: Identity, credential: bytes, principal: Principal) -> Verified | None:
    """The accepted token, None when the credential does not have the form of one. Raises Rejected.

    What is found out about the token on the way is left in `principal`, also when it is rejected.
    """
    if credential.count(b".") != 2:
        return None
    digest = sha256(credential).digest()
    verified = identity.verified.get(digest)
    if verified is not None:
        if (
            time.time() <= verified.until
            and ex.gateway.keys.current(verified.address) is verified.keys
            and ex.snapshot.caller(verified.caller.id) is verified.caller
        ):
            return verified
        del identity.verified[digest]
    header = header_of(credential)
    if header is None:
        return None
    verified = await verify(ex, identity, credential, header, principal)
    identity.remember(digest, verified)
    return verified


async def verify(
    ex: Exchange, identity: Identity, credential: bytes, header: dict[str, Any], principal: Principal
) -> Verified:
    """Everything that a token has to pass, in order. Raises Rejected."""
    if isinstance(header.get("kid"), str):
        principal.kid = header["kid"]
    token = Token(credential, header)
    principal.issuer = token.issuer
    provider = identity.provider(token.issuer)
    check_algorithm(token)
    keys, candidates = await keys_for(ex, provider, token)
    check_signature(token, candidates)
    principal.provider = provider.name
    principal.subject = check_claims(token.claims, provider, time.time())
    caller = identity.resolve(ex.snapshot, principal, token.claims)
    return Verified(provider.address, keys, token.claims["exp"] + provider.leeway, caller, principal)


async def keys_for(ex: Exchange, provider: Provider, token: Token) -> tuple[KeySet, list[Key]]:
    """The provider's key set and what to try of it; the set is asked for again when it lacks the key."""
    source, address = ex.gateway.keys, provider.address
    keys = source.current(address)
    try:
        if keys is None:
            keys = await ex.wait(source.fetch(address))
        candidates = keys.candidates(token.alg, token.kid)
        if not candidates and source.may_refresh(address, keys):
            keys = await ex.wait(source.fetch(address, keys))
            candidates = keys.candidates(token.alg, token.kid)
    except KeysUnavailable:
        raise Rejected("jwks_unavailable") from None
    if not candidates:
        raise Rejected("jwt_unknown_kid")
    return keys, candidates
