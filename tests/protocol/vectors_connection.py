"""Inbound vectors: Expect, Upgrade, persistence, pipelining, HTTP/1.0, and answers that come before the body."""

from tests.protocol.vector import CHAT, JSON, KEY, Vector, accepted, chunked, get, post, raw, refused, request, sized

GET = ("GET",)
CONNECT = "9110 15.5.6: refused as a known method that is not allowed; nginx does not know it"
UNREAD = "refused before its body was looked at; the broken chunk closes the connection"
HELLO = "5\r\nhello\r\n0\r\n\r\n"
EXPECT = "Expect: 100-continue"
CL = "Content-Length: 5"
TE = "Transfer-Encoding: chunked"

# RFC 9110 §10.1.1: the 100 is left out when the body is already there, so each of these comes as a head that waits
# (`expecting`) and as a whole, where the test takes both outcomes.
EXPECTS = [
    Vector("expect", "9110 10.1.1", post(EXPECT, CL, body="hello"), (200,), open=True, bodies=(b"hello",), loose=True),
    Vector("expect-head-only", "9110 10.1.1", post(EXPECT, CL), (100,), waits=True),
    Vector("expect-chunked-head-only", "9110 10.1.1", post(EXPECT, TE), (100,), waits=True),
    Vector("expect-mixed-case", "9110 10.1.1", post("Expect: 100-Continue", CL), (100,), waits=True),
    Vector("expect-upper-case-name", "9110 10.1.1", post("EXPECT: 100-CONTINUE", CL), (100,), waits=True),
    Vector("expect-without-body", "9110 10.1.1", post(EXPECT), (200,), open=True, bodies=(b"",)),
    Vector("expect-zero-length", "9110 10.1.1", post(EXPECT, "Content-Length: 0"), (200,), open=True, bodies=(b"",)),
    Vector("expect-on-get", "9110 10.1.1", get(EXPECT), (200,), open=True, methods=GET),
    refused("expect-other", "9110 10.1.1", post("Expect: nonsense", CL, body="hello"), 417),
    refused("expect-list", "9110 10.1.1", post("Expect: 100-continue, x", CL, body="hello"), 417),
    refused("expect-parameter", "9110 10.1.1", post("Expect: 100-continue;q=1", CL, body="hello"), 417),
    refused("expect-empty", "9110 10.1.1", post("Expect:", CL, body="hello"), 417),
    refused("expect-other-on-get", "9110 10.1.1", get("Expect: x"), 417, methods=GET),
    Vector(
        "expect-1.0",
        "9110 10.1.1",
        request("POST /echo HTTP/1.0", EXPECT, CL, body="hello"),
        (200,),
        bodies=(b"hello",),
    ),
    Vector("expect-1.0-head-only", "9110 10.1.1", request("POST /echo HTTP/1.0", EXPECT, CL), (), waits=True),
    Vector(
        "expect-other-1.0",
        "9110 10.1.1",
        request("POST /echo HTTP/1.0", "Expect: x", CL, body="hello"),
        (200,),
        bodies=(b"hello",),
    ),
    Vector("expect-refused-401", "9110 10.1.1", post(EXPECT, CL, JSON, path=CHAT), (401,)),
    Vector("expect-refused-404", "9110 10.1.1", post(EXPECT, CL, path="/nowhere"), (404,)),
    Vector("expect-refused-413", "9110 10.1.1", post(EXPECT, "Content-Length: 50000000"), (413,), limited=True),
]

H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
WEBSOCKET = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)

UPGRADES = [
    accepted("upgrade-h2c-sized", "9110 7.8", sized("hello", *H2C), "hello"),
    accepted("upgrade-h2c-chunked", "9110 7.8", chunked(HELLO, *H2C), "hello"),
    accepted("upgrade-h2c-no-body", "9110 7.8", post(*H2C), ""),
    accepted("upgrade-h2c-zero", "9110 7.8", sized("", *H2C), ""),
    accepted("upgrade-h2c-then-post", "9110 7.8", sized("hello", *H2C) + sized("x"), "hello", "x"),
    accepted("upgrade-h2c-chunked-then-post", "9110 7.8", chunked(HELLO, *H2C) + sized("x"), "hello", "x"),
    accepted(
        "upgrade-twice", "9110 7.8", sized("hello", *H2C) + chunked(HELLO, *H2C) + sized("x"), "hello", "hello", "x"
    ),
    accepted("upgrade-three-empty", "9110 7.8", post(*H2C) * 3, "", "", ""),
    accepted("upgrade-upper-case", "9110 7.8", sized("hello", "CONNECTION: UPGRADE", "UPGRADE: H2C"), "hello"),
    accepted("upgrade-without-connection", "9110 7.8", sized("hello", "Upgrade: h2c"), "hello"),
    accepted("upgrade-connection-only", "9110 7.8", sized("hello", "Connection: Upgrade"), "hello"),
    accepted("upgrade-large-body", "9110 7.8", sized("y" * 30_000, *H2C) + sized("x"), "y" * 30_000, "x"),
    Vector("upgrade-websocket", "9110 7.8", get(*WEBSOCKET), (200,), open=True, methods=GET),
    Vector("upgrade-websocket-then-get", "9110 7.8", get(*WEBSOCKET) + get(), (200, 200), open=True, methods=GET),
    Vector(
        "upgrade-unknown", "9110 7.8", get("Connection: Upgrade", "Upgrade: TLS/1.0"), (200,), open=True, methods=GET
    ),
    Vector(
        "upgrade-and-close",
        "9110 7.8",
        sized("hello", "Connection: Upgrade, close", "Upgrade: h2c"),
        (200,),
        bodies=(b"hello",),
    ),
    Vector(
        "upgrade-1.0-keep-alive",
        "9110 7.8",
        request("POST /echo HTTP/1.0", "Connection: Upgrade, keep-alive", "Upgrade: h2c", CL, body="hello")
        + sized("x"),
        (200, 200),
        open=True,
        bodies=(b"hello", b"x"),
    ),
    refused("upgrade-with-bad-chunk", "9112 7.1", chunked("5\r\nhello\rX", *H2C)),
    refused("upgrade-no-host", "9112 3.2", request("POST /echo HTTP/1.1", *H2C, CL, body="hello", host=None)),
    refused("upgrade-expect-other", "9110 10.1.1", post(*H2C, "Expect: x", CL, body="hello"), 417),
]


def closing(id: str, *fields: str, rfc: str = "9112 9.3") -> Vector:
    """A request after which the connection is closed; the noise behind it is never looked at."""
    return Vector("connection-" + id, rfc, sized("x", *fields) + sized("late"), (200,), bodies=(b"x",))


def lasting(id: str, *fields: str, rfc: str = "9112 9.3") -> Vector:
    return accepted("connection-" + id, rfc, sized("x", *fields) + sized("y"), "x", "y")


def old(id: str, *fields: str, open: bool) -> Vector:
    first = request("POST /echo HTTP/1.0", *fields, "Content-Length: 1", body="x")
    bodies = (b"x", b"y") if open else (b"x",)
    return Vector("1.0-" + id, "9112 9.3", first + sized("y"), (200,) * len(bodies), open=open, bodies=bodies)


CONNECTIONS = [
    closing("close", "Connection: close"),
    closing("close-upper-case", "CONNECTION: CLOSE"),
    closing("close-in-list", "Connection: x-hop, close"),
    closing("close-first-in-list", "Connection: close, x-hop"),
    closing("close-after-keep-alive", "Connection: keep-alive, close"),
    closing("close-before-keep-alive", "Connection: close, keep-alive"),
    closing("close-in-second-field", "Connection: keep-alive", "Connection: close"),
    closing("close-space-after", "Connection: close \t"),
    closing("close-no-space", "Connection:close"),
    lasting("none"),
    lasting("keep-alive", "Connection: keep-alive"),
    lasting("empty", "Connection:"),
    lasting("closed", "Connection: closed"),
    lasting("not-close", "Connection: not-close"),
    lasting("names-content-length", "Connection: content-length"),
    lasting("names-host", "Connection: host"),
    lasting("names-authorization", "Connection: authorization", KEY),
    lasting("keep-alive-field", "Connection: keep-alive", "Keep-Alive: timeout=5, max=1"),
    # llhttp takes it for Connection, as old proxies did (RFC 9112 §C.2.2).
    closing("proxy-connection", "Proxy-Connection: close"),
    old("plain", open=False),
    old("close", "Connection: close", open=False),
    old("keep-alive", "Connection: keep-alive", open=True),
    old("keep-alive-upper-case", "Connection: KEEP-ALIVE", open=True),
    old("keep-alive-and-close", "Connection: keep-alive, close", open=False),
    Vector("1.0-get", "9112 9.3", request("GET /livez HTTP/1.0", host=None), (200,), methods=GET),
    Vector("1.0-head", "9112 9.3", request("HEAD /livez HTTP/1.0"), (200,), methods=("HEAD",)),
    Vector("1.0-404", "9112 9.3", request("GET /nowhere HTTP/1.0"), (404,), methods=GET),
    Vector("1.0-post-without-length", "9112 6.3", request("POST /echo HTTP/1.0", body="hello"), (200,), bodies=(b"",)),
    refused("1.0-chunked", "9112 6.1", request("POST /echo HTTP/1.0", TE, body=HELLO)),
    refused(
        "1.0-chunked-keep-alive", "9112 6.1", request("POST /echo HTTP/1.0", "Connection: keep-alive", TE, body=HELLO)
    ),
    refused("1.0-chunked-and-length", "9112 6.1", request("POST /echo HTTP/1.0", TE, CL, body=HELLO)),
]


def many(count: int) -> Vector:
    posts = b"".join(sized(str(n)) for n in range(count))
    return accepted(f"pipeline-{count}", "9112 9.3.2", posts, *map(str, range(count)))


PIPELINES = [
    many(2),
    many(16),
    many(17),
    many(40),
    accepted(
        "pipeline-chunked",
        "9112 9.3.2",
        chunked(HELLO) + chunked("0\r\n\r\n") + chunked("1\r\nx\r\n0\r\n\r\n"),
        "hello",
        "",
        "x",
    ),
    accepted(
        "pipeline-mixed", "9112 9.3.2", chunked(HELLO) + sized("a") + post() + chunked(HELLO), "hello", "a", "", "hello"
    ),
    Vector("pipeline-gets", "9112 9.3.2", get() * 40, (200,) * 40, open=True, methods=GET),
    Vector(
        "pipeline-head-get",
        "9112 9.3.2",
        request("HEAD /livez HTTP/1.1") + get(),
        (200, 200),
        open=True,
        methods=("HEAD", "GET"),
    ),
    Vector(
        "pipeline-404-405",
        "9112 9.3.2",
        get(path="/x") + get(path="/echo") + get(),
        (404, 405, 200),
        open=True,
        methods=GET,
    ),
    Vector("pipeline-then-half", "9112 9.3.2", get() + raw("GET /li"), (200,), methods=GET, waits=True),
    Vector("pipeline-then-noise", "9112 9.3.2", get() + raw("\x00\x01\x02"), (200, 400), methods=GET),
    Vector("pipeline-then-bad-head", "9112 9.3.2", get() + get("A : b") + get(), (200, 400), methods=GET),
    Vector("pipeline-then-no-host", "9112 9.3.2", get() + get(host=None) + get(), (200, 400), methods=GET),
    Vector("pipeline-then-bad-chunk", "9112 9.3.2", sized("x") + chunked("zz\r\n"), (200, 400), bodies=(b"x",)),
    Vector("pipeline-then-cl-te", "9112 6.1", sized("x") + post(CL, TE, body=HELLO), (200, 400), bodies=(b"x",)),
    Vector(
        "pipeline-two-then-bad-chunk",
        "9112 9.3.2",
        sized("x") * 2 + chunked("zz\r\n") + get(),
        (200, 200, 400),
        bodies=(b"x", b"x"),
    ),
    Vector(
        "pipeline-close-then-noise", "9112 9.6", sized("x", "Connection: close") + b"\x00\x01", (200,), bodies=(b"x",)
    ),
    Vector("pipeline-close-then-get", "9112 9.6", sized("x", "Connection: close") + get(), (200,), bodies=(b"x",)),
    Vector(
        "pipeline-connect-last",
        "9110 9.3.6",
        get() + request("CONNECT a:1 HTTP/1.1"),
        (200, 405),
        methods=("GET", "CONNECT"),
        reason=CONNECT,
    ),
    Vector("pipeline-version-2", "9112 2.3", get() + request("GET / HTTP/2.0") + get(), (200, 505), methods=GET),
]

BIG = "x" * 1001
SMALL = "x" * 1000

REFUSALS = [
    Vector("early-404", "9110 15.5.5", sized("hello", path="/nowhere"), (404,), open=True),
    Vector("early-404-chunked", "9110 15.5.5", chunked(HELLO, path="/nowhere"), (404,), open=True),
    Vector(
        "early-405", "9110 15.5.6", request("PUT /echo HTTP/1.1", CL, body="hello"), (405,), open=True, methods=("PUT",)
    ),
    Vector("early-405-get-route", "9110 15.5.6", sized("hello", path="/v1/models"), (405,), open=True),
    Vector("early-410", "9110 15.5.11", sized("hello", path="/passthrough/openai/v1/x"), (410,), open=True),
    Vector("early-401", "9110 15.5.2", sized("{}", JSON, path=CHAT), (401,), open=True),
    Vector(
        "early-401-wrong-key",
        "9110 15.5.2",
        sized("{}", JSON, "Authorization: Bearer no", path=CHAT),
        (401,),
        open=True,
    ),
    Vector(
        "early-401-basic", "9110 15.5.2", sized("{}", JSON, "Authorization: Basic YTpi", path=CHAT), (401,), open=True
    ),
    Vector("early-401-x-api-key", "9110 15.5.2", sized("{}", JSON, "x-api-key: no", path=CHAT), (401,), open=True),
    Vector("early-401-bad-json", "9110 15.5.2", sized("{", JSON, path=CHAT), (401,), open=True),
    Vector("early-401-chunked", "9110 15.5.2", chunked(HELLO, JSON, path=CHAT), (401,), open=True),
    Vector(
        "early-401-then-next",
        "9110 15.5.2",
        sized("{}", JSON, path=CHAT) + sized("x"),
        (401, 200),
        open=True,
        bodies=(b"x",),
    ),
    Vector(
        "early-404-skips-60k",
        "9112 9.3",
        sized("y" * 60_000, path="/nowhere") + sized("x"),
        (404, 200),
        open=True,
        bodies=(b"x",),
    ),
    Vector(
        "early-404-skips-60k-chunked",
        "9112 9.3",
        chunked("ea60\r\n" + "y" * 60_000 + "\r\n0\r\n\r\n", path="/nowhere") + sized("x"),
        (404, 200),
        open=True,
        bodies=(b"x",),
    ),
    Vector("early-404-broken-chunk", "9112 7.1", chunked("zz\r\n", path="/nowhere"), (404,), reason=UNREAD),
    Vector(
        "early-404-length-never-sent", "9112 9.3", post("Content-Length: 60000", path="/nowhere"), (404,), waits=True
    ),
    Vector("early-404-length-too-long", "9112 9.3", post("Content-Length: 70000", path="/nowhere"), (404,)),
    Vector("early-models-401", "9110 15.5.2", get(path="/v1/models"), (401,), open=True, methods=GET),
    Vector("models", "9110 9.3.1", get(KEY, path="/v1/models"), (200,), open=True, methods=GET),
    Vector("models-head", "9110 9.3.2", request("HEAD /v1/models HTTP/1.1", KEY), (200,), open=True, methods=("HEAD",)),
    Vector(
        "models-options", "9110 9.3.7", request("OPTIONS /v1/models HTTP/1.1"), (405,), open=True, methods=("OPTIONS",)
    ),
    Vector("models-trace", "9110 9.3.8", request("TRACE /v1/models HTTP/1.1"), (405,), open=True, methods=("TRACE",)),
    Vector("model-unknown", "9110 15.5.5", get(KEY, path="/v1/models/nope"), (404,), open=True, methods=GET),
    Vector("chat-get", "9110 15.5.6", get(path=CHAT), (405,), open=True, methods=GET),
    Vector("chat-head", "9110 15.5.6", request(f"HEAD {CHAT} HTTP/1.1"), (405,), open=True, methods=("HEAD",)),
    Vector("chat-empty", "9110 15.5.1", sized("", KEY, JSON, path=CHAT), (400,), open=True),
    Vector("chat-no-content-type", "9110 15.5.1", sized("{}", KEY, path=CHAT), (400,), open=True),
    Vector("chat-not-json", "9110 15.5.1", sized("{", KEY, JSON, path=CHAT), (400,), open=True),
    Vector(
        "chat-unknown-model",
        "9110 15.5.5",
        sized('{"model":"x","messages":[{"role":"user"}]}', KEY, JSON, path=CHAT),
        (404,),
        open=True,
    ),
    Vector(
        "chat-unknown-model-chunked",
        "9110 15.5.5",
        chunked('2a\r\n{"model":"x","messages":[{"role":"user"}]}\r\n0\r\n\r\n', KEY, JSON, path=CHAT),
        (404,),
        open=True,
    ),
    Vector("limit-at", "9110 15.5.14", sized(SMALL), (200,), open=True, bodies=(SMALL.encode(),), limited=True),
    Vector("limit-above", "9110 15.5.14", sized(BIG), (413,), open=True, limited=True),
    Vector(
        "limit-above-then-next",
        "9110 15.5.14",
        sized(BIG) + sized("x"),
        (413, 200),
        open=True,
        bodies=(b"x",),
        limited=True,
    ),
    Vector("limit-unknown-path", "9110 15.5.14", sized(BIG, path="/nowhere"), (413,), open=True, limited=True),
    Vector(
        "limit-wrong-method",
        "9110 15.5.14",
        request("PUT /echo HTTP/1.1", "Content-Length: 1001", body=BIG),
        (413,),
        open=True,
        methods=("PUT",),
        limited=True,
    ),
    Vector("limit-bad-key", "9110 15.5.14", sized(BIG, JSON, path=CHAT), (413,), open=True, limited=True),
    Vector(
        "limit-largest-length",
        "9110 15.5.14",
        post("Content-Length: 18446744073709551615"),
        (),
        limited=True,
        waits=True,
    ),
    Vector(
        "limit-20-digits-of-zero",
        "9110 8.6",
        post("Content-Length: " + "5".zfill(20), body="hello"),
        (200,),
        open=True,
        bodies=(b"hello",),
        limited=True,
    ),
    Vector(
        "limit-chunked-at",
        "9110 15.5.14",
        chunked(f"3e8\r\n{SMALL}\r\n0\r\n\r\n"),
        (200,),
        open=True,
        bodies=(SMALL.encode(),),
        limited=True,
    ),
    Vector(
        "limit-chunked-above", "9110 15.5.14", chunked(f"3e9\r\n{BIG}\r\n0\r\n\r\n"), (413,), open=True, limited=True
    ),
    Vector("limit-chunked-never-ends", "9110 15.5.14", chunked(f"3e9\r\n{BIG}\r\n" * 100), (413,), limited=True),
    Vector(
        "limit-chunked-bad-key",
        "9110 15.5.14",
        chunked(f"3e9\r\n{BIG}\r\n0\r\n\r\n", JSON, path=CHAT),
        (401,),
        open=True,
        limited=True,
    ),
]

VECTORS = [*EXPECTS, *UPGRADES, *CONNECTIONS, *PIPELINES, *REFUSALS]
