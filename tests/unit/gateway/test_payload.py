"""Bodies of whole answers that come compressed although nobody asked."""

import gzip
from types import SimpleNamespace
from typing import Any

import pytest

from fastgw.core.errors import UpstreamFailure
from fastgw.gateway import dispatch
from fastgw.gateway.dispatch import payload


def connection(body: bytes, coding: bytes | None) -> Any:
    return SimpleNamespace(answer=SimpleNamespace(take=lambda: body, content_encoding=coding))


@pytest.mark.parametrize("coding", [b"gzip", b"GZIP", b"x-gzip"])
def test_gzip_is_inflated(coding: bytes) -> None:
    assert payload(connection(gzip.compress(b"{}"), coding)) == b"{}"


@pytest.mark.parametrize("coding", [None, b"identity", b"Identity"])
def test_plain_bodies_are_left_alone(coding: bytes | None) -> None:
    assert payload(connection(b"{}", coding)) == b"{}"


def test_what_inflates_beyond_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "MAX_BODY", 100_000)
    assert len(payload(connection(gzip.compress(b"x" * 100_000), b"gzip"))) == 100_000
    with pytest.raises(UpstreamFailure, match="truncated or too large"):
        payload(connection(gzip.compress(b"x" * 100_001), b"gzip"))
    with pytest.raises(UpstreamFailure, match="truncated or too large"):
        payload(connection(gzip.compress(b"x" * 50_000_000), b"gzip"))


@pytest.mark.parametrize("body", [b"", b"no gzip", gzip.compress(b"{}")[:-9]])
def test_broken_bodies_are_refused(body: bytes) -> None:
    with pytest.raises(UpstreamFailure) as caught:
        payload(connection(body, b"gzip"))
    assert (caught.value.status, caught.value.type) == (502, "upstream_decode_error")


@pytest.mark.parametrize("coding", [b"br", b"deflate", b"zstd", b"gzip, gzip", b""])
def test_other_codings_are_refused(coding: bytes) -> None:
    with pytest.raises(UpstreamFailure, match="content encoding is not supported"):
        payload(connection(b"{}", coding))
