"""Token counters of answers."""

import pytest

from fastgw._speedups.splice import top_level
from fastgw.gateway.call import Tokens, tokens_of


def read(usage: bytes) -> Tokens:
    body = b'{"choices":[],"usage":' + usage + b"}"
    return tokens_of(body, top_level(body, (b"usage",))[0])


def test_counters() -> None:
    assert read(b'{"total_tokens":5, "prompt_tokens":3,"completion_tokens":2}') == Tokens(3, 2, 5)


@pytest.mark.parametrize("other", [b"1e999", b"9" * 5000, rb'"\ud800"', b"[[[{}]]]"])
def test_other_members_may_hold_what_python_cannot_read(other: bytes) -> None:
    assert read(b'{"prompt_tokens":3,"cost":' + other + b"}") == Tokens(3)


@pytest.mark.parametrize("value", [b"-1", b"1.5", b"true", b"null", b'"7"', b"9" * 16, b"9" * 5000, b"1e3"])
def test_what_is_no_usable_number_counts_as_nothing(value: bytes) -> None:
    assert read(b'{"prompt_tokens":' + value + b',"total_tokens":4}') == Tokens(0, 0, 4)


@pytest.mark.parametrize("usage", [b"null", b"7", b'{"prompt_tokens":1,"prompt_tokens":2}', b"{}"])
def test_no_usage(usage: bytes) -> None:
    assert read(usage) == Tokens()
