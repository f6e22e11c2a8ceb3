"""What is counted of a document without building it."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw._speedups.sse import ChatStream
from fastgw._speedups.texts import answer_text, long_digits, token_array
from tests.support import chat_documents as documents
from tests.support import splice_reference as reference

KEPT = 1 << 20

items = st.recursive(
    st.integers() | st.text(max_size=3) | st.sampled_from([None, True, 1.5, {}]),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=12,
)
rows = st.lists(st.integers(), max_size=4)
arrays = st.lists(items, max_size=5) | rows | st.lists(rows, max_size=4) | st.lists(st.text(max_size=3), max_size=4)


def by_hand(values: list[Any]) -> int | None:
    if all(type(value) is str for value in values):
        return 0
    if all(type(value) is int for value in values):
        return len(values)
    if all(type(value) is list and all(type(token) is int for token in value) for value in values):
        return sum(map(len, values))
    return None


@given(arrays, st.sampled_from([(",", ":"), (" , ", " : "), ("\n,\t", ":")]))
def test_token_arrays(values: list[Any], separators: tuple[str, str]) -> None:
    array = json.dumps(values, separators=separators).encode()
    assert token_array(b"x" + array + b"]", 1, 1 + len(array)) == by_hand(values)


@pytest.mark.parametrize(
    "data", [b"", b"1", b"{}", b"[", b"[1", b"[[1]", b"[1,", b"[1 2]", b"[[1}]", b'["a', b"[[1]1]"]
)
def test_what_is_no_array(data: bytes) -> None:
    with pytest.raises(ValueError):
        token_array(data, 0, len(data))


@pytest.mark.parametrize("span", [(0, 4), (-1, 2), (2, 1), (4, 4)])
def test_a_span_must_be_within_the_data(span: tuple[int, int]) -> None:
    with pytest.raises(IndexError):
        token_array(b"[1]", *span)


def test_numbers_of_any_length_are_tokens() -> None:
    array = b"[1," + b"9" * 5000 + b",-3]"
    assert token_array(array, 0, len(array)) == 3
    assert token_array(b"[1e3]", 0, 5) is None


@given(documents.spelt(documents.answers))
def test_answers_say_what_the_reference_hears(data: bytes) -> None:
    tree = reference.parse(data)
    assert answer_text(data) == (reference.answer_said(tree), 0) or reference.repeats(tree)


def test_order_is_content_reasoning_calls() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"at":1}'}}
    message = {
        "role": "assistant",
        "tool_calls": [call, call],
        "reasoning": "hm",
        "content": "He\n\u00e9",
        "refusal": "no",
    }
    legacy = {"message": {"role": "assistant", "content": None, "function_call": call["function"]}}
    body = json.dumps({"choices": [{"message": message}, {"text": "T"}, legacy]}).encode()
    assert answer_text(body) == ("He\n\u00e9Thm".encode() + b'look{"at":1}' * 3, 0)


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'{"choices":[{"message":{"content":"x"}}]', b'{"choices":[{]}'])
def test_what_is_no_answer(data: bytes) -> None:
    with pytest.raises(ValueError):
        answer_text(data)


@pytest.mark.parametrize("piece", ["a", "\u4e2d", "\U0001f600", "\n", '"a', "\u0001\u4e2d", "x" * 1000 + "\\"])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_what_does_not_fit_is_measured(piece: str, ascii_only: bool) -> None:
    """The cut never falls into a character or an escape."""
    for offset in range(7):
        text = "b" * offset + piece * (KEPT // len(piece.encode()) + 3000)
        body = json.dumps({"choices": [{"text": text}]}, ensure_ascii=ascii_only).encode()
        written = len(json.dumps(text, ensure_ascii=ascii_only).encode()) - 2
        kept, beyond = answer_text(body)
        assert len(kept) <= KEPT
        if ascii_only and piece.isprintable() and not piece.isascii() and ord(piece[0]) > 0xFFFF:
            kept = kept.removesuffix("\ufffd".encode())  # a pair of escapes is cut in two
        assert text.startswith(kept.decode())
        whole, measured = text.encode(), json.dumps(text[: len(kept.decode())], ensure_ascii=ascii_only).encode()
        assert len(kept) < len(whole)
        assert 0 <= written - beyond - (len(measured) - 2) <= 6


def event(text: str) -> bytes:
    chunk = {"id": "c", "model": "m", "choices": [{"delta": {"content": text}}]}
    return f"data: {json.dumps(chunk)}\n\n".encode()


def test_a_stream_keeps_as_much_as_an_answer() -> None:
    stream = ChatStream(b"", forward_usage=False, strip_null_usage=False)
    for _ in range(KEPT // 1000 + 10):
        stream.feed(event("word " * 200))
    assert (len(stream.said), stream.said_beyond) == (KEPT, (KEPT // 1000 + 10) * 1000 - KEPT)
    assert stream.said == (b"word " * KEPT)[:KEPT]


def test_what_a_refused_event_says_was_not_said() -> None:
    broken = (
        event("two")[:-6] + b"}\n\n",
        b'data: {"id":"c","choices":[{"delta":{"content":"two","reasoning":"x"}}]}\n\n',
        b'data: {"error":{},"choices":[{"delta":{"content":"two"}}]}\n\n',
        b'data: {"id":"c","model":"m","choices":[{"delta":{"content":"two"}}],"x":}\n\n',
    )
    for bad in broken:
        stream = ChatStream(b"", forward_usage=False, strip_null_usage=False)
        stream.feed(event("one ") + event("more") + bad + event("three"))
        assert stream.failure in (1, 2)
        assert (stream.said, stream.said_beyond) == (b"one more", 0)


def test_nothing_is_kept_once_completion_tokens_are_known() -> None:
    stream = ChatStream(b"", forward_usage=False, strip_null_usage=False)
    counted = b'data: {"id":"c","model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":%d}}\n\n'
    stream.feed(event("one") + counted % 0)
    assert stream.said == b"one"
    stream.feed(counted % 1 + event("two"))
    assert (stream.said, stream.completion_tokens) == (b"", 1)


def test_half_a_character_in_each_of_two_events() -> None:
    stream = ChatStream(b"", forward_usage=False, strip_null_usage=False)
    stream.feed(event("\ud83d") + event("\ude00"))
    assert stream.said.decode() == "\ufffd\ufffd"


@given(st.lists(st.one_of(st.integers(0, 40).map(lambda count: b"7" * count), st.binary(max_size=20))).map(b"".join))
def test_long_digits_are_seen(data: bytes) -> None:
    assert long_digits(data) == bool(re.search(rb"[0-9]{19}", data))
