"""The text of a message, for counting."""

from typing import Any

from fastgw.core.json import write
from fastgw.endpoints.said import said_in


def answer_text(answer: bytes) -> tuple[bytes, int]:
    """Texts, reasoning, names and input of tools in a whole answer. As `Call.said`."""
    return said_in(answer, "content", _text)


def _text(block: dict[str, Any]) -> str:
    kind = block.get("type")
    if kind == "tool_use":
        return str(block.get("name") or "") + write(block.get("input")).decode()
    text = block.get("text") if kind == "text" else block.get("thinking")
    return text if isinstance(text, str) else ""
