"""Members of OpenAI's API that the Messages API refuses."""

from typing import Any

import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsBase

from fastgw.providers.anthropic.request import Request

SHARED = {"model", "messages", "max_tokens", "temperature", "top_p", "stream", "tools", "tool_choice"}
"""Names that both APIs have, for the same thing."""
CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({"verbosity": "low", "prompt_cache_key": "k", "prompt_cache_retention": "24h"}, {}),
        ({"web_search_options": {}, "moderation": {}, "prompt_cache_options": {"ttl": "30m"}}, {}),
        ({"functions": [], "function_call": "auto"}, {}),
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


@pytest.mark.parametrize("name", sorted(set(CompletionCreateParamsBase.__annotations__) - SHARED))
def test_what_only_openai_knows_stays_behind(name: str) -> None:
    assert name not in Request({**CHAT, name: {"x": 1}}, "claude", False).body
