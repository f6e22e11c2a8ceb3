"""System prompts in every form."""

from typing import Any

import pytest

from fastgw.providers.anthropic.messages import conversation

PIXEL = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


@pytest.mark.parametrize(
    ("contents", "system"),
    [
        ([], None),
        (["a"], "a"),
        (["a", "b"], "a\n\nb"),
        ([None, "b"], "\n\nb"),
        ([""], None),
        ([[text("a")]], [text("a")]),
        ([[text("a"), text(" "), text("b")], "c"], [text("a"), text("b"), text("c")]),
        ([[text("a", cache_control={"type": "ephemeral"}, x=1)]], [text("a", cache_control={"type": "ephemeral"})]),
        ([[text("a")], " "], [text("a")]),
        ([[PIXEL]], None),
        ([[PIXEL], "a"], "\n\na"),
        ([[PIXEL, text("a")]], [text("a")]),
        ([[], "a"], "\n\na"),
    ],
)
def test_system(contents: list[Any], system: Any) -> None:
    leading = [
        {"role": role, "content": content} for role, content in zip(["system", "developer"], contents, strict=False)
    ]
    assert conversation({"messages": [*leading, {"role": "user", "content": "hi"}]})[0] == system


def test_a_later_system_message_is_a_turn_of_the_user() -> None:
    messages = [{"role": role, "content": role} for role in ("user", "system", "assistant", "developer")]
    system, turns = conversation({"messages": messages})
    assert system is None
    assert [(turn["role"], [block["text"] for block in turn["content"]]) for turn in turns] == [
        ("user", ["user", "system"]),
        ("assistant", ["assistant"]),
        ("user", ["developer"]),
    ]
