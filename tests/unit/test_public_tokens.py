"""Counting as a library call and as a command."""

import io

import pytest

from fastgw.cli.tokens import tokens
from fastgw.tokens import count
from tests.support.token_oracle import encoding

MODELS = {"gpt-4o": "o200k_base", "gpt-4": "cl100k_base", "unknown": "cl100k_base", "davinci": "r50k_base"}


@pytest.mark.parametrize("model", MODELS)
def test_count(model: str) -> None:
    for text in ("", "Hello world", "中文 и русский <|endoftext|>\n    x" * 20):
        wanted = len(encoding(MODELS[model]).encode_ordinary(text))
        assert count(text, model) == count(text.encode(), model) == tokens(model, io.BytesIO(text.encode())) == wanted


def test_a_large_file_is_counted_in_slices() -> None:
    text = "中文 words and\n more. " * 30_000
    assert tokens("gpt-4o", io.BytesIO(text.encode())) == count(text, "gpt-4o")
    assert tokens("gpt-4o", io.BytesIO(b"\xff" * 70_000)) == count("\ufffd" * 70_000, "gpt-4o")
