"""The rules by which requests and answers are counted, each against the pieces that it adds up."""

import json
from typing import Any

import pytest

from fastgw.core import tables
from fastgw.policy import estimate
from fastgw.policy.tool_text import tool_text

TABLE = tables.load("cl100k_base")
ESTIMATES = {
    "chat": estimate.estimate_chat_prompt,
    "messages": estimate.estimate_messages_prompt,
    "responses": estimate.estimate_responses_prompt,
}


def n(text: str) -> int:
    return TABLE.count(text)


def chat(*messages: Any, **fields: Any) -> int:
    return estimate.estimate_chat_prompt(TABLE, json.dumps({"messages": messages, **fields}).encode())


def messages(*turns: Any, **fields: Any) -> int:
    return estimate.estimate_messages_prompt(TABLE, json.dumps({"messages": turns, **fields}).encode())


def responses(given: Any, **fields: Any) -> int:
    return estimate.estimate_responses_prompt(TABLE, json.dumps({"input": given, **fields}).encode())


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def block(kind: str, **fields: Any) -> int:
    """What one block adds to a message, the same in each dialect."""
    counts = {
        chat(user([{"type": kind, **fields}])) - chat(user([])),
        messages(user([{"type": kind, **fields}])) - messages(user([])),
        responses([user([{"type": kind, **fields}])]) - responses([user([])]),
    }
    assert len(counts) == 1
    return counts.pop()


@pytest.mark.parametrize(
    ("models", "encoding"),
    [
        ("gpt-4o gpt-4o-mini-2024-07-18 chatgpt-4o-latest gpt-4.1 gpt-4.5-preview gpt-5 gpt-5-mini", "o200k_base"),
        ("o1 o1-mini o3 o3-pro o4-mini gpt-oss-120b ft:gpt-4o-mini:org::id ft:gpt-4.1:a:b:c", "o200k_base"),
        ("gpt-4 gpt-4-0613 gpt-4-turbo gpt-3.5-turbo gpt-35-turbo ft:gpt-3.5-turbo:x ft:gpt-4:x", "cl100k_base"),
        ("text-embedding-3-small text-embedding-ada-002 davinci-002 babbage-002 ft:davinci-002:x", "cl100k_base"),
        ("claude-sonnet-4-5 llama-3 mistral-large openai/gpt-4o o GPT-4O", "cl100k_base"),
        ("text-davinci-003 text-davinci-002 code-davinci-002 code-cushman-001 cushman-codex", "p50k_base"),
        ("text-davinci-edit-001 code-davinci-edit-001 davinci-codex", "p50k_base"),
        ("davinci curie babbage ada text-davinci-001 text-curie-001 text-ada-001 gpt2", "r50k_base"),
        (
            "text-similarity-ada-001 text-search-davinci-doc-001 code-search-babbage-code-001 davinci:ft-org",
            "r50k_base",
        ),
    ],
)
def test_encoding_by_model(models: str, encoding: str) -> None:
    for model in models.split():
        assert estimate.encoding_for(model) == encoding, model


def test_anchors() -> None:
    assert chat(user("hi")) == 8
    assert messages(user("hi")) == 8
    assert responses("hi") == responses([user("hi")]) == 8
    assert estimate.estimate_output(TABLE, "Hello world") == 2


def test_chat_messages() -> None:
    base = chat(user("hi"))
    assert chat({"role": "system", "content": "Be nice."}, user("hi")) == base + 3 + n("system") + n("Be nice.")
    assert chat({**user("hi"), "name": "Ada Lovelace"}) == base + 1 + n("Ada Lovelace")
    assert chat({**user("hi"), "tool_call_id": "call_123"}) == base + n("call_123")
    assert chat({**user("hi"), "reasoning_content": "because of it"}) == base + n("because of it")
    assert chat({**user("hi"), "weight": 1, "audio": {"id": "x" * 50}, "name": 3, "refusal": None}) == base
    calls = [{"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'}}]
    assert chat({**user("hi"), "tool_calls": calls}) == base + n('{"city":"Paris"}')
    assert chat({**user("hi"), "tool_calls": calls * 2}) == base + 2 * n('{"city":"Paris"}')
    assert chat({**user("hi"), "function_call": calls[0]["function"]}) == base + n('{"city":"Paris"}')
    assert chat({**user("hi"), "tool_calls": [3, {"function": 3}, {}], "function_call": "x"}) == base
    assert chat({"role": "assistant", "content": None}) == 3 + 3 + n("assistant")
    assert chat(user("<|endoftext|>")) == base - n("hi") + n("<|endoftext|>")
    assert n("<|endoftext|>") > 1
    assert chat() == chat("x", 3) == 3


def test_blocks() -> None:
    for kind in ("text", "input_text", "output_text"):
        assert block(kind, text="some words here", id="x" * 40) == n("some words here")
    assert block("refusal", refusal="I cannot") == n("I cannot")
    assert block("thinking", thinking="let me see", signature="x" * 40) == n("let me see")
    assert block("image_url", image_url={"url": "data:image/png;base64," + "A" * 900}) == 85
    assert block("image_url", image_url="https://x") == 85
    assert [block("image_url", image_url={"url": "u", "detail": d}) for d in ("low", "auto", None)] == [85] * 3
    assert [block("image_url", image_url={"url": "u", "detail": d}) for d in ("high", "other")] == [250] * 2
    assert block("image", source={"data": "A" * 900}) == block("input_image", detail="low") == 250
    assert block("input_audio", input_audio={"data": "A" * 900}) == block("document", text="x" * 90) == 0
    assert block("text", text=None) == block("text") == 0
    assert chat(user(["two", "strings"])) == chat(user("")) + n("two") + n("strings")
    assert chat(user([3, None, {"text": "untyped"}, {"type": 4}])) == chat(user({"type": "text"})) == chat(user(""))


def test_tool_blocks() -> None:
    compact = '{"city":"Köln","n":[1,2.5,true,null]}'
    use = {"id": "toolu_1", "name": "get_weather", "input": json.loads(compact), "cache_control": {"type": "ephemeral"}}
    assert block("tool_use", **use) == n("get_weather") + n(compact)
    assert block("tool_result", tool_use_id="toolu_1", content="sunny", is_error=False) == n("sunny")
    content = [{"type": "text", "text": "sunny"}]
    assert block("tool_result", tool_use_id="t", content=content) == n('[{"type":"text","text":"sunny"}]')


def test_messages_system() -> None:
    base = messages(user("hi"))
    assert messages(user("hi"), system="Be nice.") == base + 3 + n("system") + n("Be nice.")
    assert messages(user("hi"), system=[{"type": "text", "text": "Be nice."}]) == base + 3 + n("system") + n("Be nice.")
    assert messages(user("hi"), system=None) == base
    assert messages({**user("hi"), "name": "Ada", "extra": "text"}, 3) == base


def test_responses_items() -> None:
    base = responses("hi")
    assert responses("hi", instructions="Be nice.") == base + 3 + n("system") + n("Be nice.")
    assert responses("hi", instructions=None) == base
    call = {"type": "function_call", "id": "fc_1", "status": "completed", "call_id": "call_9", "name": "f"}
    assert responses([user("hi"), {**call, "arguments": '{"a":1}'}]) == base + 3 + n("call_9") + n("f") + n('{"a":1}')
    output = {"type": "function_call_output", "call_id": "call_9", "output": [{"type": "input_text", "text": "42"}]}
    assert responses([output]) == 3 + 3 + n("call_9") + n('[{"type":"input_text","text":"42"}]')
    assert responses(None) == responses(["x", 3]) == 3


FUNCTION = {
    "name": "find",
    "description": "Finds things.",
    "parameters": {
        "type": "object",
        "required": ["query", "where"],
        "properties": {
            "query": {"type": "string", "description": "What to find."},
            "limit": {"type": "integer"},
            "order": {"type": "string", "enum": ["up", "down"]},
            "tags": {"type": "array", "items": {"type": "string"}},
            "rows": {"type": "array"},
            "where": {
                "type": "object",
                "required": ["x"],
                "properties": {"x": {"type": "number", "description": "East."}, "on": {"type": "boolean"}},
            },
            "none": {"type": "null"},
            "other": {"anyOf": [{"type": "string"}]},
            "either": {"type": ["string", "null"]},
            "odd": True,
            "levels": {"enum": [1, "two", None]},
        },
    },
}
RENDERED = """namespace functions {

// Finds things.
type find = (_: {
// What to find.
query: string,
limit?: number,
order?: "up" | "down",
tags?: string[],
rows?: any[],
where: {
  // East.
  x: number,
  on?: boolean,
},
none?: null,
other?: any,
either?: any,
odd?: any,
levels?: 1 | "two" | null,
}) => any;

type ping = () => any;

} // namespace functions"""


def tools_of(dialect: str) -> list[Any]:
    ping = {"name": "ping", "description": ""}
    if dialect == "chat":
        return [{"type": "function", "function": FUNCTION}, {"type": "function", "function": ping}, {"type": "x"}, 3]
    if dialect == "messages":
        schema = {key: value for key, value in FUNCTION.items() if key != "parameters"}
        return [{**schema, "input_schema": FUNCTION["parameters"]}, {**ping, "input_schema": {"type": "object"}}]
    return [{"type": "function", **FUNCTION}, {"type": "function", **ping}, {"type": "web_search"}]


@pytest.mark.parametrize("dialect", ESTIMATES)
def test_tools(dialect: str) -> None:
    assert tool_text(tools_of(dialect)) == RENDERED
    call = {"chat": chat, "messages": messages}.get(dialect, lambda turn, **fields: responses([turn], **fields))
    base, tools = call(user("hi")), tools_of(dialect)
    assert call(user("hi"), tools=tools) == base + n(RENDERED) + 9
    assert call(user("hi"), tools=[]) == call(user("hi"), tools=None) == base
    assert call(user("hi"), tool_choice="none") == base + 1
    assert call(user("hi"), tool_choice="auto") == call(user("hi"), tool_choice="required") == base
    assert call(user("hi"), tool_choice={"type": "function", "function": {"name": "find_it"}}) == base + 7 + n(
        "find_it"
    )
    assert call(user("hi"), tool_choice={"type": "tool", "name": "find_it"}) == base + 7 + n("find_it")
    assert call(user("hi"), tool_choice={"type": "any"}) == base + 7


def test_tools_cost_less_with_a_system_message() -> None:
    tools = tools_of("chat")
    more = n(RENDERED) + 9 - 4
    for role, less in (("system", 0), ("developer", 4)):
        turns = ({"role": role, "content": "x"}, user("hi"))
        assert chat(*turns, tools=tools) == chat(*turns) + more + less
        assert responses(list(turns), tools=tools) == responses(list(turns)) + more
    assert messages(user("hi"), system="x", tools=tools) == messages(user("hi"), system="x") + more
    assert responses("hi", instructions="x", tools=tools) == responses("hi", instructions="x") + more


def test_a_deep_schema_ends() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(120):
        schema = {"type": "object", "properties": {"p": schema}, "items": {}}
    text = tool_text([{"name": "f", "parameters": schema}])
    assert "p?: any," in text
    assert text.count("p?: {") < 70


def test_plain_prompts() -> None:
    for field, count in (
        ("prompt", estimate.estimate_completions_prompt),
        ("input", estimate.estimate_embeddings_input),
    ):
        cases = [("two words", n("two words")), (["two words", "three"], n("two words") + n("three"))]
        cases += [([1, 2, 3], 3), ([[1, 2], [3]], 3), ([], 0), (None, 0), ({"a": "b"}, 0), ("", 0)]
        for value, wanted in cases:
            assert count(TABLE, json.dumps({field: value, "model": "m"}).encode()) == wanted


def test_half_a_surrogate_pair_is_counted_too() -> None:
    body = b'{"messages":[{"role":"user","content":[{"type":"tool_use","input":{"a":"\\ud83d"}},"\\ud83d"]}]}'
    wanted = 3 + 3 + n("user") + n('{"a":"\ufffd"}') + n("\ufffd")
    assert estimate.estimate_chat_prompt(TABLE, body) == wanted
    assert estimate.estimate_output(TABLE, "x\ud83d\ude00") == n("x\U0001f600")


@pytest.mark.parametrize("body", [b"", b"[]", b"3", b"{", b"\xff"])
@pytest.mark.parametrize("dialect", ESTIMATES)
def test_a_body_must_be_an_object(dialect: str, body: bytes) -> None:
    with pytest.raises(ValueError):
        ESTIMATES[dialect](TABLE, body)


def test_text_beyond_a_mebibyte_counts_by_its_bytes() -> None:
    words = "word " * 300_000
    assert estimate.count_text(TABLE, words) == n(words[: 1 << 20]) + (len(words) - (1 << 20)) // 4
    assert estimate.count_text(TABLE, words[: 1 << 20]) == n(words[: 1 << 20])
    chinese = "中" * 400_000
    exact = (1 << 20) // 3
    assert estimate.count_text(TABLE, chinese) == n(chinese[:exact]) + (400_000 - exact) * 3 // 4
    assert estimate.count_text(TABLE, "\ud800" + words[:70_000]) == n("\ufffd" + words[:70_000])
    assert estimate.count_text(TABLE, words[:20_000]) == n(words[:20_000])
    assert estimate.estimate_output(TABLE, b"Hello world", beyond=4_003) == 2 + 1_000
    assert estimate.estimate_output(TABLE, b"") == 0
    assert estimate.count_text(TABLE, chinese.encode()) == estimate.count_text(TABLE, chinese)
