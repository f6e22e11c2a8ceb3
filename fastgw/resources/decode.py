"""One stored document, from JSON bytes to a row. Both sources end here; they differ in how strict they are."""

from collections.abc import Iterable
from typing import Any, Final, Literal, NamedTuple

import msgspec
import orjson

from fastgw.resources.base import INTERNAL_TAG, Document
from fastgw.resources.kinds import Kind, find_kind
from fastgw.resources.validate import Judgement, Problem, judge

ErrorKind = Literal["non_json", "schema_failed", "parse_failed", "unknown_kind"]

MAX_IGNORED: Final = 64
TRUNCATED: Final = "...truncated"
MAX_DEPTH: Final = 128
"""Nested arrays and objects in a document, so that nothing that walks one exhausts the stack."""


class Decoded(NamedTuple):
    """``ignored``: what the document says and nothing reads: dotted paths of unknown members, sorted, and
    ``inapplicable:<field>``; at most ``MAX_IGNORED`` of them, then ``TRUNCATED``."""

    row: Document
    ignored: tuple[str, ...] = ()


class Rejected(Exception):
    """The document cannot be served. ``message`` never contains a value of it."""

    def __init__(self, error_kind: ErrorKind, message: str) -> None:
        super().__init__(error_kind, message)
        self.error_kind: ErrorKind = error_kind
        self.message = message

    def __str__(self) -> str:
        return self.message


def decode(kind: str, document: bytes, *, strict: bool) -> Decoded:
    """The row that a JSON document of a collection stands for. Raises :class:`Rejected`.

    ``strict`` refuses what the published schema does not name; otherwise that is left out and listed.
    """
    found = find_kind(kind)
    if found is None:
        raise Rejected("unknown_kind", f'unknown kind "{kind}"')
    return decode_value(found, _parse(document), strict=strict)


def decode_value(kind: Kind, document: object, *, strict: bool) -> Decoded:
    """The same for a parsed document, which is changed on the way. Raises :class:`Rejected` for the first problem."""
    examined = examine(kind, document, strict=strict)
    if isinstance(examined, Decoded):
        return examined
    problem = examined[0]
    raise Rejected("parse_failed" if problem.decode else "schema_failed", str(problem))


def examine(kind: Kind, document: object, *, strict: bool) -> Decoded | list[Problem]:
    """The row of a document, or everything that is wrong with it, in report order. The document is changed."""
    judgement = judge(document, kind.struct, kind.aliases, strict=strict)
    problems = judgement.problems()
    if problems:
        return problems
    assert isinstance(document, dict)
    inapplicable = () if kind.inapplicable is None else kind.inapplicable(document)
    row = _convert(kind, document, judgement, inapplicable)
    flaws = [Problem(flaw.at, flaw.reason) for flaw in row.flaws()]
    if flaws:
        return flaws
    ignored = [f"inapplicable:{name}" for name in inapplicable]
    ignored += [item.path() for item in judgement.unknown if item.reported]
    return Decoded(row, _listed(ignored) if ignored else ())


def _convert(kind: Kind, document: dict[str, Any], judgement: Judgement, dropped: Iterable[str]) -> Document:
    for item in judgement.unknown:
        item.container.pop(item.key, None)
    for container, tag in judgement.tags:
        container[INTERNAL_TAG] = tag
    for name in dropped:
        del document[name]
    for alias, canonical in kind.aliases:
        if alias in document:
            document[canonical] = document.pop(alias)
    row: Document = msgspec.convert(document, kind.struct)
    return row


def _parse(document: bytes) -> object:
    try:
        value = orjson.loads(document)
    except orjson.JSONDecodeError:
        # The parser's own text quotes nothing either, but it is no promise of it.
        raise Rejected("non_json", "document is not valid JSON") from None
    if document.count(b"{") + document.count(b"[") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise Rejected("non_json", f"document is nested deeper than {MAX_DEPTH} levels")
    return value


def _depth(value: object) -> int:
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [inner for item in level for inner in (item.values() if isinstance(item, dict) else item)]
    return depth


def _listed(ignored: Iterable[str]) -> tuple[str, ...]:
    paths = sorted(set(ignored))
    return (*paths[:MAX_IGNORED], TRUNCATED) if len(paths) > MAX_IGNORED else tuple(paths)
