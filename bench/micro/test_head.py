"""HTTP heads: httptools with our readers, a request of the official SDK in, an upstream's answer in."""

from __future__ import annotations

from httptools import HttpRequestParser, HttpResponseParser
from pytest_benchmark.fixture import BenchmarkFixture

from bench.micro.samples import ANSWER, ANSWER_WIRE, CHAT, REQUEST
from fastgw._speedups.head import AnswerReader, RequestIds, RequestReader


def test_request_head(benchmark: BenchmarkFixture) -> None:
    reader = RequestReader()
    parser = HttpRequestParser(reader)
    reader.parser = parser

    def parse() -> bytes:
        parser.feed_data(REQUEST)
        request = reader.take()
        assert request is not None
        return request.body()

    assert benchmark(parse) == CHAT


def test_answer_head(benchmark: BenchmarkFixture) -> None:
    reader = AnswerReader()
    parser = HttpResponseParser(reader)
    reader.parser = parser

    def parse() -> bytes:
        reader.begin()
        parser.feed_data(ANSWER_WIRE)
        return reader.take()

    assert benchmark(parse) == ANSWER


def test_request_id(benchmark: BenchmarkFixture) -> None:
    ids = RequestIds()
    assert benchmark(ids.next) != ids.next()
