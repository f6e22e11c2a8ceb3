"""Whole bodies without their coding."""

import gzip

import pytest

from fastgw.core.errors import UpstreamFailure
from fastgw.gateway.coding import SLICE, unpack
from tests.support.limits import timed

TEXT = bytes(range(256)) * 2000


@pytest.mark.parametrize("coding", [b"gzip", b"x-gzip", b"GZIP"])
@pytest.mark.parametrize("size", [0, 1, 1000, len(TEXT)])
def test_members_are_put_together(coding: bytes, size: int) -> None:
    parts = [TEXT[:size], b"", TEXT[:7], b"end"]
    assert unpack(b"".join(map(gzip.compress, parts)), coding, 10 * len(TEXT)) == b"".join(parts)


@pytest.mark.parametrize("at", [-1, -9, 5, 15, SLICE])
def test_a_truncated_body_is_none(at: int) -> None:
    body = gzip.compress(TEXT, compresslevel=0)
    with pytest.raises(UpstreamFailure, match="truncated"):
        unpack(body[:at], b"gzip", len(TEXT))


@pytest.mark.parametrize("noise", [b"x", b"noise" * SLICE])
def test_noise_behind_a_body_makes_it_none(noise: bytes) -> None:
    with pytest.raises(UpstreamFailure, match="unparseable"):
        unpack(gzip.compress(TEXT) + noise, b"gzip", 2 * len(TEXT))


def test_a_body_has_an_end() -> None:
    body = gzip.compress(b"a" * 1_000_000)
    assert len(unpack(body, b"gzip", 1_000_000)) == 1_000_000
    for packed in (body, gzip.compress(b"a" * 500_000) * 3):
        with pytest.raises(UpstreamFailure, match="too large"):
            unpack(packed, b"gzip", 999_999)


def test_very_many_members() -> None:
    assert timed(lambda: unpack(gzip.compress(b"") * 500_000, b"gzip", 100)) == b""
