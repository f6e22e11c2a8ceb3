"""Which kind of client sent a request, from its ``User-Agent``: a label with a bounded set of values."""

from collections.abc import Iterable
from typing import Final

from fastgw.config.schema import ClientTypeRule
from fastgw.core.regex import Regex, compile_regex

_KNOWN: Final[tuple[tuple[str, str], ...]] = tuple(
    (needle, client)
    for client, needles in (
        ("claude-code", ("claude-cli", "claude-code")),
        ("codex", ("codex",)),
        ("cline", ("cline",)),
        ("roo-code", ("roo-code", "roocode")),
        ("kilocode", ("kilo-code", "kilocode")),
        ("zoo-code", ("zoo-code", "zoocode")),
        ("github-copilot", ("githubcopilot",)),
        ("cursor", ("cursor",)),
        ("opencode", ("opencode",)),
        ("qwen-code", ("qwencode",)),
        ("gemini-cli", ("geminicli",)),
        ("crush", ("charm-crush",)),
        ("zed", ("zed/",)),
        ("aider", ("aider",)),
        ("openai-python", ("openai-python", "openai/python")),
        ("openai-node", ("openai-node", "openai/js")),
        ("anthropic-python", ("anthropic-sdk-python", "anthropic/python")),
        ("anthropic-typescript", ("anthropic-sdk-typescript", "anthropic/js")),
        ("langchain", ("langchain",)),
        ("llamaindex", ("llama-index", "llama_index", "llamaindex")),
        ("litellm", ("litellm",)),
        ("vercel-ai-sdk", ("ai-sdk/provider-utils",)),
        ("curl", ("curl",)),
        ("python-requests", ("python-requests",)),
        ("httpx", ("python-httpx", "httpx")),
        ("aiohttp", ("aiohttp",)),
        ("okhttp", ("okhttp",)),
        ("go-http-client", ("go-http-client",)),
        ("node", ("node-fetch", "undici", "axios")),
        ("postman", ("postmanruntime",)),
        ("browser", ("mozilla",)),
    )
    for needle in needles
)


class ClientTypes:
    """The operator's rules in order, then the built-in substrings."""

    __slots__ = ("_rules",)

    def __init__(self, rules: Iterable[ClientTypeRule] = ()) -> None:
        """Raises :class:`fastgw.core.regex.RegexError`; rules of a loaded configuration are valid."""
        self._rules: tuple[tuple[Regex, str], ...] = tuple(
            (compile_regex(rule.pattern, ignore_case=True), rule.client) for rule in rules
        )

    def classify(self, user_agent: str) -> str:
        """The client's label; ``unknown`` for a blank header, ``other`` when nothing matches."""
        text = user_agent.strip()
        if not text:
            return "unknown"
        for regex, client in self._rules:
            if regex.search(text) is not None:
                return client
        lowered = text.lower()
        return next((client for needle, client in _KNOWN if needle in lowered), "other")
