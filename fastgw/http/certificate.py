"""The certificate of a TLS listener: read, checked, and renewed while the listener runs.

Who serves the listener need not be who reads the files: a `Pair` holds what was in them, so that every process uses
exactly what was checked, also one that starts when the files are not usable.
"""

import os
import ssl
from collections.abc import Callable, Mapping

from msgspec import Struct

from fastgw.config.schema import ServerTls
from fastgw.telemetry.log import Log

Stamp = tuple[tuple[int, int, int] | None, ...]


class CertificateError(Exception):
    """Files that cannot be used; the text names the listener, both files and the cause."""


class Pair(Struct, tag=True, frozen=True):
    """PEM text of a certificate chain and of its key."""

    chain: bytes
    key: bytes

    def __repr__(self) -> str:
        return "<Pair>"

    def context(self) -> ssl.SSLContext:
        """A context for handshakes. Raises OSError (of which ssl.SSLError is one) when the pair cannot be used."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        chain, key = _memory(self.chain), _memory(self.key)
        try:
            # A key with a pass phrase is an error, not a question on the terminal.
            context.load_cert_chain(f"/proc/self/fd/{chain}", f"/proc/self/fd/{key}", password=lambda: b"")
        finally:
            os.close(chain)
            os.close(key)
        return context


class Certificate:
    """Certificate and key of one listener. New handshakes get what was loaded last, running connections keep theirs.
    Raises CertificateError when the files cannot be used at first."""

    def __init__(self, files: ServerTls, label: str) -> None:
        self._files = files
        self._label = label
        self._stamp: Stamp = ()
        self.renew()

    def context(self) -> ssl.SSLContext:
        """The context for the next handshake."""
        return self._context

    def changed(self) -> bool:
        """Whether the files differ from those that were tried last. Two calls of stat."""
        return self._look() != self._stamp

    def renew(self) -> None:
        """Load the files. Raises CertificateError, and the old pair stays in use."""
        files = self._files
        self._stamp = self._look()
        try:
            with open(files.cert_file, "rb") as chain, open(files.key_file, "rb") as key:
                pair = Pair(chain.read(), key.read())
            self._context = pair.context()
        except OSError as error:
            cause = error.reason if isinstance(error, ssl.SSLError) else error.strerror
            place = f"{self._label}.tls: cannot load {files.cert_file} and {files.key_file}"
            raise CertificateError(f"{place}: {cause or error}") from None
        self.pair = pair

    def _look(self) -> Stamp:
        return tuple(_stamp(path) for path in (self._files.cert_file, self._files.key_file))


def renew(
    certificates: Mapping[str, Certificate], log: Log, renewed: Callable[[str], None], *, always: bool = False
) -> None:
    """Load again what has changed, or everything, by the label of its listener. What cannot be used is said once per
    change, and the old stays."""
    for label, certificate in certificates.items():
        if not always and not certificate.changed():
            continue
        try:
            certificate.renew()
        except CertificateError as error:
            log.warn("fastgw::tls", f"certificate not renewed — keeping the previous one: {error}")
            continue
        log.info("fastgw::tls", "certificate loaded", listener=label)
        renewed(label)


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _memory(data: bytes) -> int:
    """A descriptor of an anonymous file: OpenSSL reads certificates from files only."""
    fd = os.memfd_create("fastgw-pem")
    with open(os.dup(fd), "wb") as file:
        file.write(data)
    return fd
