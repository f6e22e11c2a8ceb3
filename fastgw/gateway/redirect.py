"""Redirects of an upstream: the same operation at another place.

At most `MAX_REDIRECTS` are followed. 307 and 308 repeat the request (RFC 9110 §15.4.8, §15.4.9), 301, 302 and 303
turn it into a GET, as HTTP clients do (§15.4.4). The credential and the configured headers stay behind when scheme,
host or port change.
"""

from dataclasses import replace

from yarl import URL

from fastgw.gateway.snapshot import Operation
from fastgw.providers.place import UpstreamURL

MAX_REDIRECTS = 10
CREDENTIALS = (b"authorization:", b"x-api-key:", b"api-key:")
REPEATED = (307, 308)
CHANGED_TO_GET = (301, 302, 303)


def moved(operation: Operation, status: int, location: bytes | None) -> Operation | None:
    """The operation at the place that a redirect names; None when the answer is no redirect that can be followed."""
    if location is None or (status not in REPEATED and status not in CHANGED_TO_GET):
        return None
    here = operation.url
    try:
        there = URL(f"{here.scheme}://{here.authority}{here.path}").join(URL(location.decode("ascii")))
        if there.scheme not in ("http", "https") or not there.raw_host or not there.port:
            return None
        # Joining accepts names that cannot be dialled; building does not.
        URL.build(scheme=there.scheme, host=there.raw_host, port=there.port)
    except ValueError:
        return None
    default = there.port == (80 if there.scheme == "http" else 443)
    name = f"[{there.raw_host}]" if ":" in there.raw_host else there.raw_host
    url = UpstreamURL(
        scheme="http" if there.scheme == "http" else "https",
        host=there.raw_host,
        port=there.port,
        authority=name if default else f"{name}:{there.port}",
        path=there.raw_path_qs or "/",
    )
    foreign = (url.scheme, url.host, url.port) != (here.scheme, here.host, here.port)
    method = b"POST" if status in REPEATED else b"GET"
    return replace(
        operation,
        url=url,
        own=operation.own and not foreign,
        head=readdressed(operation.head, method, url, foreign),
        stream_head=readdressed(operation.stream_head, method, url, foreign),
    )


def arrived(operation: Operation) -> Operation:
    """A moved operation with the way to its place."""
    pool, authority = operation.reach(operation.url), operation.url.authority
    return replace(
        operation,
        pool=pool,
        head=pool.addressed(operation.head, authority),
        stream_head=pool.addressed(operation.stream_head, authority),
    )


def readdressed(head: bytes, method: bytes, url: UpstreamURL, foreign: bool) -> bytes:
    """A request head for another place, without its credential when that is another origin."""
    lines = head.split(b"\r\n")[1:]
    dropped = (b"host:", b"proxy-authorization:", *(CREDENTIALS if foreign else ()))
    kept = [line for line in lines if not line.lower().startswith(dropped)]
    start = b"%b %b HTTP/1.1\r\nHost: %b\r\n" % (method, url.path.encode("ascii"), url.authority.encode("ascii"))
    return start + b"\r\n".join(kept)
