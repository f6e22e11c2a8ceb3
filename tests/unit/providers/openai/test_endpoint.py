"""URL building and request heads of the OpenAI wire family."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw.core.errors import GatewayError
from fastgw.providers.fields import field_line
from fastgw.providers.openai.endpoint import OpenAIOperation, endpoint_url, head
from fastgw.providers.place import UpstreamURL, check_secret

SUFFIXES = [
    "/chat/completions",
    "/completions",
    "/embeddings",
    "/images/generations",
    "/audio/transcriptions",
    "/audio/translations",
    "/audio/speech",
]
OPERATIONS: list[OpenAIOperation] = ["chat/completions", "completions", "embeddings", "images/generations"]


def text(url: UpstreamURL) -> str:
    return f"{url.scheme}://{url.authority}{url.path}"


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("https://api.openai.com", "https://api.openai.com/v1/chat/completions"),
        ("http://api.openai.com/", "http://api.openai.com/v1/chat/completions"),
        ("HTTPS://API.OpenAI.com//", "https://api.openai.com/v1/chat/completions"),
        ("https://api.openai.com:443", "https://api.openai.com/v1/chat/completions"),
        ("https://api.openai.com:8443", "https://api.openai.com:8443/chat/completions"),
        ("https://api.openai.com/v1", "https://api.openai.com/v1/chat/completions"),
        ("https://api.openai.com/v2/", "https://api.openai.com/v2/chat/completions"),
        ("https://api.openai.com/chat/completions", "https://api.openai.com/v1/chat/completions"),
        ("https://api.openai.com.evil.example", "https://api.openai.com.evil.example/chat/completions"),
        ("https://api.openai.com@other.example", "https://other.example/chat/completions"),
        ("http://10.0.0.5:8000", "http://10.0.0.5:8000/chat/completions"),
        ("http://10.0.0.5:80", "http://10.0.0.5/chat/completions"),
        ("https://10.0.0.5:80/", "https://10.0.0.5:80/chat/completions"),
        ("http://h.example:/v1", "http://h.example/v1/chat/completions"),
        ("  https://gw.example/openai/v2///  ", "https://gw.example/openai/v2/chat/completions"),
        ("https://gw.example/v1//chat/completions/", "https://gw.example/v1/chat/completions"),
        ("https://h/v1/chat/completions?api-version=1", "https://h/v1/chat/completions?api-version=1"),
        ("https://h/v1/?api-version=1&x=a/b/", "https://h/v1/chat/completions?api-version=1&x=a/b/"),
        ("https://h?x=1", "https://h/chat/completions?x=1"),
        ("https://h/v1#top", "https://h/v1/chat/completions"),
        ("https://user:p%40ss@h/v1", "https://h/v1/chat/completions"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1/chat/completions"),
        ("https://[2001:DB8::0:1]", "https://[2001:db8::1]/chat/completions"),
        ("https://bücher.example/v1", "https://xn--bcher-kva.example/v1/chat/completions"),
        ('https://h/ü"{x}/a%2Fb', "https://h/%C3%BC%22%7Bx%7D/a%2Fb/chat/completions"),
        ("https://relay/https://inner/v1", "https://relay/https://inner/v1/chat/completions"),
        ("http://my_host./v1", "http://my_host./v1/chat/completions"),
    ],
)
def test_base(base: str, expected: str) -> None:
    assert text(endpoint_url(base, "any", "chat/completions")) == expected


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_endpoint_url_is_tolerated(suffix: str, operation: OpenAIOperation) -> None:
    assert endpoint_url(f"https://h/v3{suffix}/", "x", operation).path == f"/v3/{operation}"


def test_one_suffix_is_removed_not_two() -> None:
    assert endpoint_url("https://h/embeddings/completions", "x", "embeddings").path == "/embeddings/embeddings"


@pytest.mark.parametrize("provider", ["", "openai", " OpenAI "])
@pytest.mark.parametrize("base", [None, "", " \t"])
def test_default_base(base: str | None, provider: str) -> None:
    url = endpoint_url(base, provider, "embeddings")
    assert url == UpstreamURL("https", "api.openai.com", 443, "api.openai.com", "/v1/embeddings")


def test_other_vendors_have_no_default() -> None:
    with pytest.raises(GatewayError) as caught:
        endpoint_url(None, "acme", "chat/completions")
    assert caught.value.status == 400
    assert caught.value.type == "invalid_request_error"
    assert caught.value.message == (
        'invalid upstream configuration: provider_key for vendor "acme" has no upstream base URL configured'
    )


@pytest.mark.parametrize(
    "base",
    [
        "h.example/v1",
        "//h/v1",
        "ftp://h/v1",
        "http:/h",
        "http://",
        "http:///v1",
        "http://?x",
        "https://user@/v1",
        "https://h/v 1",
        "https://h/v1\r\nX: y",
        "https://h\t/v1",
        "https://h/v1\x7f",
        "https://h/v\u00a01",
        "https://h/v\u20281",
        "https://h:0/",
        "https://h:65536/",
        "https://h:+80/",
        "https://h:٣/",
        "https://a:b:c/",
        "https://[::1/",
        "https://::1/",
        "https://[fe80::1%25eth0]/",
        "https://[10.0.0.1]/",
        "https://127.1/",
        "https://0x7f.0x1/",
        "https://2130706433/",
        "https://256.0.0.1/",
        "https://a..b/",
        "https://-a/",
        "https://h\\v1",
        "https://h%2e.example/",
        "https://" + "a" * 64 + "/",
        "https://" + "a." * 127 + "aa/",
        "https://h/\ud800",
        "https://\ud800/",
    ],
)
def test_refused_bases(base: str) -> None:
    with pytest.raises(GatewayError) as caught:
        endpoint_url(base, "openai", "chat/completions")
    assert caught.value.status == 400
    assert caught.value.message.startswith("invalid upstream configuration: ")
    assert base not in caught.value.message


SEGMENT = st.text("abcz019-_.~%éß", min_size=1, max_size=8)


@given(
    st.lists(SEGMENT, max_size=5),
    st.sampled_from(["", "/", "//", "///"]),
    st.sampled_from(["", *SUFFIXES]),
    st.sampled_from(OPERATIONS),
)
def test_no_double_slash_and_no_lost_prefix(
    segments: list[str], slashes: str, suffix: str, operation: OpenAIOperation
) -> None:
    prefix = "".join("/" + part for part in segments)
    url = endpoint_url(f"https://h.example{prefix}{slashes}{suffix}{slashes}", "x", operation)
    assert "//" not in url.path
    assert url.path.isascii()
    expected = prefix.replace("é", "%C3%A9").replace("ß", "%C3%9F")
    assert url.path == f"{expected}/{operation}"


@given(st.text(max_size=60))
def test_any_text_is_a_url_or_the_documented_error(base: str) -> None:
    for candidate in (base, "https://" + base, "https://h/" + base):
        try:
            url = endpoint_url(candidate, "openai", "embeddings")
        except GatewayError as error:
            assert error.status == 400
        else:
            made = head(url, "sk", "fastgw", stream=False)
            assert made.count(b"\r\n") == 5
            assert url.path.split("?")[0].endswith("/embeddings")
            assert url.host


URL = endpoint_url("https://h.example:8443/v1", "openai", "chat/completions")


def parsed(made: bytes) -> tuple[bytes, dict[bytes, list[bytes]]]:
    """Target and fields as an independent parser reads them, once the head is completed as the hot path does."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(made + b"id-1\r\nContent-Length: 0\r\n\r\n")
    event = connection.next_event()
    assert isinstance(event, h11.Request)
    assert event.method == b"POST"
    fields: dict[bytes, list[bytes]] = {}
    for name, value in event.headers:
        fields.setdefault(name, []).append(value)
    return event.target, fields


def test_head() -> None:
    assert head(URL, "sk-1", "acme", stream=False) == (
        b"POST /v1/chat/completions HTTP/1.1\r\n"
        b"Host: h.example:8443\r\n"
        b"Authorization: Bearer sk-1\r\n"
        b"Content-Type: application/json\r\n"
        b"User-Agent: acme/0.1\r\n"
        b"x-acme-request-id: "
    )


def test_streams_ask_for_events() -> None:
    _, fields = parsed(head(URL, "sk", "fastgw", stream=True))
    assert fields[b"accept"] == [b"text/event-stream"]
    assert set(fields) == {
        b"host", b"authorization", b"content-type", b"user-agent", b"accept", b"x-fastgw-request-id", b"content-length"
    }  # fmt: skip


@pytest.mark.parametrize("secret", ["", " ", "\t", "\r\n"])
def test_empty_secret(secret: str) -> None:
    with pytest.raises(GatewayError) as caught:
        check_secret(secret)
    assert (caught.value.status, caught.value.type) == (401, "authentication_error")
    assert caught.value.message == "invalid upstream credentials: provider_key.api_key is empty"


@pytest.mark.parametrize("code", range(256))
def test_every_byte_in_a_secret(code: int) -> None:
    secret = f"sk{chr(code)}x"
    if 0x20 <= code < 0x7F:
        _, fields = parsed(head(URL, secret, "fastgw", stream=False))
        assert fields[b"authorization"] == [b"Bearer " + secret.encode()]
        return
    with pytest.raises(GatewayError) as caught:
        head(URL, secret, "fastgw", stream=False)
    assert caught.value.message == (
        "invalid upstream credentials: provider_key.api_key contains invalid header characters"
    )


@pytest.mark.parametrize("code", range(256))
def test_every_byte_in_a_field_line(code: int) -> None:
    value, name = f"a{chr(code)}b", f"X{chr(code)}Y"
    legal = code == 9 or 0x20 <= code != 0x7F
    assert field_line("X-V", value) == (f"X-V: {value}\r\n".encode() if legal else None)
    token = chr(code) in "!#$%&'*+-.^_`|~" or (code < 128 and chr(code).isalnum())
    assert field_line(name, "n") == (f"{name}: n\r\n".encode() if token else None)


@given(st.text(), st.text())
def test_a_field_line_is_one_line(name: str, value: str) -> None:
    line = field_line(name, value)
    if line is not None:
        assert line.endswith(b"\r\n")
        assert b"\r" not in line[:-2]
        assert b"\n" not in line[:-2]
        assert b"\0" not in line
    assert field_line(name, "") is None


@pytest.mark.parametrize("namespace", ["a b", "a\r\nx", "é"])
def test_bad_namespaces(namespace: str) -> None:
    with pytest.raises(ValueError, match="no valid name"):
        head(URL, "sk", namespace, stream=False)


@pytest.mark.parametrize("code", [0, 9, 10, 13, 32, 127, 233])
def test_a_url_made_by_hand_cannot_inject(code: int) -> None:
    for url in (
        UpstreamURL("http", "h", 80, "h", f"/a{chr(code)}b"),
        UpstreamURL("http", "h", 80, f"h{chr(code)}x", "/a"),
    ):
        with pytest.raises(ValueError, match="request target or host"):
            head(url, "sk", "fastgw", stream=False)
