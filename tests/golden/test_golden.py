"""Every golden fixture holds, and its stream does not depend on how the upstream's bytes are cut."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.golden.harness import Case, fixtures, load

NAMES = list(fixtures())
STREAMED = [name for name in NAMES if "events" in load(name)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per fixture."""
    if "name" in metafunc.fixturenames and "data" not in metafunc.fixturenames:
        metafunc.parametrize("name", NAMES)


def test_fixture(name: str) -> None:
    fixture = load(name)
    case = Case(name, fixture)
    if "refused" in fixture:
        assert case.refused() == fixture["refused"]
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
    if "answer" in fixture:
        assert case.reply() == fixture["reply"]
    if "events" in fixture:
        assert case.stream() == fixture["stream"]


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_any_split(data: st.DataObject) -> None:
    case = Case(name := data.draw(st.sampled_from(STREAMED)), load(name))
    wire = case.wire()
    cuts = sorted(data.draw(st.sets(st.integers(0, len(wire)), max_size=12)))
    pieces = [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    assert case.bytes_out(pieces) == case.bytes_out([wire])


@pytest.mark.parametrize("ending", ["\r\n", "\r"])
@pytest.mark.parametrize("stream", [name for name in STREAMED if not name.endswith(".bedrock")])
def test_byte_by_byte_and_other_line_ends(stream: str, ending: str) -> None:
    case = Case(stream, load(stream))
    whole = case.bytes_out([case.wire()])
    wire = case.wire().replace(b"\n", ending.encode())
    # A native relay keeps the upstream's line ends.
    assert case.bytes_out([wire[i : i + 1] for i in range(len(wire))]).replace(ending.encode(), b"\n") == whole
