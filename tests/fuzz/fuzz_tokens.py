"""Any bytes as a text: as many tokens as tiktoken makes of it, however it is split.

The first byte of an input chooses the vocabulary, the second where it is split. `python tests/fuzz/fuzz_tokens.py` runs
it under atheris where that is installed; pytest runs it on generated inputs.
"""

import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from fastgw._speedups.tokens import Counter
from fastgw.core import tables
from tests.support.token_oracle import NAMES, expected


def run(data: bytes) -> None:
    choice, step, data = data[:1], data[1:2], data[2:]
    name = NAMES[choice[0] % len(NAMES)] if choice else NAMES[0]
    size = step[0] + 1 if step else 1
    table, wanted = tables.load(name), expected(name, data.decode("utf-8", "replace"))
    assert table.count(data) == wanted
    for eager in (False, True):
        counter = Counter(table)
        for start in range(0, len(data), size):
            counter.feed(data[start : start + size])
            while eager and counter.step():
                pass
        counter.end()
        while counter.step():
            pass
        assert counter.count == wanted


pieces = st.sampled_from(
    [b" ", b"\n", b"\r\n", b"'s", b"\xc5\xbf", b"A", b"a", b"\xe4\xb8\xad", b"\xcc\x81", b"12", b"/", b"\xf0\x9f"]
)


@settings(max_examples=400, deadline=None)
@given(
    st.integers(0, 255), st.integers(0, 255), st.lists(pieces | st.binary(max_size=5), max_size=60), st.integers(1, 40)
)
def test_fuzz_tokens(choice: int, step: int, parts: list[bytes], times: int) -> None:
    run(bytes([choice, step]) + b"".join(parts) * times)


if __name__ == "__main__":
    import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]

    atheris.Setup(sys.argv, run)
    atheris.Fuzz()
