import pytest

from fastgw.core.addresses import parse_network, parse_socket_address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("127.0.0.1:80", "127.0.0.1", 80), ("[::1]:0", "::1", 0), ("[2001:db8::A]:65535", "2001:db8::a", 65535)],
)
def test_socket_address(text: str, host: str, port: int) -> None:
    assert parse_socket_address(text) == (host, port)


@pytest.mark.parametrize(
    "text",
    [
        *("", "127.0.0.1", ":80", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:+1", "127.0.0.1: 1"),
        *("::1:80", "[127.0.0.1]:80", "[::1]", "[::1%eth0]:80", "localhost:80", "example.com:80", "1.2.3:80"),
        *("256.0.0.1:80", "127.0.0.1:80 ", "127.0.0.1:٨٠", "01.2.3.4:80", "127.0.0.1:80\n"),
    ],
)
def test_not_a_socket_address(text: str) -> None:
    with pytest.raises(ValueError):
        parse_socket_address(text)


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.1.2.3/8", "10.0.0.0/8"),
        ("10.1.2.3", "10.1.2.3/32"),
        ("::1", "::1/128"),
        ("fd00::/8", "fd00::/8"),
    ],
)
def test_network(text: str, network: str) -> None:
    assert str(parse_network(text)) == network


@pytest.mark.parametrize(
    "text", ["", "10.0.0.0/33", "10.0.0.0/255.0.0.0", "host", "10.0.0", "fe80::1%eth0", "/8", "1/8/8"]
)
def test_not_a_network(text: str) -> None:
    with pytest.raises(ValueError):
        parse_network(text)
