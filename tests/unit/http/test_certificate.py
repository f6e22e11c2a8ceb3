"""Certificates of listeners: what can be loaded, what is kept when the next pair cannot."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from fastgw.config.schema import ServerTls
from fastgw.http.certificate import Certificate, CertificateError, Pair, renew
from fastgw.telemetry.log import Log

CA = trustme.CA()


def issue(directory: Path, name: str = "localhost") -> ServerTls:
    """A new pair in the files of a directory."""
    certificate = CA.issue_cert(name)
    files = ServerTls(cert_file=str(directory / "cert.pem"), key_file=str(directory / "key.pem"))
    chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
    for path, data in ((files.cert_file, chain), (files.key_file, certificate.private_key_pem.bytes())):
        # Renamed into place, as tools do it: another inode.
        Path(path + ".new").write_bytes(data)
        os.replace(path + ".new", path)
    return files


def served_name(context: ssl.SSLContext) -> str:
    """The name in the certificate that a handshake with this context shows."""
    client = ssl.create_default_context()
    CA.configure_trust(client)
    client.check_hostname = False
    sides = [ssl.MemoryBIO() for _ in range(2)]
    server = context.wrap_bio(sides[0], sides[1], server_side=True)
    asking = client.wrap_bio(sides[1], sides[0])
    for _ in range(10):
        for side in (asking, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
    found: Any = asking.getpeercert()
    return found["subjectAltName"][0][1]


def test_a_pair(tmp_path: Path) -> None:
    certificate = Certificate(issue(tmp_path, "one.test"), "proxy")
    assert served_name(certificate.context()) == "one.test"
    assert not certificate.changed()
    # What another process makes of what was read.
    assert served_name(certificate.pair.context()) == "one.test"


def test_a_renewed_pair(tmp_path: Path) -> None:
    certificate = Certificate(issue(tmp_path, "one.test"), "proxy")
    old = certificate.context()
    issue(tmp_path, "two.test")
    assert certificate.changed()
    assert served_name(certificate.context()) == "one.test"
    certificate.renew()
    assert not certificate.changed()
    assert served_name(certificate.context()) == "two.test"
    assert served_name(old) == "one.test"


def test_a_pair_behind_symbolic_links(tmp_path: Path) -> None:
    """How orchestrators mount secrets: the link to the folder changes."""
    for name in ("one.test", "two.test"):
        (tmp_path / name).mkdir()
        issue(tmp_path / name, name)
    (tmp_path / "now").symlink_to("one.test")
    files = ServerTls(cert_file=str(tmp_path / "now/cert.pem"), key_file=str(tmp_path / "now/key.pem"))
    certificate = Certificate(files, "proxy")
    (tmp_path / "next").symlink_to("two.test")
    os.replace(tmp_path / "next", tmp_path / "now")
    assert certificate.changed()
    certificate.renew()
    assert served_name(certificate.context()) == "two.test"


def encrypted(key: bytes) -> bytes:
    private: Any = load_pem_private_key(key, None)
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pass phrase"))


def spoil(files: ServerTls, how: str) -> None:
    cert, key = Path(files.cert_file), Path(files.key_file)
    if how == "no key":
        key.unlink()
    elif how == "no certificate":
        cert.unlink()
    elif how == "junk":
        cert.write_text("junk")
    elif how == "empty":
        key.write_bytes(b"")
    elif how == "key of another":
        key.write_bytes(CA.issue_cert("other.test").private_key_pem.bytes())
    elif how == "cut":
        cert.write_bytes(cert.read_bytes()[:-200])
    elif how == "pass phrase":
        key.write_bytes(encrypted(key.read_bytes()))
    else:
        cert.unlink()
        cert.mkdir()


WAYS = ["no key", "no certificate", "junk", "empty", "key of another", "cut", "pass phrase", "folder"]


@pytest.mark.parametrize("how", WAYS)
def test_what_cannot_be_used_at_first(tmp_path: Path, how: str) -> None:
    files = issue(tmp_path)
    spoil(files, how)
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(CertificateError) as caught:
        Certificate(files, "admin")
    text = str(caught.value)
    assert text.startswith(f"admin.tls: cannot load {files.cert_file} and {files.key_file}: ")
    assert len(text) > len(f"admin.tls: cannot load {files.cert_file} and {files.key_file}: ")
    assert "BEGIN" not in text
    assert set(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("how", WAYS)
def test_what_cannot_be_used_later_leaves_the_old_pair(
    tmp_path: Path, how: str, capfd: pytest.CaptureFixture[str]
) -> None:
    files = issue(tmp_path, "one.test")
    certificate = Certificate(files, "proxy")
    log, renewed = Log(3), list[str]()
    spoil(files, how)
    for _ in range(3):
        renew({"proxy": certificate}, log, renewed.append)
    assert served_name(certificate.context()) == served_name(certificate.pair.context()) == "one.test"
    assert renewed == []
    # Once per change, not at every look.
    assert capfd.readouterr().err.count("keeping the previous one: proxy.tls: cannot load") == 1
    if how == "folder":
        Path(files.cert_file).rmdir()
    issue(tmp_path, "two.test")
    renew({"proxy": certificate}, log, renewed.append)
    assert served_name(certificate.context()) == "two.test"
    assert renewed == ["proxy"]


def test_everything_is_loaded_when_asked_to(tmp_path: Path) -> None:
    certificate = Certificate(issue(tmp_path), "proxy")
    renewed: list[str] = []
    renew({"proxy": certificate}, Log(0), renewed.append)
    assert renewed == []
    renew({"proxy": certificate}, Log(0), renewed.append, always=True)
    assert renewed == ["proxy"]


def test_keys_are_not_printed() -> None:
    assert "secret" not in repr(Pair(b"chain", b"secret"))
