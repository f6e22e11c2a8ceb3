"""The text of a response, for counting."""

from typing import Any

from fastgw.endpoints.said import said_in


def answer_text(answer: bytes) -> tuple[bytes, int]:
    """Texts, reasoning, names and arguments of tools in a whole answer. As `Call.said`."""
    return said_in(answer, "output", _text)


def _text(item: dict[str, Any]) -> str:
    pieces = [item.get(name) for name in ("name", "arguments", "input")]
    for name in ("summary", "content"):
        parts = item.get(name)
        for part in parts if isinstance(parts, list) else []:
            if isinstance(part, dict):
                pieces += (part.get("text"), part.get("refusal"))
    return "".join(piece for piece in pieces if isinstance(piece, str))
