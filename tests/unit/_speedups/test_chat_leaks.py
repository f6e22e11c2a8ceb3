"""Loops over splice and sse, each in a process of its own, whose memory must not grow."""

import pytest

from tests.support.leaks import growth

SPLICE = """
from fastgw._speedups.splice import ChatAnswer, ChatRequest, top_level
from fastgw._speedups.texts import answer_text, token_array
request = b'{"model":"a\\\\n","messages":[' + b",".join([b'{"role":"u"}'] * 40) + b"]}"
answer = (
    b'{"id":"i","model":"m","choices":[{"message":{"role":"a","reasoning":"r"}}],"usage":{"prompt_cache_hit_tokens":4,'
    b'"prompt_tokens_details":{}}}'
)
def work(rounds):
    for _ in range(rounds):
        ChatRequest(request).upstream_body(b'"up"', True)
        ChatAnswer(answer).render(b'"up"')
        top_level(answer, (b"id", b"usage"))
        assert answer_text(answer) == (b"r", 0) and token_array(b"[[1],[2]]", 0, 9) == 2
        for read, bad in (
            (ChatRequest, request[:-1]), (ChatAnswer, answer[:-1]), (ChatRequest, b""), (answer_text, answer[:-1])
        ):
            try:
                read(bad)
            except ValueError:
                pass
            else:
                raise AssertionError
"""

SSE = """
from fastgw._speedups.sse import ChatStream
chunk = (
    b'data: {"id":"c","model":"m","choices":[{"delta":{"reasoning":"r"}}],"usage":{"prompt_cache_hit_tokens":1}}\\n\\n'
)
bad = chunk + b"data: {" + b'"usage":null,' * 40 + b"}\\n\\n"
def work(rounds):
    for _ in range(rounds):
        stream = ChatStream(b'"up"', forward_usage=True, strip_null_usage=True, reasoning_path=(b"a", b"b"))
        assert stream.feed(chunk * 2 + b"data: {\\ndata: ")
        stream.feed(b"x" * 5_000)
        assert stream.finish() == b""
        assert stream.fail(b"{}")
        stream = ChatStream(b'"up"', forward_usage=True, strip_null_usage=True)
        stream.feed(bad)
        assert stream.failure_data
        stream = ChatStream(b'"up"', forward_usage=True, strip_null_usage=True)
        stream.feed(b"data: {\\ndata: {")  # abandoned in the middle of an event and of a line
"""

IDLE = """
from fastgw._speedups.sse import ChatStream
chunk = b'data: {"id":"c","model":"m",\\ndata: "choices":[],"x":"' + b"x" * 100_000 + b'"}\\n\\n'
streams = []
def work(rounds):
    for _ in range(rounds // 250):
        stream = ChatStream(b'"up"', forward_usage=True, strip_null_usage=True)
        assert stream.feed(chunk[:90_000]) == b"" and len(stream.feed(chunk[90_000:])) > 100_000
        streams.append(stream)
"""


@pytest.mark.parametrize("work", [SPLICE, SSE, IDLE], ids=["splice", "sse", "idle streams"])
def test_nothing_leaks(work: str) -> None:
    # For streams that stay the bound is 6 kB each.
    assert growth(work) < 512
