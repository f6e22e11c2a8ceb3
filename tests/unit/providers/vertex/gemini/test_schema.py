"""Schemas as Gemini takes them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw.mock import rules
from fastgw.providers.vertex.gemini.schema import MAX_NODES, cleaned


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "object", "title": "x", "additionalProperties": False, "properties": {}}, {"type": "object"}),
        ({"const": "x"}, {"enum": ["x"]}),
        ({"type": "integer", "const": 3}, {"type": "integer", "enum": ["3"]}),
        ({"type": ["string", "null"], "enum": ["x", None]}, {"type": "string", "nullable": True, "enum": ["x"]}),
        ({"const": None}, {"nullable": True}),
        ({"type": ["string", "null"]}, {"type": "string", "nullable": True}),
        ({"type": ["string", "integer"]}, {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, {"type": "integer", "nullable": True}),
        ({"oneOf": [{"const": "a"}, {"const": "b"}]}, {"anyOf": [{"enum": ["a"]}, {"enum": ["b"]}]}),
        (
            {"allOf": [{"type": "object", "properties": {"a": {"type": "string"}}}, {"required": ["a", "b"]}]},
            {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
        ),
        (
            {"allOf": [{"properties": {"a": {"type": "string"}}}, {"properties": {"b": {"type": "string"}}}]},
            {"properties": {"a": {"type": "string"}, "b": {"type": "string"}}},
        ),
        ({"type": "object", "propertyNames": {"type": "string"}, "uniqueItems": True, "not": {}}, {"type": "object"}),
        ({"type": "array"}, {"type": "array", "items": {"type": "string"}}),
        ({"type": "array", "items": {}}, {"type": "array", "items": {"type": "string"}}),
        ({"type": "object", "required": ["a"]}, {"type": "object"}),
        (
            {
                "description": "d",
                "anyOf": [{"type": "string"}, {"type": "integer", "description": "i"}, {"type": "null"}],
            },
            {
                "anyOf": [
                    {"description": "d", "nullable": True, "type": "string"},
                    {"description": "i", "nullable": True, "type": "integer"},
                ]
            },
        ),
        (
            {"properties": {"a": {"type": "string"}}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
            {"properties": {"a": {"type": "string"}}},
        ),
        ({"type": "string", "format": "uuid"}, {"type": "string"}),
        ({"type": "string", "format": "date-time"}, {"type": "string", "format": "date-time"}),
        (
            {"type": "array", "items": {"$ref": "#/$defs/A"}, "$defs": {"A": {"type": "number"}}},
            {"type": "array", "items": {"type": "number"}},
        ),
        (
            {"$ref": "#/$defs/A~1b", "description": "d", "$defs": {"A/b": {"type": "null"}}},
            {"type": "null", "description": "d"},
        ),
        ({"$ref": "https://elsewhere"}, {}),
        (
            {"properties": {"default": {"type": "string", "default": "x"}}},
            {"properties": {"default": {"type": "string"}}},
        ),
    ],
)
def test_cleaned(schema: dict[str, Any], expected: dict[str, Any]) -> None:
    assert cleaned(schema) == expected


def test_a_schema_that_contains_itself_ends() -> None:
    tree = {"$ref": "#/$defs/T", "$defs": {"T": {"type": "object", "properties": {"next": {"$ref": "#/$defs/T"}}}}}
    assert cleaned(tree) == {"type": "object", "properties": {"next": {"type": "object"}}}
    assert cleaned({"$ref": "#"}) == {"type": "object"}


def test_references_that_multiply_end() -> None:
    last = 40
    definitions: dict[str, Any] = {
        f"D{n}": {"properties": {side: {"$ref": f"#/$defs/D{n + 1}"} for side in "ab"}} for n in range(last)
    }
    made = cleaned({"$ref": "#/$defs/D0", "$defs": {**definitions, f"D{last}": {"type": "string"}}})
    assert str(made).count("properties") <= MAX_NODES


LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
NAMES = st.sampled_from(
    ["type", "properties", "items", "anyOf", "allOf", "$ref", "const", "enum", "required", "format", "x"]
)
DOCUMENTS = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4))


@given(st.dictionaries(NAMES, DOCUMENTS, max_size=4))
def test_anything_is_cleaned_to_something(schema: dict[str, Any]) -> None:
    made = cleaned(schema)
    rules.gemini(
        {"model": "m", "contents": [], "tools": [{"functionDeclarations": [{"name": "f", "parameters": made}]}]}
    )
