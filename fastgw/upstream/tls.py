"""Trust towards upstreams: the deployment's, and that of single provider keys.

Verification is path building, validity dates and name matching. Private authorities often lack optional
extensions, so the strict X.509 checks that newer Python versions switch on by default are switched off.
"""

import os
import ssl
from dataclasses import dataclass

from fastgw.config.schema import OutboundTls


class TlsError(Exception):
    """Trust material that cannot be used; the text names the key and the file."""


@dataclass(frozen=True, slots=True)
class KeyTrust:
    """What a provider key adds: PEM text to trust, or no verification at all."""

    ca_cert: str | None = None
    verify: bool = True


def build_context(settings: OutboundTls, trust: KeyTrust = KeyTrust(), label: str = "upstream.tls") -> ssl.SSLContext:
    """A client context for the deployment's settings plus those of one key. Raises TlsError."""
    context = ssl.create_default_context()
    # Older Pythons take a connection that was cut for one that was closed (RFC 8446 §6.1).
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    _load_platform_roots(context)
    if settings.ca_file is not None:
        _load(context, f"{label}.ca_file", settings.ca_file)
    if trust.ca_cert is not None:
        try:
            context.load_verify_locations(cadata=trust.ca_cert)
        except (ssl.SSLError, ValueError) as error:
            raise TlsError(f"tls.ca_cert: {error}") from None
    if settings.client_cert_file is not None and settings.client_key_file is not None:
        try:
            context.load_cert_chain(settings.client_cert_file, settings.client_key_file)
        except (OSError, ssl.SSLError) as error:
            raise TlsError(f"{label}.client_cert_file {settings.client_cert_file}: {error}") from None
    if not settings.verify or not trust.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class Contexts:
    """One context per distinct trust, made on first use: building one reads every root certificate.

    After changes of the configuration its keeper calls `renew`, then `keep` for what is still in use, then
    `drop_unused`.
    """

    def __init__(self, settings: OutboundTls) -> None:
        self._settings = settings
        self._made: dict[KeyTrust, ssl.SSLContext] = {}
        self._used: set[KeyTrust] = set()

    def __len__(self) -> int:
        return len(self._made)

    def renew(self) -> None:
        """What is not asked for or kept from now on is unused."""
        self._used.clear()

    def keep(self, trust: KeyTrust) -> None:
        """The context of this trust is in use, if there is one."""
        self._used.add(trust)

    def get(self, trust: KeyTrust) -> ssl.SSLContext:
        """The context for a key's trust. Raises TlsError when its PEM cannot be used."""
        context = self._made.get(trust)
        if context is None:
            context = self._made[trust] = build_context(self._settings, trust)
        self._used.add(trust)
        return context

    def drop_unused(self) -> None:
        """Forget what is not in use since `renew`."""
        for trust in self._made.keys() - self._used:
            del self._made[trust]


def _load(context: ssl.SSLContext, key: str, path: str) -> None:
    before = len(context.get_ca_certs())
    try:
        context.load_verify_locations(cafile=path)
    except (OSError, ssl.SSLError) as error:
        raise TlsError(f"{key} {path}: {error}") from None
    if len(context.get_ca_certs()) == before and not before:
        raise TlsError(f"{key} {path}: no certificate in it")


def _load_platform_roots(context: ssl.SSLContext) -> None:
    # OpenSSL lets SSL_CERT_FILE and SSL_CERT_DIR replace its own places; here they add to them.
    paths = ssl.get_default_verify_paths()
    if "SSL_CERT_FILE" in os.environ and os.path.isfile(paths.openssl_cafile):
        context.load_verify_locations(cafile=paths.openssl_cafile)
    if "SSL_CERT_DIR" in os.environ and os.path.isdir(paths.openssl_capath):
        context.load_verify_locations(capath=paths.openssl_capath)
