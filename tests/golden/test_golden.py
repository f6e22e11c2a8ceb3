"""Every golden fixture holds, and its stream does not depend on how the upstream's bytes are cut."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.golden.harness import COLUMNS, Case, document, fixtures, load, matrix

NAMES = list(fixtures())
STREAMED = [name for name in NAMES if "events" in load(name)]
RELAYED = [name for name in NAMES if name.startswith("matrix/") and Case(name, load(name)).spliced]
CASES = {
    "text",
    "multi-turn",
    "system-and-developer",
    "tool",
    "parallel-tools",
    "tool-results",
    "json-schema",
    "vision-url",
    "vision-base64",
    "documents",
    "documents-url",
    "thinking",
    "stop-sequences",
    "refusal",
    "length",
    "long-integers",
    "usage",
}
"""What every dialect and every kind of upstream is tried with. Images are in the tool results."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per fixture."""
    if "name" in metafunc.fixturenames and "data" not in metafunc.fixturenames:
        metafunc.parametrize("name", NAMES)


def test_fixture(name: str) -> None:
    fixture = load(name)
    case = Case(name, fixture)
    if "refused" in fixture:
        assert case.refused() == case.refused(stream=True) == fixture["refused"]
        return
    if "error" in fixture:
        assert case.error() == (fixture["reply_status"], fixture["reply"])
        return
    assert case.sent(False) == fixture["sent"]
    streamed: dict[str, Any] = dict(fixture.get("sent_streaming", fixture["sent"]))
    streamed.pop("stream", None)
    sent = case.sent(True)
    assert sent.pop("stream_options", None) in (None, {"include_usage": True}, fixture["sent"].get("stream_options"))
    streamed.pop("stream_options", None)
    assert sent.pop("stream", True) is True
    assert sent == streamed
    if "reply" in fixture:
        assert case.reply() == fixture["reply"]
    elif "answer" in fixture:
        answer = json.dumps(fixture["answer"]).encode()
        assert case.raw_reply(answer)[0] == case.relayed(answer)
    if "stream" in fixture:
        assert case.stream() == fixture["stream"]
    elif "events" in fixture:
        assert case.raw_bytes_out([case.wire()]) == case.relayed(case.wire())


def test_the_matrix_is_complete() -> None:
    assert {name.removeprefix("matrix/") for name in matrix()} == CASES
    for name in matrix():
        cells = document(name)["cells"]
        assert tuple(cells) == COLUMNS
        for column, cell in cells.items():
            if "refused" in cell:
                assert cell["refused"]["status"] == 400, (name, column)
                assert cell["refused"]["param"], (name, column)
            else:
                assert cell["sent"], (name, column)
                relayed = Case(f"{name}.{column}", load(f"{name}.{column}")).same_dialect
                assert relayed == ("reply" not in cell), (name, column)


@pytest.mark.parametrize("cell", RELAYED)
def test_requests_of_the_upstreams_own_dialect_are_spliced(cell: str) -> None:
    case = Case(cell, load(cell))
    for stream in (False, True):
        written = case.body(stream).replace(b'"model": "alias"', b'"model": ' + json.dumps(case.model).encode())
        sent = case.raw_sent(stream)
        if case.dialect == "chat":
            # A message without content gets an empty one; what is added stands at the end.
            written = written.replace(b'"content": null', b'"content": ""')
            assert sent.startswith(written[:-1]), stream
            added = {"stream_options": {"include_usage": True}} if stream else {"stream": False}
            rest = sent[len(written) - 1 : -1]
            assert json.loads(b"{" + rest.lstrip(b",") + b"}") == (added if rest else {})
        else:
            assert sent == written


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_any_split(data: st.DataObject) -> None:
    case = Case(name := data.draw(st.sampled_from(STREAMED)), load(name))
    wire = case.wire()
    cuts = sorted(data.draw(st.sets(st.integers(0, len(wire)), max_size=12)))
    pieces = [wire[a:b] for a, b in pairwise([0, *cuts, len(wire)])]
    assert case.bytes_out(pieces) == case.bytes_out([wire])


@pytest.mark.parametrize("stream", STREAMED)
def test_byte_by_byte_and_other_line_ends(stream: str) -> None:
    case = Case(stream, load(stream))
    whole = case.bytes_out([case.wire()])
    for ending in (b"\n",) if case.family == "bedrock" else (b"\r\n", b"\r"):
        wire = case.wire() if ending == b"\n" else case.wire().replace(b"\n", ending)
        # A native relay keeps the upstream's line ends.
        assert case.bytes_out([wire[i : i + 1] for i in range(len(wire))]).replace(ending, b"\n") == whole
