"""Token counters of the Messages API.

`input_tokens` counts what was neither read from nor written to the prompt cache; everything together is the prompt
that was processed, so the total holds all four.
"""

from typing import Any

from fastgw.providers.canonical import Usage, counter


def usage_of(reported: object) -> Usage:
    """The counters of a `usage` object; anything else counts as nothing reported."""
    usage = Usage()
    raise_to(usage, reported)
    return usage


def opening(reported: object) -> tuple[Usage, int]:
    """The counters that a stream begins with, and the output that it names then: what counts is told at its end."""
    usage = usage_of(reported)
    floor = usage.completion_tokens
    usage.completion_tokens = 0
    usage.total_tokens -= floor
    return usage, floor


def raise_to(usage: Usage, reported: object) -> None:
    """Raise every counter that the `usage` object names to the larger value: streams report more than once, and later
    reports may leave counters out."""
    if not isinstance(reported, dict):
        return
    found: dict[str, Any] = reported
    usage.prompt_tokens = max(usage.prompt_tokens, counter(found.get("input_tokens")))
    usage.completion_tokens = max(usage.completion_tokens, counter(found.get("output_tokens")))
    details = found.get("output_tokens_details")
    if isinstance(details, dict):
        usage.reasoning_tokens = max(usage.reasoning_tokens, counter(details.get("thinking_tokens")))
    written, read = counter(found.get("cache_creation_input_tokens")), counter(found.get("cache_read_input_tokens"))
    usage.cache_creation_tokens = max(usage.cache_creation_tokens, written)
    usage.cache_read_tokens = max(usage.cache_read_tokens, read)
    usage.total_tokens = (
        usage.prompt_tokens + usage.completion_tokens + usage.cache_creation_tokens + usage.cache_read_tokens
    )
