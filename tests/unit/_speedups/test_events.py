"""Splitting streams into events, and the pieces of text that are rewritten on the spot."""

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastgw._speedups.events import CHAT, MESSAGES, PLAIN, RESPONSES, EventReader, Frame, Numbers
from tests.support.sse_reference import events

FRAME = Frame(b"<", b">")


def read(pieces: list[bytes], **options: Any) -> tuple[list[bytes], bool]:
    reader = EventReader(**options)
    found = [payload for piece in pieces for payload in reader.feed(piece)]
    last = reader.finish()
    return found + [last] * bool(last), reader.overflow


LINES = st.sampled_from(
    [b"data: a", b"data:b", b"data", b"data:", b"data:  c ", b": note", b"event: x", b"", b"id: 7", b"datax: 1", b"x"]
)
WIRES = st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r\n", b"\r"]))).map(lambda p: b"".join(map(b"".join, p)))


@given(WIRES | st.binary(max_size=60), st.lists(st.integers(0, 200), max_size=8), st.booleans())
@example(b"data: a\r\n\r\ndata: b\r\r", [8, 9, 10], False)
@example(b"data: a\ndata: b", [], True)
def test_any_split_gives_the_reference(wire: bytes, cuts: list[int], mark: bool) -> None:
    wire = b"\xef\xbb\xbf" * mark + wire
    places = sorted({min(cut, len(wire)) for cut in cuts})
    pieces = [wire[a:b] for a, b in zip([0, *places], [*places, len(wire)], strict=True)]
    assert read(pieces) == (events(wire, True), False)
    assert read([bytes([byte]) for byte in wire]) == (events(wire, True), False)


def test_too_large_events_end_the_reading() -> None:
    assert read([b"data: 12345678\n\n"], max_event=14) == ([b"12345678"], False)
    assert read([b"data: 123456789\n\ndata: 1\n\n"], max_event=14) == ([], True)
    assert read([b"data: 1234", b"56789"], max_event=14) == ([], True)
    assert read([b"data: 12345\ndata: 12345\ndata: 12345\n\n"], max_event=14) == ([], True)


def delta(text: Any, **more: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text, **more}}


def chunk(text: Any, finish: Any = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": finish}
    return {"id": "c", "object": "x", "created": 1, "model": "m", "choices": [choice], "usage": None, **more}


def fed(shape: int, *documents: Any, frame: Frame | None = FRAME) -> tuple[bytes, list[bytes], int]:
    reader = EventReader(shape)
    reader.frame = frame
    texts = (document if isinstance(document, str) else json.dumps(document) for document in documents)
    rest = reader.feed("".join(f"data: {text}\n\n" for text in texts).encode())
    return reader.ready, rest, reader.fast


@pytest.mark.parametrize(("shape", "make"), [(MESSAGES, delta), (CHAT, chunk)])
def test_pieces_of_text_are_rewritten_up_to_the_first_other_event(shape: int, make: Any) -> None:
    stop = {"type": "content_block_stop", "index": 0}
    ready, rest, count = fed(shape, make("a"), make('q"\\\n\t '), stop, make("late"))
    assert (ready, count) == (b'<"a"><"q\\"\\\\\\n\\t ">', 2)
    assert [json.loads(payload) for payload in rest] == [stop, make("late")]
    assert fed(shape, make("a"), frame=None)[::2] == (b"", 0)
    assert fed(PLAIN, make("a"))[::2] == (b"", 0)


@pytest.mark.parametrize(
    "document",
    [
        delta(""),
        delta(None),
        delta(5),
        delta("é"),  # the encoder of this test escapes it
        delta("a", citations=[]),
        {**delta("a"), "x": 1},
        {**delta("a"), "type": "content_block_start"},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "x"}},
        {"type": "content_block_delta", "index": 0, "delta": {"text": "x"}},
        '{"type":"content_block_delta","delta":{"type":"text_delta","text":"a","text":"b"}}',
        '{"type":"content_block_delta","delta":{"type":"text_delta","text":"a\\/b"}}',
        '{"type":"content_block_delta","delta":{"type":"text_delta","text":"a"}}x',
        '{"type":"content_block_delta","type":"content_block_delta","delta":{"type":"text_delta","text":"a"}}',
        "[]",
        "nonsense",
    ],
)
def test_what_is_no_plain_piece_of_a_message(document: Any) -> None:
    ready, rest, count = fed(MESSAGES, document)
    assert (ready, len(rest), count) == (b"", 1, 0)


@pytest.mark.parametrize(
    "document",
    [
        chunk(""),
        chunk(None),
        chunk("a", finish="stop"),
        chunk("a", usage={"prompt_tokens": 1}),
        chunk("a", error={"message": "x"}),
        chunk("a", id=5),
        chunk("a", model=None),
        chunk("a", choices=[]),
        chunk("a", choices=None),
        chunk("a", choices=[*chunk("a")["choices"], *chunk("b")["choices"]]),
        chunk("a", choices=[{"index": 1, "delta": {"content": "a"}}]),
        chunk("a", choices=[{"index": 0, "delta": {"content": "a", "reasoning_content": "b"}}]),
        chunk("a", choices=[{"index": 0, "delta": {"content": "a", "tool_calls": []}}]),
        chunk("a", choices=[{"index": 0, "delta": {"content": "a"}, "x": 1}]),
        '{"id":"a","id":"b","choices":[{"delta":{"content":"a"}}]}',
        "[DONE]",
    ],
)
def test_what_is_no_plain_piece_of_a_chat(document: Any) -> None:
    ready, rest, count = fed(CHAT, document)
    assert (ready, len(rest), count) == (b"", 1, 0)


def test_chat_details_that_say_nothing() -> None:
    choice = {"index": 0, "delta": {"role": "assistant", "content": "a", "refusal": None}, "logprobs": {"content": []}}
    assert fed(CHAT, chunk("a", choices=[choice], service_tier="default"))[0] == b'<"a">'
    choice["delta"] = {"content": "a", "tool_calls": None}
    assert fed(CHAT, chunk("a", choices=[choice]))[0] == b'<"a">'


def piece(text: Any, /, index: int = 3, **more: Any) -> dict[str, Any]:
    return {
        "type": "content_block_delta",
        "index": index,
        "delta": {"type": "input_json_delta", "partial_json": text, **more},
    }


def call(arguments: Any, /, index: int = 3, **more: Any) -> dict[str, Any]:
    delta = {"tool_calls": [{"index": index, "function": {"arguments": arguments}, **more}]}
    return chunk("", choices=[{"index": 0, "delta": delta, "finish_reason": None}])


def given_input(shape: int, *documents: Any) -> tuple[bytes, list[bytes], int, bytes, bytes]:
    reader = EventReader(shape)
    content, calls = bytearray(), bytearray()
    reader.listen(content, calls, 20)
    reader.frame = FRAME
    reader.tool(3, Frame(b"(", b")"))
    texts = (document if isinstance(document, str) else json.dumps(document) for document in documents)
    rest = reader.feed("".join(f"data: {text}\n\n" for text in texts).encode())
    return reader.ready, rest, reader.fast, bytes(content), bytes(calls)


@pytest.mark.parametrize(("shape", "make", "say"), [(MESSAGES, piece, delta), (CHAT, call, chunk)])
def test_input_of_one_tool_is_rewritten(shape: int, make: Any, say: Any) -> None:
    found = given_input(shape, make('{"a'), say("b"), make('":1}'), make("x", index=2), make("late"))
    ready, rest, count, content, calls = found
    assert ready == b'("{\\"a")<"b">("\\":1}")'
    assert (len(rest), count, content, calls) == (2, 3, b"b", b'{\\"a\\":1}')
    # What does not fit is left to whoever counts what is beyond.
    assert given_input(shape, make("x" * 21))[::2] == (b"", 0, b"")


@pytest.mark.parametrize(
    "document",
    [
        piece(""),
        piece("a", index=13),
        piece("a", text="b"),
        '{"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":"a"}}',
        '{"type":"content_block_delta","index":3,"delta":{"type":"text_delta","partial_json":"a"}}',
        '{"type":"content_block_delta","index":3,"delta":{"type":"text_delta","type":"text_delta","partial_json":"a"}}',
        '{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","text":"a"}}',
        '{"type":"content_block_delta","index":3,"index":3,"delta":{"type":"input_json_delta","partial_json":"a"}}',
    ],
)
def test_what_is_no_plain_input_of_a_message(document: Any) -> None:
    assert given_input(MESSAGES, document)[::2] == (b"", 0, b"")


@pytest.mark.parametrize(
    "document",
    [
        call(""),
        call(None),
        call("a", id="b"),
        call("a", index=2),
        call("a", other=1),
        chunk(
            "",
            choices=[
                {"index": 0, "delta": {"content": "x", "tool_calls": [{"index": 3, "function": {"arguments": "a"}}]}}
            ],
        ),
        chunk("", choices=[{"index": 0, "delta": {"tool_calls": [{"function": {"arguments": "a"}}]}}]),
        chunk(
            "",
            choices=[
                {"index": 0, "delta": {"tool_calls": [{"index": 3, "function": {"name": "b", "arguments": "a"}}]}}
            ],
        ),
        chunk("", choices=[{"index": 0, "delta": {"tool_calls": [3]}}]),
        chunk("", choices=[{"index": 0, "delta": {"tool_calls": [{"index": 3, "function": {"arguments": "a"}}] * 2}}]),
    ],
)
def test_what_is_no_plain_input_of_a_chat(document: Any) -> None:
    assert given_input(CHAT, document)[::2] == (b"", 0, b"")


def test_chat_calls_with_members_that_say_nothing() -> None:
    assert given_input(CHAT, call("a", type="function", id=None))[0] == b'("a")'


def test_numbered_frames_share_their_numbers_and_keep_what_they_frame() -> None:
    numbers, kept, calls = Numbers(), bytearray(b"before "), bytearray()
    numbers.next = 2**32 - 1
    reader = EventReader(CHAT)
    reader.frame = Frame(b"<", b">", b":", numbers, kept)
    reader.tool(3, Frame(b"(", b")", b"#", numbers, calls))
    wire = [chunk("a"), call("b\n"), chunk("c")]
    reader.feed("".join(f"data: {json.dumps(document)}\n\n" for document in wire).encode())
    assert reader.ready == b'<4294967295:"a">(4294967296#"b\\n")<4294967297:"c">'
    assert (numbers.next, bytes(kept), bytes(calls)) == (2**32 + 2, b"before ac", b"b\\n")


@given(st.binary(max_size=80))
def test_garbage_is_data(garbage: bytes) -> None:
    for shape in (MESSAGES, CHAT):
        reader = EventReader(shape)
        reader.frame = FRAME
        reader.feed(b"data: " + garbage + b"\n\n")
        reader.finish()


def test_nothing_leaks() -> None:
    def once() -> None:
        fed(MESSAGES, delta("a"), {"type": "ping"}, delta("b"))
        read([b"data: a\nda", b"ta: b\r", b"\n\r\n", b"data: c"])

    once()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(300):
            once()
        assert tracemalloc.get_traced_memory()[0] - before < 20_000
    finally:
        tracemalloc.stop()


def output(text: Any, kind: str = "output_text", **more: Any) -> dict[str, Any]:
    place = {"sequence_number": 4, "item_id": "i", "output_index": 12, "content_index": 0}
    return {"type": f"response.{kind}.delta", **place, "delta": text, "logprobs": [], **more}


def test_a_silent_reader_listens_to_responses() -> None:
    heard = bytearray()
    reader = EventReader(RESPONSES, silent=True)
    reader.listen(heard, heard, 100)
    others = [
        {"type": "response.created", "response": {"id": "r"}},
        output("no", "reasoning_summary_text"),
        output("no", response={}),
        output(""),
        output(5),
        {"delta": "no"},
        {"type": "response.output_text.delta"},
    ]
    wire = [output("a\n"), *others, output("b", "function_call_arguments"), output("x" * 100), output("c")]
    found = reader.feed("".join(f"data: {json.dumps(event)}\n\n" for event in wire).encode())
    assert [json.loads(payload) for payload in found] == [*others, output("x" * 100)]
    assert (bytes(heard), reader.fast, reader.ready) == (b"a\\nbc", 3, b"")
