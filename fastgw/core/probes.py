"""What `/livez` and `/readyz` answer, on every listener that has them."""

from typing import NamedTuple

FIELDS = b"x-content-type-options: nosniff\r\n"
TEXT = "text/plain; charset=utf-8"


class Verdict(NamedTuple):
    status: int
    body: bytes


def livez(draining: bool, query: bytes) -> Verdict:
    """The process runs; 503 once shutdown has begun."""
    if draining:
        return Verdict(503, b"[+]ping ok\n[-]shutdown failed: reason withheld\nlivez check failed")
    return Verdict(200, b"[+]ping ok\n[+]shutdown ok\nlivez check passed\n" if verbose(query) else b"ok")


def readyz(draining: bool, configured: bool | None, query: bytes) -> Verdict:
    """Traffic is welcome: shutdown has not begun, and a configuration has been applied. None: that is not asked."""
    good = not draining and configured is not False
    if good and not verbose(query):
        return Verdict(200, b"ok")
    lines = [b"[-]shutdown failed: draining" if draining else b"[+]shutdown ok"]
    if configured is not None:
        lines.append(b"[+]config ok" if configured else b"[-]config failed: not ready")
    lines.append(b"readyz check passed\n" if good else b"readyz check failed")
    return Verdict(200 if good else 503, b"\n".join(lines))


def verbose(query: bytes) -> bool:
    """A query parameter `verbose`, with or without a value."""
    return any(pair.partition(b"=")[0] == b"verbose" for pair in query.split(b"&"))
