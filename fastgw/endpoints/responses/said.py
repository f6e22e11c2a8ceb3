"""The text of a response, for counting."""

from typing import Any

import orjson

KEPT = 1_048_576
"""Bytes of text that are counted exactly."""


def answer_text(answer: bytes) -> tuple[bytes, int]:
    """Texts, reasoning, names and arguments of tools in a whole answer: at most KEPT bytes, and how many more there
    are."""
    try:
        document = orjson.loads(answer)
    except orjson.JSONDecodeError:
        return b"", 0
    output = document.get("output") if isinstance(document, dict) else None
    pieces = [_text(item) for item in output if isinstance(item, dict)] if isinstance(output, list) else []
    said = "".join(pieces).encode()
    kept = said[:KEPT].decode("utf-8", "ignore").encode()
    return kept, len(said) - len(kept)


def _text(item: dict[str, Any]) -> str:
    pieces = [item.get(name) for name in ("name", "arguments", "input")]
    for name in ("summary", "content"):
        parts = item.get(name)
        for part in parts if isinstance(parts, list) else []:
            if isinstance(part, dict):
                pieces += (part.get("text"), part.get("refusal"))
    return "".join(piece for piece in pieces if isinstance(piece, str))
