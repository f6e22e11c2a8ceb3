"""The client's address behind trusted proxies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw.policy.client_ip import ClientAddress

TRUSTED = ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"]
PROXY = "10.0.0.1"


@pytest.mark.parametrize(
    ("peer", "values", "plain", "recursive"),
    [
        # The peer is not trusted: the header does not matter.
        ("203.0.113.9", [b"1.1.1.1"], "203.0.113.9", "203.0.113.9"),
        ("192.0.2.8", [b"1.1.1.1"], "192.0.2.8", "192.0.2.8"),
        ("192.0.2.7", [b"1.1.1.1"], "1.1.1.1", "1.1.1.1"),
        ("::ffff:203.0.113.9", [b"1.1.1.1"], "203.0.113.9", "203.0.113.9"),
        ("::ffff:10.0.0.1", [b"1.1.1.1"], "1.1.1.1", "1.1.1.1"),
        # The rightmost element; the rightmost that is not trusted.
        (PROXY, [b"1.1.1.1, 2.2.2.2"], "2.2.2.2", "2.2.2.2"),
        (PROXY, [b"1.1.1.1, 10.0.0.2"], "10.0.0.2", "1.1.1.1"),
        (PROXY, [b"1.1.1.1", b"2.2.2.2, 10.0.0.2", b"10.0.0.3"], "10.0.0.3", "2.2.2.2"),
        (PROXY, [b"10.0.0.4,10.0.0.3,10.0.0.2"], "10.0.0.2", "10.0.0.4"),
        # Nothing usable.
        (PROXY, [], PROXY, PROXY),
        (PROXY, [b""], PROXY, PROXY),
        (PROXY, [b"unknown, _hidden, ,"], PROXY, PROXY),
        # Shapes of an element.
        (PROXY, [b"1.1.1.1:8080"], "1.1.1.1", "1.1.1.1"),
        (PROXY, [b" \t1.1.1.1\t "], "1.1.1.1", "1.1.1.1"),
        (PROXY, [b"2001:0DB9::0001"], "2001:db9::1", "2001:db9::1"),
        (PROXY, [b"[2001:db9::1]"], "2001:db9::1", "2001:db9::1"),
        (PROXY, [b"[2001:db9::1]:443"], "2001:db9::1", "2001:db9::1"),
        (PROXY, [b"::ffff:1.1.1.1"], "1.1.1.1", "1.1.1.1"),
        (PROXY, [b"3.3.3.3, ::ffff:10.0.0.9"], "10.0.0.9", "3.3.3.3"),
        (PROXY, [b"3.3.3.3, [2001:db8::9]:1"], "2001:db8::9", "3.3.3.3"),
        # Skipped elements.
        (PROXY, [b"1.1.1.1, 2.2.2.2:99999"], "1.1.1.1", "1.1.1.1"),
        (PROXY, [b"1.1.1.1, 2.2.2.2:"], "1.1.1.1", "1.1.1.1"),
        (PROXY, [b"1.1.1.1, [::1"], "1.1.1.1", "1.1.1.1"),
        (PROXY, [b"1.1.1.1, [::1]x"], "1.1.1.1", "1.1.1.1"),
        (PROXY, [b"1.1.1.1, [2.2.2.2]"], "1.1.1.1", "1.1.1.1"),
        (PROXY, [b"1.1.1.1, fe80::1%eth0"], "1.1.1.1", "1.1.1.1"),
        (PROXY, [b"1.1.1.1, 2.2.2.02"], "1.1.1.1", "1.1.1.1"),
        (PROXY, [b"1.1.1.1, \xff\xfe"], "1.1.1.1", "1.1.1.1"),
        (PROXY, [b'1.1.1.1, "2.2.2.2"'], "1.1.1.1", "1.1.1.1"),
        # A peer without an address (unix socket) trusts nobody.
        ("", [b"1.1.1.1"], "", ""),
    ],
)
def test_resolve(peer: str, values: list[bytes], plain: str, recursive: str) -> None:
    assert ClientAddress(TRUSTED, False, "X-Forwarded-For").resolve(peer, values) == plain
    assert ClientAddress(TRUSTED, True, "X-Forwarded-For").resolve(peer, values) == recursive


@pytest.mark.parametrize("recursive", [False, True])
def test_families_do_not_cover_each_other(recursive: bool) -> None:
    assert ClientAddress(["0.0.0.0/0"], recursive, "h").resolve("::1", [b"1.1.1.1"]) == "::1"
    assert ClientAddress(["::/0"], recursive, "h").resolve("1.2.3.4", [b"1.1.1.1"]) == "1.2.3.4"


def test_without_trusted_proxies() -> None:
    address = ClientAddress([], True, " X-Real-IP ")
    assert not address.enabled
    assert address.header == b"x-real-ip"
    assert address.resolve("1.2.3.4", [b"5.6.7.8"]) == "1.2.3.4"
    assert address.resolve("::ffff:1.2.3.4", []) == "1.2.3.4"
    assert address.resolve("::ffff:1", []) == "::ffff:1"
    assert ClientAddress(["::1"], False, "h").enabled


def test_a_malformed_proxy_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"invalid CIDR/IP: proxy\.local"):
        ClientAddress(["proxy.local"], False, "h")


@given(st.lists(st.binary(max_size=20), max_size=4), st.booleans())
def test_an_untrusted_peer_cannot_choose_its_address(values: list[bytes], recursive: bool) -> None:
    assert ClientAddress(TRUSTED, recursive, "h").resolve("203.0.113.9", values) == "203.0.113.9"


@given(st.binary(max_size=40).filter(lambda raw: not raw.endswith(b"1.1.1.1")), st.booleans())
def test_what_a_trusted_proxy_appends_wins(invented: bytes, recursive: bool) -> None:
    value = invented + b", 198.51.100.4"
    assert ClientAddress(TRUSTED, recursive, "h").resolve(PROXY, [value]) == "198.51.100.4"
