"""JSON texts of others, where one that cannot be read is nothing out of the ordinary."""

from typing import Any

import orjson


def load(text: bytes | str) -> Any:
    """The value of a text, None when it is no JSON."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def load_object(text: object) -> dict[str, Any]:
    """The object that a text is, {} for everything else."""
    found = load(text) if isinstance(text, bytes | str) else None
    return found if isinstance(found, dict) else {}
