"""JSON texts of others, where one that cannot be read is nothing out of the ordinary."""

import json
import sys
from typing import Any, Final

import msgspec
import orjson

from fastgw._speedups.splice import ScanError, top_level
from fastgw._speedups.texts import long_digits

_exact: Final = msgspec.json.Decoder().decode
"""Keeps integers of more than 64 bits, which orjson makes doubles of."""
_UNREADABLE: Final = (msgspec.DecodeError, ValueError, RecursionError)

MAX_DEPTH: Final = 127
"""Values inside of each other. What others say is written again as a part of something else, and the library writes a
good deal less deep than it reads."""


def read(text: bytes) -> Any:
    """The value of a JSON text, integers of any length exactly. Raises ValueError, also for one that is too deep.

    What is valid and yet cannot be held is replaced: half of a surrogate pair, which programs write that cut text
    between its UTF-16 units, by U+FFFD, and a number beyond all doubles by the largest.
    """
    try:
        value = _decode(text)
    except _UNREADABLE:
        value = _replaced(text)
    if too_deep(text):
        raise ValueError("the document is too deep")
    return value


def too_deep(text: bytes) -> bool:
    """Whether a valid JSON text has more than MAX_DEPTH levels. Most have fewer brackets than that."""
    if text.count(b"{") + text.count(b"[") <= MAX_DEPTH:
        return False
    try:
        top_level(b'{"":%b}' % text, (), MAX_DEPTH + 1)
    except ScanError as error:
        return error.reason == "depth"
    return False


def load(text: bytes | str) -> Any:
    """The value of a text, None when it is no JSON."""
    try:
        return _decode(text.encode() if isinstance(text, str) else text)
    except _UNREADABLE:
        return None


def write(value: Any) -> bytes:
    """A value that was read, as a JSON text without blanks."""
    try:
        return orjson.dumps(value)
    except TypeError:  # an integer of more than 64 bits; the other library is the slower one
        return msgspec.json.encode(value)


def load_object(text: object) -> dict[str, Any]:
    """The object that a text is, {} for everything else, and for one that is too deep."""
    found = load(text) if isinstance(text, bytes | str) else None
    if not isinstance(found, dict) or not isinstance(text, bytes | str):
        return {}
    return {} if too_deep(text.encode() if isinstance(text, str) else text) else found


def _decode(text: bytes) -> Any:
    return _exact(text) if long_digits(text) else orjson.loads(text)


def _replaced(text: bytes) -> Any:
    try:
        value = json.loads(text.decode(), parse_float=_bounded, parse_int=_integer, parse_constant=_refused)
        whole = json.dumps(value, ensure_ascii=False)
    except RecursionError:
        raise ValueError("the document is too deep") from None
    return _exact(whole.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def _bounded(digits: str) -> float:
    return max(-sys.float_info.max, min(float(digits), sys.float_info.max))


def _integer(digits: str) -> float:
    return int(digits) if len(digits) <= sys.float_info.max_10_exp else _bounded(digits)


def _refused(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
