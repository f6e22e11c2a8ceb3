"""Any bytes as a binary event stream: the messages and failures of the reference, however it is split.

The first byte of an input says where it is split, the second whether the checksums of its messages are put right
first, so that what is behind them is reached. `python tests/fuzz/fuzz_eventstream.py tests/fuzz/corpus/eventstream`
runs it under atheris where that is installed; pytest runs it over the committed corpus and on inputs derived from that.
"""

import struct
import sys
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgw._speedups.eventstream import BROKEN, MessageReader
from tests.support.eventstream_reference import read

CORPUS = sorted((Path(__file__).parent / "corpus" / "eventstream").iterdir())
LIMIT = 4096


def righted(data: bytes) -> bytes:
    """The same lengths and contents with checksums that fit."""
    made = b""
    while len(data) >= 12:
        total = struct.unpack(">I", data[:4])[0]
        prelude = data[:8] + struct.pack(">I", zlib.crc32(data[:8]))
        if not 16 <= total <= len(data):
            return made + prelude + data[12:]
        before = prelude + data[12 : total - 4]
        made += before + struct.pack(">I", zlib.crc32(before))
        data = data[total:]
    return made + data


def run(data: bytes) -> None:
    step, right, data = data[:1], data[1:2], data[2:]
    size = step[0] + 1 if step else 1
    if right and right[0] & 1:
        data = righted(data)
    messages, failure, whole = read(data, LIMIT)
    for pieces in ([data], [data[i : i + size] for i in range(0, len(data), size)]):
        reader = MessageReader(max_message=LIMIT)
        assert [one for piece in pieces for one in reader.feed(piece)] == messages
        assert reader.failure == failure
        assert reader.finish() == (failure or (0 if whole else BROKEN))
        assert reader.feed(b"") == []


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_corpus(path: Path) -> None:
    data = path.read_bytes()
    for size in (0, 1, 6, 11, 255):
        for right in (0, 1):
            run(bytes([size, right]) + data[2:])


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(CORPUS), st.integers(0, 255), st.booleans(), st.data())
def test_fuzz_eventstream(path: Path, size: int, right: bool, choose: st.DataObject) -> None:
    data = path.read_bytes()[2:]
    for _ in range(choose.draw(st.integers(1, 4))):
        start = choose.draw(st.integers(0, len(data)))
        middle = choose.draw(st.binary(max_size=4) | st.just(data[start : start + 60] * 2))
        data = data[:start] + middle + data[start + choose.draw(st.integers(0, 6)) :]
    run(bytes([size, right]) + data)


if __name__ == "__main__":
    import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]

    atheris.Setup(sys.argv, run)
    atheris.Fuzz()
