"""Generated content: exact sizes, schemas filled, vectors."""

import base64
import struct
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw.mock import content
from fastgw.mock.script import Script


@given(st.text(), st.integers(1, 50))
def test_cut_loses_nothing_and_is_even(text: str, count: int) -> None:
    parts = content.cut(text, count)
    assert "".join(parts) == text
    assert len(parts) == max(1, min(count, len(text)))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@given(st.integers(0, 5000), st.integers(1, 200))
def test_answer_bytes_is_exact(size: int, tokens: int) -> None:
    pieces = content.pieces({}, Script(answer_bytes=size, tokens=tokens), 0)
    assert len("".join(pieces).encode()) == size
    assert len(pieces) == max(1, min(size, tokens))


def test_choices_differ() -> None:
    assert content.pieces({}, Script(), 0) != content.pieces({}, Script(), 1)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}, "required": ["a"]},
        {"type": "object", "properties": {"a": {"enum": ["x", "y"]}, "n": {"const": 4}}, "required": ["a", "n"]},
        {"type": "object", "properties": {"a": {"anyOf": [{"type": "null"}, {"type": "number"}]}}, "required": ["a"]},
        {"type": ["object", "null"], "properties": {"b": {"type": "boolean"}}, "required": ["b"]},
        {"type": "array", "items": {"type": "integer", "minimum": 7}, "minItems": 3},
        {"type": "string", "minLength": 9, "maxLength": 12},
        {"type": "string", "maxLength": 2},
        {
            "type": "object",
            "properties": {"root": {"$ref": "#/$defs/node"}},
            "required": ["root"],
            "additionalProperties": False,
            "$defs": {
                "node": {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string"},
                        "next": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                    },
                    "required": ["name", "next"],
                }
            },
        },
    ],
)
def test_instance_fits_its_schema(schema: dict[str, Any]) -> None:
    jsonschema.validate(content.instance(schema, schema), schema)


def test_endless_schema_is_cut_off() -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}
    found, depth = content.instance(schema, schema), 0
    while found is not None:
        found, depth = found["a"], depth + 1
    assert 1 <= depth <= 20


@pytest.mark.parametrize(
    ("value", "tokens"),
    [
        ("", 0),
        ("abcde", 2),
        ([1, 2, 3], 3),
        (["abcd", "abcd"], 2),
        ([[1, 2], [3]], 3),
        ([{"type": "text", "text": "abcd"}, {"type": "image_url", "image_url": {"url": "x" * 999}}], 86),
        (None, 0),
    ],
)
def test_token_estimate(value: object, tokens: int) -> None:
    assert content.token_estimate(value) == tokens


def test_vectors_are_unit_length_and_the_same_in_both_encodings() -> None:
    floats = content.vector("text", 256, "float")
    packed = content.vector("text", 256, "base64")
    assert isinstance(packed, str)
    unpacked = struct.unpack("<256f", base64.b64decode(packed))
    assert floats == pytest.approx(unpacked, abs=1e-8)
    assert sum(x * x for x in unpacked) == pytest.approx(1, abs=1e-5)
    assert content.vector("other", 256, "float") != floats


def test_tool_calls_by_count_take_the_functions_in_turn() -> None:
    tools = [
        {"type": "function", "function": {"name": "a", "parameters": {"type": "object", "properties": {}}}},
        {
            "type": "function",
            "function": {
                "name": "b",
                "parameters": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
            },
        },
    ]
    calls = content.tool_calls({"tools": tools}, Script(tool_calls=3))
    assert [c["function"] for c in calls] == [
        {"name": "a", "arguments": "{}"},
        {"name": "b", "arguments": '{"n":0}'},
        {"name": "a", "arguments": "{}"},
    ]
    assert len({c["id"] for c in calls}) == 3


def test_tool_calls_by_list_are_verbatim() -> None:
    scripted = [{"name": "f", "arguments": "{broken", "id": "call_1"}, {"name": "g", "arguments": {"x": [1]}}]
    first, second = content.tool_calls({}, Script(tool_calls=scripted))
    assert first == {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{broken"}}
    assert second["function"]["arguments"] == '{"x":[1]}'


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "function", "function": {"name": "second"}}, ["second"]),
        ("required", ["first"]),
        ("auto", []),
        ("none", []),
        (None, []),
    ],
)
def test_a_choice_that_demands_a_call_gets_one(choice: object, expected: list[str]) -> None:
    tools = [{"type": "function", "function": {"name": name}} for name in ("first", "second")]
    made = content.tool_calls({"tools": tools, "messages": [], "tool_choice": choice}, Script())
    assert [call["function"]["name"] for call in made] == expected
