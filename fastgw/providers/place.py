"""Where upstream requests go and the constant part of their heads, for every wire family.

Both are computed once per configuration. The head ends in the name of the request id field, so that sending a
request only appends the id, the length and the body.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import quote

from fastgw.core.errors import invalid_credentials, invalid_upstream
from fastgw.core.headers import user_agent
from fastgw.providers.fields import field_line

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}

_URL = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?#]+)(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?(?:#.*)?", re.I)
_AUTHORITY = re.compile(r"(?:.*@)?(?:\[(?P<v6>[^\[\]@]+)\]|(?P<name>[^\[\]:@]+))(?::(?P<port>[0-9]{0,5}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_BLANK_OR_CONTROL = re.compile(r"[\s\x00-\x20\x7f-\x9f]")
_VISIBLE_ASCII = re.compile(r"[\x20-\x7e]+")
_REQUEST_LINE_PART = re.compile(r"[\x21-\x7e]+")

_NOT_ABSOLUTE = "provider_key.api_base is not an absolute http or https URL with a host"


@dataclass(frozen=True, slots=True)
class UpstreamURL:
    """Where one operation of one target is.

    `host` is what to dial (lower case, IPv6 without brackets), `authority` the value of the Host field (no default
    port, IPv6 in brackets), `path` the request target in origin form with its query, visible ASCII only.
    """

    scheme: Literal["http", "https"]
    host: str
    port: int
    authority: str
    path: str


@dataclass(frozen=True, slots=True)
class Base:
    """A provider key's base URL, taken apart. `path` is without trailing slashes, `query` with its question mark;
    `standard`: the port is the scheme's own."""

    scheme: Literal["http", "https"]
    host: str
    port: int
    authority: str
    standard: bool
    path: str
    query: str

    def at(self, path: str) -> UpstreamURL:
        """The URL of a path at this origin; the base's query stays behind it."""
        try:
            target = quote(path, safe="%/:@!$&'()*+,;=~")
            query = quote(self.query, safe="%/:@!$&'()*+,;=~?")
        except UnicodeEncodeError:
            raise invalid_upstream(_NOT_ABSOLUTE) from None
        return UpstreamURL(self.scheme, self.host, self.port, self.authority, target + query)


def parse_base(text: str) -> Base:
    """Take an absolute http(s) URL apart.

    User information and fragment are never sent (RFC 9110 §4.2.4, RFC 9112 §3.2) and not kept. Raises the 400 `invalid
    upstream configuration` for anything else; the text never repeats the base, which may hold a credential.
    """
    match = None if _BLANK_OR_CONTROL.search(text) else _URL.fullmatch(text)
    if match is None:
        raise invalid_upstream(_NOT_ABSOLUTE)
    scheme: Literal["http", "https"] = "http" if match["scheme"].lower() == "http" else "https"
    host, bracketed, port = _authority(match["authority"], _DEFAULT_PORTS[scheme])
    standard = port == _DEFAULT_PORTS[scheme]
    return Base(
        scheme,
        host,
        port,
        bracketed if standard else f"{bracketed}:{port}",
        standard,
        (match["path"] or "").rstrip("/"),
        match["query"] or "",
    )


def without_suffix(path: str, suffixes: Iterable[str]) -> str:
    """The path without the first of the suffixes that it ends in, and without trailing slashes."""
    for suffix in suffixes:
        if path.endswith(suffix):
            return path.removesuffix(suffix).rstrip("/")
    return path


def _authority(text: str, default_port: int) -> tuple[str, str, int]:
    """Host to dial, host as written in URLs, port."""
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        raise invalid_upstream(_NOT_ABSOLUTE)
    port = int(match["port"] or default_port)
    try:
        if match["v6"] is not None:
            # A zone id means something on one machine only and is not for the wire (RFC 6874 §1): not accepted.
            host = str(ipaddress.IPv6Address(match["v6"])) if "%" not in match["v6"] else ""
            bracketed = f"[{host}]"
        else:
            host = bracketed = _name(match["name"])
    except ValueError:
        host = bracketed = ""
    if not host or not 0 < port < 65536:
        raise invalid_upstream(_NOT_ABSOLUTE)
    return host, bracketed, port


def _name(name: str) -> str:
    """A registered name or IPv4 address in lower-case ASCII; ValueError for anything a resolver should not see."""
    if not name.isascii():
        name = name.encode("idna").decode("ascii")
    name = name.lower()
    labels = name.removesuffix(".").split(".")
    # A resolver would read a name that ends in a number as an address in one of many old notations.
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", labels[-1]):
        return str(ipaddress.IPv4Address(name))
    if len(name) > 254 or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError(name)
    return name


def visible(text: str) -> bool:
    """Whether the text is visible ASCII, which is what credentials are made of in every scheme (RFC 6750 §2.1)."""
    return _VISIBLE_ASCII.fullmatch(text) is not None


def check_secret(secret: str) -> None:
    """Raise the 401 `invalid upstream credentials` unless `secret` can be sent in a header field."""
    if not secret or secret.isspace():
        raise invalid_credentials("provider_key.api_key is empty")
    if not visible(secret):
        raise invalid_credentials("provider_key.api_key contains invalid header characters")


def request_head(url: UpstreamURL, fields: Mapping[str, str], namespace: str) -> bytes:
    """The head of every request to `url`, up to and including `x-{namespace}-request-id: `.

    To be continued with the id, CRLF, further complete lines, `Content-Length: N` and two CRLF. `fields` are the
    wire family's own, its credential among them. Raises ValueError for what cannot be written into a head.
    """
    if not _REQUEST_LINE_PART.fullmatch(url.path) or not _REQUEST_LINE_PART.fullmatch(url.authority):
        raise ValueError("request target or host with characters that do not belong there")
    own = {"Host": url.authority, **fields, "User-Agent": user_agent(namespace), f"x-{namespace}-request-id": "-"}
    lines = [f"POST {url.path} HTTP/1.1\r\n".encode("ascii")]
    for name, value in own.items():
        line = field_line(name, value)
        if line is None:
            raise ValueError(f"no valid name or value for {name}")
        lines.append(line)
    return b"".join(lines).removesuffix(b"-\r\n")
