"""Any bytes, cut anywhere: the request and answer readers see the same, and raise nothing but the parser's errors.

The first byte says how many cuts, the following ones where; the rest is the input.

`python tests/fuzz/fuzz_head.py` runs it under atheris where that is installed; pytest runs it on generated inputs.
"""

import itertools
import sys

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.heads import read_answers, read_requests

REQUEST = b"POST / HTTP/1.1\r\nHost: a\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nT: u\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nRetry-After: 1\r\nContent-Length: 5\r\n\r\nhello"


def run(data: bytes) -> None:
    count = data[0] % 8 if data else 0
    cuts, text = data[1 : count + 1], data[count + 1 :]
    edges = sorted({0, len(text), *(cut * len(text) // 256 for cut in cuts)})
    pieces = [text[a:b] for a, b in itertools.pairwise(edges)]
    whole = read_requests([text])
    assert read_requests(pieces) == whole
    for request in whole[0]:
        received, body, complete, declared = request[16], request[17], request[15], request[10]
        assert isinstance(body, bytes)
        assert received == len(body)
        assert not complete or request[11] or received == max(declared, 0)  # type: ignore[call-overload]
    assert read_answers(pieces) == read_answers([text])


mangled = st.builds(
    lambda text, at, junk, cuts: bytes([len(cuts)]) + bytes(cuts) + text[:at] + junk + text[at:],
    st.sampled_from([REQUEST, REQUEST * 2, ANSWER, ANSWER * 2]),
    st.integers(0, 200),
    st.binary(max_size=6),
    st.lists(st.integers(0, 255), max_size=7),
)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=300) | mangled)
@example(b"\x00" + REQUEST)
@example(b"\x02\x40\x80" + ANSWER)
def test_fuzz_head(data: bytes) -> None:
    run(data)


if __name__ == "__main__":
    import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]

    atheris.Setup(sys.argv, run)
    atheris.Fuzz()
