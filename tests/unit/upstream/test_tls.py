"""Trust is per provider key: what one key accepts never serves another."""

import ssl
from pathlib import Path

import pytest
import trustme

from fastgw.config.schema import OutboundTls
from fastgw.upstream.pool import Origin
from fastgw.upstream.tls import Contexts, KeyTrust, TlsError, build_context


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def names(context: ssl.SSLContext) -> set[str]:
    """Organisations of the authorities that a context trusts."""
    return {
        value
        for certificate in context.get_ca_certs()
        for attribute in certificate["subject"]
        for name, value in attribute
        if name == "organizationName"
    }


def test_verification_is_on_and_checks_names() -> None:
    context = build_context(OutboundTls())
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_equal_trust_shares_a_context_and_no_other_does(authority: trustme.CA) -> None:
    contexts = Contexts(OutboundTls())
    pem = authority.cert_pem.bytes().decode()
    plain, private, blind = (contexts.get(trust) for trust in (KeyTrust(), KeyTrust(pem), KeyTrust(None, False)))
    assert contexts.get(KeyTrust(pem)) is private
    assert len({id(context) for context in (plain, private, blind)}) == 3
    assert not any(name.startswith("trustme") for name in names(plain))
    assert any(name.startswith("trustme") for name in names(private))
    assert [context.verify_mode for context in (plain, private, blind)] == [
        ssl.CERT_REQUIRED,
        ssl.CERT_REQUIRED,
        ssl.CERT_NONE,
    ]
    # Pools are kept by origin, and the context is part of it: connections are not shared across trust either.
    origins = {Origin("https", "host", 443, context) for context in (plain, private, blind, contexts.get(KeyTrust()))}
    assert len(origins) == 3


def test_the_deployments_switch_turns_verification_off_for_all() -> None:
    assert build_context(OutboundTls(verify=False)).verify_mode is ssl.CERT_NONE


def test_the_deployments_authority_is_added(tmp_path: Path, authority: trustme.CA) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = build_context(OutboundTls(ca_file=str(tmp_path / "ca.pem")))
    assert any(name.startswith("trustme") for name in names(context))


def test_what_is_no_certificate_is_an_error_that_names_the_key(tmp_path: Path) -> None:
    with pytest.raises(TlsError, match=r"^tls\.ca_cert: "):
        build_context(OutboundTls(), KeyTrust("no certificate"))
    with pytest.raises(TlsError, match=r"^upstream\.tls\.ca_file .*missing\.pem: "):
        build_context(OutboundTls(ca_file=str(tmp_path / "missing.pem")))
    with pytest.raises(TlsError, match=r"^upstream\.tls\.client_cert_file "):
        build_context(OutboundTls(client_cert_file=str(tmp_path / "a"), client_key_file=str(tmp_path / "b")))


def test_trust_that_no_configuration_needs_is_forgotten() -> None:
    contexts = Contexts(OutboundTls())
    common, lax = contexts.get(KeyTrust()), contexts.get(KeyTrust(None, False))
    assert contexts.get(KeyTrust()) is common
    contexts.renew()
    assert contexts.get(KeyTrust()) is common
    contexts.drop_unused()
    assert len(contexts) == 1
    assert contexts.get(KeyTrust(None, False)) is not lax


def test_a_cut_connection_is_not_taken_for_a_closed_one() -> None:
    assert not build_context(OutboundTls()).options & ssl.OP_IGNORE_UNEXPECTED_EOF
