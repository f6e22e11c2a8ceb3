"""Credentials in what transports say."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw.core.errors import decode_error, transport_error
from fastgw.core.redact import redact_urls


@pytest.mark.parametrize(
    ("given_text", "redacted"),
    [
        ("https://h/p?key=abc&x=1", "https://h/p?key=REDACTED&x=1"),
        ("url 'https://h/p?api_key=abc' failed", "url 'https://h/p?api_key=REDACTED failed"),
        ("?x=1&ACCESS_TOKEN=q#frag", "?x=1&ACCESS_TOKEN=REDACTED#frag"),
        ("https://s3/x?X-Amz-Credential=AK/1&X-Amz-Signature=ff", "https://s3/x?X-Amz-Credential=REDACTED&X-Amz-Signature=REDACTED"),
        ("?sig=a;b=c&client_secret=d password=e", "?sig=REDACTED&client_secret=REDACTED password=e"),
        ("?a=1;key=2", "?a=1;key=REDACTED"),
        ("?%6bey=1&my%5Fkey=2", "?%6bey=REDACTED&my%5Fkey=REDACTED"),
        ("?next=https://h/?password=p", "?next=https://h/?password=REDACTED"),
        ("#token=t", "#token=REDACTED"),
        ("?key=&keys=1&keyed=2", "?key=&keys=1&keyed=2"),
        ("https://user:p@ss@h/x", "https://REDACTED@h/x"),
        ("mail to a@b, https://h/@x", "mail to a@b, https://h/@x"),
        ("nothing", "nothing"),
    ],
)  # fmt: skip
def test_redaction(given_text: str, redacted: str) -> None:
    assert redact_urls(given_text) == redacted


NAME = st.text(string.ascii_letters + "-_.[]", max_size=6)
ENDING = st.sampled_from(["key", "Token", "SECRET", "password", "credential", "sig", "signature"])


@given(
    st.text(max_size=12),
    st.lists(st.tuples(NAME, st.text(string.ascii_letters + ";?=/", max_size=6)), max_size=3),
    NAME,
    ENDING,
    # What a URL may hold in a query (RFC 3986 §3.4), without the separator; digits make it unlike the rest.
    st.text(string.digits, min_size=4).flatmap(
        lambda digits: st.text("-._~!$'()*+,;=:@/?%", max_size=4).map(lambda odd: odd + digits)
    ),
    st.sampled_from(["", " refused", "&x=y", "#f", "\n"]),
)
def test_redaction_never_leaves_the_secret(
    before: str, others: list[tuple[str, str]], name: str, ending: str, secret: str, after: str
) -> None:
    marker = f"\u2460{secret}"
    query = "".join(f"{key}={value}&" for key, value in others)
    text = redact_urls(f"{before} https://h/p?{query}{name}{ending}={marker}{after}")
    assert marker not in text
    assert secret not in text.removeprefix(before)
    assert redact_urls(text) == text
    assert text.endswith(after)


def test_causes_are_redacted() -> None:
    for error in (transport_error("no way to https://h/p?api_key=abc"), decode_error("not https://u:abc@h/")):
        assert "abc" not in error.message
        assert "REDACTED" in error.message
