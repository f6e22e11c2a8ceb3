"""Signatures, against those of botocore."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from unittest import mock

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from fastgw.providers.bedrock.sigv4 import Signer, canonical_path

SEGMENTS = ["model", "anthropic.claude-3%3A0", "a%2Fb", "invoke", "converse-stream", "~x", "a+b", "c(d)", "..", ".", ""]
VALUES = ["a", " two  words ", "tab\there", "ünïcode", "x,y", 'quo"ted', "a=b&c;d", "ZZ"]


def expected(
    url: str, method: str, fields: list[tuple[str, str]], body: bytes, credentials: Credentials, region: str, now: float
) -> str:
    request = AWSRequest(method=method, url=url, data=body)
    for name, value in fields:
        request.headers.add_header(name, value)
    moment = datetime.fromtimestamp(now, UTC)
    with mock.patch("botocore.auth.get_current_datetime", lambda: moment):
        SigV4Auth(credentials, "bedrock", region).add_auth(request)
    found: str = request.headers["Authorization"]
    return found


def requests(count: int) -> Iterator[dict[str, Any]]:
    choose = random.Random(20250101)
    for _ in range(count):
        names = choose.sample(
            ["content-type", "Accept", "X-Custom", "x-fastgw-request-id", "x-amzn-bedrock-trace", "User-Agent", "TE"], 4
        )
        yield {
            "path": choose.choice(["/", "/model/"])
            + "/".join(choose.choices(SEGMENTS[:-1], k=2) + choose.choices(SEGMENTS, k=3)),
            "query": choose.choice(["", "", "a=1", "b=2&a=%20&a=1", "x", "k=v=w", "z&a="]),
            "host": choose.choice(["bedrock-runtime.us-west-2.amazonaws.com", "127.0.0.1:8080", "[::1]:9"]),
            "method": choose.choice(["POST", "POST", "GET"]),
            "fields": [(name, choose.choice(VALUES)) for name in names],
            "body": choose.randbytes(choose.choice([0, 1, 200, 5000])),
            "credentials": Credentials(
                f"AKID{choose.randint(0, 9999)}", f"s/{choose.random()}+", choose.choice([None, "tok/en+=="])
            ),
            "region": choose.choice(["us-east-1", "eu-central-1", "ap-southeast-2"]),
            "now": choose.randint(0, 4_000_000_000) + choose.random(),
        }


def test_a_thousand_requests_as_botocore_signs_them() -> None:
    for one in requests(1000):
        target = one["path"] + ("?" + one["query"] if one["query"] else "")
        credentials, region = one["credentials"], one["region"]
        url = f"https://{one['host']}{target}"
        lines = [f"{one['method']} {target} HTTP/1.1", f"Host: {one['host']}"]
        lines += [f"{name}: {value}" for name, value in one["fields"]]
        head = "\r\n".join((*lines, "")).encode()
        signer = Signer(credentials.access_key, credentials.secret_key, credentials.token, region, "bedrock")
        added = signer(head, one["body"], one["now"]).decode()
        names = dict(line.split(": ", 1) for line in added.splitlines())
        wanted = expected(url, one["method"], one["fields"], one["body"], credentials, region, one["now"])
        assert names["Authorization"] == wanted, one
        assert names["x-amz-date"] == datetime.fromtimestamp(one["now"], UTC).strftime("%Y%m%dT%H%M%SZ")
        assert names.get("x-amz-security-token") == credentials.token


def test_the_key_of_a_day_is_kept() -> None:
    signer = Signer("AK", "secret", None, "us-east-1", "bedrock")
    head = b"POST /model/m/invoke HTTP/1.1\r\nHost: h\r\n"
    with mock.patch("fastgw.providers.bedrock.sigv4.digest", side_effect=lambda *_: b"\1" * 32) as digests:
        signer(head, b"", 86_400 * 100)
        assert digests.call_count == 5
        signer(head, b"", 86_400 * 100 + 86_399)
        assert digests.call_count == 6
        signer(head, b"", 86_400 * 101)
        assert digests.call_count == 11


def test_what_a_proxy_gets_is_signed_for_the_origin() -> None:
    signer = Signer("AK", "secret", None, "us-east-1", "bedrock")
    rest = b"Host: h:1\r\nContent-Type: a\r\n"
    plain = signer(b"POST /model/m%3A0/invoke?a=1 HTTP/1.1\r\n" + rest, b"{}", 0)
    proxied = b"POST http://h:1/model/m%3A0/invoke?a=1 HTTP/1.1\r\nProxy-Authorization: Basic eA==\r\n" + rest
    assert signer(proxied, b"{}", 0) == plain


@pytest.mark.parametrize(
    ("path", "canonical"),
    [
        (b"/", b"/"),
        (b"/model/a%3A0/invoke", b"/model/a%253A0/invoke"),
        (b"/a/../b//c/./", b"/b/c/"),
        (b"/../..", b"/"),
        (b"//a", b"/a"),
        (b"/a/..", b"/"),
    ],
)
def test_paths(path: bytes, canonical: bytes) -> None:
    assert canonical_path(path) == canonical
