"""Inbound vectors: request lines, fields, Host, and how large a head may be."""

from tests.protocol.vector import KEY, Vector, accepted, get, post, raw, refused, request, sized

GET = ("GET",)


def line(id: str, text: str, status: int = 200, *, open: bool = True, rfc: str = "9112 3", reason: str = "") -> Vector:
    """A request line with a Host field behind it, and no body."""
    return Vector("line-" + id, rfc, request(text), (status,), open=open, methods=(text.split(" ")[0],), reason=reason)


def bad_line(id: str, text: str, status: int = 400, rfc: str = "9112 3") -> Vector:
    return Vector("line-" + id, rfc, request(text), (status,), methods=GET)


ENCODED = "paths are matched as they came and never decoded or forwarded"
ASTERISK = "9112 3.2.4: a request to the server as a whole, which has nothing to tell about itself"
CONNECT = "9110 15.5.6: refused as a known method that is not allowed; nginx does not know it"
OTHER = "llhttp reads the version of RTSP and ICE like that of HTTP/1.0; the answer is HTTP, nothing is forwarded"

LINES = [
    line("plain", "GET /livez HTTP/1.1"),
    line("query", "GET /livez?verbose HTTP/1.1"),
    line("query-twice", "GET /livez?a?b HTTP/1.1"),
    line("query-empty", "GET /livez? HTTP/1.1"),
    line("unknown-path", "GET /nowhere HTTP/1.1", 404),
    line("root", "GET / HTTP/1.1", 404),
    line("double-slash", "GET //livez HTTP/1.1", 404),
    line("trailing-slash", "GET /livez/ HTTP/1.1", 404),
    line("dot-segments", "GET /v1/../livez HTTP/1.1", 404),
    line("percent-encoded-path", "GET /%6civez HTTP/1.1", 404),
    line("percent-zero", "GET /livez%00 HTTP/1.1", 404, reason=ENCODED),
    line("percent-broken", "GET /livez%zz HTTP/1.1", 404, reason=ENCODED),
    line("odd-printable", 'GET /"<>\\^`{|} HTTP/1.1', 404),
    line("two-spaces-before-target", "GET  /livez HTTP/1.1"),
    line("two-spaces-before-version", "GET /livez  HTTP/1.1"),
    line("head", "HEAD /livez HTTP/1.1"),
    line("put", "PUT /livez HTTP/1.1", 405),
    line("patch", "PATCH /livez HTTP/1.1", 405),
    line("delete", "DELETE /livez HTTP/1.1", 405),
    line("options", "OPTIONS /livez HTTP/1.1", 405),
    line("trace", "TRACE /livez HTTP/1.1", 405),
    line("propfind", "PROPFIND /livez HTTP/1.1", 405),
    line("query-method", "QUERY /livez HTTP/1.1", 405),
    line("options-asterisk", "OPTIONS * HTTP/1.1", 404, rfc="9112 3.2.4", reason=ASTERISK),
    bad_line("get-asterisk", "GET * HTTP/1.1", rfc="9112 3.2.4"),
    bad_line("post-asterisk", "POST * HTTP/1.1", rfc="9112 3.2.4"),
    bad_line("lower-case-method", "get /livez HTTP/1.1"),
    bad_line("mixed-case-method", "Get /livez HTTP/1.1"),
    bad_line("unknown-method", "FOO /livez HTTP/1.1"),
    bad_line("method-with-suffix", "GETS /livez HTTP/1.1"),
    bad_line("method-nul", "GE\x00T /livez HTTP/1.1"),
    bad_line("method-tab", "GET\t/livez HTTP/1.1"),
    bad_line("leading-space", " GET /livez HTTP/1.1"),
    bad_line("leading-tab", "\tGET /livez HTTP/1.1"),
    bad_line("rtsp-method", "DESCRIBE /livez HTTP/1.1"),
    bad_line("no-target", "GET HTTP/1.1"),
    bad_line("no-version", "GET /livez"),
    bad_line("no-version-space", "GET /livez "),
    bad_line("version-0.9", "GET /livez HTTP/0.9", rfc="9112 2.3"),
    bad_line("version-2.0", "GET /livez HTTP/2.0", 505, rfc="9110 15.6.6"),
    bad_line("version-3.0", "GET /livez HTTP/3.0", 505, rfc="9110 15.6.6"),
    bad_line("version-1.2", "GET /livez HTTP/1.2", 505, rfc="9110 15.6.6"),
    bad_line("version-9.9", "GET /livez HTTP/9.9", 505, rfc="9110 15.6.6"),
    bad_line("version-1.10", "GET /livez HTTP/1.10", rfc="9112 2.3"),
    bad_line("version-01.1", "GET /livez HTTP/01.1", rfc="9112 2.3"),
    bad_line("version-1", "GET /livez HTTP/1", rfc="9112 2.3"),
    bad_line("version-1-comma", "GET /livez HTTP/1,1", rfc="9112 2.3"),
    bad_line("version-plus", "GET /livez HTTP/+1.1", rfc="9112 2.3"),
    bad_line("version-lower-case", "GET /livez http/1.1", rfc="9112 2.3"),
    bad_line("version-trailing-space", "GET /livez HTTP/1.1 ", rfc="9112 2.3"),
    bad_line("version-other-protocol", "GET /livez HTTQ/1.1", rfc="9112 2.3"),
    Vector("line-rtsp", "9112 2.3", request("GET /livez RTSP/1.0"), (200,), methods=GET, reason=OTHER),
    Vector("line-ice", "9112 2.3", request("SOURCE /livez ICE/1.0"), (405,), methods=GET, reason=OTHER),
    line("absolute", "GET http://a/livez HTTP/1.1", rfc="9112 3.2.2"),
    line("absolute-https", "GET https://a/livez HTTP/1.1", rfc="9112 3.2.2"),
    line("absolute-port-query", "GET http://a:3000/livez?verbose HTTP/1.1", rfc="9112 3.2.2"),
    line("absolute-upper-case-scheme", "GET HTTP://a/livez HTTP/1.1", rfc="9112 3.2.2"),
    line("absolute-other-host", "GET http://b/livez HTTP/1.1", rfc="9112 3.2.2"),
    line("absolute-ipv6", "GET http://[::1]:80/livez HTTP/1.1", rfc="9112 3.2.2"),
    line("absolute-no-path", "GET http://a HTTP/1.1", 404, rfc="9112 3.2.2"),
    line("absolute-only-query", "GET http://a?b HTTP/1.1", 404, rfc="9112 3.2.2"),
    bad_line("absolute-no-host", "GET http:///livez HTTP/1.1", rfc="9110 4.2.1"),
    bad_line("absolute-userinfo", "GET http://u:p@a/livez HTTP/1.1", rfc="9110 4.2.4"),
    bad_line("absolute-ftp", "GET ftp://a/livez HTTP/1.1", rfc="9112 3.2.2"),
    bad_line("absolute-javascript", "GET javascript:x HTTP/1.1", rfc="9112 3.2.2"),
    bad_line("authority-form", "GET a:80 HTTP/1.1", rfc="9112 3.2.3"),
    bad_line("relative", "GET livez HTTP/1.1", rfc="9112 3.2"),
    bad_line("query-only", "GET ?a HTTP/1.1", rfc="9112 3.2"),
    bad_line("fragment", "GET /livez#top HTTP/1.1", rfc="9112 3.2"),
    bad_line("fragment-after-query", "GET /livez?a#top HTTP/1.1", rfc="9112 3.2"),
    bad_line("fragment-only", "GET # HTTP/1.1", rfc="9112 3.2"),
    bad_line("target-nul", "GET /liv\x00ez HTTP/1.1", rfc="9112 3.2"),
    bad_line("target-control", "GET /liv\x01ez HTTP/1.1", rfc="9112 3.2"),
    bad_line("target-tab", "GET /liv\tez HTTP/1.1", rfc="9112 3.2"),
    bad_line("target-vertical-tab", "GET /liv\x0bez HTTP/1.1", rfc="9112 3.2"),
    bad_line("target-delete", "GET /liv\x7fez HTTP/1.1", rfc="9112 3.2"),
    bad_line("target-latin-1", "GET /liv\xe9z HTTP/1.1", rfc="9112 3.2"),
    bad_line("target-utf-8", "GET /liv\xc3\xa9z HTTP/1.1", rfc="9112 3.2"),
    bad_line("target-space", "GET /liv ez HTTP/1.1", rfc="9112 3.2"),
    bad_line("target-bare-cr", "GET /liv\rez HTTP/1.1", rfc="9112 2.2"),
    Vector("line-target-bare-lf", "9112 2.2", request("GET /liv\nez HTTP/1.1"), (400,), methods=GET),
    Vector("line-lf", "9112 2.2", raw("GET /livez HTTP/1.1\nHost: a\n\n"), (400,), methods=GET),
    Vector("line-cr", "9112 2.2", raw("GET /livez HTTP/1.1\rHost: a\r\r"), (400,), methods=GET),
    Vector("line-crcrlf", "9112 2.2", raw("GET /livez HTTP/1.1\r\r\nHost: a\r\n\r\n"), (400,), methods=GET),
    Vector("line-simple-request", "9112 2.3", raw("GET /livez\r\n"), (), methods=GET, waits=True),
    Vector("connect", "9110 9.3.6", request("CONNECT a:80 HTTP/1.1"), (405,), methods=("CONNECT",), reason=CONNECT),
    Vector("connect-path", "9112 3.2.3", request("CONNECT /livez HTTP/1.1"), (405,), methods=("CONNECT",)),
    Vector("connect-no-host", "9112 3.2", request("CONNECT a:80 HTTP/1.1", host=None), (400,), methods=("CONNECT",)),
    Vector(
        "connect-then-bytes",
        "9110 9.3.6",
        request("CONNECT a:80 HTTP/1.1") + get(),
        (405,),
        methods=("CONNECT",),
        reason=CONNECT,
    ),
    Vector("connect-1.0", "9110 9.3.6", request("CONNECT a:80 HTTP/1.0"), (405,), methods=("CONNECT",), reason=CONNECT),
    Vector("h2-preface", "9113 3.4", raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), (505,), methods=GET),
    Vector("tls-hello", "9112 3", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", (400,), methods=GET),
    Vector("noise", "9112 3", bytes(range(128, 256)), (400,), methods=GET),
    Vector("noise-nul", "9112 3", b"\x00" * 64, (400,), methods=GET),
    Vector("response-as-request", "9112 3", raw("HTTP/1.1 200 OK\r\n\r\n"), (400,), methods=GET),
    Vector("nothing", "9112 9", b"", (), open=True, methods=GET),
    Vector("empty-line", "9112 2.2", raw("\r\n") + get(), (200,), open=True, methods=GET),
    Vector("empty-lines", "9112 2.2", raw("\r\n\r\n\r\n") + get(), (200,), open=True, methods=GET),
    Vector("empty-lines-only", "9112 2.2", raw("\r\n\r\n"), (), open=True, methods=GET),
    Vector("empty-line-between", "9112 2.2", get() + raw("\r\n") + get(), (200, 200), open=True, methods=GET),
    Vector(
        "empty-line-after-body",
        "9112 2.2",
        sized("x") + raw("\r\n") + sized("y"),
        (200, 200),
        open=True,
        bodies=(b"x", b"y"),
    ),
]


def field(id: str, text: str, rfc: str = "9110 5.5", reason: str = "") -> Vector:
    return Vector("field-" + id, rfc, get(text), (200,), open=True, methods=GET, reason=reason)


def bad_field(id: str, text: str, rfc: str = "9110 5.5") -> Vector:
    return refused("field-" + id, rfc, get(text), methods=GET)


FIELDS = [
    field("empty-value", "A:"),
    field("blank-value", "A:  \t "),
    field("no-space", "A:b"),
    field("tab", "A:\tb"),
    field("inner-tab", "A: b\tc"),
    field("colon-in-value", "A: b:c"),
    field("latin-1-value", "A: \xe9"),
    field("utf-8-value", "A: \xc3\xa9"),
    field("token-characters", "!#$%&'*+-.^_`|~09azAZ: b", "9110 5.6.2"),
    field("underscore", "a_b: c", "9110 5.1"),
    field("repeated", "A: b\r\nA: c", "9110 5.2"),
    field("long-name", "a" * 4000 + ": b", "9110 5.1"),
    bad_field("obs-fold-space", "A: b\r\n c", "9112 5.2"),
    bad_field("obs-fold-tab", "A: b\r\n\tc", "9112 5.2"),
    bad_field("obs-fold-empty", "A:\r\n \r\n b", "9112 5.2"),
    bad_field("space-before-colon", "A : b", "9112 5.1"),
    bad_field("tab-before-colon", "A\t: b", "9112 5.1"),
    bad_field("no-colon", "A", "9112 5"),
    bad_field("no-name", ": b", "9112 5"),
    bad_field("name-space", "A B: c", "9110 5.1"),
    bad_field("name-leading-space", " A: b", "9112 2.2"),
    bad_field("name-latin-1", "\xe9: b", "9110 5.1"),
    bad_field("name-nul", "A\x00: b", "9110 5.1"),
    bad_field("name-parenthesis", "A(b): c", "9110 5.6.2"),
    bad_field("name-bracket", "[A]: b", "9110 5.6.2"),
    bad_field("name-slash", "A/b: c", "9110 5.6.2"),
    bad_field("name-quote", '"A": b', "9110 5.6.2"),
    bad_field("name-at", "A@b: c", "9110 5.6.2"),
    bad_field("name-comma", "A,b: c", "9110 5.6.2"),
    bad_field("name-equals", "A=b: c", "9110 5.6.2"),
    bad_field("name-delete", "A\x7f: b", "9110 5.6.2"),
    bad_field("value-nul", "A: \x00"),
    bad_field("value-control", "A: \x01b"),
    bad_field("value-backspace", "A: b\x08"),
    bad_field("value-vertical-tab", "A: \x0bb"),
    bad_field("value-form-feed", "A: b\x0c"),
    bad_field("value-escape", "A: \x1b[0m"),
    bad_field("value-delete", "A: \x7f"),
    bad_field("value-bare-lf", "A: b\nC: d", "9112 2.2"),
    bad_field("value-bare-cr", "A: b\rC: d", "9112 2.2"),
    bad_field("value-crcrlf", "A: b\r", "9112 2.2"),
    bad_field("lf-before-crlf", "A: b\n", "9112 2.2"),
    Vector("field-end-lf", "9112 2.2", raw("GET /livez HTTP/1.1\r\nHost: a\r\n\n"), (400,), methods=GET),
    Vector("field-end-cr", "9112 2.2", raw("GET /livez HTTP/1.1\r\nHost: a\r\n\rX"), (400,), methods=GET),
    Vector("first-field-indented", "9112 2.2", raw("GET /livez HTTP/1.1\r\n Host: a\r\n\r\n"), (400,), methods=GET),
    Vector("head-refusal-is-bodiless", "9110 9.3.2", request("HEAD / HTTP/1.1", "A : b"), (400,), methods=("HEAD",)),
]


EMPTY_HOST = "9112 3.2: the value is empty where the target has no authority"


def host(id: str, *lines: str, version: str = "1.1", target: str = "/livez", reason: str = "") -> Vector:
    keep = version == "1.1"
    data = request(f"GET {target} HTTP/{version}", *lines, host=None)
    return Vector("host-" + id, "9112 3.2", data, (200,), open=keep, methods=GET, reason=reason)


def bad_host(id: str, *lines: str, version: str = "1.1", target: str = "/livez") -> Vector:
    return refused("host-" + id, "9112 3.2", request(f"GET {target} HTTP/{version}", *lines, host=None), methods=GET)


HOSTS = [
    host("name", "Host: example.com"),
    host("port", "Host: example.com:3000"),
    host("ipv4", "Host: 127.0.0.1:3000"),
    host("ipv6", "Host: [::1]:3000"),
    host("empty", "Host:", reason=EMPTY_HOST),
    host("underscore", "Host: a_b"),
    host("lower-case-name", "host: a"),
    host("not-first", "A: b", "Host: a"),
    host("absent-1.0", version="1.0"),
    host("differs-from-absolute", "Host: b", target="http://a/livez"),
    bad_host("absent"),
    bad_host("absent-absolute", target="http://a/livez"),
    bad_host("twice-equal", "Host: a", "Host: a"),
    bad_host("twice-different", "Host: a", "Host: b"),
    bad_host("twice-mixed-case", "Host: a", "HOST: a"),
    bad_host("twice-1.0", "Host: a", "Host: b", version="1.0"),
    bad_host("two-words", "Host: a b"),
    bad_host("tab", "Host: a\tb"),
    bad_host("list", "Host: a, b"),
    bad_host("path", "Host: a/b"),
    bad_host("query", "Host: a?b"),
    bad_host("fragment", "Host: a#b"),
    bad_host("userinfo", "Host: u@a"),
    bad_host("backslash", "Host: a\\b"),
    bad_host("angle-brackets", "Host: <a>"),
    bad_host("latin-1", "Host: \xe9"),
    bad_host("space-before-colon", "Host : a"),
    bad_host("folded", "Host: a\r\n b"),
    bad_host("bad-1.0", "Host: a b", version="1.0"),
]


def padded(size: int, lines: int = 1) -> bytes:
    """A GET whose head has exactly `size` bytes, spread over this many fields."""
    bare = get(*["X: "] * lines)
    pad, rest = divmod(size - len(bare), lines)
    return get(*[f"X: {'y' * (pad + (rest if i == 0 else 0))}" for i in range(lines)])


def long_target(size: int) -> bytes:
    """A GET of an unknown path whose head has exactly `size` bytes."""
    return get(path="/" + "y" * (size - len(get(path="/"))))


LIMIT = 65536
LARGE = "the limit is 64 KiB per head, however it is spread; nginx allows 8 KiB per line by default"

SIZES = [
    Vector("size-limit-1", "9112 2.3", padded(LIMIT - 1), (200,), open=True, methods=GET, reason=LARGE),
    Vector("size-limit", "9112 2.3", padded(LIMIT), (200,), open=True, methods=GET, reason=LARGE),
    refused("size-limit+1", "6585 5", padded(LIMIT + 1), 431, methods=GET),
    Vector("size-limit-100-fields", "6585 5", padded(LIMIT, 100), (200,), open=True, methods=GET, reason=LARGE),
    refused("size-limit-100-fields+1", "6585 5", padded(LIMIT + 1, 100), 431, methods=GET),
    refused("size-200k", "6585 5", padded(200_000), 431, methods=GET),
    refused("size-endless-value", "6585 5", get()[:-2] + raw("X: " + "y" * 150_000), 431, methods=GET),
    refused("size-endless-name", "6585 5", get()[:-2] + raw("y" * 150_000), 431, methods=GET),
    refused("size-endless-target", "9112 3", raw("GET /" + "y" * 150_000), 431, methods=GET),
    refused("size-endless-empty-lines", "9112 2.2", raw("\r\n" * 40_000), 431, methods=GET),
    refused("size-endless-spaces", "6585 5", get()[:-2] + raw("X:" + " " * 150_000), 431, methods=GET),
    Vector("size-target-limit", "9112 3", long_target(LIMIT), (404,), open=True, methods=GET, reason=LARGE),
    refused("size-target-limit+1", "9112 3", long_target(LIMIT + 1), 431, methods=GET),
    Vector("size-target-8000", "9112 3", long_target(8_000), (404,), open=True, methods=GET),
    Vector("fields-127", "6585 5", get(*["A: b"] * 126), (200,), open=True, methods=GET),
    Vector("fields-128", "6585 5", get(*["A: b"] * 127), (200,), open=True, methods=GET),
    refused("fields-129", "6585 5", get(*["A: b"] * 128), 431, methods=GET),
    refused("fields-5000", "6585 5", get(*["A: b"] * 5_000), 431, methods=GET),
    Vector("size-body-is-not-head", "9112 6", sized("x" * 100_000), (200,), open=True, bodies=(b"x" * 100_000,)),
    Vector("size-second-head", "6585 5", get() + padded(200_000), (200, 431), methods=GET),
    Vector("size-second-fields", "6585 5", get() + get(*["A: b"] * 128), (200, 431), methods=GET),
    accepted(
        "size-head-and-body",
        "9112 6",
        post("X: " + "y" * 30_000, "Content-Length: 3", KEY, body="abc"),
        "abc",
        reason=LARGE,
    ),
]

VECTORS = [*LINES, *FIELDS, *HOSTS, *SIZES]
