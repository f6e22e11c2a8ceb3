"""`GET /livez` and `GET /readyz`: unauthenticated, plain text, never cached from configuration."""

from fastgw.gateway.exchange import Exchange

PLAIN = b"content-type: text/plain; charset=utf-8\r\nx-content-type-options: nosniff\r\n"


async def livez(ex: Exchange) -> None:
    """The process runs; 503 once shutdown has begun."""
    draining = bool(ex.gateway.draining())
    if draining:
        body = b"[+]ping ok\n[-]shutdown failed: reason withheld\nlivez check failed"
    elif verbose(ex):
        body = b"[+]ping ok\n[+]shutdown ok\nlivez check passed\n"
    else:
        body = b"ok"
    plain(ex, 503 if draining else 200, body)


async def readyz(ex: Exchange) -> None:
    """Traffic is welcome: a configuration has been applied and shutdown has not begun."""
    draining, ready = bool(ex.gateway.draining()), bool(ex.gateway.ready())
    good = ready and not draining
    if good and not verbose(ex):
        plain(ex, 200, b"ok")
        return
    shutdown = b"[-]shutdown failed: draining" if draining else b"[+]shutdown ok"
    config = b"[+]config ok" if ready else b"[-]config failed: not ready"
    verdict = b"readyz check passed\n" if good else b"readyz check failed"
    plain(ex, 200 if good else 503, b"%b\n%b\n%b" % (shutdown, config, verdict))


def verbose(ex: Exchange) -> bool:
    """A query parameter `verbose`, with or without a value."""
    return any(pair.partition(b"=")[0] == b"verbose" for pair in ex.request.query.split(b"&"))


def plain(ex: Exchange, status: int, body: bytes) -> None:
    """Send a text answer."""
    ex.status = status
    ex.head_sent = True
    ex.downstream.answer(ex.request, status, ex.fields(PLAIN), body)
