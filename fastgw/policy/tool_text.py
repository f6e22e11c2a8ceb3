"""Tool definitions as the text that models are shown and billed for: a TypeScript namespace of function types."""

from collections.abc import Iterator
from typing import Any, Final

import orjson

# What is never rendered deeper: JSON of a request nests less, and the recursion must end well before Python's.
MAX_DEPTH: Final = 64
_SIMPLE: Final = {"string": "string", "number": "number", "integer": "number", "boolean": "boolean", "null": "null"}


def tool_text(tools: list[Any]) -> str:
    """Render the functions of a `tools` array, as chat, messages or responses have it; other tools are left out."""
    lines = ["namespace functions {", ""]
    for tool in tools:
        if isinstance(tool, dict):
            lines += _function(tool)
    return "\n".join([*lines, "} // namespace functions"])


def _function(tool: dict[str, Any]) -> Iterator[str]:
    inner = tool.get("function")
    function = inner if isinstance(inner, dict) else tool
    name = function.get("name")
    if not isinstance(name, str):
        return
    description = function.get("description")
    if isinstance(description, str) and description:
        yield f"// {description}"
    schema = function.get("parameters", function.get("input_schema"))
    properties = list(_properties(schema, 0, 0)) if isinstance(schema, dict) else []
    if properties:
        yield f"type {name} = (_: {{"
        yield from properties
        yield "}) => any;"
    else:
        yield f"type {name} = () => any;"
    yield ""


def _properties(schema: dict[str, Any], indent: int, depth: int) -> Iterator[str]:
    properties, required = schema.get("properties"), schema.get("required")
    if not isinstance(properties, dict):
        return
    needed = required if isinstance(required, list) else []
    space = " " * indent
    for key, value in properties.items():
        if isinstance(value, dict):
            description = value.get("description")
            if isinstance(description, str) and description:
                yield f"{space}// {description}"
        yield f"{space}{key}{'' if key in needed else '?'}: {_type(value, indent, depth + 1)},"


def _type(schema: Any, indent: int, depth: int) -> str:
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return "any"
    values = schema.get("enum")
    if isinstance(values, list) and values:
        return " | ".join(f'"{value}"' if isinstance(value, str) else orjson.dumps(value).decode() for value in values)
    kind = schema.get("type")
    if kind == "array":
        return f"{_type(schema['items'], indent, depth + 1)}[]" if "items" in schema else "any[]"
    if kind == "object":
        return "\n".join(["{", *_properties(schema, indent + 2, depth), "}"])
    return _SIMPLE.get(kind, "any") if isinstance(kind, str) else "any"
