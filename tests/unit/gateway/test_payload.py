"""Answers that come compressed although nobody asked."""

import gzip
from types import SimpleNamespace
from typing import Any

import pytest

from fastgw.core.errors import UpstreamFailure
from fastgw.gateway import dispatch
from fastgw.gateway.coding import Inflating, inflater, unpack_start
from fastgw.gateway.dispatch import payload


def answer(body: bytes, coding: bytes | None) -> Any:
    return SimpleNamespace(take=lambda: body, content_encoding=coding)


@pytest.mark.parametrize("coding", [b"gzip", b"GZIP", b"x-gzip"])
def test_gzip_is_inflated(coding: bytes) -> None:
    assert payload(answer(gzip.compress(b"{}"), coding)) == b"{}"


@pytest.mark.parametrize("coding", [None, b"identity", b"Identity"])
def test_plain_bodies_are_left_alone(coding: bytes | None) -> None:
    assert payload(answer(b"{}", coding)) == b"{}"


def test_what_inflates_beyond_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "MAX_BODY", 100_000)
    assert len(payload(answer(gzip.compress(b"x" * 100_000), b"gzip"))) == 100_000
    with pytest.raises(UpstreamFailure, match="truncated or too large"):
        payload(answer(gzip.compress(b"x" * 100_001), b"gzip"))
    with pytest.raises(UpstreamFailure, match="truncated or too large"):
        payload(answer(gzip.compress(b"x" * 50_000_000), b"gzip"))


@pytest.mark.parametrize("body", [b"", b"no gzip", gzip.compress(b"{}", mtime=0)[:-9]])
def test_broken_bodies_are_refused(body: bytes) -> None:
    with pytest.raises(UpstreamFailure) as caught:
        payload(answer(body, b"gzip"))
    assert (caught.value.status, caught.value.type) == (502, "upstream_decode_error")


@pytest.mark.parametrize("coding", [b"br", b"deflate", b"zstd", b"gzip, gzip", b""])
def test_other_codings_are_refused(coding: bytes) -> None:
    with pytest.raises(UpstreamFailure, match="content encoding is not supported"):
        payload(answer(b"{}", coding))


def test_members_in_a_row_are_one_body() -> None:
    """RFC 1952 §2.2."""
    assert payload(answer(gzip.compress(b"{") + gzip.compress(b"}"), b"gzip")) == b"{}"
    with pytest.raises(UpstreamFailure, match="truncated or too large"):
        payload(answer(gzip.compress(b"{") + gzip.compress(b"}")[:-1], b"gzip"))


def test_members_together_keep_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "MAX_BODY", 100_000)
    half = gzip.compress(b"x" * 50_000)
    assert len(payload(answer(half * 2, b"gzip"))) == 100_000
    with pytest.raises(UpstreamFailure, match="truncated or too large"):
        payload(answer(half * 2 + gzip.compress(b"x"), b"gzip"))


class Relay:
    """Takes what was unpacked."""

    def __init__(self) -> None:
        self.body = b""
        self.complete = self.over = False
        self.failure: UpstreamFailure | None = None

    def feed(self, data: bytes) -> None:
        self.body += data

    def ended(self) -> None:
        self.complete = True

    def broke(self, failure: UpstreamFailure) -> None:
        self.failure = failure
        self.over = True


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_members_in_a_row_are_one_stream(piece: int) -> None:
    relay: Any = Relay()
    inflate = inflater(b"gzip")
    assert inflate is not None
    sink = Inflating(relay, inflate)
    data = gzip.compress(b"one") + gzip.compress(b"") + gzip.compress(b"two")
    for start in range(0, len(data), piece):
        sink.feed(data[start : start + piece])
    sink.ended()
    assert (relay.body, relay.complete, relay.failure) == (b"onetwo", True, None)


def test_a_stream_that_ends_inside_a_later_member_is_cut() -> None:
    relay: Any = Relay()
    inflate = inflater(b"gzip")
    assert inflate is not None
    sink = Inflating(relay, inflate)
    sink.feed(gzip.compress(b"one") + gzip.compress(b"two")[:-4])
    sink.ended()
    assert not relay.complete
    assert relay.failure is not None and relay.failure.type == "stream_aborted"


@pytest.mark.parametrize(
    ("body", "coding", "expected"),
    [
        (b"plain text", None, b"plain"),
        (gzip.compress(b"packed", mtime=0), b"gzip", b"packe"),
        (gzip.compress(b"cut short, as long errors are" * 100, mtime=0)[:-12], b"gzip", b"cut s"),
        (b"no gzip", b"gzip", b""),
        (b"anything", b"br", b""),
    ],
)
def test_error_bodies_are_read_as_far_as_they_can_be(body: bytes, coding: bytes | None, expected: bytes) -> None:
    assert unpack_start(body, coding, 5) == expected
