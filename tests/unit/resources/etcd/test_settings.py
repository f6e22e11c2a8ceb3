"""The `etcd` section: what makes it unusable, and what the client gets."""

from pathlib import Path

import pytest

from fastgw.config.schema import Etcd, EtcdTls
from fastgw.resources.etcd.settings import SettingsError, etcd_settings
from tests.support.etcd import Tls


@pytest.mark.parametrize(
    "url",
    ["", "h:2379", "ftp://h:1", "http://", "http://h:x", "http://h:99999", "http://h:0", "http://h:1/path", "http://h:1?a",
     "http://u:canary@h:1", "http://[::1"],
)  # fmt: skip
def test_bad_addresses(url: str) -> None:
    with pytest.raises(SettingsError, match=r"etcd\.endpoints\[1\] must have the form") as caught:
        etcd_settings(Etcd(endpoints=("http://ok:1", url)), {})
    assert "canary" not in str(caught.value)


def test_what_the_client_gets() -> None:
    section = Etcd(
        endpoints=("http://a:1", "https://[::1]:2/"),
        user="u",
        password_env="P",
        dial_timeout_ms=1500,
        request_timeout_ms=0,
    )
    settings = etcd_settings(section, {"P": "canary"})
    assert settings.endpoints == ("http://a:1", "https://[::1]:2")
    assert settings.credentials == ("u", "canary")
    assert (settings.dial_timeout, settings.request_timeout) == (1.5, None)
    assert (settings.tls, settings.server_name) == (None, None)
    assert "canary" not in repr(settings)


@pytest.mark.parametrize("environ", [{}, {"P": ""}])
def test_a_password_that_is_missing(environ: dict[str, str]) -> None:
    section = Etcd(endpoints=("http://a:1",), user="u", password_env="P")
    with pytest.raises(SettingsError, match=r"etcd\.password_env: environment variable P is unset or empty"):
        etcd_settings(section, environ)


@pytest.mark.parametrize(
    "lone", [Etcd(endpoints=("http://a",), user="u"), Etcd(endpoints=("http://a",), password_env="P")]
)
def test_half_a_login_is_none(lone: Etcd) -> None:
    assert etcd_settings(lone, {}).credentials is None


def test_tls_files(tmp_path: Path) -> None:
    good = Tls(tmp_path)
    settings = etcd_settings(Etcd(endpoints=("https://e.example:1",), tls=EtcdTls(**good.section())), {})
    assert settings.tls is not None
    assert settings.server_name == "e.example"
    named = EtcdTls(**good.section(domain_name="n"))
    assert etcd_settings(Etcd(endpoints=("https://e:1",), tls=named), {}).server_name == "n"
    (tmp_path / "empty").write_text("no PEM")
    for key, path in [("ca_cert_file", "gone"), ("client_cert_file", "gone"), ("client_key_file", "gone"),
                      ("ca_cert_file", "empty"), ("client_key_file", "ca.pem")]:  # fmt: skip
        files = good.section() | {key: str(tmp_path / path)}
        with pytest.raises(SettingsError, match=f"etcd.tls.{key} {tmp_path / path}"):
            etcd_settings(Etcd(endpoints=("https://e:1",), tls=EtcdTls(**files)), {})
