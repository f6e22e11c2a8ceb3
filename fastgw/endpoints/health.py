"""`GET /livez` and `GET /readyz`: unauthenticated, plain text, never cached from configuration."""

from fastgw.core import probes
from fastgw.gateway.exchange import Exchange

PLAIN = b"content-type: %b\r\n%b" % (probes.TEXT.encode(), probes.FIELDS)


async def livez(ex: Exchange) -> None:
    """The process runs; 503 once shutdown has begun."""
    plain(ex, probes.livez(bool(ex.gateway.draining()), ex.request.query))


async def readyz(ex: Exchange) -> None:
    """Traffic is welcome: a configuration has been applied and shutdown has not begun."""
    plain(ex, probes.readyz(bool(ex.gateway.draining()), bool(ex.gateway.ready()), ex.request.query))


def plain(ex: Exchange, verdict: probes.Verdict) -> None:
    """Send a text answer."""
    ex.status = verdict.status
    ex.head_sent = True
    ex.downstream.answer(ex.request, verdict.status, ex.fields(PLAIN), verdict.body)
