"""Expressions of the published schemas, with the semantics that JSON Schema gives them."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

_ECMA_SPACE: Final = r"\t\n\x0b\x0c\r \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
_ECMA_TOKEN: Final = re.compile(r"\\.|\[|\]|\$", re.DOTALL)


@cache
def ecma(pattern: str) -> re.Pattern[str]:
    """An expression with ECMA semantics, for the syntax that schemas use: ``$`` is the end of the text and not also the
    place before a final line feed, ``\\d`` is ASCII, ``\\s`` is what ECMAScript calls white space."""
    return re.compile("".join(_translated(pattern)), re.ASCII)


def _translated(pattern: str) -> Iterator[str]:
    position, in_class = 0, False
    for match in _ECMA_TOKEN.finditer(pattern):
        yield pattern[position : match.start()]
        position, piece = match.end(), match.group()
        if piece in "[]":
            in_class = piece == "["
        if piece == r"\s":
            yield _ECMA_SPACE if in_class else f"[{_ECMA_SPACE}]"
        else:
            yield r"\Z" if piece == "$" and not in_class else piece
    yield pattern[position:]
