"""Which address a request came from, when trusted proxies stand in front of the gateway."""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address

from fastgw.policy.access import Networks, parse_address


class ClientAddress:
    """`proxy.real_ip`. `header` is the lower-case name of the field to hand to `resolve`.

    `enabled` is False without trusted proxies: the header then never matters and need not be collected. Raises
    ValueError for a proxy entry that is neither CIDR nor address.
    """

    __slots__ = ("_proxies", "_recursive", "enabled", "header")

    def __init__(self, trusted_proxies: Iterable[str], recursive: bool, header: str) -> None:
        entries = list(trusted_proxies)
        self._proxies = Networks(entries, lenient=False)
        self._recursive = recursive
        self.enabled = bool(entries)
        self.header = header.strip().lower().encode("latin-1")

    def resolve(self, peer: str, values: list[bytes]) -> str:
        """The client's address, from the socket's peer and all values of the header in their order.

        An IPv4 peer of a dual-stack listener is given as IPv4. Elements are read from the right and only as far as
        needed, since everything left of a trusted proxy's own entry is the client's invention.
        """
        if not self.enabled:
            return peer[7:] if peer.startswith("::ffff:") and "." in peer else peer
        address = parse_address(peer)
        if address is None:
            return peer
        if not values or not self._proxies.covers(address):
            return str(address)
        leftmost = address
        for element in _from_right(values):
            if not self._recursive or not self._proxies.covers(element):
                return str(element)
            leftmost = element
        return str(leftmost)


def _from_right(values: list[bytes]) -> Iterator[IPv4Address | IPv6Address]:
    """The addresses among the elements of all values, last one first."""
    for value in reversed(values):
        for raw in reversed(value.split(b",")):
            address = parse_address(_bare(raw.decode("latin-1").strip(" \t")))
            if address is not None:
                yield address


def _bare(element: str) -> str:
    """`ip`, `ipv4:port`, `[ipv6]` or `[ipv6]:port` without brackets and port; blank for any other shape."""
    if element.startswith("["):
        host, bracket, port = element[1:].partition("]")
        valid = bracket and ":" in host and (not port or (port[0] == ":" and _is_port(port[1:])))
        return host if valid else ""
    if element.count(":") == 1:
        host, _, port = element.partition(":")
        return host if _is_port(port) else ""
    return element


def _is_port(text: str) -> bool:
    return len(text) <= 5 and text.isascii() and text.isdigit() and int(text) < 65536
