"""From the `etcd` section of the configuration to what the client needs, or the reason why it cannot be used."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from fastgw.config.schema import Etcd, EtcdTls


class SettingsError(Exception):
    """The section cannot be used; the text names the key and never a credential."""


@dataclass(frozen=True, slots=True)
class EtcdSettings:
    """`endpoints` are base URLs without a path. Times in seconds, None = unbounded. `credentials`: user, password."""

    endpoints: tuple[str, ...]
    credentials: tuple[str, str] | None = field(default=None, repr=False)
    dial_timeout: float | None = 5.0
    request_timeout: float | None = 5.0
    tls: ssl.SSLContext | None = None
    server_name: str | None = None


def etcd_settings(section: Etcd, environ: Mapping[str, str]) -> EtcdSettings:
    """Check the section and read what it names: the password's variable, the TLS files. Raises SettingsError."""
    endpoints = tuple(_endpoint(index, url) for index, url in enumerate(section.endpoints))
    credentials = None
    if section.user is not None and section.password_env is not None:
        password = environ.get(section.password_env)
        if not password:
            raise SettingsError(f"etcd.password_env: environment variable {section.password_env} is unset or empty")
        credentials = (section.user, password)
    server_name = None
    if section.tls is not None:
        server_name = section.tls.domain_name or urlsplit(endpoints[0]).hostname
    return EtcdSettings(
        endpoints,
        credentials,
        section.dial_timeout_ms / 1000 or None,
        section.request_timeout_ms / 1000 or None,
        _context(section.tls) if section.tls is not None else None,
        server_name,
    )


def _endpoint(index: int, url: str) -> str:
    flaw = SettingsError(f"etcd.endpoints[{index}] must have the form http(s)://host:port")
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise flaw from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise flaw
    if "@" in parts.netloc or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise flaw
    return f"{parts.scheme}://{parts.netloc}"


def _context(tls: EtcdTls) -> ssl.SSLContext:
    """Only the given authorities are trusted: whoever can answer as etcd decides where credentials are sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=tls.ca_cert_file)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"etcd.tls.ca_cert_file {tls.ca_cert_file}: {_reason(error)}") from None
    try:
        context.load_cert_chain(tls.client_cert_file, tls.client_key_file, password=_no_password)
    except (OSError, ssl.SSLError, ValueError) as error:
        files = f"etcd.tls.client_cert_file {tls.client_cert_file}, etcd.tls.client_key_file {tls.client_key_file}"
        raise SettingsError(f"{files}: {_reason(error)}") from None
    return context


def _no_password() -> str:
    """For an encrypted key: without this OpenSSL would ask on the terminal."""
    raise ValueError("the private key is encrypted")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
