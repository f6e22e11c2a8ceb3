"""Gemini's answers, as odd as they come."""

import json
from typing import Any

import pytest

from fastgw.providers.vertex.gemini.answer import completion_of


@pytest.mark.parametrize("reason", [None, 1, "NEW", [], {"a": 1}, ["SAFETY"]])
def test_a_finish_reason_that_is_none_ends_an_answer(reason: Any) -> None:
    document = {"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": reason}]}
    found = completion_of(json.dumps(document).encode(), "gemini")
    assert (found.text, found.finish) == ("a", "stop")
