"""Which trace a request belongs to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw.core.tracecontext import TraceParent, trace_parent

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01".encode()


def test_one_valid_parent() -> None:
    assert trace_parent([GOOD], []) == TraceParent(TRACE, SPAN, 1, "")
    assert trace_parent([f"00-{TRACE}-{SPAN}-00".encode()], []) == TraceParent(TRACE, SPAN, 0, "")
    assert trace_parent([f"00-{TRACE}-{SPAN}-ff".encode()], []) == TraceParent(TRACE, SPAN, 255, "")


@pytest.mark.parametrize(
    "parents",
    [
        [],
        [GOOD, GOOD],
        [b""],
        [f"01-{TRACE}-{SPAN}-01".encode()],
        [f"ff-{TRACE}-{SPAN}-01".encode()],
        [GOOD.upper()],
        [f"00-{'0' * 32}-{SPAN}-01".encode()],
        [f"00-{TRACE}-{'0' * 16}-01".encode()],
        [GOOD + b"-what"],
        [GOOD[:-1]],
        [GOOD.replace(b"-", b"_")],
        [b" " + GOOD],
        [GOOD + b"\n"],
        [GOOD.replace(b"4b", b"\xd9\xa4b")],
    ],
)
def test_anything_else_is_no_parent(parents: list[bytes]) -> None:
    assert trace_parent(parents, [b"a=1"]) is None


@pytest.mark.parametrize(
    ("states", "kept"),
    [
        ([b"a=1"], "a=1"),
        ([b"a=1,b=2", b"c=3"], "a=1,b=2,c=3"),
        ([b"a=1", b"b=\xc3\xa9"], ""),
        ([b"a=\t1"], ""),
        ([b"a=1\x7f"], ""),
        ([b"a= ~"], "a= ~"),
    ],
)
def test_state_goes_with_a_parent(states: list[bytes], kept: str) -> None:
    parent = trace_parent([GOOD], states)
    assert parent is not None
    assert parent.state == kept


@given(st.lists(st.binary(max_size=60), max_size=2), st.lists(st.binary(max_size=20), max_size=3))
def test_any_bytes(parents: list[bytes], states: list[bytes]) -> None:
    found = trace_parent(parents, states)
    assert found is None or (len(parents) == 1 and found.state.isprintable())
