"""Errors of a resources file: all of them, each with the place it belongs to."""

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LISTED: Final = 20


class FileProblem(NamedTuple):
    """``scope`` is ``(file)``, ``<kind>[<i>]`` or ``<kind>[<i>] ("<identity>")``."""

    scope: str
    message: str


class ResourcesError(Exception):
    """The file cannot be used. Prints as the load report, one line per problem; values never appear in it.

    ``source_hash`` is the SHA-256 of what was read, None when nothing could be read."""

    def __init__(self, path: str, problems: Iterable[FileProblem]) -> None:
        self.path = path
        self.source_hash: str | None = None
        self.problems = tuple(FileProblem(printable(scope), printable(message)) for scope, message in problems)
        super().__init__(path, self.problems)

    def __str__(self) -> str:
        head = f"resources file {self.path}: {len(self.problems)} error(s):"
        return "\n".join([head, *(f"  - {scope}: {message}" for scope, message in self.problems)])


def printable(text: str) -> str:
    """Control characters escaped, so that a name cannot forge a line of the report."""
    return _CONTROL.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def quoted(name: str) -> str:
    """A name as messages show it."""
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def names_list(names: Iterable[str]) -> str:
    """``a, b``, sorted, cut after a few so that one bad reference does not print a whole configuration."""
    ordered = sorted(names)
    more = [f"… {len(ordered) - _LISTED} more"] if len(ordered) > _LISTED else []
    return ", ".join(ordered[:_LISTED] + more)


class Names:
    """The names that references may use: kind → identity → id."""

    def __init__(self, kinds: Iterable[str]) -> None:
        self._ids: dict[str, dict[str, str]] = {kind: {} for kind in kinds}
        self._listed: dict[str, str] = {}

    def define(self, kind: str, identity: str, id: str) -> None:
        """All names are defined before the first one is listed."""
        self._ids[kind][identity] = id

    def ids(self, kind: str) -> Mapping[str, str]:
        """Identity → id."""
        return self._ids[kind]

    def listed(self, kind: str) -> str:
        """The names of a kind as messages list them; made once, because there may be a message per entry."""
        if kind not in self._listed:
            self._listed[kind] = names_list(self._ids[kind])
        return self._listed[kind]
