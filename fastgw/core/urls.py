"""Addresses that configuration names: what they must not carry, and which of them belong together."""

from typing import Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

_CREDENTIALS: Final = frozenset({"access_token", "token", "client_secret", "password", "api_key", "apikey"})
_PORTS: Final = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """RFC 6454 §4."""

    scheme: str
    host: str
    port: int


def embeds_credentials(url: str) -> bool:
    """The address has user information, or a query parameter whose name says that it holds a secret."""
    try:
        parts = urlsplit(url)
        query = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        # Nothing is ever sent there; what stands before an @ may still be a secret.
        return "@" in url
    return "@" in parts.netloc or any(name.lower() in _CREDENTIALS for name, _ in query)


def origin(url: str) -> Origin:
    """Scheme, host and port of an http or https address. Raises ValueError for anything else."""
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("not an http or https address")
    return Origin(parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme])
