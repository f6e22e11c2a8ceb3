"""One alias per wire family and protocol of an upstream, behind one gateway, with a conversation written for each.

The mock is told what to do by a member that the provider keys add to every body: it is asked something, calls two tools
and answers with what they gave, with the counters of `USED`, which each protocol writes in its own way.
"""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.gateway import Gateway, gateway, resources
from tests.support.mock import Mock, mock_upstream

QUESTION = "Which weather do they have?"
OPENING = "Let me look."
CALLS: list[dict[str, Any]] = [
    {"name": "weather", "id": "call_1", "arguments": {"city": "Zürich", "days": 2}},
    {"name": "weather", "id": "call_2", "arguments": {"city": 'Ulm \U0001f327 "Süd"', "days": 1}},
]
THOUGHT = "Both cities, then."
AWS = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "secret", "region": "eu-west-3"}


def weather(city: str, days: int) -> str:
    """What the tool of the conversation says."""
    return f"{city}: rain \N{DEGREE SIGN} for {days} days"


def answer() -> str:
    """What the mock says when it knows what the tools gave."""
    called = ((call["name"], call["arguments"]) for call in CALLS)
    return "; ".join(
        f"{name}({json.dumps(given, ensure_ascii=False, separators=(',', ':'))}) = {weather(**given)}"
        for name, given in called
    )


@dataclass(frozen=True)
class Used:
    """Counters of one answer as an upstream means them.

    What was read from a cache is part of the prompt or comes on top of it (`apart`); not all tell what was thought.
    """

    prompt: int = 31
    completion: int = 17
    cached: int = 8
    thought: int = 7
    apart: bool = False

    @property
    def total(self) -> int:
        """All of them."""
        return self.prompt + self.completion + (self.cached if self.apart else 0)


@dataclass(frozen=True)
class Target:
    """An alias, named like what stands behind it."""

    name: str
    vendor: str
    adapter: str
    model: str
    used: Used
    usage: dict[str, Any]
    """The same counters in the words of its protocol."""
    keeps_ids: bool = True
    """Its protocol has ids of calls."""
    counts: bool = False
    """It can count the tokens of a request."""
    embeds: str | None = None
    """Its model for embeddings; without one they are refused."""


_CHAT = {
    "prompt_tokens": 31,
    "completion_tokens": 17,
    "total_tokens": 48,
    "prompt_tokens_details": {"cached_tokens": 8},
    "completion_tokens_details": {"reasoning_tokens": 7},
}
_RESPONSES = {
    "input_tokens": 31,
    "input_tokens_details": {"cached_tokens": 8},
    "output_tokens": 17,
    "output_tokens_details": {"reasoning_tokens": 7},
    "total_tokens": 48,
}
_MESSAGES = {
    "input_tokens": 31,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 8,
    "output_tokens": 17,
}
_CONVERSE = {"inputTokens": 31, "outputTokens": 17, "totalTokens": 56, "cacheReadInputTokens": 8}
_GEMINI = {
    "promptTokenCount": 31,
    "cachedContentTokenCount": 8,
    "candidatesTokenCount": 10,
    "thoughtsTokenCount": 7,
    "totalTokenCount": 48,
}
_PLAIN, _APART = Used(), Used(thought=0, apart=True)

TARGETS = {
    target.name: target
    for target in (
        Target("openai", "openai", "openai", "gpt-5", _PLAIN, _CHAT, embeds="text-embedding-3-small"),
        Target("compatible", "deepseek", "openai", "deepseek-chat", _PLAIN, _CHAT, embeds="deepseek-embed"),
        Target("azure", "azure", "azure-openai", "gpt-5", _PLAIN, _CHAT, embeds="embedder"),
        Target("anthropic", "anthropic", "anthropic", "claude-sonnet-4-5", _APART, _MESSAGES, counts=True),
        Target("gemini", "google", "vertex", "gemini-2.5-pro", _PLAIN, _GEMINI, False, embeds="text-embedding-005"),
        Target("vertex-claude", "google", "vertex", "claude-sonnet-4-5", _APART, _MESSAGES),
        Target(
            "nova",
            "amazon",
            "bedrock",
            "eu.amazon.nova-pro-v1:0",
            _APART,
            _CONVERSE,
            embeds="amazon.titan-embed-text-v2:0",
        ),
        # Whole answers come by way of the Messages API, streams by way of Converse; neither minds unknown counters.
        Target(
            "bedrock-claude",
            "amazon",
            "bedrock",
            "eu.anthropic.claude-sonnet-4-5-v1:0",
            _APART,
            {**_MESSAGES, **_CONVERSE},
        ),
    )
}


def _secret(target: Target) -> str:
    if target.adapter == "bedrock":
        return json.dumps(AWS)
    return json.dumps({"project": "p", "region": "r", "access_token": "t"}) if target.adapter == "vertex" else "secret"


def _base(target: Target, mock: Mock) -> str:
    return mock.url if target.adapter == "openai" else mock.origin


_LOOP = {"tool_calls": CALLS, "content": OPENING, "recount": True}
SCRIPTS: dict[str, dict[str, Any]] = {"": _LOOP, "thinking-": {**_LOOP, "reasoning": THOUGHT}, "plain-": {}}
"""What aliases begin with, and how the mock answers behind them."""


def alias(target: Target, script: str = "", *, responses: bool = False) -> str:
    """The alias of a target for one of SCRIPTS. OpenAI alone has two protocols, so it has two of each."""
    return f"{script}{target.name}{'-responses' if responses and target.vendor == 'openai' else ''}"


def _rows(mock: Mock) -> Iterator[tuple[str, Target, dict[str, Any]]]:
    """Alias, target and what the provider key adds to bodies."""
    for target in TARGETS.values():
        for name, script in SCRIPTS.items():
            yield alias(target, name), target, {**script, "usage": target.usage}
            if target.vendor == "openai":
                yield alias(target, name, responses=True), target, {**script, "usage": _RESPONSES}


def document(mock: Mock) -> dict[str, Any]:
    """A provider key and an alias per target and script; `embed-` and the target where it has a model for that."""
    found = resources(mock.url)
    found["provider_keys"], found["models"] = [], []
    for name, target, script in _rows(mock):
        key = {"provider": target.vendor, "adapter": target.adapter, "api_key": _secret(target)}
        added = {"default_body_fields": {"mock": script}}
        found["provider_keys"].append({**key, "display_name": name, "api_base": _base(target, mock), "request": added})
        row = {"provider": target.vendor, "provider_key": name, "retries": 0}
        found["models"].append({**row, "display_name": name, "model_name": target.model})
        if target.name == name:
            bare: dict[str, Any] = {**key, "display_name": f"embed-{name}", "api_base": _base(target, mock)}
            if target.adapter == "azure-openai":
                # The version that is asked for by default has no embeddings.
                bare["request"] = {"default_body_fields": {"api-version": "2025-04-01-preview"}}
            found["provider_keys"].append(bare)
            row = {**row, "provider_key": f"embed-{name}"}
            model = target.embeds or target.model
            found["models"].append({**row, "display_name": f"embed-{name}", "model_name": model})
    return found


@dataclass(frozen=True)
class Rig:
    """The mock, the gateway in front of it, and an event loop for all clients that want one."""

    mock: Mock
    gateway: Gateway
    runner: asyncio.Runner


@contextmanager
def rig() -> Iterator[Rig]:
    """All of it, running."""
    with mock_upstream(record=20) as mock, gateway(document(mock)) as made, asyncio.Runner() as runner:
        yield Rig(mock, made, runner)
