"""IP literals as configuration writes them: socket addresses and networks. Host names are never accepted."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final, NamedTuple

_SOCKET: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)):([0-9]{1,5})")
_NETWORK: Final = re.compile(r"[0-9A-Fa-f:.]+(?:/[0-9]{1,3})?")


class SocketAddress(NamedTuple):
    host: str
    port: int


def parse_socket_address(text: str) -> SocketAddress:
    """``1.2.3.4:80`` or ``[::1]:80``. Raises ValueError."""
    match = _SOCKET.fullmatch(text)
    if match is None:
        raise ValueError("not a socket address")
    v6, v4, port = match.groups()
    address = ip_address(v6 or v4)
    if (address.version == 6) != (v6 is not None) or int(port) > 65535:
        raise ValueError("not a socket address")
    return SocketAddress(str(address), int(port))


def parse_network(text: str) -> IPv4Network | IPv6Network:
    """A CIDR block (host bits are ignored), or a bare address as a network of one. Raises ValueError."""
    if _NETWORK.fullmatch(text) is None:
        raise ValueError("not a network")
    return ip_network(text, strict=False)
