"""Schemas as Gemini takes them."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw.mock import rules
from fastgw.providers.vertex.gemini.schema import COST, MAX_COPIED, MAX_DEPTH, Room, cleaned
from tests.support.limits import timed


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
    assert 100 < str(made).count("properties") <= MAX_COPIED / COST


def definitions(count: int, link: Any) -> dict[str, Any]:
    """Schemas of which each refers to the next one, in the way that `link` makes of the reference."""
    made = {f"D{n}": link(n, {"$ref": f"#/$defs/D{n + 1}"}) for n in range(count)}
    return {**made, f"D{count}": {"type": "string"}}


@pytest.mark.parametrize(
    "link",
    [
        lambda n, next: next,
        lambda n, next: {"items": next},
        lambda n, next: {"allOf": [next], "properties": {f"p{n}": {}}},
        lambda n, next: {"properties": {"a": next}},
        lambda n, next: {"anyOf": [next, {"type": "integer"}]},
    ],
)
def test_long_chains_of_references_end(link: Any) -> None:
    count = 3000
    properties = {f"p{n}": {"$ref": f"#/$defs/D{n}"} for n in range(count)}
    schema = {"$defs": definitions(count, link), "type": "object", "properties": properties}
    made = timed(lambda: cleaned(schema))
    assert len(made["properties"]) == count
    assert orjson.dumps(made)


@pytest.mark.parametrize(
    "target",
    [
        {"enum": ["word"] * 20_000},
        {"type": "string", "description": "d" * 200_000},
        {"type": "string", "pattern": "d" * 200_000},
        {"type": "object", "required": ["r"] * 20_000},
        {"example": {"a": [["x"] * 20_000]}},
        {f"x{n}": 1 for n in range(20_000)},
        {"properties": {f"x{n}": 1 for n in range(20_000)}},
        {"anyOf": [1] * 20_000},
        {"properties": {f"x{n}": {} for n in range(20_000)}},
    ],
)
def test_a_large_schema_is_not_copied_without_end(target: dict[str, Any]) -> None:
    properties = {f"p{n}": {"$ref": "#/$defs/T"} for n in range(5000)}
    made = timed(lambda: cleaned({"$defs": {"T": target}, "type": "object", "properties": properties}))
    assert len(orjson.dumps(made)) < 3 * MAX_COPIED


def test_a_long_reference_is_read_once() -> None:
    link = {"$ref": "#" + "/a" * 200_000}
    properties = {f"p{n}": {"$ref": "#/$defs/T"} for n in range(5000)}
    made = timed(lambda: cleaned({"$defs": {"T": link}, "type": "object", "properties": properties}))
    assert made["properties"]["p0"] == {}


def test_what_holds_for_all_variants_is_not_repeated_without_end() -> None:
    schema = {"description": "d" * 200_000, "anyOf": [{"type": "string"}] * 5000}
    assert len(orjson.dumps(timed(lambda: cleaned(schema)))) < MAX_COPIED
    assert cleaned({**schema, "anyOf": [{"type": "string"}] * 2}) == {
        "anyOf": [{"description": "d" * 200_000, "type": "string"}] * 2
    }


def test_parts_that_are_put_together() -> None:
    count = 20_000
    parts = [{"properties": {f"p{n}": {"type": "string"}}, "required": [f"p{n}"]} for n in range(count)]
    made = timed(lambda: cleaned({"type": "object", "allOf": parts}))
    assert made["required"] == list(made["properties"]) == [f"p{n}" for n in range(count)]


def test_schemas_of_one_request_share_their_room() -> None:
    schema = {"$ref": "#/$defs/T", "$defs": {"T": {"type": "string", "description": "d" * (MAX_COPIED // 3)}}}
    room = Room()
    assert ["description" in cleaned(schema, room) for _ in range(4)] == [True, True, False, False]


def test_references_inside_of_each_other() -> None:
    made: Any = cleaned({"$ref": "#/$defs/D0", "$defs": definitions(MAX_DEPTH - 1, lambda n, next: {"items": next})})
    for _ in range(MAX_DEPTH - 1):
        made = made["items"]
    assert made == {"type": "string"}


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
