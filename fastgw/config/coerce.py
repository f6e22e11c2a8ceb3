"""Plain values, as files and environment variables give them, to the exact types of the schema.

Scalars are read leniently: a quoted number for an integer key and a bare number for a string key are accepted. Keys
are not: an unknown one is an error at any level. ``null`` means that the key is not set. Messages name the key, never
the value.
"""

import re
from functools import cache
from typing import Final

from msgspec import Struct, inspect

from fastgw.config.errors import ConfigError
from fastgw.config.source import parse_json

_TRUE: Final = frozenset(("true", "1", "on", "yes"))
_FALSE: Final = frozenset(("false", "0", "off", "no"))
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,30}")


@cache
def struct_info(struct: type[Struct]) -> inspect.StructType:
    """The introspected form of a section type."""
    info = inspect.type_info(struct)
    if not isinstance(info, inspect.StructType):
        raise TypeError(f"{struct.__name__} is not a Struct")
    return info


def unwrap(kind: inspect.Type) -> inspect.Type:
    """``X`` of ``X | None``."""
    if isinstance(kind, inspect.UnionType):
        (kind,) = (option for option in kind.types if not isinstance(option, inspect.NoneType))
    return kind


def is_scalar_list(kind: inspect.Type) -> bool:
    """Whether the environment form of the key is a comma-separated list."""
    return isinstance(kind, inspect.VarTupleType) and not isinstance(kind.item_type, inspect.StructType)


def coerce(value: object, kind: inspect.Type, path: str = "") -> object:
    """``value`` as builtins that ``msgspec.convert`` takes for ``kind``. Raises :class:`ConfigError`."""
    kind = unwrap(kind)
    if isinstance(kind, inspect.StructType):
        return _section(value, kind, path)
    if isinstance(kind, inspect.VarTupleType):
        return _list(value, kind, path)
    if isinstance(kind, inspect.BoolType):
        return _boolean(value, path)
    if isinstance(kind, inspect.IntType):
        return _integer(value, kind, path)
    if isinstance(kind, inspect.FloatType):
        return _number(value, path)
    text = _text(value, path)
    if isinstance(kind, inspect.LiteralType) and text not in kind.values:
        raise ConfigError(f"{path}: expected one of {', '.join(str(option) for option in kind.values)}")
    return text


def _section(value: object, kind: inspect.StructType, path: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: expected a section")
    fields = {field.name: field for field in kind.fields}
    where = f" in `{path}`" if path else ""
    for key in value:
        if key not in fields:
            raise ConfigError(f"unknown field `{key}`{where}")
    result: dict[str, object] = {}
    for name, field in fields.items():
        if value.get(name) is not None:
            result[name] = coerce(value[name], field.type, f"{path}.{name}" if path else name)
    for name, field in fields.items():
        if field.required and name not in result:
            raise ConfigError(f"missing field `{name}`{where}")
    return result


def _list(value: object, kind: inspect.VarTupleType, path: str) -> list[object]:
    if isinstance(value, str) and isinstance(kind.item_type, inspect.StructType):
        value = _json_list(value, path)
    if not isinstance(value, list):
        raise ConfigError(f"{path}: expected a list")
    return [coerce(item, kind.item_type, f"{path}[{index}]") for index, item in enumerate(value)]


def _json_list(text: str, path: str) -> object:
    if not text.strip():
        return []
    try:
        return parse_json(text)
    except ConfigError as exc:
        raise ConfigError(f"{path}: {exc}") from None


def _boolean(value: object, path: str) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, (str, int)):
        text = str(value).strip().lower()
        if text in _TRUE:
            return True
        if text in _FALSE:
            return False
    raise ConfigError(f"{path}: expected a boolean")


def _integer(value: object, kind: inspect.IntType, path: str) -> int:
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{path}: expected an integer")
    if kind.ge is not None and value < kind.ge:
        raise ConfigError(f"{path}: must not be less than {kind.ge}")
    if kind.le is not None and value > kind.le:
        raise ConfigError(f"{path}: must not be greater than {kind.le}")
    return value


def _number(value: object, path: str) -> float:
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            if not (isinstance(value, str) and "_" in value):
                return float(value)
        except (ValueError, OverflowError):
            pass
    raise ConfigError(f"{path}: expected a number")


def _text(value: object, path: str) -> str:
    if isinstance(value, str):
        if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            raise ConfigError(f"{path}: text is not valid Unicode")
        if "\0" in value:
            # No path, address or header can have it, and what opens files reports it without saying which.
            raise ConfigError(f"{path}: text has a NUL character")
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    raise ConfigError(f"{path}: expected a string")
