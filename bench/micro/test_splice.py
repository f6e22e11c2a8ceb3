"""Request and answer bodies: one scan, one splice. Must grow with size like a copy."""

from __future__ import annotations

import json

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.micro.samples import ANSWER, CHAT, chat
from fastgw._speedups.splice import ChatAnswer, ChatRequest

MODEL = b'"mock-model"'


def rewrite(body: bytes) -> bytes:
    return ChatRequest(body).upstream_body(MODEL, False)


def test_small_chat_request(benchmark: BenchmarkFixture) -> None:
    assert json.loads(benchmark(rewrite, CHAT))["model"] == "mock-model"


@pytest.mark.parametrize("size", [1_000, 100_000, 1_000_000])
def test_chat_request(benchmark: BenchmarkFixture, size: int) -> None:
    assert json.loads(benchmark(rewrite, chat(size)))["model"] == "mock-model"


def test_chat_answer(benchmark: BenchmarkFixture) -> None:
    def relay() -> tuple[bytes, int]:
        answer = ChatAnswer(ANSWER)
        return answer.render(b'"alias"'), answer.total_tokens

    body, tokens = benchmark(relay)
    assert (json.loads(body)["model"], tokens) == ("alias", 33)
