"""Model patterns, wildcard models, networks."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw.policy.access import ModelPatterns, Networks, best_wildcard, capture, substitute


def reference(entries: list[str], name: str) -> bool:
    """The rule as one regular expression per entry."""
    for entry in entries:
        parts = entry.split("*")
        if len(parts) == 1 and entry == name:
            return True
        if len(parts) == 2 and re.fullmatch(f"{re.escape(parts[0])}.*{re.escape(parts[1])}", name, re.DOTALL):
            return True
    return False


SHORT = st.text("ab*/", max_size=4)


@given(st.lists(SHORT, max_size=4), SHORT)
def test_patterns_equal_the_reference(entries: list[str], name: str) -> None:
    assert ModelPatterns(entries).allows(name) == reference(entries, name)


@pytest.mark.parametrize(
    ("entries", "name", "allowed"),
    [
        ([], "m", False),
        (["m"], "m", True),
        (["m"], "M", False),
        (["*"], "anything/at all", True),
        (["*"], "", True),
        (["**"], "m", False),
        (["**"], "**", False),
        (["a*b*"], "a*b*", False),
        (["gpt-*"], "gpt-", True),
        (["gpt-*"], "gpt-4*", True),
        (["gpt-*"], "gpt", False),
        (["*-mini"], "gpt-mini", True),
        (["ab*ba"], "aba", False),
        (["ab*ba"], "abba", True),
        (["other", "x/*", "m"], "x/a\nb", True),
    ],
)
def test_allows(entries: list[str], name: str, allowed: bool) -> None:
    assert ModelPatterns(entries).allows(name) is allowed


@pytest.mark.parametrize(
    ("pattern", "name", "captured"),
    [
        ("openai/*", "openai/gpt-4o", "gpt-4o"),
        ("openai/*", "openai/", ""),
        ("*", "x", "x"),
        ("a*c", "abc", "b"),
        ("a*a", "a", None),
        ("abc", "abc", None),
        ("*a*", "xay", None),
    ],
)
def test_capture(pattern: str, name: str, captured: str | None) -> None:
    assert capture(pattern, name) == captured


@given(st.lists(SHORT, max_size=5), SHORT)
def test_best_wildcard(patterns: list[str], name: str) -> None:
    matching = [pattern for pattern in patterns if capture(pattern, name) is not None]
    best = best_wildcard(patterns, name)
    if not matching:
        assert best is None
        return
    assert best is not None
    pattern, captured = best
    assert pattern == max(matching, key=len)
    assert substitute(pattern, captured) == name


def test_substitute() -> None:
    assert substitute("*", "gpt-4o") == "gpt-4o"
    assert substitute("org/*-v1*", "x") == "org/x-v1*"
    assert substitute("fixed", "x") == "fixed"


@pytest.mark.parametrize(
    ("cidrs", "ip", "inside"),
    [
        (["10.0.0.0/8"], "10.255.0.1", True),
        (["10.0.0.0/8"], "11.0.0.1", False),
        (["10.1.2.3/8"], "10.9.9.9", True),
        (["10.0.0.1"], "10.0.0.1", True),
        (["10.0.0.1"], "10.0.0.2", False),
        (["0.0.0.0/0"], "::1", False),
        (["0.0.0.0/0"], "1.2.3.4", True),
        (["::/0"], "1.2.3.4", False),
        (["::/0"], "::ffff:1.2.3.4", False),
        (["1.2.3.0/24"], "::ffff:1.2.3.4", True),
        (["::ffff:1.2.3.0/120"], "1.2.3.4", True),
        (["2001:db8::/32"], "2001:DB8::7", True),
        (["2001:db8::/32"], "2001:db9::7", False),
        (["nonsense", " 10.0.0.0/8 "], "10.1.1.1", True),
        (["10.0.0.0/33", "10.0.0/8", "10.0.0.0/255.0.0.0", "10.0.0.0/0.255.255.255"], "10.0.0.1", False),
        (["fe80::/10"], "fe80::1%eth0", False),
        (["0.0.0.0/0", "::/0"], "", False),
        (["0.0.0.0/0", "::/0"], "unix:", False),
        ([], "10.0.0.1", False),
        (["nonsense"], "10.0.0.1", False),
    ],
)
def test_networks(cidrs: list[str], ip: str, inside: bool) -> None:
    assert Networks(cidrs).contains(ip) is inside


def test_strict_networks_name_the_culprit() -> None:
    with pytest.raises(ValueError, match=r"^invalid CIDR/IP: 10\.0\.0\.0/40$"):
        Networks(["10.0.0.0/8", "10.0.0.0/40"], lenient=False)


@given(st.ip_addresses(), st.integers(0, 128))
def test_a_network_contains_its_own_address(address: object, bits: int) -> None:
    text = str(address)
    width = 128 if ":" in text else 32
    assert Networks([f"{text}/{min(bits, width)}"]).contains(text) or text.startswith("::ffff:")
