"""The text of a message, for counting."""

from typing import Any

import orjson

KEPT = 1_048_576
"""Bytes of text that are counted exactly."""


def answer_text(answer: bytes) -> tuple[bytes, int]:
    """Texts, reasoning, names and input of tools in a whole answer: at most KEPT bytes, and how many more there are."""
    try:
        document = orjson.loads(answer)
    except orjson.JSONDecodeError:
        return b"", 0
    content = document.get("content") if isinstance(document, dict) else None
    pieces = [_text(block) for block in content if isinstance(block, dict)] if isinstance(content, list) else []
    said = "".join(pieces).encode()
    kept = said[:KEPT].decode("utf-8", "ignore").encode()
    return kept, len(said) - len(kept)


def _text(block: dict[str, Any]) -> str:
    kind = block.get("type")
    if kind == "tool_use":
        return str(block.get("name") or "") + orjson.dumps(block.get("input")).decode()
    text = block.get("text") if kind == "text" else block.get("thinking")
    return text if isinstance(text, str) else ""
