"""Changing a JSON text by replacing spans of it, so that everything else keeps its bytes."""

from collections.abc import Iterable

Edit = tuple[int, int, bytes]
"""(start, end, replacement) in the original text."""

BLANKS = b" \t\r\n"


def edited(body: bytes, edits: Iterable[Edit]) -> bytes:
    """The text with the edits made. They may come in any order but must not overlap."""
    parts: list[bytes] = []
    position = 0
    for start, end, replacement in sorted(edits):
        parts += (body[position:start], replacement)
        position = end
    if not parts:
        return body
    parts.append(body[position:])
    return b"".join(parts)


def appended(body: bytes, start: int, end: int, members: bytes) -> Edit:
    """The edit that adds members (`"name":value,...`) at the end of the object that fills `body[start:end]`."""
    inner = body[start + 1 : end - 1].rstrip(BLANKS)
    at = end - 1
    return at, at, members if not inner.strip(BLANKS) else b"," + members
