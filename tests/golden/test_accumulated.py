"""Streams as the official SDKs add them up: what they make of one is what the whole answer says."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.lib.streaming.responses._responses import ResponseStreamState

from tests.golden.harness import Case, fixtures, load, settled
from tests.support.answers import Counts

Found = dict[str, Any]

ANSWERED = [name for name in fixtures() if name.startswith("matrix/") and "events" in load(name)]
OTHERS = [
    name
    for name in fixtures()
    if not name.startswith("matrix/") and "events" in load(name) and not Case(name, load(name)).same_dialect
]


class Sdks:
    """The SDKs, answered with the bytes in `stream`, and their accumulators."""

    def __init__(self) -> None:
        self.stream = b""
        http = httpx2.Client(transport=httpx2.MockTransport(self._answer))
        self.openai = openai.OpenAI(api_key="k", base_url="http://h.example/v1", http_client=http, max_retries=0)
        self.anthropic = anthropic.Anthropic(api_key="k", base_url="http://h.example", http_client=http, max_retries=0)

    def _answer(self, _request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=self.stream)

    def chat(self) -> Found:
        """A chat completion; the accumulator itself, because the helper around it raises for `length`."""
        state: Any = ChatCompletionStreamState()
        for chunk in self.openai.chat.completions.create(model="m", messages=[], stream=True):
            for _ in state.handle_chunk(chunk):
                pass
        found: Found = state.current_completion_snapshot.to_dict()
        return found

    def messages(self) -> Found:
        """A message."""
        with self.anthropic.messages.stream(model="m", max_tokens=1, messages=[]) as stream:
            return stream.get_final_message().to_dict()

    def responses(self) -> Found:
        """A response; the accumulator itself, because the helper around it wants `completed`. What its deltas add up to
        is what the last event says."""
        state: Any = ResponseStreamState(input_tools=openai.omit, text_format=openai.omit)
        items: list[Any] = []
        last: Any = None
        for event in self.openai.responses.create(model="m", input="x", stream=True):
            last = event
            if event.type in ("response.completed", "response.incomplete"):
                items = [item.to_dict() for item in state._ResponseStreamState__current_snapshot.output]
            state.handle_event(event)
        found: Found = last.response.to_dict()
        assert list(map(summed, items)) == list(map(summed, found["output"]))
        return found


def summed(item: Found) -> Found:
    """What the accumulator makes of deltas: it adds up neither refusals nor the input of custom tools."""
    texts = [part["text"] for part in item.get("content") or () if part["type"] == "output_text"]
    return {"type": item["type"], "texts": texts, "arguments": item.get("arguments")}


@pytest.fixture(scope="module")
def sdks() -> Iterator[Sdks]:
    made = Sdks()
    yield made
    made.openai.close()


def chat(document: Found) -> Found:
    """What a chat completion says."""
    [choice] = document["choices"]
    message = choice["message"]
    asked = [(call["id"], call["function"]) for call in message.get("tool_calls") or ()]
    calls = [(identity, function["name"], arguments(function)) for identity, function in asked]
    said = {name: message.get(name) or "" for name in ("content", "refusal", "reasoning_content")}
    return {"finish": choice.get("finish_reason"), "calls": calls, **said, "usage": document.get("usage")}


def arguments(function: Found) -> Any:
    """The arguments that a JSON text holds."""
    return json.loads(function["arguments"])


def messages(document: Found) -> Found:
    """What a message says. One without anything has an empty text when it is whole."""
    blocks = [{name: value for name, value in block.items() if value is not None} for block in document["content"]]
    blocks = [block for block in blocks if block != {"type": "text", "text": ""}]
    usage = {name: value for name, value in document["usage"].items() if value}
    return {**{name: document[name] for name in ("stop_reason", "stop_sequence")}, "content": blocks, "usage": usage}


def responses(document: Found) -> Found:
    """What a response says."""
    items = [dict(item) for item in document["output"]]
    for item in items:
        del item["id"]
        if item["type"] == "function_call":
            item["arguments"] = arguments(item)
    found = {name: document.get(name) for name in ("status", "incomplete_details", "usage", "error")}
    return {**found, "output": items}


READERS: dict[str, Callable[[Found], Found]] = {"chat": chat, "messages": messages, "responses": responses}


def accumulated(sdks: Sdks, case: Case) -> Found:
    """What the SDK makes of a fixture's stream."""
    sdks.stream = case.raw_bytes_out([case.wire()])
    read: Callable[[], Found] = getattr(sdks, case.dialect)
    return read()


@pytest.mark.parametrize("name", OTHERS)
def test_the_sdk_reads_every_stream(sdks: Sdks, name: str) -> None:
    case = Case(name, load(name))
    assert READERS[case.dialect](accumulated(sdks, case))


@pytest.mark.parametrize("name", ANSWERED)
def test_a_stream_says_what_the_whole_answer_says(sdks: Sdks, name: str) -> None:
    fixture = load(name)
    case = Case(name, fixture)
    whole, _ = case.raw_reply(json.dumps(fixture["answer"]).encode())
    said, streamed = (READERS[case.dialect](settled(found)) for found in (json.loads(whole), accumulated(sdks, case)))
    if streamed["usage"] is None:
        # Chat callers who did not ask for it.
        assert "stream_options" not in fixture["request"]
        del said["usage"], streamed["usage"]
    elif name.endswith(".responses.bedrock+claude"):
        # Claude streams by way of Converse, which does not tell tokens of reasoning.
        del said["usage"]["output_tokens_details"], streamed["usage"]["output_tokens_details"]
    assert streamed == said


# -- tokens

TOKENS = Counts(1200, 90, 1000, 70, 300, 800)
"""What the answers of the case `usage` hold, as far as their protocol can say it."""
MESSAGES_API = ("anthropic", "bedrock", "bedrock+claude", "vertex+claude")


def counts(kind: str) -> Counts:
    """What an upstream of a kind reports: prompt caches of Anthropic's count beside the prompt, OpenAI's and Google's
    within it. Of these answers only the latter tell what was thought."""
    if kind in MESSAGES_API:
        return Counts(TOKENS.prompt, TOKENS.completion, written=TOKENS.written, read=TOKENS.read)
    return Counts(TOKENS.prompt, TOKENS.completion, TOKENS.cached, TOKENS.reasoning)


def told(dialect: str, usage: Found) -> tuple[int, ...]:
    """Prompt, completion, total, from the cache, into the cache and thought, as a caller reads them; 0 for what the
    dialect has no place for."""
    if dialect == "messages":
        names = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
        prompt, completion, read, written = (usage.get(name) or 0 for name in names)
        return prompt, completion, 0, read, written, 0
    first, second = ("prompt", "completion") if dialect == "chat" else ("input", "output")
    before = usage.get(f"{first}_tokens_details") or {}
    after = usage.get(f"{second}_tokens_details") or {}
    return (
        usage[f"{first}_tokens"],
        usage[f"{second}_tokens"],
        usage["total_tokens"],
        before.get("cached_tokens", 0),
        before.get("cache_write_tokens", 0),
        after.get("reasoning_tokens", 0),
    )


def expected(dialect: str, has: Counts) -> tuple[int, ...]:
    """The same of what was meant."""
    if dialect == "messages":
        return has.prompt, has.completion, 0, has.read, has.written, 0
    written = has.written if dialect == "responses" else 0
    return has.prompt, has.completion, has.total, has.cached or has.read, written, has.reasoning


@pytest.mark.parametrize("name", [name for name in ANSWERED if name.startswith("matrix/usage.")])
def test_tokens_are_the_upstreams_for_the_caller_and_for_accounts(sdks: Sdks, name: str) -> None:
    fixture = load(name)
    case = Case(name, fixture)
    has = counts(name.rpartition(".")[2])
    body, whole = case.raw_reply(json.dumps(fixture["answer"]).encode())
    stream: Any = case.opened()
    stream.feed(case.wire())
    stream.finish()
    names = ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens")
    names += ("cache_creation_tokens", "cache_read_tokens")
    for reported in (whole, stream):
        # As a usage event reads it.
        found = [getattr(reported, name, 0) for name in names]
        assert found == [has.prompt, has.completion, has.total, has.cached, has.reasoning, has.written, has.read]
    for usage in (json.loads(body)["usage"], accumulated(sdks, case)["usage"]):
        assert told(case.dialect, usage) == expected(case.dialect, has)
