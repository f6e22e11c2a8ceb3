"""What of a document is a credential, and the environment variable that stands for it in a file."""

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

Container = dict[str, Any] | list[Any]

LABELS: Final = {
    "provider_keys": "PROVIDER_KEY",
    "mcp_servers": "MCP_SERVER",
    "a2a_agents": "A2A_AGENT",
    "guardrails": "GUARDRAIL",
    "observability_exporters": "OBSERVABILITY_EXPORTER",
}
_GUARDRAIL: Final = frozenset({"api_key", "access_key_secret", "secret_access_key"})
_OTHER: Final = re.compile(r"[^A-Za-z0-9]")


class Secret(NamedTuple):
    """Where a credential is: ``container[key]``. ``name`` is its part of a variable, ``field`` is for people."""

    container: Container
    key: Any
    name: str
    field: str


def secrets(kind: str, document: dict[str, Any]) -> Iterator[Secret]:
    """Every credential of a document: texts that are not empty."""
    if kind == "provider_keys":
        yield from _texts(document, ("api_key",), "API_KEY", "api_key")
        request = document.get("request", {})
        for block, label in (("default_headers", "DEFAULT_HEADERS"), ("default_body_fields", "DEFAULT_BODY_FIELDS")):
            found = request.get(block, {})
            for name in found:
                yield from _texts(found, (name,), f"{label}_{name}", f"request.{block}.{name}")
    elif kind in ("mcp_servers", "a2a_agents"):
        yield from _texts(document, ("secret",), "SECRET", "secret")
    elif kind == "guardrails":
        yield from _guardrail(document, "")
    elif kind == "observability_exporters":
        headers = document.get("headers", {})
        for name in headers:
            yield from _texts(headers, (name,), f"HEADER_{name}", f"headers.{name}")


def variable(namespace: str, kind: str, identity: str, name: str) -> str:
    """The environment variable for a credential."""
    parts = f"{LABELS[kind]}_{identity}_{name}"
    return f"{namespace}SECRET_{_OTHER.sub('_', parts)}".upper()


def _texts(container: Container, keys: Any, name: str, field: str) -> Iterator[Secret]:
    """The texts at these places and below them."""
    for key in keys:
        item = container[key] if isinstance(container, list) else container.get(key)
        if isinstance(item, str) and item:
            yield Secret(container, key, name, field)
        elif isinstance(item, dict):
            for inner in item:
                yield from _texts(item, (inner,), f"{name}_{inner}", f"{field}.{inner}")
        elif isinstance(item, list):
            for index in range(len(item)):
                yield from _texts(item, (index,), f"{name}_{index}", f"{field}[{index}]")


def _guardrail(item: Any, path: str) -> Iterator[Secret]:
    if isinstance(item, dict):
        for key, inner in item.items():
            if key in _GUARDRAIL and isinstance(inner, str):
                yield from _texts(item, (key,), key, f"{path}{key}")
            else:
                yield from _guardrail(inner, f"{path}{key}.")
    elif isinstance(item, list):
        for index, inner in enumerate(item):
            yield from _guardrail(inner, f"{path}{index}.")
