"""Addresses with credentials, and what belongs to one origin."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw.core.urls import embeds_credentials, origin


@pytest.mark.parametrize(
    "url",
    [
        "https://user:secret@host/",
        "https://user@host",
        "https://@host",
        *(
            f"http://host/keys?{name}=x"
            for name in ("access_token", "token", "client_secret", "password", "api_key", "apikey", "TOKEN")
        ),
        "http://host/keys?a=b&token=",
        "http://host/keys?a=b&%74oken=x",
        "http://user:secret@[::1",
    ],
)
def test_credentials(url: str) -> None:
    assert embeds_credentials(url)


@pytest.mark.parametrize(
    "url", ["https://host", "http://host/token?x=token", "http://host/a@b", "http://host?tokens=1", "nonsense", ""]
)
def test_no_credentials(url: str) -> None:
    assert not embeds_credentials(url)


def test_origins() -> None:
    assert origin("https://Host/a?b#c") == origin("https://host:443") == ("https", "host", 443)
    assert origin("http://[::1]:80/") == origin("http://[::1]")
    assert origin("http://host") != origin("https://host")
    assert origin("http://host") != origin("http://host:8080")
    for url in ("ftp://host", "host", "https://", "http://host:x", "http://host:99999", "http://[::1"):
        with pytest.raises(ValueError, match=r"."):
            origin(url)


@given(st.text())
def test_any_text_is_judged(url: str) -> None:
    assert isinstance(embeds_credentials(url), bool)
    try:
        origin(url)
    except ValueError:
        pass
