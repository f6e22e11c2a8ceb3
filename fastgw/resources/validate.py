"""Judging a document against a Struct, reporting every problem instead of the first.

``msgspec.convert`` stops at the first error and cannot tell "absent" from "null", so the same introspected type
information is walked here. A document without problems converts. Reasons never contain a value of the document.
"""

import math
import re
from collections.abc import Iterator
from functools import cache
from typing import Final, NamedTuple

from msgspec import Struct, inspect

from fastgw.core.rfc3339 import parse_rfc3339

_INT_LIMITS: Final = {"uint32": 2**32 - 1, "uint64": 2**64 - 1}
# What msgpack can carry.
_INT_MIN: Final = -(2**63)
_INT_MAX: Final = 2**64 - 1

_type_info = cache(inspect.type_info)

Aliases = tuple[tuple[str, str], ...]


class Problem(NamedTuple):
    """``pointer`` is an RFC 6901 JSON Pointer. ``decode``: the schema admits the value, but no field can hold it."""

    pointer: str
    reason: str
    decode: bool = False


def problems(document: object, struct: type[Struct], aliases: Aliases = ()) -> Iterator[Problem]:
    """Everything wrong with ``document``, in field order; ``aliases`` are further spellings of top-level fields.

    O(size of the document).
    """
    info = _type_info(struct)
    assert isinstance(info, inspect.StructType)
    return _check_struct(document, info, "", aliases)


def _check(value: object, kind: inspect.Type, pointer: str, extra: dict[str, object]) -> Iterator[Problem]:
    if isinstance(kind, inspect.Metadata):
        yield from _check(value, kind.type, pointer, {**extra, **(kind.extra or {})})
    elif isinstance(kind, inspect.UnionType):
        options = [option for option in kind.types if not isinstance(option, inspect.NoneType)]
        if len(options) > 1:
            yield from _check_text_or_array(value, options, pointer)
        elif value is not None or extra.get("nullable") is False:
            yield from _check(value, options[0], pointer, extra)
    elif isinstance(kind, inspect.StructType):
        yield from _check_struct(value, kind, pointer)
    elif isinstance(kind, inspect.VarTupleType):
        if not isinstance(value, list):
            yield Problem(pointer, "expected an array")
            return
        if kind.min_length is not None and len(value) < kind.min_length:
            yield Problem(pointer, f"must have at least {kind.min_length} item(s)")
        for index, item in enumerate(value):
            yield from _check(item, kind.item_type, f"{pointer}/{index}", {})
    elif isinstance(kind, inspect.DictType):
        if not isinstance(value, dict):
            yield Problem(pointer, "expected an object")
            return
        for key, item in value.items():
            yield from _check(item, kind.value_type, f"{pointer}/{escape(key)}", {})
    elif isinstance(kind, inspect.AnyType):
        yield from _check_free(value, pointer)
    else:
        yield from _check_scalar(value, kind, pointer, extra)


def _check_struct(value: object, kind: inspect.StructType, pointer: str, aliases: Aliases = ()) -> Iterator[Problem]:
    if not isinstance(value, dict):
        yield Problem(pointer, "expected an object")
        return
    fields = {field.encode_name: field for field in kind.fields}
    spellings = {**fields, **{alias: fields[canonical] for alias, canonical in aliases}}
    for key in value:
        if key not in spellings:
            yield Problem(pointer, f"unknown field `{key}`")
    present = {spellings[key].name for key in value if key in spellings}
    for name, field in spellings.items():
        if name in value:
            yield from _check(value[name], field.type, f"{pointer}/{name}", {})
        elif field.required and field.name not in present:
            present.add(field.name)
            yield Problem(pointer, f"missing required field `{name}`")


def _check_text_or_array(value: object, options: list[inspect.Type], pointer: str) -> Iterator[Problem]:
    """The one kind of union in the resource types: JSON strings and arrays are told apart by their type."""
    wanted = inspect.VarTupleType if isinstance(value, list) else inspect.StrType
    if not isinstance(value, list | str):
        yield Problem(pointer, "expected a string or an array")
        return
    yield from _check(value, next(option for option in options if isinstance(option, wanted)), pointer, {})


def _check_scalar(value: object, kind: inspect.Type, pointer: str, extra: dict[str, object]) -> Iterator[Problem]:
    if isinstance(kind, inspect.BoolType):
        if not isinstance(value, bool):
            yield Problem(pointer, "expected a boolean")
    elif isinstance(kind, inspect.IntType):
        yield from _check_integer(value, kind, pointer, extra)
    elif isinstance(kind, inspect.FloatType):
        yield from _check_number(value, kind, pointer)
    elif not isinstance(value, str):
        yield Problem(pointer, "expected a string")
    elif isinstance(kind, inspect.LiteralType):
        if value not in kind.values:
            yield Problem(pointer, f"expected one of {', '.join(f'`{option}`' for option in kind.values)}")
    elif isinstance(kind, inspect.StrType):
        yield from _check_text(value, kind, pointer, extra)
    else:
        raise TypeError(f"resource types do not use {type(kind).__name__}")


def _check_text(value: str, kind: inspect.StrType, pointer: str, extra: dict[str, object]) -> Iterator[Problem]:
    if kind.min_length is not None and len(value) < kind.min_length:
        yield Problem(pointer, f"must have at least {kind.min_length} character(s)")
    elif kind.max_length is not None and len(value) > kind.max_length:
        yield Problem(pointer, f"must have at most {kind.max_length} characters")
    elif kind.pattern is not None and not _ecma(kind.pattern).search(value):
        yield Problem(pointer, f"must match {kind.pattern}")
    elif extra.get("format") == "date-time":
        try:
            parse_rfc3339(value)
        except ValueError:
            yield Problem(pointer, "expected an RFC 3339 date-time")


def _check_integer(value: object, kind: inspect.IntType, pointer: str, extra: dict[str, object]) -> Iterator[Problem]:
    whole = isinstance(value, float) and value.is_integer()
    if isinstance(value, bool) or not (isinstance(value, int) or whole):
        yield Problem(pointer, "expected an integer")
        return
    assert isinstance(value, int | float)
    if kind.ge is not None and value < kind.ge:
        yield Problem(pointer, f"must be at least {kind.ge}")
    elif kind.le is not None and value > kind.le:
        yield Problem(pointer, f"must be at most {kind.le}")
    elif whole:
        yield Problem(pointer, "expected an integer, found a floating-point number", decode=True)
    elif value > _INT_LIMITS[str(extra.get("format", "uint64"))]:
        yield Problem(pointer, f"integer does not fit {extra.get('format', 'uint64')}", decode=True)


def _check_number(value: object, kind: inspect.FloatType, pointer: str) -> Iterator[Problem]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        yield Problem(pointer, "expected a number")
    elif kind.ge is not None and value < kind.ge:
        yield Problem(pointer, f"must be at least {kind.ge:g}")
    elif not _finite(value):
        yield Problem(pointer, "number is out of range", decode=True)


def _finite(value: float) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _check_free(value: object, pointer: str) -> Iterator[Problem]:
    """Free-form JSON: anything that survives the way to the worker processes."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _check_free(item, f"{pointer}/{escape(key)}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _check_free(item, f"{pointer}/{index}")
    elif isinstance(value, int) and not _INT_MIN <= value <= _INT_MAX:
        yield Problem(pointer, "integer does not fit 64 bits", decode=True)


def escape(key: str) -> str:
    """One reference token of a JSON Pointer (RFC 6901 §3)."""
    return key.replace("~", "~0").replace("/", "~1")


@cache
def _ecma(pattern: str) -> re.Pattern[str]:
    """ECMA semantics: ``$`` is the end of the string, not also the place before a final line feed."""
    return re.compile(pattern[:-1] + r"\Z" if pattern.endswith("$") else pattern, re.ASCII)
