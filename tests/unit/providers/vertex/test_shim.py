"""Chat requests for the models of Vertex that speak OpenAI's protocol."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from fastgw.core.errors import GatewayError
from fastgw.endpoints.chat import ChatCall, decode
from fastgw.providers.vertex.shim import shimmed

TARGET: Any = SimpleNamespace(model_name="m", model_json=b'"m"', overrides=None)
AUDIO = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}


def call(text: str) -> ChatCall:
    exchange: Any = SimpleNamespace()
    return decode(exchange, text.encode())


def test_requests_are_spliced() -> None:
    made = call('{"model":"a", "temperature": 1.00, "messages":[{"role":"user","content":"x"}]}')
    assert shimmed(made, TARGET) is made


def test_developers_become_systems() -> None:
    text = '{"model":"a", "seed": 1.00, "messages":[{"role":"developer","content":"be brief","x":1},{"role":"user"}]}'
    body = shimmed(call(text), TARGET).upstream_body(TARGET)
    assert json.loads(body)["messages"] == [
        {"role": "system", "content": "be brief", "x": 1},
        {"role": "user", "content": ""},
    ]
    assert b'"seed": 1.00' in body


def test_words_alone_change_nothing() -> None:
    made = call('{"model":"a","messages":[{"role": "user","content":"developer input_audio","n":1.00}]}')
    assert shimmed(made, TARGET).upstream_body(TARGET) == made.upstream_body(TARGET)


def test_audio_is_refused() -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": "a"}, AUDIO]}]
    made = shimmed(call(json.dumps({"model": "a", "messages": messages})), TARGET)
    with pytest.raises(GatewayError, match="audio input is not supported by this provider") as caught:
        made.upstream_body(TARGET)
    assert (caught.value.status, caught.value.param) == (400, "messages[0].content[1]")
