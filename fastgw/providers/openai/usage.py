"""Token counters of OpenAI's API and of vendors that follow it."""

from typing import Any

from fastgw.providers.canonical import Usage, counter


def raise_to(usage: Usage, reported: object) -> None:
    """Raise every counter to the larger value: some vendors report with every chunk."""
    if not isinstance(reported, dict):
        return
    found: dict[str, Any] = reported
    cached = _detail(found, "prompt_tokens_details", "cached_tokens") or counter(found.get("prompt_cache_hit_tokens"))
    usage.prompt_tokens = max(usage.prompt_tokens, counter(found.get("prompt_tokens")))
    usage.completion_tokens = max(usage.completion_tokens, counter(found.get("completion_tokens")))
    usage.total_tokens = max(usage.total_tokens, counter(found.get("total_tokens")))
    usage.cached_tokens = max(usage.cached_tokens, cached)
    reasoning = _detail(found, "completion_tokens_details", "reasoning_tokens")
    usage.reasoning_tokens = max(usage.reasoning_tokens, reasoning)


def _detail(reported: dict[str, Any], group: str, name: str) -> int:
    details = reported.get(group)
    return counter(details.get(name)) if isinstance(details, dict) else 0
