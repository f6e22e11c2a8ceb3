"""The text of a whole answer, for counting."""

from collections.abc import Callable
from typing import Any

from fastgw.core.json import load_object
from fastgw.providers.heard import KEPT


def said_in(answer: bytes, member: str, text: Callable[[dict[str, Any]], str]) -> tuple[bytes, int]:
    """The texts of the objects in a list that the answer has as a member: at most KEPT bytes, and how many more there
    are. Nothing for what is no such answer."""
    found = load_object(answer).get(member)
    pieces = (text(item) for item in found if isinstance(item, dict)) if isinstance(found, list) else ()
    said = "".join(pieces).encode()
    kept = said[:KEPT].decode("utf-8", "ignore").encode()
    return kept, len(said) - len(kept)
