"""Content of an answer that is a list of parts instead of a string. Mistral's reasoning models answer so."""

from collections.abc import Iterator
from typing import Any


def pieces(parts: list[Any]) -> Iterator[tuple[bool, str]]:
    """The texts in order, each with whether it is reasoning: a part `thinking` is a list of text parts, or a string."""
    for part in parts:
        if not isinstance(part, dict):
            continue
        inner = part.get("thinking")
        if isinstance(inner, str):
            yield True, inner
        for thought in inner if isinstance(inner, list) else []:
            if isinstance(thought, dict) and isinstance(thought.get("text"), str):
                yield True, thought["text"]
        if isinstance(part.get("text"), str):
            yield False, part["text"]
