"""Where in the caller's request the messages of its canonical form come from, for errors that name a place."""

import re
from typing import Any, Final, NamedTuple

Parts = str | list[dict[str, Any]]
"""Content of a canonical message."""

_MESSAGE: Final = re.compile(r"messages\[(\d+)\](?:\.content\[(\d+)\])?")


class Content(NamedTuple):
    """Content with the places of its parts, which a text has none of."""

    made: Parts
    places: list[str]


class Placed(NamedTuple):
    """A canonical message, its place and those of the parts of its content."""

    message: dict[str, Any]
    place: str
    parts: list[str]


def located(param: str, messages: list[Placed]) -> str:
    """The place in the caller's request for a place in the canonical one, as far as it is known."""
    found = _MESSAGE.match(param)
    if found is None:
        return param
    _, place, parts = messages[int(found[1])]
    index = -1 if found[2] is None else int(found[2])
    return parts[index] if 0 <= index < len(parts) else place
