"""Who may use what: model names of a key, client networks of a model, wildcard models."""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from fastgw.core.globs import Globs, capture

__all__ = ["ModelPatterns", "Networks", "best_wildcard", "capture", "parse_address", "substitute"]


class ModelPatterns(Globs):
    """The `allowed_models` of a key."""

    __slots__ = ()

    def allows(self, name: str) -> bool:
        """Whether the key may use the model name that its caller sent. No entries: nothing."""
        return self.matches(name)


def best_wildcard(patterns: Iterable[str], name: str) -> tuple[str, str] | None:
    """(pattern, captured text) of the match with the longest literal part; the first one on ties."""
    best: tuple[str, str] | None = None
    for pattern in patterns:
        if best is None or len(pattern) > len(best[0]):
            captured = capture(pattern, name)
            if captured is not None:
                best = (pattern, captured)
    return best


def substitute(model_name: str, captured: str) -> str:
    """The upstream name of a wildcard model: its first `*` becomes the captured text; without `*` it stays."""
    return model_name.replace("*", captured, 1)


_MAPPED: Final = IPv6Network("::ffff:0:0/96")
# Only a prefix length: netmasks and their inverted form, which ipaddress also reads, are typing errors here.
_ENTRY = re.compile(r"[0-9A-Fa-f:.]+(?:/[0-9]{1,3})?")


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """An address, IPv4-mapped IPv6 as IPv4; None when it is none or carries a zone id."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or (address if address.scope_id is None else None)
    return address


def _network(entry: str) -> IPv4Network | IPv6Network | None:
    """A CIDR or a bare address, host bits cleared."""
    if not _ENTRY.fullmatch(entry):
        return None
    try:
        network = ip_network(entry, strict=False)
    except ValueError:
        return None
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        # Addresses of that range are only ever seen as IPv4.
        return IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96))
    return network


class Networks:
    """Ranges of addresses. An IPv4 range never covers an IPv6 address, nor the other way round.

    Entries are CIDRs or bare addresses. A malformed one is skipped when `lenient`, else ValueError names it. Ranges
    without a valid entry contain nothing.
    """

    __slots__ = ("_v4", "_v6")

    def __init__(self, cidrs: Iterable[str], lenient: bool = True) -> None:
        self._v4: list[tuple[int, int]] = []
        self._v6: list[tuple[int, int]] = []
        for entry in cidrs:
            network = _network(entry.strip())
            if network is not None:
                ranges = self._v4 if network.version == 4 else self._v6
                ranges.append((int(network.network_address), int(network.netmask)))
            elif not lenient:
                raise ValueError(f"invalid CIDR/IP: {entry}")

    def contains(self, ip: str) -> bool:
        """Whether the address is in one of the ranges; False for anything that is no address."""
        address = parse_address(ip)
        return address is not None and self.covers(address)

    def covers(self, address: IPv4Address | IPv6Address) -> bool:
        """`contains` for an address as `parse_address` gives it. Linear in the number of ranges."""
        number = int(address)
        ranges = self._v4 if address.version == 4 else self._v6
        return any(number & mask == base for base, mask in ranges)
