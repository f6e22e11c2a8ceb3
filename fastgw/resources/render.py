"""Resources as documents again: what operators are shown."""

from typing import Any, Final

import msgspec
from msgspec import Struct

_KEY_FIELDS: Final = ("key_hash", "allowed_models", "rate_limit", "mcp_access", "allowed_agents", "expires_at")


def value(kind: str, row: Struct) -> dict[str, Any]:
    """The canonical document of a row: defaults in place, what is absent left out. Holds credentials, but of API keys
    only the hash and what the key may do. O(size of the row)."""
    document: dict[str, Any] = _present(msgspec.to_builtins(row))
    if kind == "api_keys":
        disabled = {"disabled": True} if document["disabled"] else {}
        document = {field: document[field] for field in _KEY_FIELDS if field in document} | disabled
    return document


def _present(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _present(item) for key, item in value.items() if item is not None}
    return [_present(item) for item in value] if isinstance(value, list) else value
