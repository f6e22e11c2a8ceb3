"""Judging a document against a Struct: every problem instead of the first, and the members that nothing reads.

``msgspec.convert`` stops at the first error and cannot tell "absent" from "null", so the types are compiled here, once
each, into checks that walk a document. A document without problems converts. Reasons never contain a value of the
document; a place is a linked tuple, because most places are never printed.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, Final, NamedTuple

from msgspec import Struct, inspect

from fastgw.core.rfc3339 import parse_rfc3339
from fastgw.resources.base import INTERNAL_TAG, Document, Flaw
from fastgw.resources.ecma import ecma

_INT_BOUNDS: Final = {
    "uint8": (0, 2**8 - 1),
    "uint16": (0, 2**16 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
    "int32": (-(2**31), 2**31 - 1),
}
# What msgpack can carry.
_INT_MIN: Final = -(2**63)
_INT_MAX: Final = 2**64 - 1

Aliases = tuple[tuple[str, str], ...]
Place = tuple[Any, str | int] | None
"""(the place around it, member or index); None is the document itself."""
Check = Callable[[object, Place, "Judgement"], None]


class Problem(NamedTuple):
    """``pointer`` is an RFC 6901 JSON Pointer. ``decode``: the schema admits the value, but no field can hold it."""

    pointer: str
    reason: str
    decode: bool = False

    def __str__(self) -> str:
        if not self.decode:
            return f"schema validation failed at `{self.pointer}`: {self.reason}"
        place = f"at `{self.pointer}`: " if self.pointer else ""
        return f"cannot decode canonical document: {place}{self.reason}"


class Unknown(NamedTuple):
    """A member that the schema does not name: the object it is in, that object's place, its key.

    ``closed``: the strict schema refuses it. ``reported``: whoever leaves it out says so."""

    place: Place
    container: dict[str, object]
    key: str
    closed: bool
    reported: bool

    def path(self) -> str:
        """Dotted, every array index as ``[]``."""
        return ".".join("[]" if isinstance(step, int) else step for step in _steps((self.place, self.key)))


class Judgement:
    """What was found in one document. ``schema`` and ``decode`` are in document order.

    ``tags`` are members to add before the document converts: which of several untagged Structs an object is.
    ``folds``: when unknown members are all that is wrong, they are one problem.
    """

    __slots__ = ("decode", "folds", "schema", "strict", "tags", "unknown")

    def __init__(self, strict: bool, folds: bool = False) -> None:
        self.strict = strict
        self.folds = folds
        self.schema: list[Problem] = []
        self.decode: list[Problem] = []
        self.unknown: list[Unknown] = []
        self.tags: list[tuple[dict[str, object], str]] = []

    def fail(self, place: Place, reason: str) -> None:
        self.schema.append(Problem(pointer(place), reason))

    def fail_decode(self, place: Place, reason: str) -> None:
        self.decode.append(Problem(pointer(place), reason, decode=True))

    def adopt(self, other: "Judgement") -> None:
        """Take over what another judgement found."""
        self.schema += other.schema
        self.decode += other.decode
        self.unknown += other.unknown
        self.tags += other.tags

    def problems(self) -> list[Problem]:
        """Schema problems, members that a closed object does not admit (strict only), decode problems."""
        unknown = [item for item in self.unknown if self.strict and item.closed]
        if unknown and self.folds and not self.schema:
            names = ", ".join(f"`{path}`" for path in sorted({item.path() for item in unknown}))
            return [Problem("", f"unknown field(s): {names}"), *self.decode]
        refused = [Problem(pointer(item.place), f"unknown field `{item.key}`") for item in unknown]
        return [*refused, *self.schema, *self.decode]


def judge(document: object, struct: Any, aliases: Aliases = (), *, strict: bool = True) -> Judgement:
    """Everything that is to be said about ``document``. O(size of the document).

    ``struct`` is a Struct or a union of tagged Structs; ``aliases`` are further spellings of top-level fields. A
    document with both spellings of a field is a decode problem.
    """
    found = Judgement(strict, folds=not isinstance(struct, type))
    _compiled(struct, aliases)(document, None, found)
    if isinstance(document, dict):
        for alias, canonical in aliases:
            if alias in document and canonical in document:
                found.decode.append(Problem("", f"`{alias}` and `{canonical}` are the same field", decode=True))
    return found


def pointer(place: Place) -> str:
    """The JSON Pointer of a place."""
    return "".join(f"/{escape(str(step))}" for step in _steps(place))


def escape(key: str) -> str:
    """One reference token of a JSON Pointer (RFC 6901 §3)."""
    return key.replace("~", "~0").replace("/", "~1")


def _steps(place: Place) -> list[str | int]:
    steps: list[str | int] = []
    while place is not None:
        place, step = place
        steps.append(step)
    return steps[::-1]


# ---- types to checks


@cache
def _compiled(struct: Any, aliases: Aliases) -> Check:
    kind = inspect.type_info(struct)
    if isinstance(kind, inspect.StructType):
        return _struct(kind, aliases)
    assert isinstance(kind, inspect.UnionType)
    return _tagged([option for option in kind.types if isinstance(option, inspect.StructType)], aliases)


def _check(kind: inspect.Type, extra: Mapping[str, Any]) -> Check:
    if isinstance(kind, inspect.Metadata):
        return _check(kind.type, {**extra, **(kind.extra or {})})
    if isinstance(kind, inspect.UnionType):
        return _union(kind, extra)
    if isinstance(kind, inspect.StructType):
        return _later(kind.cls) if kind.tag_field in (None, INTERNAL_TAG) else _tagged([kind], ())
    if isinstance(kind, inspect.VarTupleType):
        return _array(kind)
    if isinstance(kind, inspect.DictType):
        return _map(kind)
    if isinstance(kind, inspect.AnyType):
        return _free
    if isinstance(kind, inspect.BoolType):
        return _boolean(extra)
    if isinstance(kind, inspect.IntType):
        return _integer(kind, extra)
    if isinstance(kind, inspect.FloatType):
        return _number(kind)
    if isinstance(kind, inspect.LiteralType):
        return _enum(kind)
    if isinstance(kind, inspect.StrType):
        return _text(kind, extra)
    raise TypeError(f"resource types do not use {type(kind).__name__}")


def _later(struct: type[Struct]) -> Check:
    """The check of a nested Struct, looked up when it is needed: types may be recursive."""
    return lambda value, place, found: _compiled(struct, ())(value, place, found)


def _struct(kind: inspect.StructType, aliases: Aliases) -> Check:
    members = {field.encode_name: _check(field.type, {}) for field in kind.fields}
    members |= {alias: members[canonical] for alias, canonical in aliases}
    if kind.tag_field is not None and kind.tag_field != INTERNAL_TAG:
        members[kind.tag_field] = _accept
    lenient = tuple(field.encode_name for field in kind.fields if field.required)
    strict = lenient
    spelled = {canonical: alias for alias, canonical in aliases}
    closed = kind.forbid_unknown_fields
    unreported: frozenset[str] = frozenset()
    rules: Callable[[dict[str, Any], bool], Iterable[Flaw]] | None = None
    if issubclass(kind.cls, Document):
        strict = (*lenient, *sorted(kind.cls.STRICT_REQUIRED))
        unreported = kind.cls.UNREPORTED
        if any("rules" in vars(base) for base in kind.cls.__mro__ if base is not Document):
            rules = kind.cls.rules

    def check(value: object, place: Place, found: Judgement) -> None:
        if not isinstance(value, dict):
            found.fail(place, "expected an object")
            return
        before = len(found.schema)
        for key, item in value.items():
            member = members.get(key)
            if member is not None:
                member(item, (place, key), found)
            else:
                found.unknown.append(Unknown(place, value, key, closed, key not in unreported))
        for name in strict if found.strict else lenient:
            if name not in value and spelled.get(name) not in value:
                found.fail(place, f"missing required field `{name}`")
        if rules is not None and len(found.schema) == before:
            for flaw in rules(value, found.strict):
                found.schema.append(Problem(pointer(place) + flaw.at, flaw.reason))

    return check


def _tagged(options: list[inspect.StructType], aliases: Aliases) -> Check:
    tag_field = options[0].tag_field
    assert tag_field is not None
    checks = {option.tag: _struct(option, aliases) for option in options}
    expected = f"expected one of {', '.join(f'`{tag}`' for tag in checks)}"

    def check(value: object, place: Place, found: Judgement) -> None:
        if not isinstance(value, dict):
            found.fail(place, "expected an object")
        elif tag_field not in value:
            found.fail(place, f"missing required field `{tag_field}`")
        elif not isinstance(tag := value[tag_field], str):
            found.fail((place, tag_field), "expected a string")
        elif tag not in checks:
            found.fail((place, tag_field), expected)
        else:
            checks[tag](value, place, found)

    return check


def _first_valid(options: list[inspect.StructType]) -> Check:
    """Untagged Structs: an object is the first one that it is valid as. The choice is left in ``found.tags``."""

    def check(value: object, place: Place, found: Judgement) -> None:
        if not isinstance(value, dict):
            found.fail(place, "expected an object")
            return
        attempts = []
        for option in options:
            attempt = Judgement(found.strict)
            _compiled(option.cls, ())(value, place, attempt)
            if not attempt.schema and not (found.strict and any(item.closed for item in attempt.unknown)):
                attempt.tags.append((value, str(option.tag)))
                found.adopt(attempt)
                return
            attempts.append(attempt)
        # None fits: tell what is wrong with the one that has the least unknown members.
        found.adopt(min(attempts, key=lambda attempt: len(attempt.unknown)))

    return check


def _union(kind: inspect.UnionType, extra: Mapping[str, Any]) -> Check:
    options = [option for option in kind.types if not isinstance(option, inspect.NoneType)]
    if len(options) == 1:
        check = _check(options[0], extra)
    elif all(isinstance(option, inspect.StructType) for option in options):
        structs = [option for option in options if isinstance(option, inspect.StructType)]
        check = _first_valid(structs) if structs[0].tag_field == INTERNAL_TAG else _tagged(structs, ())
    else:
        check = _by_json_type(options)
    if not kind.includes_none or extra.get("nullable") is False:
        return check

    def nullable(value: object, place: Place, found: Judgement) -> None:
        if value is not None:
            check(value, place, found)

    return nullable


def _by_json_type(options: list[inspect.Type]) -> Check:
    """A text, or else an array or an object: JSON tells them apart."""
    checks: dict[type, Check] = {}
    for option in options:
        array, struct = isinstance(option, inspect.VarTupleType), isinstance(option, inspect.StructType)
        checks[list if array else dict if struct else str] = _check(option, {})
    names = {str: "a string", list: "an array", dict: "an object"}
    expected = f"expected {' or '.join(name for kind, name in names.items() if kind in checks)}"

    def check(value: object, place: Place, found: Judgement) -> None:
        option = checks.get(type(value))
        if option is None:
            found.fail(place, expected)
        else:
            option(value, place, found)

    return check


def _array(kind: inspect.VarTupleType) -> Check:
    check_item, low, high = _check(kind.item_type, {}), kind.min_length or 0, kind.max_length

    def check(value: object, place: Place, found: Judgement) -> None:
        if not isinstance(value, list):
            found.fail(place, "expected an array")
            return
        if len(value) < low:
            found.fail(place, f"must have at least {low} item(s)")
        elif high is not None and len(value) > high:
            found.fail(place, f"must have at most {high} items")
        for index, item in enumerate(value):
            check_item(item, (place, index), found)

    return check


def _map(kind: inspect.DictType) -> Check:
    check_item = _check(kind.value_type, {})

    def check(value: object, place: Place, found: Judgement) -> None:
        if not isinstance(value, dict):
            found.fail(place, "expected an object")
            return
        for key, item in value.items():
            check_item(item, (place, key), found)

    return check


def _accept(value: object, place: Place, found: Judgement) -> None:
    """The tag of a union: the union has looked at it."""


def _free(value: object, place: Place, found: Judgement) -> None:
    """Free-form JSON: anything that survives the way to the worker processes."""
    if isinstance(value, dict):
        for key, item in value.items():
            _free(item, (place, key), found)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _free(item, (place, index), found)
    elif isinstance(value, int) and not _INT_MIN <= value <= _INT_MAX:
        found.fail_decode(place, "integer does not fit 64 bits")


def _boolean(extra: Mapping[str, Any]) -> Check:
    only = extra.get("only")

    def check(value: object, place: Place, found: Judgement) -> None:
        if not isinstance(value, bool):
            found.fail(place, "expected a boolean")
        elif only is not None and value is not only:
            found.fail(place, f"must be {str(only).lower()}")

    return check


def _integer(kind: inspect.IntType, extra: Mapping[str, Any]) -> Check:
    name = str(extra.get("format", "uint64"))
    low, high = kind.ge, kind.le
    smallest, largest = _INT_BOUNDS[name]

    def check(value: object, place: Place, found: Judgement) -> None:
        # draft-07 counts 5.0 as an integer, but no integer field holds it.
        whole = isinstance(value, float) and value.is_integer()
        if isinstance(value, bool) or not (isinstance(value, int) or whole):
            found.fail(place, "expected an integer")
            return
        assert isinstance(value, int | float)
        if low is not None and value < low:
            found.fail(place, f"must be at least {low}")
        elif high is not None and value > high:
            found.fail(place, f"must be at most {high}")
        elif whole:
            found.fail_decode(place, "expected an integer, found a floating-point number")
        elif not smallest <= value <= largest:
            found.fail_decode(place, f"integer does not fit {name}")

    return check


def _number(kind: inspect.FloatType) -> Check:
    low, high = kind.ge, kind.le

    def check(value: object, place: Place, found: Judgement) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            found.fail(place, "expected a number")
        elif low is not None and value < low:
            found.fail(place, f"must be at least {low:g}")
        elif high is not None and value > high:
            found.fail(place, f"must be at most {high:g}")
        elif not _finite(value):
            found.fail_decode(place, "number is out of range")

    return check


def _finite(value: float) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _enum(kind: inspect.LiteralType) -> Check:
    options = kind.values
    expected = f"expected one of {', '.join(f'`{option}`' for option in options)}"

    def check(value: object, place: Place, found: Judgement) -> None:
        if not isinstance(value, str):
            found.fail(place, "expected a string")
        elif value not in options:
            found.fail(place, expected)

    return check


def _text(kind: inspect.StrType, extra: Mapping[str, Any]) -> Check:
    low, high = kind.min_length or 0, kind.max_length
    pattern = ecma(kind.pattern) if kind.pattern is not None else None
    moment = extra.get("format") == "date-time"

    def check(value: object, place: Place, found: Judgement) -> None:
        if not isinstance(value, str):
            found.fail(place, "expected a string")
        elif len(value) < low:
            found.fail(place, f"must have at least {low} character(s)")
        elif high is not None and len(value) > high:
            found.fail(place, f"must have at most {high} characters")
        elif pattern is not None and not pattern.search(value):
            found.fail(place, f"must match {kind.pattern}")
        elif moment and not _is_moment(value):
            found.fail(place, "expected an RFC 3339 date-time")

    return check


def _is_moment(text: str) -> bool:
    try:
        parse_rfc3339(text)
    except ValueError:
        return False
    return True
