"""What the mock reads out of a conversation, whatever API it comes by."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

_SPOKEN = ("assistant", "model")
_ITEMS = ("function_call", "custom_tool_call", "reasoning")


def turns_spoken(request: Mapping[str, Any]) -> int:
    """Turns of the assistant: what it says without anybody else in between is one."""
    for name in ("messages", "contents", "input"):
        turns = request.get(name)
        if isinstance(turns, list):
            return sum(spoken for spoken, _ in groupby(map(_is_spoken, turns)))
    return 0


def _is_spoken(turn: object) -> bool:
    return isinstance(turn, dict) and (turn.get("role") in _SPOKEN or turn.get("type") in _ITEMS)
