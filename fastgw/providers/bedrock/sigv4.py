"""AWS Signature Version 4 in the Authorization field.

(https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html)

Pure: the head and the body of a request and the time go in, the header lines that sign it come out. Everything that
the head says is signed, except for the fields that something on the way may change and those that are not for the
service.
"""

import posixpath
import time
from hashlib import sha256
from hmac import digest
from typing import Final
from urllib.parse import quote

_UNSIGNED: Final = frozenset(
    {
        *(b"authorization", b"connection", b"expect", b"keep-alive", b"proxy-authenticate", b"proxy-authorization"),
        *(b"te", b"trailer", b"transfer-encoding", b"upgrade", b"user-agent", b"x-amzn-trace-id"),
    }
)


class Signer:
    """Signs requests of one credential to one service in one region. Keeps the signing key of the current day."""

    __slots__ = ("_day", "_key", "_key_id", "_scope", "_secret", "_token")

    def __init__(self, key_id: str, secret: str, token: str | None, region: str, service: str) -> None:
        self._key_id = key_id.encode()
        self._secret = b"AWS4" + secret.encode()
        self._token = b"x-amz-security-token: %b\r\n" % token.encode() if token else b""
        self._scope = (region.encode(), service.encode(), b"aws4_request")
        self._day = b""
        self._key = b""

    def __call__(self, head: bytes, body: bytes, now: float) -> bytes:
        """The lines to add to a request head that ends with a complete line. `now` in Unix seconds."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now)).encode()
        added = b"x-amz-date: %b\r\n%b" % (stamp, self._token)
        canonical, signed = canonical_request(head + added, sha256(body).hexdigest().encode())
        day = stamp[:8]
        scope = b"/".join((day, *self._scope))
        text = b"AWS4-HMAC-SHA256\n%b\n%b\n%b" % (stamp, scope, sha256(canonical).hexdigest().encode())
        signature = digest(self._day_key(day), text, "sha256").hex().encode()
        return added + b"Authorization: AWS4-HMAC-SHA256 Credential=%b/%b, SignedHeaders=%b, Signature=%b\r\n" % (
            self._key_id,
            scope,
            signed,
            signature,
        )

    def _day_key(self, day: bytes) -> bytes:
        """The key of a day: four HMACs of the secret, done once."""
        if day != self._day:
            key = self._secret
            for part in (day, *self._scope):
                key = digest(key, part, "sha256")
            self._day, self._key = day, key
        return self._key


def canonical_request(head: bytes, body_hash: bytes) -> tuple[bytes, bytes]:
    """What is hashed and signed, and the names of the signed fields."""
    line, *lines = head.split(b"\r\n")
    method, target, _ = line.split(b" ")
    if not target.startswith(b"/"):
        # Absolute form, for a proxy (RFC 9112 §3.2.2): the origin sees the path alone.
        target = b"/" + target.split(b"/", 3)[3]
    path, _, query = target.partition(b"?")
    fields: dict[bytes, list[bytes]] = {}
    for one in lines:
        name, colon, value = one.partition(b":")
        if colon and (name := name.lower()) not in _UNSIGNED:
            fields.setdefault(name, []).append(b" ".join(value.split()))
    names = sorted(fields)
    canonical = [method, canonical_path(path), canonical_query(query)]
    canonical += [b"%b:%b" % (name, b",".join(fields[name])) for name in names]
    signed = b";".join(names)
    return b"\n".join((*canonical, b"", signed, body_hash)), signed


def canonical_path(path: bytes) -> bytes:
    """The path as it is sent, normalised, then encoded once more: what is `%3A` on the wire is signed as `%253A`."""
    normal = posixpath.normpath(path).lstrip(b"/")
    slash = b"/" if path.endswith(b"/") and normal != b"." and normal else b""
    return quote(b"/" + (b"" if normal == b"." else normal) + slash, safe="/~").encode()


def canonical_query(query: bytes) -> bytes:
    """The parameters in order of their names, each with a value."""
    pairs = (one.partition(b"=")[::2] for one in query.split(b"&") if one)
    return b"&".join(b"%b=%b" % pair for pair in sorted(pairs))
