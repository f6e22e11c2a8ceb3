"""Texts that are no JSON, or none of the wanted kind."""

import sys
from typing import Any

import pytest

from fastgw.core.json import MAX_DEPTH, load, load_object, read, write


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


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a": [1, 2.5, "x"]}', {"a": [1, 2.5, "x"]}),
        (b'"a \\ud83d\\ude00 b"', "a \U0001f600 b"),
        (b'"cut \\ud83d"', "cut \ufffd"),
        (b'["\\ude00", {"\\ud83d": "\xc3\xa9"}]', ["\ufffd", {"\ufffd": "é"}]),
        (b"1e400", sys.float_info.max),
        (b"[-1e400]", [-sys.float_info.max]),
        (b"[18446744073709551616, -9223372036854775809]", [18446744073709551616, -9223372036854775809]),
        (b"1" * 400, int("1" * 400)),
        (b"1" * 5000, sys.float_info.max),
        (b'["\\ud83d", 0.30000000000000004, 9007199254740993]', ["\ufffd", 0.30000000000000004, 9007199254740993]),
    ],
)
def test_what_is_valid_is_read(text: bytes, value: Any) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[1,]", b"NaN", b"[-Infinity, 1e400]", b"\xff", b"\xef\xbb\xbf1e400", b"[" * 100_000, b"01"]
)
def test_what_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read(text)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_depth_is_bounded(opening: str, closing: str) -> None:
    def text(depth: int) -> str:
        return opening * depth + "1" + closing * depth

    assert read(text(MAX_DEPTH).encode())
    for depth in (MAX_DEPTH + 1, 255, 1000, 2000):
        with pytest.raises(ValueError, match="deep"):
            read(text(depth).encode())
    wide = f'{{"{"[" * 300}":[{",".join([text(MAX_DEPTH - 2)] * 5)}]}}'
    assert read(wide.encode()) == load_object(wide) == load_object(wide.encode())
    assert load_object(f'{{"a":{text(MAX_DEPTH)}}}') == {}


@pytest.mark.parametrize(
    "text", [b'{"a":[18446744073709551616,-9223372036854775809,1.5,"\xc3\xa9"]}', b"[9007199254740993,null]", b'"x"']
)
def test_what_was_read_is_written(text: bytes) -> None:
    assert write(read(text)) == write(load(text)) == text


@pytest.mark.parametrize("text", ["\ud800", b"[" * 100_000, b"1" * 5000])
def test_what_no_library_holds_is_nothing(text: bytes | str) -> None:
    assert load(text) is None
