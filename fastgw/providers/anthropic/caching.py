"""Automatic prompt caching: markers where a conversation can be continued from."""

from typing import Any, Literal

from fastgw.providers.anthropic.content import Block

MARKERS: dict[str, Block] = {"5m": {"type": "ephemeral"}, "1h": {"type": "ephemeral", "ttl": "1h"}}


def mark(body: dict[str, Any], ttl: Literal["5m", "1h"]) -> None:
    """Mark the end of the system prompt and of the last message, unless the caller has set any marker itself."""
    system, turns = body.get("system"), body["messages"]
    groups = [system if isinstance(system, list) else [], body.get("tools") or [], *(turn["content"] for turn in turns)]
    if any("cache_control" in block for group in groups for block in group):
        return
    if isinstance(system, str):
        system = body["system"] = [{"type": "text", "text": system}]
    for group in (system, turns[-1]["content"] if turns else None):
        # Blank texts cannot be marked.
        if group and not (group[-1].get("type") == "text" and not group[-1]["text"].strip()):
            group[-1] = {**group[-1], "cache_control": MARKERS[ttl]}
