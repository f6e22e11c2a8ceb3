"""Several answers to one request."""

import json
from typing import Any

import pytest

from fastgw.core.errors import UpstreamFailure
from fastgw.endpoints.chat_render import ChatRenderer, chat_completion
from fastgw.providers.heard import Heard
from fastgw.providers.vertex.gemini.answer import completion_of
from fastgw.providers.vertex.gemini.stream import GeminiDecoder

COUNTERS = {"promptTokenCount": 3, "candidatesTokenCount": 4, "totalTokenCount": 7}
CALL = {"functionCall": {"name": "tide", "args": {"port": "Brest"}}}


def candidate(index: int | None, *parts: Any, reason: str | None = None) -> dict[str, Any]:
    named = {} if index is None else {"index": index}
    ended = {} if reason is None else {"finishReason": reason}
    return {**named, **ended, "content": {"role": "model", "parts": list(parts)}}


def streamed(*documents: Any) -> list[Any]:
    heard = Heard(ChatRenderer(b'"a"', include_usage=True))
    decoder = GeminiDecoder(heard, "m")
    for document in documents:
        decoder.feed(b"data: %b\n\n" % json.dumps(document).encode())
    decoder.finish()
    assert not decoder.failure
    return [json.loads(line[6:]) for line in heard.take().decode().split("\n\n")[:-1]]


def test_every_candidate_is_a_choice() -> None:
    document = {
        "candidates": [
            candidate(0, {"text": "one"}, reason="STOP"),
            candidate(1, CALL, reason="STOP"),
            candidate(2, {"text": "thr"}, reason="MAX_TOKENS"),
        ],
        "usageMetadata": COUNTERS,
    }
    answer = json.loads(chat_completion(completion_of(json.dumps(document).encode(), "m"), "a"))
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert [choice["finish_reason"] for choice in answer["choices"]] == ["stop", "tool_calls", "length"]
    assert [choice["message"]["content"] for choice in answer["choices"]] == ["one", None, "thr"]
    (call,) = answer["choices"][1]["message"]["tool_calls"]
    assert call["function"] == {"name": "tide", "arguments": '{"port":"Brest"}'}
    assert answer["usage"]["total_tokens"] == 7


def test_a_stream_keeps_them_apart() -> None:
    chunks = streamed(
        {"candidates": [candidate(0, {"text": "a"}), candidate(1, {"text": "x"}, CALL)]},
        {"candidates": [candidate(1, CALL, reason="STOP")], "usageMetadata": {**COUNTERS, "candidatesTokenCount": 1}},
        {"candidates": [candidate(None, {"text": "b"}, reason="MAX_TOKENS")], "usageMetadata": COUNTERS},
    )
    choices = [(chunk["choices"][0]["index"], chunk["choices"][0]["delta"]) for chunk in chunks]
    assert [delta for index, delta in choices if index == 0 and "content" in delta] == [
        {"content": "a"},
        {"content": "b"},
    ]
    assert [delta for index, delta in choices if index == 1][:2] == [{"role": "assistant"}, {"content": "x"}]
    calls = [call for index, delta in choices if index == 1 for call in delta.get("tool_calls", ())]
    assert [call["index"] for call in calls] == [0, 0, 1, 1]
    assert [index for index, delta in choices if delta == {"role": "assistant"}] == [0, 1]
    ends = [
        (one["index"], one["finish_reason"]) for chunk in chunks if (one := chunk["choices"][0]).get("finish_reason")
    ]
    assert ends == [(1, "tool_calls"), (0, "length")]
    assert [chunk["usage"]["total_tokens"] for chunk in chunks if "usage" in chunk] == [7]


def test_an_index_that_is_none_is_the_first() -> None:
    for odd in (-1, 128, True, "1"):
        chunks = streamed({"candidates": [{**candidate(0, {"text": "a"}, reason="STOP"), "index": odd}]})
        assert {chunk["choices"][0]["index"] for chunk in chunks} == {0}


@pytest.mark.parametrize(
    ("document", "finish"),
    [
        ({"candidates": []}, "stop"),
        ({"usageMetadata": COUNTERS}, "stop"),
        ({"promptFeedback": {"blockReason": "SAFETY"}}, "content_filter"),
        ({"promptFeedback": {"blockReason": "SAFETY"}, "candidates": [], "usageMetadata": COUNTERS}, "content_filter"),
    ],
)
def test_no_candidate_at_all(document: Any, finish: str) -> None:
    found = completion_of(json.dumps(document).encode(), "m")
    assert (found.text, found.finish, found.others) == ("", finish, [])
    chunks = streamed(document)
    assert {chunk["choices"][0]["index"] for chunk in chunks} == {0}
    ends = [one["finish_reason"] for chunk in chunks if (one := chunk["choices"][0]).get("finish_reason")]
    assert ends == ([finish] if finish == "content_filter" else [])


@pytest.mark.parametrize("body", [b"{}", b'{"id":"x"}', b'{"candidates":5}'])
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(UpstreamFailure, match="missing or mistyped field candidates"):
        completion_of(body, "m")
