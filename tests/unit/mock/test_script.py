"""Directives: one vocabulary in three spellings."""

from dataclasses import fields

import pytest

from fastgw.mock.script import DIRECTIVES, Script, ScriptError, build, from_text, of_model


def test_every_directive_is_described() -> None:
    assert set(DIRECTIVES) == {field.name for field in fields(Script)}


def test_text_and_json_build_the_same_script() -> None:
    text = "m?latency_ms=1.5&tokens=3&usage=false&content=5&gzip=true&headers={%22a%22:%22b%22}&fault=reset&at=body"
    body = {"latency_ms": 1.5, "tokens": 3, "usage": False, "content": "5", "gzip": True, "headers": {"a": "b"}}
    assert build(of_model(text)) == build({**body, "fault": "reset", "at": "body"})


def test_a_model_without_suffix_says_nothing() -> None:
    assert of_model("org/model:tag") == {}


def test_null_is_the_default() -> None:
    assert build({"status": None, "fault": None}) == Script()


def test_error_text_is_a_message_and_json_an_object() -> None:
    assert from_text({"error": "went wrong"}) == {"error": "went wrong"}
    assert from_text({"error": '{"code":"x"}'}) == {"error": {"code": "x"}}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("latency_ms", -1),
        ("latency_ms", "20"),
        ("latency_ms", True),
        ("tokens", 1.5),
        ("status", 199),
        ("status", 600),
        ("close_chance", 1.1),
        ("rate", 0),
        ("gzip", 1),
        ("content", 5),
        ("usage", "no"),
        ("tool_calls", [{"arguments": "{}"}]),
        ("tool_calls", -1),
        ("error", 5),
        ("headers", [["a"]]),
        ("headers", "a: b"),
        ("events", "x"),
        ("fault", "boom"),
        ("at", "somewhere"),
        ("line_end", "\n"),
        ("turns", [{"latencyms": 1}]),
        ("turns", [{"turns": []}]),
        ("turns", {}),
        ("latencyms", 1),
    ],
)
def test_wrong_values_name_their_directive(name: str, value: object) -> None:
    with pytest.raises(ScriptError, match=name):
        build({name: value})


def test_healthy_keeps_the_shape_and_drops_the_failure() -> None:
    script = build({"status": 500, "error": "x", "fault": "reset", "fail_times": 2, "tokens": 5, "latency_ms": 1})
    assert script.healthy() == Script(tokens=5, latency_ms=1)
