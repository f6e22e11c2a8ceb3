"""Checks AWS Signature Version 4 of requests, by the book and independently of any signer.

(https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html)
"""

from __future__ import annotations

import calendar
import hashlib
import hmac
import re
import time
from urllib.parse import quote

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<id>[^/]+)/(?P<scope>(?P<day>\d{8})/[^/]+/[^/]+/aws4_request), "
    r"SignedHeaders=(?P<names>[a-z0-9;-]+), Signature=(?P<signature>[0-9a-f]{64})"
)
_SKEW_SECONDS = 300


def flaw(head: bytes, body: bytes, secret: str) -> str | None:
    """What is wrong with the signature of a request, None when it is right. `head` ends with its empty line."""
    line, *lines = head.decode("utf-8", "surrogateescape").split("\r\n")[:-2]
    fields: dict[str, list[str]] = {}
    for name, _, value in (one.partition(":") for one in lines):
        fields.setdefault(name.lower(), []).append(" ".join(value.split()))
    found = _AUTHORIZATION.fullmatch(",".join(fields.get("authorization", [])))
    stamp = ",".join(fields.get("x-amz-date", []))
    if found is None or not re.fullmatch(r"\d{8}T\d{6}Z", stamp):
        return "Authorization header requires Credential, SignedHeaders, Signature and x-amz-date."
    if abs(calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ")) - time.time()) > _SKEW_SECONDS:
        return "Signature expired."
    if found["day"] != stamp[:8]:
        return "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP."
    names = found["names"].split(";")
    must = {"host", *(name for name in fields if name.startswith("x-amz-"))}
    if names != sorted(names) or not must.issubset(names) or not set(names).issubset(fields):
        return "Host and x-amz-* must be among the signed headers, in order."
    method, target, _ = line.split(" ")
    path, _, query = target.partition("?")
    canonical = [method, quote(path, safe="/~"), "&".join(sorted(query.split("&")))]
    canonical += [f"{name}:{','.join(fields[name])}" for name in names]
    canonical += ["", found["names"], hashlib.sha256(body).hexdigest()]
    hashed = hashlib.sha256("\n".join(canonical).encode("utf-8", "surrogateescape")).hexdigest()
    key = f"AWS4{secret}".encode()
    for part in found["scope"].split("/"):
        key = hmac.new(key, part.encode(), "sha256").digest()
    text = "\n".join(("AWS4-HMAC-SHA256", stamp, found["scope"], hashed))
    if not hmac.compare_digest(hmac.new(key, text.encode(), "sha256").hexdigest(), found["signature"]):
        return "The request signature we calculated does not match the signature you provided."
    return None
