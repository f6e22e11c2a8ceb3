"""Calls of the official SDKs, made at the mock upstream directly or through a gateway in front of it."""

import copy
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai

from tests.support.gateway import API_KEY, Gateway, gateway, resources
from tests.support.mock import Mock, mock_upstream

ALIAS = "fast-chat"
UPSTREAM_MODEL = "mock-gpt"
SLASHED = "team/chat v1%2F✓"
"""An alias with everything that a URL path has to escape."""

MESSAGES: list[Any] = [{"role": "user", "content": "Say something."}]
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": "weather", "parameters": CITY, "strict": True}},
    {"type": "function", "function": {"name": "time", "description": "The time.", "parameters": {"type": "object"}}},
]
SCHEMA: Any = {"type": "json_schema", "json_schema": {"name": "forecast", "schema": CITY, "strict": True}}
PIXEL = "data:image/png;base64,iVBORw0KGgo="
PARTS: list[Any] = [
    {"type": "text", "text": "What is this? ✓ \U0001f600"},
    {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
    {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
    {"type": "file", "file": {"file_id": "file-1"}},
    {"type": "vendor_part", "weight": 0.5},
]
CONVERSATION: list[Any] = [
    {"role": "developer", "content": "Be brief."},
    {"role": "user", "content": PARTS, "name": "ann"},
    {
        "role": "assistant",
        "content": "Looking.",
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Ulm"}'}}
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "rain"}]},
    {"role": "function", "name": "time", "content": "noon"},
    {"role": "user", "content": "And?"},
]
TWO_CALLS = [
    {"name": "weather", "id": "call_1", "arguments": {"city": "Zürich", "days": 2}},
    {"name": "time", "id": "call_2", "arguments": '{ "zone" : "CET" }'},
]
USAGE = {
    "prompt_tokens": 30,
    "completion_tokens": 7,
    "total_tokens": 37,
    "prompt_tokens_details": {"cached_tokens": 20, "vendor_tokens": 1},
    "completion_tokens_details": {"reasoning_tokens": 5},
    "cost": 0.125,
}


def script(**directives: Any) -> dict[str, Any]:
    """`extra_body` with directives for the mock. A gateway passes them on as a field that it does not know."""
    return {"mock": directives}


CALLS: dict[str, dict[str, Any]] = {
    "plain": {},
    "choices": {"n": 3},
    "logprobs": {"logprobs": True, "top_logprobs": 2},
    "choices_with_logprobs": {"n": 2, "logprobs": True},
    "tool": {"tools": TOOLS, "extra_body": script(tool_calls=1)},
    "parallel_tools": {"tools": TOOLS, "parallel_tool_calls": True, "extra_body": script(tool_calls=TWO_CALLS)},
    "tools_in_choices": {"tools": TOOLS, "n": 2, "extra_body": script(tool_calls=TWO_CALLS)},
    "json_schema": {"response_format": SCHEMA},
    "json_object": {"response_format": {"type": "json_object"}},
    "conversation": {"messages": CONVERSATION},
    "vendor_usage": {"extra_body": script(usage=USAGE)},
    "service_tier": {"service_tier": "flex", "seed": 7, "stop": ["\n"], "metadata": {"a": "b"}},
    "unicode": {"extra_body": script(content='naïve \U0001f468‍\U0001f469 \u2028 \x7f "quoted" \\ \n\t end', tokens=9)},
    "large": {"extra_body": script(answer_bytes=200_000, tokens=50)},
    "nothing": {"extra_body": script(content="", tokens=0)},
    "split_writes": {"extra_body": script(split=7)},
    "one_write": {"extra_body": script(coalesce=True)},
    "paced": {"extra_body": script(first_ms=5, cadence_ms=2)},
    "unknown_fields": {"extra_body": {"vendor": {"deep": [1, None, {"x": 1e-7}]}, "top_k": 5}},
}
"""Arguments of `chat.completions.create` besides model and messages; each answers differently."""


def arguments(name: str, model: str) -> dict[str, Any]:
    """The arguments of a call in CALLS."""
    return {"model": model, "messages": MESSAGES} | copy.deepcopy(CALLS[name])


MINTED = {
    "chat.completion": {"id", "created", "model"},
    "chat.completion.chunk": {"id", "created", "model"},
    "text_completion": {"id", "created"},
    "model": {"created"},
}


def comparable(value: Any) -> Any:
    """Plain data without what may differ between a provider and a gateway in front of it."""
    if isinstance(value, openai.BaseModel):
        value = value.model_dump(mode="json", exclude_unset=True, warnings=False)
    if isinstance(value, list):
        return [comparable(item) for item in value]
    if isinstance(value, dict):
        dropped = MINTED.get(str(value.get("object")), set())
        return {key: comparable(item) for key, item in value.items() if key not in dropped}
    return value


def digest(key: str) -> str:
    """How an API key is written in resources."""
    return hashlib.sha256(key.encode()).hexdigest()


def document(mock: Mock) -> dict[str, Any]:
    """Resources: aliases with every kind of trouble, and callers who may use them or not.

    The mock's failures are not retried by the gateway, so that a test sees each of them.
    """
    found = resources(mock.url, retries=0)
    [key], [model], [caller] = found["provider_keys"], found["models"], found["api_keys"]
    # Nothing listens on port 1.
    found["provider_keys"].append(key | {"display_name": "dead", "api_base": "http://127.0.0.1:1/v1"})
    more: list[dict[str, Any]] = [
        {"display_name": SLASHED},
        {"display_name": "private"},
        {"display_name": "elsewhere", "allowed_cidrs": ["192.0.2.0/24"]},
        {"display_name": "quick", "timeout": 250},
        {"display_name": "brisk", "stream_timeout": 250},
        {"display_name": "stubborn", "retries": 2},
        {"display_name": "dead", "provider_key": "dead"},
        {"display_name": "vendor/*", "model_name": "*"},
    ]
    found["models"] += [model | extra for extra in more]
    allowed = [ALIAS, SLASHED, "elsewhere", "quick", "brisk", "stubborn", "dead", "vendor/*"]
    caller["allowed_models"] = allowed
    found["api_keys"] += [
        {"display_name": "off", "key_hash": digest("sk-off"), "allowed_models": ["*"], "disabled": True},
        {
            "display_name": "old",
            "key_hash": digest("sk-old"),
            "allowed_models": ["*"],
            "expires_at": "2020-01-01T00:00:00Z",
        },
        {"display_name": "none", "key_hash": digest("sk-none"), "allowed_models": []},
    ]
    return found


class Stack:
    """A mock upstream with a gateway in front of it."""

    def __init__(self, mock: Mock, gw: Gateway) -> None:
        self.mock = mock
        self.gateway = gw

    def client(self, **options: Any) -> openai.OpenAI:
        """A client of the gateway."""
        return openai.OpenAI(**{**self.options(), **options})

    def async_client(self, **options: Any) -> openai.AsyncOpenAI:
        """The same, asynchronous."""
        return openai.AsyncOpenAI(**{**self.options(), **options})

    def direct(self, **options: Any) -> openai.OpenAI:
        """A client of the mock itself."""
        return self.client(base_url=self.mock.url, **options)

    def options(self) -> dict[str, Any]:
        """How clients are made: they never retry, so that requests can be counted."""
        return {"base_url": self.gateway.url, "api_key": API_KEY, "max_retries": 0, "timeout": 10}

    def recorded(self) -> dict[str, Any]:
        """The only request that the mock has seen since the last reset."""
        [request] = self.mock.requests()
        return request


@contextmanager
def stack(**config: Any) -> Iterator[Stack]:
    """A stack with the resources of `document`."""
    with mock_upstream(record=100) as mock, gateway(document(mock), config) as gw:
        yield Stack(mock, gw)
