"""Titan's series and Cohere's single request."""

import json
from typing import Any

import pytest

from fastgw.core.errors import GatewayError
from fastgw.providers.bedrock.embeddings import Cohere, Titan


class Call:
    def __init__(self, *texts: str, dimensions: int | None = None) -> None:
        self._texts = list(texts)
        self.dimensions = dimensions

    def texts(self) -> list[str]:
        return self._texts


class Target:
    def __init__(self, model_name: str) -> None:
        self.model_name = model_name


def test_titan_keeps_order_digits_and_counts() -> None:
    titan = Titan(Call("a", "b", dimensions=2), target := Target("us.amazon.titan-embed-text-v2:0"))
    assert json.loads(titan.upstream_body(target)) == {"inputText": "a", "dimensions": 2}
    again = titan.following(b'{"embedding":[0.10000000000000000001,1e-7],"inputTextTokenCount":3}')
    assert again is not None
    assert json.loads(again) == {"inputText": "b", "dimensions": 2}
    last = b'{"embedding":[-0.0,2],"inputTextTokenCount":4,"embeddingsByType":{}}'
    assert titan.following(last) is None
    body, reported = titan.answer(last)
    assert b'"embedding":[0.10000000000000000001,1e-7]' in body
    assert b'"embedding":[-0.0,2]' in body
    assert json.loads(body)["usage"] == {"prompt_tokens": 7, "total_tokens": 7}
    assert (reported.prompt_tokens, reported.total_tokens, reported.model) == (7, 7, target.model_name)


def test_old_titan_gets_no_dimensions() -> None:
    titan = Titan(Call("a", dimensions=2), target := Target("amazon.titan-embed-text-v1"))
    assert json.loads(titan.upstream_body(target)) == {"inputText": "a"}
    assert json.loads(titan.answer(b'{"embedding":[1]}')[0])["usage"] == {"prompt_tokens": 0, "total_tokens": 0}


def test_no_text_is_refused() -> None:
    with pytest.raises(GatewayError) as caught:
        Titan(Call(), Target("amazon.titan-embed-text-v1"))
    assert (caught.value.status, caught.value.param) == (400, "input")


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"embedding":{}}', b'{"embedding":null}', b"\xff"])
def test_answers_that_are_none(answer: bytes) -> None:
    one: Any
    for one in (Titan(Call("a"), Target("m")), Cohere(Call("a"), Target("m"))):
        with pytest.raises(GatewayError) as caught:
            one.answer(answer)
        assert (caught.value.status, caught.value.type) == (502, "upstream_decode_error")
    with pytest.raises(GatewayError):
        two = Titan(Call("a", "b"), Target("m"))
        two.following(answer)
        two.answer(b'{"embedding":[1]}')


def test_cohere() -> None:
    cohere = Cohere(Call("a", "b", dimensions=5), target := Target("cohere.embed-english-v3"))
    assert json.loads(cohere.upstream_body(target)) == {"texts": ["a", "b"], "input_type": "search_document"}
    body, reported = cohere.answer(b'{"id":"x","embeddings":[[1.50,2],[3]],"texts":["a","b"]}')
    assert b'{"index":0,"object":"embedding","embedding":[1.50,2]}' in body
    assert json.loads(body)["usage"] == {"prompt_tokens": 0, "total_tokens": 0}
    assert reported.total_tokens == 0
