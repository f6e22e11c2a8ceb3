"""Access tokens for upstreams whose provider key holds a grant instead of a token."""

from typing import TYPE_CHECKING, Protocol

from fastgw.core.grants import Grant

if TYPE_CHECKING:
    from fastgw.gateway.exchange import Exchange


class TokenSource(Protocol):
    """The tokens that all workers of the gateway share."""

    def current(self, grant: Grant) -> str | None:
        """The token, when it is at hand."""

    async def fetch(self, grant: Grant) -> str:
        """The token of the gateway. Raises the GatewayError that a call without it gets."""


async def bearer(ex: "Exchange", grant: Grant) -> bytes:
    """The header line with the token of a grant. Raises GatewayError or ClientGone."""
    tokens = ex.gateway.tokens
    token = tokens.current(grant)
    if token is None:
        token = await ex.wait(tokens.fetch(grant))
    return b"Authorization: Bearer %b\r\n" % token.encode("ascii")
