"""Calls of Gemini, whose signatures travel in ids."""

import base64
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw.providers.vertex.gemini.tools import Calls, declarations, tool_call


@given(st.binary(min_size=1, max_size=2000))
def test_signatures_come_back_as_they_were(data: bytes) -> None:
    signature = base64.b64encode(data).decode()
    made = tool_call({"functionCall": {"name": "f", "args": {}}, "thoughtSignature": signature})
    assert made is not None
    # What Anthropic demands of an id.
    assert re.fullmatch("[a-zA-Z0-9_-]+", made.id)
    sent = {"id": made.id, "function": {"name": made.name, "arguments": made.arguments}}
    assert Calls().parts([sent], signed=False) == [
        {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": signature}
    ]


def test_ids_of_others_hold_no_signature() -> None:
    for id in ("call_abc_def", "toolu_0123456789abcdef01234567_x", "call_0123456789abcdef01234567"):
        sent = {"id": id, "function": {"name": "f", "arguments": "{}"}}
        assert "thoughtSignature" not in Calls().parts([sent], signed=False)[0]


@pytest.mark.parametrize("parameters", [{}, {"type": "object"}, {"type": "object", "properties": {}}])
def test_functions_that_take_nothing_have_no_schema(parameters: dict[str, Any]) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": parameters}}
    assert declarations([tool]) == [{"name": "f"}]
