"""A gateway in front of a mock that speaks every protocol, with an alias per wire family, and SDK clients for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anthropic
import openai

from tests.support.gateway import API_KEY, Gateway, gateway, resources
from tests.support.mock import Mock, mock_upstream

CLAUDE = "claude"
"""An alias of the Anthropic family; `gpt` is one of OpenAI's."""
GPT = "gpt"
OPENAI = "openai"
"""An alias that has the Responses API itself."""
UPSTREAM = {CLAUDE: "claude-sonnet-4-5", GPT: "gpt-4o", OPENAI: "gpt-4o"}
AWS_SECRET = '{"access_key_id": "a", "secret_access_key": "s", "region": "eu-west-3"}'
VERTEX_SECRET = '{"project": "p", "region": "r", "access_token": "t"}'

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def document(mock: Mock) -> dict[str, Any]:
    """Resources: `claude`, `gpt` and `openai`, the same with a stream timeout of their own (`-timed`) and with a script
    for the mock behind a question mark, one alias of each other family, a dead one."""
    found = resources(mock.url)
    [model] = found["models"]
    found["provider_keys"] += [
        {"display_name": "ant", "provider": "anthropic", "api_key": "ant-key", "api_base": mock.origin},
        {"display_name": "dead", "provider": "anthropic", "api_key": "ant-key", "api_base": "http://127.0.0.1:1"},
        {"display_name": "oai", "provider": "openai", "api_key": "oai-key", "api_base": mock.url},
        {
            "display_name": "az",
            "provider": "azure",
            "adapter": "azure-openai",
            "api_key": "az",
            "api_base": mock.origin,
        },
        {
            "display_name": "ver",
            "provider": "google",
            "adapter": "vertex",
            "api_key": VERTEX_SECRET,
            "api_base": mock.origin,
        },
        {
            "display_name": "aws",
            "provider": "aws",
            "adapter": "bedrock",
            "api_key": AWS_SECRET,
            "api_base": mock.origin,
        },
    ]
    claude = {"provider": "anthropic", "model_name": UPSTREAM[CLAUDE], "provider_key": "ant", "retries": 0}
    gpt = {**model, "model_name": UPSTREAM[GPT], "retries": 0}
    own = {"provider": "openai", "model_name": UPSTREAM[OPENAI], "provider_key": "oai", "retries": 0}
    found["models"] += [
        {**claude, "display_name": CLAUDE},
        {**gpt, "display_name": GPT},
        # The rest of the name is a script for the mock, which a translated request has no member for.
        {**gpt, "display_name": f"{GPT}?*", "model_name": f"{UPSTREAM[GPT]}?*"},
        {**gpt, "display_name": f"{GPT}-timed?*", "model_name": f"{UPSTREAM[GPT]}?*", "stream_timeout": 20_000},
        {**claude, "display_name": f"{CLAUDE}?*", "model_name": f"{UPSTREAM[CLAUDE]}?*"},
        {**own, "display_name": OPENAI},
        {**own, "display_name": f"{OPENAI}?*", "model_name": f"{UPSTREAM[OPENAI]}?*"},
        {**own, "display_name": f"{OPENAI}-timed?*", "model_name": f"{UPSTREAM[OPENAI]}?*", "stream_timeout": 20_000},
        {**own, "display_name": "gemini", "provider": "google", "model_name": "gemini-2.5-pro", "provider_key": "ver"},
        {
            **own,
            "display_name": "nova",
            "provider": "aws",
            "model_name": "eu.amazon.nova-pro-v1:0",
            "provider_key": "aws",
        },
        {**own, "display_name": "azure", "provider": "azure", "model_name": "dep-1", "provider_key": "az"},
        {**claude, "display_name": f"{CLAUDE}-timed", "stream_timeout": 20_000, "retries": 1},
        {**gpt, "display_name": f"{GPT}-timed", "stream_timeout": 20_000, "retries": 1},
        {**claude, "display_name": "old-claude", "model_name": "claude-3-5-sonnet"},
        {**claude, "display_name": "cached-claude", "auto_prompt_caching": {"enabled": True}},
        {**claude, "display_name": "dead", "provider_key": "dead"},
        {**gpt, "display_name": "brisk-gpt", "timeout": 300, "stream_timeout": 300},
        {**claude, "display_name": "brisk-claude", "timeout": 300, "stream_timeout": 300},
    ]
    return found


class Families:
    """The mock, the gateway, and clients that never retry by themselves."""

    def __init__(self, mock: Mock, gw: Gateway) -> None:
        self.mock = mock
        self.gateway = gw

    def openai(self) -> openai.OpenAI:
        """OpenAI's SDK."""
        return openai.OpenAI(base_url=self.gateway.url, api_key=API_KEY, max_retries=0, timeout=20)

    def anthropic(self) -> anthropic.Anthropic:
        """Anthropic's SDK."""
        return anthropic.Anthropic(base_url=self.gateway.base, api_key=API_KEY, max_retries=0, timeout=20)

    def sent(self) -> dict[str, Any]:
        """The last request that the mock has seen."""
        found: dict[str, Any] = self.mock.requests()[-1]
        return found


@contextmanager
def families(**config: Any) -> Iterator[Families]:
    """Mock and gateway, running."""
    with mock_upstream(record=100) as mock, gateway(document(mock), config) as gw:
        yield Families(mock, gw)
