"""Resources as documents again: what operators are shown, and what an export writes."""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from msgspec import NODEFAULT, Struct, inspect

from fastgw.resources.base import INTERNAL_TAG

_KEY_FIELDS: Final = ("key_hash", "allowed_models", "rate_limit", "mcp_access", "allowed_agents", "expires_at")


def value(kind: str, row: Struct) -> dict[str, Any]:
    """The document of a row as operators are shown it: of API keys only the hash and what the key may do."""
    rendered = document(row)
    if kind == "api_keys":
        fields = (*_KEY_FIELDS, "disabled") if rendered.get("disabled") else _KEY_FIELDS
        rendered = {field: rendered[field] for field in fields if field in rendered}
    return rendered


def document(row: Struct) -> dict[str, Any]:
    """The canonical document of a row: canonical spellings, defaults in place, optional members only when they say
    something. Holds credentials. O(size of the row)."""
    tag, fields = _plan(type(row))
    rendered: dict[str, Any] = dict(tag)
    for name, default in fields:
        item = getattr(row, name)
        if item is not None and (default is NODEFAULT or item != default):
            rendered[name] = _rendered(item)
    return rendered


def _rendered(item: Any) -> Any:
    if isinstance(item, Struct):
        return document(item)
    if isinstance(item, tuple):
        return [_rendered(inner) for inner in item]
    # What is below a free-form member is kept as it is, null included.
    return {key: _rendered(inner) for key, inner in item.items()} if isinstance(item, dict) else item


@cache
def _plan(struct: type[Struct]) -> tuple[Mapping[str, str], list[tuple[str, Any]]]:
    """The tag, and of each field the value at which it is left out."""
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    tagged = info.tag_field is not None and info.tag_field != INTERNAL_TAG
    tag = {str(info.tag_field): str(info.tag)} if tagged else {}
    return tag, [(field.encode_name, _implied(field)) for field in info.fields]


def _implied(field: inspect.Field) -> Any:
    extra = field.type.extra if isinstance(field.type, inspect.Metadata) else None
    if not (extra or {}).get("implied"):
        return NODEFAULT
    return field.default if field.default is not NODEFAULT else field.default_factory()
