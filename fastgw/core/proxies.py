"""Forward proxies named by the environment: `HTTP_PROXY`, `HTTPS_PROXY` and the exemptions of `NO_PROXY`.

As in other HTTP clients the name in lower case comes first, and an empty value is none. What is on this host is never
reached through a proxy.
"""

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import unquote, urlsplit

from fastgw.core.addresses import parse_network

_PORTS: Final = {"http": 80, "https": 443}
_SEPARATORS: Final = re.compile(r"[,\s]+")
_ENTRY: Final = re.compile(r"(?P<host>\[[^\]]+\]|[^\[\]:]+)(?::(?P<port>[0-9]{1,5}))?")

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where to connect instead. `authorization` is the value of Proxy-Authorization (RFC 9110 §11.7.2), or None."""

    scheme: str
    host: str
    port: int
    authorization: str | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """The proxy without its credential."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{name}:{self.port}"


class Proxies:
    """Which proxy leads to an origin. `proxies` by the scheme of the origin; `exempt` as `NO_PROXY` lists it: host
    names with all their subdomains, with or without a leading `.` or `*.`, addresses, networks, each of them with an
    optional port, and `*` for everything."""

    def __init__(self, proxies: Mapping[str, Proxy], exempt: str = "") -> None:
        self._proxies = proxies
        self._everything = False
        self._names: list[tuple[str, int | None]] = []
        self._networks: list[tuple[IPv4Network | IPv6Network, int | None]] = []
        for entry in filter(None, _SEPARATORS.split(exempt.lower())):
            self._exempt(entry)

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Proxies | None":
        """What the environment says, None when it names no proxy. Raises ValueError naming the variable."""
        proxies: dict[str, Proxy] = {}
        for scheme in _PORTS:
            name = f"{scheme}_proxy"
            value = _variable(environ, name)
            if value:
                try:
                    proxies[scheme] = parse_proxy(value)
                except ValueError:
                    # Not repeated: the value may hold a password.
                    raise ValueError(f"{name.upper()} is not the URL of an http or https proxy") from None
        return cls(proxies, _variable(environ, "no_proxy")) if proxies else None

    def leading_to(self, scheme: str, host: str, port: int) -> Proxy | None:
        """The proxy for an origin, None when it is reached directly. `host` without brackets. O(exemptions)."""
        proxy = self._proxies.get(scheme)
        if proxy is None or self._everything:
            return None
        name = host.lower().rstrip(".")
        address = _address(name)
        if address is not None:
            direct = address.is_loopback or any(
                among in (None, port) and address in network for network, among in self._networks
            )
        else:
            direct = any(among in (None, port) and _below(name, parent) for parent, among in self._names) or _below(
                name, "localhost"
            )
        return None if direct else proxy

    def _exempt(self, entry: str) -> None:
        if entry == "*":
            self._everything = True
            return
        try:
            self._networks.append((parse_network(entry), None))
            return
        except ValueError:
            pass
        match = _ENTRY.fullmatch(entry)
        if match is None:
            return
        port = int(match["port"]) if match["port"] else None
        address = _address(match["host"].strip("[]"))
        if address is not None:
            self._networks.append((parse_network(str(address)), port))
        elif name := match["host"].removeprefix("*").strip("."):
            self._names.append((name, port))


def parse_proxy(url: str) -> Proxy:
    """A proxy's URL; without a scheme it is an http one. Raises ValueError."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("not an http or https URL")
    authorization = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + b64encode(pair.encode()).decode("ascii")
    return Proxy(parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme], authorization)


def _variable(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name, "").strip() or environ.get(name.upper(), "").strip()


def _below(name: str, parent: str) -> bool:
    return name == parent or name.endswith(f".{parent}")


def _address(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
