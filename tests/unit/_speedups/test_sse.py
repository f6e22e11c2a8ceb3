import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastgw._speedups.sse import ChatStream
from tests.support import chat_documents as documents
from tests.support import splice_reference, sse_reference

ALIAS = b'"alias"'
FACTS = ("frames", "forwarded", "done", "ended", "finish_reason", "failure", "failure_data", "id", "has_usage", "said")
COUNTERS = ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens")
DONE = b"data: [DONE]\n\n"


def stream(**options: Any) -> ChatStream:
    settings = {"forward_usage": False, "strip_null_usage": True, "chunked": False, **options}
    return ChatStream(ALIAS, **settings)


def facts(found: ChatStream) -> dict[str, object]:
    return {name: getattr(found, name) for name in (*FACTS, *COUNTERS)}


def chunk(delta: str = '{"content":"x"}', rest: str = "", finish: str = "null", model: str = '"m"') -> bytes:
    return (
        f'{{"id":"c1","model":{model},"choices":[{{"index":0,"delta":{delta},"finish_reason":{finish}}}]{rest}}}'
    ).encode()


def event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


def relayed(data: bytes, **options: Any) -> bytes:
    """The one event that comes out for one that goes in."""
    found = stream(**options)
    out = found.feed(event(data))
    assert found.failure == 0
    assert out == b"" or (out.startswith(b"data: ") and out.endswith(b"\n\n"))
    return out[6:-2]


def unchunked(data: bytes) -> tuple[bytes, bool]:
    """Content of chunked coding (RFC 9112 §7.1), and whether its last chunk is there."""
    body = b""
    while data:
        found = re.match(rb"([0-9a-f]+)\r\n", data)
        assert found
        size = int(found[1], 16)
        data = data[found.end() :]
        assert data[size : size + 2] == b"\r\n"
        body, data = body + data[:size], data[size + 2 :]
        if not size:
            assert not data
            return body, True
    return body, False


# ---- reading ----

X, Y = chunk('{"content":"x"}'), chunk('{"content":"y"}')
OUT = event(chunk('{"content":"x"}', model='"alias"')) + event(chunk('{"content":"y"}', model='"alias"'))


@pytest.mark.parametrize(
    "data",
    [
        event(X) + event(Y),
        b"data:" + X + b"\r\n\r\ndata:" + Y + b"\r\n\r\n",
        b"data: " + X + b"\r\rdata: " + Y + b"\r\r",
        b"data: " + X + b"\n\rdata: " + Y + b"\r\n\r",
        b"data: " + X + b"\r\n\rdata: " + Y + b"\n\r\n",
        b"\xef\xbb\xbfdata: " + X + b"\n\n\n\n" + event(Y),
        b"\xef\xbb\xbf\n" + event(X) + event(Y),
        b": hello\n\nevent: x\nid: 7\nretry: 1\ndata: " + X + b"\ndatax: no\n\n:\n" + event(Y),
        b"data:   " + X + b"  \n\n" + event(Y),
        b"data\n\ndata:\n\ndata: \n\n" + event(X) + b"data:\ndata:" + Y + b"\ndata\n\n",
        event(X) + b"data\xc3: x\n\xff\xfe\n\n" + event(Y),
    ],
)
def test_every_spelling_of_the_same_stream(data: bytes) -> None:
    found = stream()
    assert found.feed(data) == OUT
    assert (found.frames, found.forwarded, found.failure, found.ended) == (2, 2, 0, False)
    assert found.finish() == DONE


def test_several_data_lines_become_one() -> None:
    data = b'data: {"id":"c1",\r\ndata:"model":"m"\ndata:  ,"choices":[]\rdata\ndata: }\n\n'
    assert stream().feed(data) == b'data: {"id":"c1", "model":"alias"  ,"choices":[]  }\n\n'


@pytest.mark.parametrize(
    "data", [b'data: {"id":"c\ndata: 1","model":"m","choices":[]}\n\n', b"\xef\xbb\xbf" * 2 + event(X)]
)
def test_what_is_not_white_space_between_tokens(data: bytes) -> None:
    """A line end inside a string is no JSON; only one byte order mark is one."""
    found = stream()
    assert found.feed(data) == b""
    assert found.failure == (2 if b"\xef" not in data else 0)


@pytest.mark.parametrize("spelling", [b"[DONE]", b" [DONE] ", b"\t[DONE]\t", b"\ndata: [DONE]\ndata:"])
def test_done_ends_the_stream(spelling: bytes) -> None:
    found = stream(chunked=True)
    out = found.feed(event(X) + event(spelling) + event(Y) + b"data: junk\n\n")
    assert unchunked(out) == (event(chunk(model='"alias"')) + DONE, True)
    assert (found.done, found.ended, found.frames, found.failure) == (True, True, 1, 0)
    assert (found.feed(event(Y)), found.finish(), found.fail(b"{}"), found.comment()) == (b"", b"", b"", b"")


@pytest.mark.parametrize("tail", [b"", b"\n", b"\r", b"\r\n"])
def test_a_last_event_without_its_blank_line_counts(tail: bytes) -> None:
    found = stream()
    assert found.feed(b"data: " + X + tail) == b""
    assert found.finish() == event(chunk(model='"alias"')) + DONE
    assert (found.frames, found.done, found.ended) == (1, False, True)
    done = stream(chunked=True)
    assert done.feed(b"data: [DONE]" + tail) == b""
    assert unchunked(done.finish()) == (DONE, True)
    assert done.done


def test_a_last_event_that_is_cut_is_a_failure() -> None:
    found = stream()
    assert found.feed(event(X) + b"data: " + Y[:-1]) == event(chunk(model='"alias"'))
    assert (found.finish(), found.failure, found.failure_data, found.ended) == (b"", 2, Y[:-1], False)
    assert found.fail(b'{"error":{}}') == b'event: error\ndata: {"error":{}}\n\n'


@pytest.mark.parametrize("data", [b"", b'{"plain":"json"}', b": only comments\n\n"])
def test_a_body_without_events(data: bytes) -> None:
    found = stream(chunked=True)
    assert found.feed(data) == b""
    assert unchunked(found.finish()) == (DONE, True)
    assert (found.frames, found.done, found.ended) == (0, False, True)


# ---- failures ----


@pytest.mark.parametrize(
    ("data", "failure"),
    [
        (b'{"error":{"message":"x"}}', 1),
        (b'{"error":"x","id":"i","model":"m"}', 1),
        (b'{"error":null}', 2),
        (b'{"error":[]}', 2),
        (b"{}", 2),
        (b"[]", 2),
        (b"text", 2),
        (b'{"id":"i","model":"m"}', 2),
        (b'{"id":"i","choices":[]}', 2),
        (b'{"model":"m","choices":[]}', 2),
        (b'{"id":1,"model":"m","choices":[]}', 2),
        (b'{"id":"i","model":null,"choices":[]}', 2),
        (b'{"id":"i","model":"m","choices":{}}', 2),
        (b'{"id":"i","model":"m","choices":[]}x', 2),
        (b'{"id":"i","model":"\xc3","choices":[]}', 2),
        (b'{"id":"i","model":"m","choices":[],"x":' + b"[" * 128 + b"]" * 128 + b"}", 2),
        (b"[DONE]x", 2),
    ],
)
def test_failures(data: bytes, failure: int) -> None:
    found = stream(chunked=True)
    out = found.feed(event(X) + event(data) + event(Y) + event(b"[DONE]"))
    assert unchunked(out) == (event(chunk(model='"alias"')), False)
    assert (found.failure, found.failure_data, found.ended, found.frames) == (failure, data, False, 1)
    assert (found.feed(event(Y)), found.finish()) == (b"", b"")
    assert unchunked(found.fail(b'{"error":{}}')) == (b'event: error\ndata: {"error":{}}\n\n', True)
    assert (found.ended, found.done, found.fail(b"{}"), found.comment()) == (True, False, b"", b"")


def test_a_chunk_that_also_holds_an_error_is_a_chunk() -> None:
    assert relayed(chunk(rest=',"error":{"code":502}')) == chunk(rest=',"error":{"code":502}', model='"alias"')


@pytest.mark.parametrize(
    "data",
    [
        b"data: " + b" " * 200,
        b":" + b"x" * 200 + b"\n",
        b"data: 12345678901234567890\n" * 8,
        b"data: " + chunk('{"content":"' + "x" * 100 + '"}') + b"\n\n",
    ],
)
def test_a_frame_is_bounded(data: bytes) -> None:
    for size in (len(data), 7):
        found = stream(max_frame=120)
        out = found.feed(event(X)) + b"".join(found.feed(data[i : i + size]) for i in range(0, len(data), size))
        assert out == event(chunk(model='"alias"'))
        assert (found.failure, found.failure_data) == (3, b"")
        assert found.finish() == b""


def test_a_frame_of_just_the_limit_passes() -> None:
    line = b"data: " + X
    for split in (len(line), 9):
        found = stream(max_frame=len(line))
        assert found.feed(line[:split]) + found.feed(line[split:] + b"\n\n") == event(chunk(model='"alias"'))


# ---- rewriting ----


@pytest.mark.parametrize(
    ("delta", "expected"),
    [
        ('{"reasoning":"r"}', '{"reasoning_content":"r"}'),
        ('{"role":"assistant", "reasoning" : "r" ,"content":null}', None),
        ('{"reasoning":""}', "{}"),
        ('{"reasoning":null,"content":"x"}', '{"content":"x"}'),
        ('{"content":"x","reasoning":{"a":[1]}}', '{"content":"x"}'),
        ('{"reasoning":"r","reasoning_content":"c"}', '{"reasoning_content":"c"}'),
        ('{"reasoning_content":"c","reasoning":"r"}', '{"reasoning_content":"c"}'),
        ('{"reasoning":"r","reasoning_content":""}', '{"reasoning_content":"r"}'),
        ('{"reasoning_content":null,"reasoning":"r","x":1}', '{"reasoning_content":"r","x":1}'),
        ('{ "reasoning":null , "reasoning_content":"" }', '{ "reasoning_content":"" }'),
        ('{"reasoning":"", "reasoning":null,"x":1,"reasoning":2}', '{"x":1}'),
        ('{"reasoning":"","reasoning":null}', "{}"),
        ('{"reasoning_content":{"a":"b"},"reasoning":"r"}', '{"reasoning_content":{"a":"b"}}'),
    ],
)
def test_reasoning_of_a_delta(delta: str, expected: str | None) -> None:
    expected = expected or delta.replace('"reasoning"', '"reasoning_content"')
    assert relayed(chunk(delta)) == chunk(expected, model='"alias"')
    assert relayed(chunk(delta), reasoning_path=(b"reasoning",)) == chunk(expected, model='"alias"')


@pytest.mark.parametrize(
    ("path", "delta", "expected"),
    [
        ((b"a", b"b"), '{"a":{"x":1, "b" : "r","y":2},"reasoning":"s"}', '{"reasoning_content":"r","reasoning":"s"}'),
        ((b"a", b"b"), '{"a":{"b":""},"content":"x"}', '{"content":"x"}'),
        ((b"a", b"b"), '{"a":{"b":"r"},"reasoning_content":"c"}', '{"reasoning_content":"c"}'),
        ((b"a", b"b"), '{"reasoning_content":"","a":{"b":"r"}}', '{"reasoning_content":"r"}'),
        ((b"a", b"b"), '{"a":{"b":{}}}', None),
        ((b"a", b"b"), '{"a":{"c":"r"}}', None),
        ((b"a", b"b"), '{"a":"r"}', None),
        ((b"a", b"b"), '{"a":null}', None),
        ((b"a",), '{"a":"r"}', '{"reasoning_content":"r"}'),
        ((b"a",), '{"a":null,"reasoning":"s"}', None),
        ((b"a", b"b", b"c"), '{"\\u0061":{"b":{"c":"r"}}}', '{"reasoning_content":"r"}'),
        ((b"reasoning_content",), '{"reasoning_content":"","reasoning":"s"}', None),
        ((b"reasoning_content", b"text"), '{"reasoning_content":{"text":"r"}}', '{"reasoning_content":"r"}'),
    ],
)
def test_reasoning_path(path: tuple[bytes, ...], delta: str, expected: str | None) -> None:
    assert relayed(chunk(delta), reasoning_path=path) == chunk(expected or delta, model='"alias"')


def test_reasoning_path_is_bounded() -> None:
    delta = '{"k":' * 8 + '"r"' + "}" * 8
    assert relayed(chunk(delta), reasoning_path=(b"k",) * 8) == chunk('{"reasoning_content":"r"}', model='"alias"')
    with pytest.raises(ValueError, match="reasoning_path"):
        stream(reasoning_path=(b"k",) * 9)


def test_everything_else_stays_as_it_is() -> None:
    data = (
        b'{ "object":"chat.completion.chunk","created":1.70E9,"model":"m","system_fingerprint":null,"id":"\\u00e9",'
        b'"choices":[{"index":1,"delta":{"refusal":"n","tool_calls":[{"index":0,"function":{"arguments":"{\\"a\\""}}]},'
        b'"logprobs":{"content":[]},"finish_reason":"tool_calls"},7,{"delta":"x"},{}],"\xc3\xa9":123456789012345678901}'
    )
    found = stream()
    assert found.feed(event(data)) == event(data.replace(b'"m"', ALIAS))
    assert (found.id, found.finish_reason, found.frames, found.forwarded) == ("é".encode(), b"tool_calls", 1, 1)


def test_the_first_id_that_is_not_empty_is_kept() -> None:
    found = stream()
    found.feed(event(chunk().replace(b"c1", b"")) + event(chunk().replace(b"c1", b"c2")) + event(chunk()))
    assert found.id == b"c2"


# ---- usage ----

USAGE = ',"usage":{"prompt_tokens":5,"completion_tokens":6,"total_tokens":11}'


@pytest.mark.parametrize(
    ("data", "forwarded"),
    [
        (b'{"id":"c1","model":"m","choices":[]' + USAGE.encode() + b"}", False),
        (chunk("{}", USAGE), False),
        (chunk("null", USAGE), False),
        (chunk('{"content":null,"reasoning":""}', USAGE), False),
        (chunk("{}", USAGE, '"stop"'), True),
        (chunk('{"content":""}', USAGE), True),
        (chunk('{"role":"assistant"}', USAGE), True),
        (chunk('{"tool_calls":[]}', USAGE), True),
        (chunk('{"reasoning_content":"x"}', USAGE), True),
        (chunk('{"reasoning":"x"}', USAGE), True),
        (chunk('{"refusal":"no"}', USAGE), True),
    ],
)
def test_usage_events(data: bytes, forwarded: bool) -> None:
    for asked in (False, True):
        found = stream(forward_usage=asked)
        out = found.feed(event(data))
        assert found.has_usage
        assert (found.frames, found.prompt_tokens, found.completion_tokens, found.total_tokens) == (1, 5, 6, 11)
        assert found.forwarded == (asked or forwarded)
        assert bool(out) == (asked or forwarded)
        assert b'"usage":{"prompt_tokens":5' in out or not out


def test_counters_that_are_promised() -> None:
    data = chunk(rest=',"usage":{"prompt_tokens":null,"total_tokens":4,"prompt_cache_hit_tokens":2}')
    assert relayed(data) == chunk(
        rest=',"usage":{"prompt_tokens":0,"total_tokens":4,"prompt_cache_hit_tokens":2,"prompt_tokens_details":'
        '{"cached_tokens":2},"completion_tokens":0}',
        model='"alias"',
    )
    empty = chunk(rest=',"usage":{}', model='"alias"')
    assert relayed(chunk(rest=',"usage":{}')) == empty.replace(
        b"{}", b'{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}'
    )


def test_the_largest_counters_win() -> None:
    found = stream()
    for prompt, completion in ((5, 1), (4, 9), (0, 3)):
        usage = f',"usage":{{"prompt_tokens":{prompt},"completion_tokens":{completion}}}'
        found.feed(event(chunk(rest=usage)))
    assert (found.prompt_tokens, found.completion_tokens, found.total_tokens) == (5, 9, 0)


@pytest.mark.parametrize("usage", ['"x"', "[]", "7"])
def test_usage_of_another_type_is_no_usage(usage: str) -> None:
    assert relayed(chunk("{}", f',"usage":{usage}')) == chunk("{}", f',"usage":{usage}', model='"alias"')


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"usage":null,"id":"c","model":"m","choices":[]}', b'{"id":"c","model":"alias","choices":[]}'),
        (b'{ "usage" : null , "id":"c","model":"m","choices":[]}', b'{ "id":"c","model":"alias","choices":[]}'),
        (b'{"id":"c" , "usage":null,"model":"m","choices":[]}', b'{"id":"c" ,"model":"alias","choices":[]}'),
        (b'{"id":"c","model":"m","choices":[],"usage":null }', b'{"id":"c","model":"alias","choices":[] }'),
        (
            b'{"usage":null,"usage":null,"id":"c","usage":null,"model":"m","choices":[]}',
            b'{"id":"c","model":"alias","choices":[]}',
        ),
    ],
)
def test_null_usage(data: bytes, expected: bytes) -> None:
    assert relayed(data) == expected
    assert relayed(data, strip_null_usage=False) == data.replace(b'"m"', ALIAS)


# ---- output ----


@pytest.mark.parametrize("size", [1, 15, 16, 255, 256, 4095, 4096, 70_000])
def test_one_http_chunk_per_feed(size: int) -> None:
    data = event(chunk('{"content":"' + "x" * size + '"}')) * 3
    found = stream(chunked=True)
    out = found.feed(data)
    assert unchunked(out) == (data.replace(b'"m"', ALIAS), False)
    assert out.startswith(b"%x\r\n" % len(data.replace(b'"m"', ALIAS)))
    assert found.comment() == b"3\r\n:\n\n\r\n"
    assert unchunked(out + found.comment() + found.finish()) == (data.replace(b'"m"', ALIAS) + b":\n\n" + DONE, True)


def test_fail_before_anything_and_unframed() -> None:
    found = stream()
    assert found.comment() == b":\n\n"
    assert found.fail(b'{"error":{"message":"m"}}') == b'event: error\ndata: {"error":{"message":"m"}}\n\n'
    assert (found.ended, found.feed(event(X)), found.finish()) == (True, b"", b"")


def test_streams_do_not_disturb_each_other() -> None:
    one, two = stream(), stream()
    assert one.feed(event(X)[:20]) + two.feed(event(Y)[:30]) == b""
    assert one.feed(event(X)[20:]) + two.feed(event(Y)[30:]) == OUT


def test_wrong_argument_types() -> None:
    for call in (
        lambda: stream().feed("x"),  # type: ignore[arg-type]
        lambda: stream().feed(None),  # type: ignore[arg-type]
        lambda: stream().fail(None),  # type: ignore[arg-type]
        lambda: stream(reasoning_path=("a",)),
        lambda: ChatStream(ALIAS),  # type: ignore[call-arg]
    ):
        with pytest.raises(TypeError):
            call()


# ---- against the reference, however the input is split ----

ends = st.sampled_from([b"\n", b"\r", b"\r\n"])
data_lines = st.one_of(
    *[documents.spelt(documents.chunks)] * 6,
    documents.spelt(documents.in_band),
    st.sampled_from([b"[DONE]", b" ", b"{}", X, Y, b"\xff"]),
)


@st.composite
def inputs(draw: st.DrawFn) -> bytes:
    out = draw(st.sampled_from([b"", b"\xef\xbb\xbf"]))
    for _ in range(draw(st.integers(0, 4))):
        if draw(st.booleans()):
            out += draw(st.sampled_from([b": c", b"event: x", b"", b"data2:x"])) + draw(ends)
        for line in re.split(rb"\r\n|\r|\n", draw(data_lines)):
            out += draw(st.sampled_from([b"data:", b"data: "])) + line + draw(ends)
        out += draw(ends)
    return out[: draw(st.integers(max(0, len(out) - 6), len(out)))]


options = st.fixed_dictionaries(
    {
        "forward_usage": st.booleans(),
        "strip_null_usage": st.booleans(),
        "reasoning_path": st.sampled_from([(), (b"a", b"b"), (b"a",)]),
    }
)


@given(inputs(), options, st.booleans())
@example(event(X) + event(Y), {"forward_usage": False, "strip_null_usage": True, "reasoning_path": ()}, True)
@example(
    event(
        b'{"id":"","model":"","choices":[{"text":"a","delta":{"content":"b"}},{"delta":{"content":"c"},"text":"d"}]}'
    ),
    {"forward_usage": False, "strip_null_usage": False, "reasoning_path": ()},
    False,
)
def test_relay_is_the_references(data: bytes, settings: dict[str, Any], ended: bool) -> None:
    found = stream(**settings)
    out = found.feed(data) + (found.finish() if ended else b"")
    expected = sse_reference.relay(
        data,
        ended=ended,
        forward=settings["forward_usage"],
        strip=settings["strip_null_usage"],
        path=tuple(name.decode() for name in settings["reasoning_path"]),
    )
    assert (found.failure, found.done, found.frames) == (expected.failure, expected.done, expected.frames)
    assert {name: getattr(found, name) for name in COUNTERS} == expected.counters
    assert (found.said, found.said_beyond) == (expected.said, 0)
    assert found.ended == (expected.done or (ended and not expected.failure))
    emitted = out.split(b"\n\n")
    assert emitted.pop() == b""
    assert all(one.startswith(b"data: ") and b"\n" not in one for one in emitted)
    assert (emitted[-1:] == [b"data: [DONE]"]) == found.ended
    chunks = [splice_reference.parse(one[6:]) for one in emitted[: len(emitted) - found.ended]]
    assert chunks == expected.chunks


@given(inputs(), options, st.sampled_from([40, 200, 100_000]), st.data())
def test_any_split_gives_the_same_output(
    data: bytes, settings: dict[str, Any], max_frame: int, choose: st.DataObject
) -> None:
    whole, pieces = stream(max_frame=max_frame, **settings), stream(max_frame=max_frame, **settings)
    cuts = sorted(choose.draw(st.lists(st.integers(0, len(data)), max_size=8)))
    out = b"".join(pieces.feed(data[a:b]) for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True))
    assert out == whole.feed(data)
    assert facts(pieces) == facts(whole)
    assert pieces.finish() == whole.finish()
    assert facts(pieces) == facts(whole)


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_every_single_split_and_byte_by_byte(end: bytes) -> None:
    deltas = ('{"content":"好é😀"}', '{"reasoning":"r"}', '{"content":"x"}')
    events = b"".join(event(chunk(delta, ',"usage":null')) for delta in deltas)
    data = b"\xef\xbb\xbf" + events.replace(b',"model"', b'\ndata:,"model"') + b": c\n" + event(b"[DONE]")
    data = data.replace(b"\n", end)
    expected = stream().feed(data)
    assert expected.count(b"data: ") == 4
    for at in range(len(data) + 1):
        found = stream()
        assert found.feed(data[:at]) + found.feed(data[at:]) == expected
    found = stream()
    assert b"".join(found.feed(data[i : i + 1]) for i in range(len(data))) == expected


# ---- cost ----


def test_small_pieces_of_a_large_frame_cost_no_more_than_the_frame() -> None:
    """Quadratic handling of 8 MB in pieces of 64 bytes would take minutes; the suite's timeout is two."""
    data = event(chunk('{"content":"' + "x" * 8_000_000 + '"}'))
    found = stream()
    assert sum(len(found.feed(data[i : i + 64])) for i in range(0, len(data), 64)) == len(data) + 4
    line_ends = stream()
    assert line_ends.feed(b":\r" * 1_000_000 + b":\n" * 1_000_000 + event(X)) == event(chunk(model='"alias"'))
