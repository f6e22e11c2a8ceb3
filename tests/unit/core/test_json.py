"""Texts that are no JSON, or none of the wanted kind."""

import pytest

from fastgw.core.json import load, load_object


@pytest.mark.parametrize("text", ["", b"", "{", b'{"a":1', '{"a":\ud800}', b"\xff", "[1,]", "NaN"])
def test_what_cannot_be_read_is_nothing(text: bytes | str) -> None:
    assert load(text) is None
    assert load_object(text) == {}


@pytest.mark.parametrize(("text", "value"), [("1", 1), (b'["a"]', ["a"]), ('"x"', "x"), ("null", None)])
def test_values(text: bytes | str, value: object) -> None:
    assert load(text) == value
    assert load_object(text) == {}


@pytest.mark.parametrize("text", ['{"a":{"b":null}}', b' {"a":{"b":null}} '])
def test_objects(text: bytes | str) -> None:
    assert load(text) == load_object(text) == {"a": {"b": None}}


@pytest.mark.parametrize("given", [None, 1, {"a": 1}, ["{}"]])
def test_what_is_no_text_is_no_object(given: object) -> None:
    assert load_object(given) == {}
