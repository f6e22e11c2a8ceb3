"""JSON texts of others, where one that cannot be read is nothing out of the ordinary."""

import json
import sys
from typing import Any

import orjson


def read(text: bytes) -> Any:
    """The value of a JSON text. Raises ValueError.

    What is valid and yet cannot be held is replaced: half of a surrogate pair, which programs write that cut text
    between its UTF-16 units, by U+FFFD, and a number beyond all doubles by the largest.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return _replaced(text)


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


def _replaced(text: bytes) -> Any:
    try:
        value = json.loads(text.decode(), parse_float=_bounded, parse_int=_integer, parse_constant=_refused)
        whole = json.dumps(value, ensure_ascii=False)
    except RecursionError:
        raise ValueError("the document is too deep") from None
    return orjson.loads(whole.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def _bounded(digits: str) -> float:
    return max(-sys.float_info.max, min(float(digits), sys.float_info.max))


def _integer(digits: str) -> float:
    return int(digits) if len(digits) <= sys.float_info.max_10_exp else _bounded(digits)


def _refused(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
