"""Any bytes as a chat document: readers agree on what is JSON, and what is spliced is what the reference makes of it.

`python tests/fuzz/fuzz_splice.py tests/fuzz/corpus/splice` runs it under atheris where that is installed; pytest runs
it over the committed corpus and on inputs derived from that.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgw._speedups.splice import ChatAnswer, ChatRequest, ScanError, top_level
from fastgw._speedups.texts import answer_text
from tests.support import splice_reference as reference

T = TypeVar("T")
CORPUS = sorted((Path(__file__).parent / "corpus" / "splice").iterdir())


def parsed(data: bytes) -> reference.Tree:
    """The tree, or None when the document must be refused."""
    try:
        tree = reference.parse(data)
    except (ValueError, RecursionError):
        return None
    return tree if isinstance(tree, reference.Members) and reference.depth(tree) <= 128 else None


def read(reader: Callable[[bytes], T], data: bytes) -> T | None:
    try:
        return reader(data)
    except ScanError as refused:
        assert 0 <= refused.offset <= len(data)
        assert refused.reason in {"syntax", "utf8", "depth", "missing", "type", "duplicate", "empty"}
        return None


def run(data: bytes) -> None:
    tree = parsed(data)
    spans = read(lambda data: top_level(data, (b"model", b"usage")), data)
    repeated = tree is not None and any([key for key, _ in tree].count(name) > 1 for name in ("model", "usage"))
    assert (spans is None) == (tree is None or repeated)
    for name, span in zip(("model", "usage"), spans or (), strict=False):
        assert (span is None) == (not tree.has(name))
        assert span is None or reference.parse(data[span[1] : span[2]]) == tree.last(name)
    request, answer = read(ChatRequest, data), read(ChatAnswer, data)
    assert tree is not None or (request is None and answer is None)
    for stream in (False, True):
        if request:
            body = reference.parse(request.upstream_body(b'"up"', stream))
            assert body == reference.upstream_body(tree, "up", stream)
    if answer:
        assert answer_text(data) == (reference.answer_said(tree), 0) or reference.repeats(tree)
        rendered = reference.parse(answer.render(b'"alias"'))
        assert reference.repeats(tree) or rendered == reference.answer(tree, "alias")


pieces = st.sampled_from(
    [b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\\u00", b"\xc3", b"\xed\xa0\x80", b"1", b" "]
)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_corpus(path: Path) -> None:
    data = path.read_bytes()
    run(data)
    for size in range(len(data)):
        run(data[:size])


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(CORPUS), st.data())
def test_fuzz_splice(path: Path, choose: st.DataObject) -> None:
    data = path.read_bytes()
    for _ in range(choose.draw(st.integers(1, 4))):
        start = choose.draw(st.integers(0, len(data)))
        middle = choose.draw(pieces | st.binary(max_size=3) | st.just(data[start : start + 40] * 2))
        data = data[:start] + middle + data[start + choose.draw(st.integers(0, 20)) :]
    run(data)


if __name__ == "__main__":
    import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]

    atheris.Setup(sys.argv, run)
    atheris.Fuzz()
