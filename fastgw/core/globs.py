"""Names with at most one `*`: the only wildcard that configuration knows.

`*` stands for any text, the empty one included; the text on both sides is anchored. A pattern with two or more `*`
matches nothing, not even itself.
"""

from collections.abc import Iterable


def split(pattern: str) -> tuple[str, str] | None:
    """The literal sides of a pattern with exactly one `*`, else None."""
    head, star, tail = pattern.partition("*")
    return (head, tail) if star and "*" not in tail else None


def capture(pattern: str, name: str) -> str | None:
    """What `*` stands for when the pattern matches `name`; None when it does not, or has not exactly one `*`."""
    sides = split(pattern)
    if sides is None:
        return None
    head, tail = sides
    if len(name) < len(head) + len(tail) or not name.startswith(head) or not name.endswith(tail):
        return None
    return name[len(head) : len(name) - len(tail)]


class Globs:
    """A set of exact names and patterns. Matching is one set lookup, then linear in the number of patterns."""

    __slots__ = ("_exact", "_patterns", "everything")

    def __init__(self, entries: Iterable[str]) -> None:
        unique = frozenset(entries)
        self._exact = frozenset(entry for entry in unique if "*" not in entry)
        sides = (split(entry) for entry in sorted(unique))
        self._patterns = tuple((head, tail, len(head) + len(tail)) for head, tail in filter(None, sides))
        self.everything = "*" in unique
        """True when every name matches."""

    def matches(self, name: str) -> bool:
        """Whether an exact entry or a pattern covers `name`."""
        if self.everything or name in self._exact:
            return True
        for head, tail, shortest in self._patterns:
            if len(name) >= shortest and name.startswith(head) and name.endswith(tail):
                return True
        return False
