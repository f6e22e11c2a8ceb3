"""The readers of request and answer heads: what they report, and that the cutting of the input never shows."""

import itertools
import re

import pytest
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser, HttpResponseParser
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgw._speedups import head
from fastgw._speedups.head import AnswerReader, Request, RequestIds, RequestReader
from tests.protocol.vectors import VECTORS
from tests.support.heads import read_answers, read_requests
from tests.support.leaks import growth


def parse(*lines: str, body: bytes = b"", host: bool = True) -> Request:
    """The first request of this head, with a Host field unless told otherwise."""
    lines = (lines[0], *(["Host: a"] if host else []), *lines[1:])
    reader = RequestReader()
    reader.parser = HttpRequestParser(reader)
    try:
        reader.parser.feed_data(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body)
    except (HttpParserError, HttpParserUpgrade):
        assert reader.queue
    request = reader.take()
    assert request is not None
    reader.parser = None
    return request


# -- requests


def test_a_request() -> None:
    request = parse(
        "POST /v1/x?a=b&c HTTP/1.1",
        "Authorization: Bearer k \t",
        "X-API-Key: first",
        "x-api-key: second",
        "Content-Type: application/json",
        "X-Many: 1",
        "x-mANY: 2",
        "Content-Length: 5",
        body=b"hello",
    )
    assert (request.method, request.target) == (b"POST", b"/v1/x?a=b&c")
    assert (request.path, request.query) == (b"/v1/x", b"a=b&c")
    assert request.http11
    assert request.keep_alive
    assert request.authorization == b"Bearer k"
    assert request.api_key == b"first"
    assert request.content_type == b"application/json"
    assert request.first(b"x-many") == b"1"
    assert request.all(b"x-many") == [b"1", b"2"]
    assert request.first(b"x-none") is None
    assert request.all(b"x-none") == []
    assert request.fields[0] == (b"host", b"a")
    assert request.content_length == 5
    assert not request.chunked
    assert request.has_body
    assert request.complete
    assert request.received == 5
    assert request.body() == b"hello"
    assert request.flaws == 0


def test_an_empty_request() -> None:
    request = parse("GET / HTTP/1.1")
    assert (request.path, request.query, request.body()) == (b"/", b"", b"")
    assert request.content_length == -1
    assert not request.has_body
    assert request.authorization is request.api_key is request.content_type is None


def test_the_body_can_be_forgotten_while_it_counts() -> None:
    request = parse("POST / HTTP/1.1", "Content-Length: 5", body=b"hello")
    request.forget_body()
    assert request.body() == b""
    assert request.received == 5


def test_a_rewritten_request_keeps_its_query() -> None:
    request = parse("GET /a?b HTTP/1.1")
    request.rewritten(b"/c")
    assert (request.path, request.query, request.target) == (b"/c", b"b", b"/a?b")


def test_names_are_lowered_in_copies() -> None:
    # CPython shares the objects of texts of one byte; lowering them in place would change them for everybody.
    for letter in range(65, 91):
        name = chr(letter)
        assert parse("GET / HTTP/1.1", f"{name}: {name}").fields[1] == (name.lower().encode(), name.encode())
        assert bytes([letter]) == name.encode()
        assert ord(name.encode()) == letter


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("0", 0),
        ("7", 7),
        ("0" * 30 + "7", 7),
        ("999999999999999999", 999999999999999999),
        ("4611686018427387899", 4611686018427387899),
        ("9223372036854775807", 4611686018427387900),
        ("18446744073709551615", 4611686018427387900),
    ],
)
def test_content_length_saturates(value: str, number: int) -> None:
    assert parse("POST / HTTP/1.1", f"Content-Length: {value}").content_length == number


@pytest.mark.parametrize(
    ("lines", "flaws"),
    [
        (("GET / HTTP/1.1",), 0),
        (("GET / HTTP/1.0",), 0),
        (("GET / HTTP/0.9",), head.FLAW_NO_VERSION),
        (("GET / HTTP/2.0",), head.FLAW_VERSION),
        (("GET / HTTP/1.1", "Host: b"), head.FLAW_HOST),
        (("GET / HTTP/1.0", "Host: b"), head.FLAW_HOST),
        (("GET /#a HTTP/1.1",), head.FLAW_TARGET),
        (("GET * HTTP/1.1",), head.FLAW_TARGET),
        (("OPTIONS * HTTP/1.1",), 0),
        (("CONNECT a:80 HTTP/1.1",), 0),
        (("GET ftp://a/ HTTP/1.1",), head.FLAW_TARGET),
        (("GET http://u@a/ HTTP/1.1",), head.FLAW_TARGET),
        (("GET http:/// HTTP/1.1",), head.FLAW_TARGET),
        (("GET / HTTP/1.1", "Transfer-Encoding: chunked"), 0),
        (("GET / HTTP/1.0", "Transfer-Encoding: chunked"), head.FLAW_CODING_10),
        (("GET / HTTP/1.1", "Transfer-Encoding: gzip, chunked"), head.FLAW_CODING),
        (("GET / HTTP/1.1", "Transfer-Encoding: gzip", "Transfer-Encoding: chunked"), head.FLAW_CODING),
        (("GET / HTTP/1.1", "Transfer-Encoding: gzip"), head.FLAW_CODING | head.FLAW_UNSIZED),
        (("GET / HTTP/1.1", "Expect: 100-continue"), 0),
        (("GET / HTTP/1.1", "Expect: x"), head.FLAW_EXPECT),
        (("GET / HTTP/1.0", "Expect: x"), 0),
        (("GET / HTTP/1.1", *["A: b"] * 127), 0),
        (("GET / HTTP/1.1", *["A: b"] * 128), head.FLAW_FIELDS),
    ],
)
def test_flaws(lines: tuple[str, ...], flaws: int) -> None:
    assert parse(*lines).flaws == flaws


def test_a_missing_host_is_a_flaw_of_1_1_only() -> None:
    assert parse("GET / HTTP/1.1", host=False).flaws == head.FLAW_HOST
    assert parse("GET / HTTP/1.0", host=False).flaws == 0


def test_only_128_fields_are_kept() -> None:
    assert len(parse("GET / HTTP/1.1", *["A: b"] * 500).fields) == head.MAX_FIELDS == 128


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("http://a", b"/", b""),
        ("http://a?b", b"/", b"b"),
        ("http://a/b?c?d", b"/b", b"c?d"),
        ("HTTPS://a:1/b", b"/b", b""),
        ("/?", b"/", b""),
        ("//a/b", b"//a/b", b""),
    ],
)
def test_targets(target: str, path: bytes, query: bytes) -> None:
    request = parse(f"GET {target} HTTP/1.1")
    assert (request.path, request.query) == (path, query)


def test_the_reader_tells_where_it_is() -> None:
    reader = RequestReader()
    parser = reader.parser = HttpRequestParser(reader)
    assert (reader.head, reader.current, reader.reading_body, reader.bulk()) == (None, None, False, 0)
    parser.feed_data(b"POST / HTTP/1.1\r\nHost: a\r\n")
    assert reader.head is not None
    assert reader.take() is None
    parser.feed_data(b"Content-Length: 9\r\n\r\nabc")
    assert reader.head is None
    assert reader.current is reader.queue[0]
    assert reader.reading_body
    assert reader.bulk() == 6
    parser.feed_data(b"defghi")
    assert not reader.reading_body
    assert reader.bulk() == 0
    taken = reader.take()
    assert taken is reader.current
    assert taken is not None
    assert taken.body() == b"abcdefghi"


def test_quiet_bytes_are_counted_between_data() -> None:
    reader = RequestReader()
    parser = reader.parser = HttpRequestParser(reader)
    parser.feed_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    for piece, quiet in ((b"5;", 2), (b"x" * 100, 102), (b"\r\n", 0), (b"hel", 0), (b"lo\r\n0;", 0), (b"y" * 10, 10)):
        before = reader.quiet
        assert reader.count_quiet(len(piece)) == before + len(piece)
        parser.feed_data(piece)
        assert reader.quiet == quiet
    assert reader.bulk() == 0


# -- any split of the input


@pytest.mark.parametrize("vector", [v for v in VECTORS if len(v.data) < 400], ids=lambda vector: vector.id)
def test_any_split_of_a_vector_reads_the_same(vector: object) -> None:
    data = vector.data  # type: ignore[attr-defined]
    whole = read_requests([data])
    for point in range(1, len(data)):
        assert read_requests([data[:point], data[point:]]) == whole, point
    assert read_requests(data[i : i + 1] for i in range(len(data))) == whole


tokens = st.text("aAzZ019-_!", min_size=1, max_size=8)
values = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=20)
known = st.sampled_from(
    ["Host: b", "Content-Length: 3", "Transfer-Encoding: chunked", "Connection: close", "Expect: 100-continue", "A : b"]
)
fields = st.lists(st.builds("{}: {}".format, tokens, values) | known, max_size=5)
lines = st.sampled_from(["GET / HTTP/1.1", "POST /a?b HTTP/1.1", "HEAD http://a/ HTTP/1.0", "PUT /# HTTP/2.0"])
bodies = st.sampled_from(["", "abc", "3\r\nabc\r\n0\r\n\r\n", "3;x=y\r\nabc\r\n0\r\nT: u\r\n\r\n", "\r\n"])
messages = st.builds(
    lambda line, more, body: "\r\n".join([line, "Host: a", *more]) + "\r\n\r\n" + body, lines, fields, bodies
)
streams = st.lists(messages, min_size=1, max_size=4).map(lambda parts: "".join(parts).encode("latin-1"))


def cut(data: bytes, points: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(point % (len(data) + 1) for point in points)})
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@settings(max_examples=300)
@given(streams, st.lists(st.integers(0, 10_000), max_size=8))
def test_any_split_of_a_request_stream_reads_the_same(data: bytes, points: list[int]) -> None:
    assert read_requests(cut(data, points)) == read_requests([data])


answer_fields = st.lists(
    st.sampled_from(
        [
            "Retry-After: 3 ",
            "x-request-id: r",
            "Location: /l",
            "Content-Encoding: gzip",
            "Content-Length: 3",
            "Transfer-Encoding: chunked",
            "Connection: close",
            "A: b",
        ]
    ),
    max_size=4,
)
answers = st.builds(
    lambda status, more, body: f"HTTP/1.1 {status} X\r\n" + "".join(f"{f}\r\n" for f in more) + "\r\n" + body,
    st.sampled_from([100, 103, 200, 204, 304, 404, 429, 500]),
    answer_fields,
    bodies,
)


@settings(max_examples=300)
@given(
    st.lists(answers, min_size=1, max_size=2).map(lambda parts: "".join(parts).encode()),
    st.lists(st.integers(0, 10_000), max_size=8),
)
def test_any_split_of_an_answer_reads_the_same(data: bytes, points: list[int]) -> None:
    assert read_answers(cut(data, points)) == read_answers([data])


# -- answers


def test_an_answer() -> None:
    reader = AnswerReader()
    parser = reader.parser = HttpResponseParser(reader)
    reader.begin()
    parser.feed_data(b"HTTP/1.1 429 X\r\nRetry-After: 7 \r\nX-Request-Id: r\r\nLocation: /l\r\n")
    assert not reader.head_done
    parser.feed_data(b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhe")
    assert reader.head_done
    assert not reader.complete
    assert (reader.status, reader.keep_alive, reader.until_close, reader.fields) == (429, True, False, 5)
    assert reader.retry_after == b"7"
    assert (reader.location, reader.content_encoding) == (b"/l", b"gzip")
    parser.feed_data(b"llo")
    assert reader.complete
    assert (reader.take(), reader.take(), reader.received) == (b"hello", b"", 5)
    reader.begin()
    assert (reader.status, reader.complete, reader.retry_after, reader.received) == (0, False, None, 0)


def test_interim_answers_are_passed_over() -> None:
    reader = AnswerReader()
    parser = reader.parser = HttpResponseParser(reader)
    reader.begin()
    parser.feed_data(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nRetry-After: 1\r\n\r\n")
    assert not reader.head_done
    assert reader.retry_after is None
    parser.feed_data(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert (reader.status, reader.complete, reader.take()) == (200, True, b"ok")


def test_an_answer_without_a_length_ends_with_the_connection() -> None:
    reader = AnswerReader()
    parser = reader.parser = HttpResponseParser(reader)
    reader.begin()
    parser.feed_data(b"HTTP/1.1 200 OK\r\n\r\nhello")
    assert reader.until_close
    assert not reader.complete
    assert reader.take() == b"hello"


def test_bytes_behind_an_answer_are_noticed() -> None:
    reader = AnswerReader()
    parser = reader.parser = HttpResponseParser(reader)
    reader.begin()
    parser.feed_data(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 500 X\r\nRetry-After: 1\r\nContent-Length: 1\r\n\r\nx"
    )
    assert reader.overrun
    assert (reader.status, reader.take(), reader.received) == (200, b"ok", 2)


# -- request ids


def test_request_ids_are_version_4_uuids_and_differ() -> None:
    ids = RequestIds()
    made = [ids.next() for _ in range(2000)]
    assert len(set(made)) == len(made)
    shape = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
    assert all(shape.fullmatch(identity) for identity in made)


# -- memory

LEAKS = """
from httptools import HttpParserError, HttpRequestParser, HttpResponseParser
from fastgw._speedups.head import AnswerReader, RequestIds, RequestReader
REQUEST = b"POST /a?b HTTP/1.1\\r\\nHost: a\\r\\nX-Y: " + b"z" * 50 + b"\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n"
BODY = b"5\\r\\nhello\\r\\n6;x=y\\r\\n world\\r\\n0\\r\\nT: u\\r\\n\\r\\n"
ANSWER = b"HTTP/1.1 200 OK\\r\\nRetry-After: 1\\r\\nX-Request-Id: r\\r\\nContent-Length: 5\\r\\n\\r\\nhello"
ids = RequestIds()
def work(rounds):
    reader, answers = RequestReader(), AnswerReader()
    parser, backward = HttpRequestParser(reader), HttpResponseParser(answers)
    reader.parser, answers.parser = parser, backward
    for n in range(rounds):
        parser.feed_data(REQUEST)
        parser.feed_data(BODY)
        request = reader.take()
        assert request.body() == b"hello world" and request.first(b"x-y") and request.all(b"t") == []
        answers.begin()
        backward.feed_data(ANSWER)
        assert answers.take() == b"hello"
        ids.next()
        fresh = RequestReader()
        fresh.parser = HttpRequestParser(fresh)
        try:
            fresh.parser.feed_data(REQUEST + b"zz")
        except HttpParserError:
            fresh.parser = None
        else:
            raise AssertionError
"""


def test_nothing_leaks() -> None:
    # A leak of one byte per round and object would be 20 kB.
    assert growth(LEAKS) < 512
