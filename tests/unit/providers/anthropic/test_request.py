"""Members of OpenAI's API that the Messages API refuses."""

from typing import Any

import pytest

from fastgw.providers.anthropic.request import Request

CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({"verbosity": "low", "prompt_cache_key": "k", "prompt_cache_retention": "24h"}, {}),
        ({"safety_identifier": "u-1"}, {"metadata": {"user_id": "u-1"}}),
        ({"user": "u-1"}, {"metadata": {"user_id": "u-1"}}),
        ({"user": "old", "safety_identifier": "new"}, {"metadata": {"user_id": "new"}}),
        ({"safety_identifier": "u-1", "metadata": {"user_id": "own"}}, {"metadata": {"user_id": "own"}}),
        ({"user": 7}, {}),
        ({"top_k": 5, "novelty": [1]}, {"top_k": 5, "novelty": [1]}),
    ],
)
def test_what_goes_along(given: dict[str, Any], made: dict[str, Any]) -> None:
    body = Request({**CHAT, **given}, "claude", False).body
    for name in ("messages", "model", "max_tokens", "stream"):
        del body[name]
    assert body == made
