"""Automatic prompt caching: markers where a conversation can be continued from."""

from typing import Any, Literal

from fastgw.providers.anthropic.content import Block

MARKERS: dict[str, Block] = {"5m": {"type": "ephemeral"}, "1h": {"type": "ephemeral", "ttl": "1h"}}


def mark(body: dict[str, Any], ttl: Literal["5m", "1h"]) -> None:
    """Mark the end of the system prompt and of the last message, unless the caller has set any marker itself."""
    turns, system = body["messages"], body.get("system")
    if isinstance(system, str):
        system = [{"type": "text", "text": system}]
    system, tools = _blocks(system), _blocks(body.get("tools"))
    if any(
        "cache_control" in block for group in (system, tools, *(turn["content"] for turn in turns)) for block in group
    ):
        return
    if system:
        marked = {**system[-1], "cache_control": MARKERS[ttl]} if _markable(system[-1]) else system[-1]
        body["system"] = [*system[:-1], marked]
    if turns and _markable(turns[-1]["content"][-1]):
        turns[-1]["content"][-1] = {**turns[-1]["content"][-1], "cache_control": MARKERS[ttl]}


def _blocks(value: object) -> list[Block]:
    """A list of blocks. A `system` that the caller wrote itself may be anything."""
    return value if isinstance(value, list) and all(isinstance(block, dict) for block in value) else []


def _markable(block: Block) -> bool:
    """Blank texts cannot be marked."""
    return block.get("type") != "text" or bool(str(block.get("text") or "").strip())
