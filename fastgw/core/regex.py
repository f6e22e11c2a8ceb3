"""Regular expressions that come from configuration: RE2, so that matching time is linear in the input.

The engine is imported on first use; a gateway without configured expressions never loads it.
"""

import re
from typing import Any, Protocol


class Match(Protocol):
    """The part of a match object that this project uses; offsets are code points."""

    def start(self, group: int = 0, /) -> int: ...
    def end(self, group: int = 0, /) -> int: ...
    def group(self, group: int | str = 0, /) -> Any: ...


class Regex(Protocol):
    """A compiled expression. ``groupindex`` maps names to numbers, ``groups`` is the highest number."""

    @property
    def groups(self) -> int: ...
    @property
    def groupindex(self) -> dict[str, int]: ...
    def search(self, text: str, /) -> Match | None: ...


class RegexError(ValueError):
    """The expression is not valid RE2."""


def compile_regex(pattern: str, *, ignore_case: bool = False) -> Regex:
    """Raises :class:`RegexError` with RE2's explanation, which quotes the offending part of the pattern."""
    import re2

    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = not ignore_case
    try:
        compiled: Regex = re2.compile(pattern, options)
    except re2.error as exc:
        detail = exc.args[0] if exc.args else ""
        text = detail.decode("utf-8", "replace") if isinstance(detail, bytes) else str(detail)
        raise RegexError(re.sub(r"\s+", " ", text)) from None
    return compiled
