"""Which proxy leads where."""

import base64

import pytest

from fastgw.core.proxies import Proxies, Proxy, parse_proxy


def proxies(**environ: str) -> Proxies:
    made = Proxies.of(environ)
    assert made is not None
    return made


def direct(exempt: str, host: str, port: int = 443) -> bool:
    return proxies(https_proxy="http://p.example:3128", no_proxy=exempt).leading_to("https", host, port) is None


@pytest.mark.parametrize(
    "environ", [{}, {"HTTP_PROXY": ""}, {"https_proxy": " ", "HTTPS_PROXY": ""}, {"NO_PROXY": "*"}]
)
def test_nothing_is_named(environ: dict[str, str]) -> None:
    assert Proxies.of(environ) is None


def test_one_variable_per_scheme() -> None:
    made = proxies(HTTP_PROXY="http://plain.example:8080", HTTPS_PROXY="https://secure.example")
    assert made.leading_to("http", "api.example", 80) == Proxy("http", "plain.example", 8080)
    assert made.leading_to("https", "api.example", 443) == Proxy("https", "secure.example", 443)
    only = proxies(HTTPS_PROXY="http://p.example")
    assert only.leading_to("http", "api.example", 80) is None


def test_lower_case_wins_and_an_empty_value_is_none() -> None:
    both = proxies(http_proxy="http://lower.example", HTTP_PROXY="http://upper.example")
    assert both.leading_to("http", "a.example", 80) == Proxy("http", "lower.example", 80)
    empty = proxies(http_proxy="", HTTP_PROXY="http://upper.example", no_proxy="", NO_PROXY="near.example")
    assert empty.leading_to("http", "a.example", 80) == Proxy("http", "upper.example", 80)
    assert empty.leading_to("http", "near.example", 80) is None


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("p.example:3128", Proxy("http", "p.example", 3128)),
        ("http://[fd00::1]:3128/", Proxy("http", "fd00::1", 3128)),
        ("HTTP://P.example", Proxy("http", "p.example", 80)),
    ],
)
def test_urls(url: str, proxy: Proxy) -> None:
    assert parse_proxy(url) == proxy


@pytest.mark.parametrize(
    "url", ["socks5://p.example:1080", "http://", "http://p.example:x", "http://p:99999", "http://[::1"]
)
def test_urls_of_no_proxy(url: str) -> None:
    with pytest.raises(ValueError, match="HTTPS_PROXY is not the URL") as caught:
        proxies(HTTPS_PROXY=url)
    assert url not in str(caught.value)


def test_the_credential_is_decoded_and_not_shown() -> None:
    proxy = parse_proxy("http://us%40er:p%3Ass@p.example:3128")
    assert proxy.authorization == "Basic " + base64.b64encode(b"us@er:p:ss").decode()
    assert proxy.url == "http://p.example:3128"
    assert "Basic" not in repr(proxy)
    assert parse_proxy("http://user@p.example").authorization == "Basic " + base64.b64encode(b"user:").decode()
    assert parse_proxy("http://[fd00::1]:1").url == "http://[fd00::1]:1"


@pytest.mark.parametrize(
    ("exempt", "host", "port", "expected"),
    [
        ("api.example", "api.example", 443, True),
        ("API.example", "api.Example.", 443, True),
        ("api.example", "sub.api.example", 443, True),
        (".api.example", "api.example", 443, True),
        ("*.api.example", "sub.api.example", 443, True),
        ("api.example", "notapi.example", 443, False),
        ("a.example, api.example", "api.example", 443, True),
        ("a.example api.example", "api.example", 443, True),
        ("api.example:8443", "api.example", 8443, True),
        ("api.example:8443", "api.example", 443, False),
        ("*", "api.example", 443, True),
        ("10.0.0.0/8", "10.1.2.3", 443, True),
        ("10.0.0.0/8", "11.1.2.3", 443, False),
        ("10.1.2.3", "10.1.2.3", 443, True),
        ("10.1.2.3:8443", "10.1.2.3", 443, False),
        ("10.1.2.3:8443", "10.1.2.3", 8443, True),
        ("fd00::/8", "fd00::1", 443, True),
        ("[fd00::1]:8443", "fd00::1", 8443, True),
        ("[fd00::1]", "fd00::1", 443, True),
        ("10.0.0.0/8", "fd00::1", 443, False),
        (",,!:x:y,", "api.example", 443, False),
        ("", "localhost", 443, True),
        ("", "sub.localhost", 443, True),
        ("", "127.1.2.3", 443, True),
        ("", "::1", 443, True),
        ("", "::ffff:127.0.0.1", 443, True),
        ("", "10.1.2.3", 443, False),
    ],
)
def test_exemptions(exempt: str, host: str, port: int, expected: bool) -> None:
    assert direct(exempt, host, port) is expected
