"""Any bytes as an upstream's event stream: same output however it is split, and the same chunks as the reference gives.

The first byte of an input chooses the options, the second where it is split. `python tests/fuzz/fuzz_sse.py
tests/fuzz/corpus/sse` runs it under atheris where that is installed; pytest runs it over the committed corpus and on
inputs derived from that.
"""

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgw._speedups.sse import ChatStream
from tests.support import splice_reference, sse_reference

CORPUS = sorted((Path(__file__).parent / "corpus" / "sse").iterdir())
PATHS = ((), (b"a", b"b"))


def parsed(line: bytes) -> splice_reference.Tree:
    try:
        return splice_reference.parse(line)
    except (ValueError, RecursionError):
        return None


def run(data: bytes) -> None:
    choice, step, data = data[:1], data[1:2], data[2:]
    flags = choice[0] if choice else 0
    forward, strip, path = bool(flags & 1), bool(flags & 2), PATHS[flags >> 2 & 1]
    size = step[0] + 1 if step else 1

    def stream() -> ChatStream:
        return ChatStream(b'"alias"', forward_usage=forward, strip_null_usage=strip, chunked=False, reasoning_path=path)

    whole, pieces = stream(), stream()
    out = whole.feed(data)
    assert b"".join(pieces.feed(data[i : i + size]) for i in range(0, len(data), size)) == out
    end = whole.finish()
    assert pieces.finish() == end
    assert (pieces.failure, pieces.failure_data, pieces.frames) == (whole.failure, whole.failure_data, whole.frames)

    assert (pieces.said, pieces.said_beyond) == (whole.said, whole.said_beyond)

    names = tuple(name.decode() for name in path)
    expected = sse_reference.relay(data, ended=True, forward=forward, strip=strip, path=names)
    assert (whole.failure, whole.done, whole.frames) == (expected.failure, expected.done, expected.frames)
    assert whole.said == expected.said or whole.said_beyond or repeats(data)
    events = [splice_reference.parse(one[6:]) for one in (out + end).split(b"\n\n")[:-1] if one != b"data: [DONE]"]
    assert len(events) == whole.forwarded == len(expected.chunks) or repeats(data)
    assert events == expected.chunks or repeats(data)


def repeats(data: bytes) -> bool:
    """Repeated keys: which of them counts where is not part of the reference."""
    return any(splice_reference.repeats(parsed(event)) for event in sse_reference.events(data, True))


pieces = st.sampled_from(
    [b"\n", b"\r", b"\r\n", b"\n\n", b"data:", b"data: ", b"{", b"}", b'"', b":", b"[DONE]", b",", b" "]
)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_corpus(path: Path) -> None:
    data = path.read_bytes()
    for flags in range(8):
        for size in (0, 1, 6, 15, 255):
            run(bytes([flags, size]) + data[2:])


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(CORPUS), st.integers(0, 7), st.integers(0, 255), st.data())
def test_fuzz_sse(path: Path, flags: int, size: int, choose: st.DataObject) -> None:
    data = path.read_bytes()[2:]
    for _ in range(choose.draw(st.integers(1, 4))):
        start = choose.draw(st.integers(0, len(data)))
        middle = choose.draw(pieces | st.binary(max_size=3) | st.just(data[start : start + 60] * 2))
        data = data[:start] + middle + data[start + choose.draw(st.integers(0, 20)) :]
    run(bytes([flags, size]) + data)


if __name__ == "__main__":
    import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]

    atheris.Setup(sys.argv, run)
    atheris.Fuzz()
