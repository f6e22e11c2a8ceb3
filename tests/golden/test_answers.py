"""Random answers come through whole and streamed, and random garbage is never more than the declared error."""

import copy
import json
from collections.abc import Callable
from typing import Any

import anthropic.types
import openai.types.chat
import openai.types.responses
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgw.core.errors import UpstreamFailure, render_event
from fastgw.providers.failures import in_band_failure
from tests.golden.harness import COLUMNS, DIALECTS, PROTOCOLS, VARIANTS, Case, load, settled
from tests.golden.test_accumulated import READERS, Sdks, accumulated
from tests.support.answers import WIRES, Answer, Call, Counts

SEEDED = settings(max_examples=15, deadline=None, derandomize=True, database=None)
REQUEST = {
    "chat": {
        "model": "alias",
        "messages": [{"role": "user", "content": "x"}],
        "stream_options": {"include_usage": True},
    },
    "messages": {"model": "alias", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]},
    "responses": {"model": "alias", "input": "x"},
}
TEXT = st.text('ab é\n😀"\\', max_size=9)
WIDE = st.sampled_from([2**64 + 1, -(10**22) - 1])
"""No double holds them."""
ARGUMENTS = st.dictionaries(st.text("ab", max_size=2), st.none() | st.integers(-5, 5) | WIDE | TEXT, max_size=3)
NUMBER = st.integers(1, 900)


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    """Anything that a model says in one turn."""
    names = draw(st.lists(st.sampled_from(["tide", "now"]), max_size=3))
    calls = tuple(Call(f"tc_{number}", name, draw(ARGUMENTS)) for number, name in enumerate(names))
    text = draw(TEXT)
    if not text and not calls:
        text = "a"
    finish = "tool_calls" if calls else draw(st.sampled_from(["stop", "length", "content_filter"]))
    prompt, completion = draw(NUMBER), draw(NUMBER)
    counts = Counts(prompt, completion, prompt // 2, completion // 3, draw(NUMBER), draw(NUMBER))
    return Answer(text, draw(TEXT), "c2ln", "", calls, finish, None, counts)


@pytest.fixture(scope="module")
def sdks() -> Sdks:
    return Sdks()


def case_of(column: str, **fixture: Any) -> Case:
    """A cell of no case."""
    dialect, kind = column.split(".")
    return Case(f"matrix/any.{column}", {**VARIANTS.get(kind, {}), "request": REQUEST[dialect], **fixture})


def said(case: Case, document: dict[str, Any]) -> dict[str, Any]:
    """The texts, the calls and the end of an answer, in one form for all dialects. Gemini's calls get new ids."""
    found = READERS[case.dialect](settled(document))
    if case.dialect == "chat":
        calls = [(name, arguments) for _, name, arguments in found["calls"]]
        return {
            "text": found["content"],
            "thinking": found["reasoning_content"],
            "calls": calls,
            "end": found["finish"],
        }
    made: dict[str, Any] = {"text": "", "thinking": "", "calls": []}
    if case.dialect == "messages":
        for block in found["content"]:
            if block["type"] == "tool_use":
                made["calls"].append((block["name"], block["input"]))
            else:
                made[block["type"]] += block[block["type"]]
        words = {"max_tokens": "length", "tool_use": "tool_calls", "stop_sequence": "content_filter"}
        words["refusal"] = "content_filter"
        return {**made, "end": words.get(found["stop_reason"], "stop")}
    for item in found["output"]:
        if item["type"] == "function_call":
            made["calls"].append((item["name"], item["arguments"]))
        elif item["type"] == "reasoning":
            made["thinking"] += item["summary"][0]["text"]
        else:
            made["text"] += item["content"][0]["text"]
    reasons = {"max_output_tokens": "length", "content_filter": "content_filter", "": "stop"}
    end = reasons[(found["incomplete_details"] or {}).get("reason", "")]
    return {**made, "end": "tool_calls" if made["calls"] else end}


@pytest.mark.parametrize("column", COLUMNS)
def test_answers_lose_nothing(sdks: Sdks, column: str) -> None:
    kind = column.split(".")[1]
    whole, streamed = PROTOCOLS.get(kind, (kind, kind))

    @SEEDED
    @given(answers())
    def check(answer: Answer) -> None:
        case = case_of(column, answer=WIRES[whole].whole(answer), events=WIRES[streamed].events(answer))
        calls = [(call.name, call.arguments) for call in answer.calls]
        meant = {"text": answer.text, "thinking": answer.thinking, "calls": calls, "end": answer.finish}
        reply, reported = case.raw_reply(json.dumps(case.fixture["answer"]).encode())
        document, stream = json.loads(reply), accumulated(sdks, case)
        assert said(case, document) == meant
        assert said(case, stream) == meant
        usage = READERS[case.dialect](document)["usage"]
        assert READERS[case.dialect](stream)["usage"] == usage
        assert reported.prompt_tokens == answer.counts.prompt
        assert reported.completion_tokens == answer.counts.completion
        relayed: Any = case.opened()
        relayed.feed(case.wire())
        relayed.finish()
        # As a usage event reads it.
        assert (reported.finish_reason, relayed.finish_reason.decode()) == (answer.finish, answer.finish)

    check()


# -- garbage

REAL = st.floats(allow_nan=False, allow_infinity=False)
SCALAR = st.none() | st.booleans() | st.integers(-5, 2**63) | WIDE | REAL | TEXT
ANY = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6
)
CHECKED: dict[str, Callable[[Any], Any]] = {
    "chat": openai.types.chat.ChatCompletion.model_validate,
    "messages": anthropic.types.Message.model_validate,
    "responses": openai.types.responses.Response.model_validate,
}
SPOILED = ("parallel-tools", "thinking", "refusal", "usage")
"""Cases whose answers are damaged."""


def places(document: Any) -> list[tuple[Any, Any]]:
    """Every holder in a document with every key of it."""
    keys: list[Any] = []
    if isinstance(document, dict):
        keys = list(document)
    elif isinstance(document, list):
        keys = list(range(len(document)))
    return [(document, key) for key in keys] + [place for key in keys for place in places(document[key])]


@st.composite
def damaged(draw: st.DrawFn, document: Any) -> Any:
    """A document with a few members taken away or replaced."""
    made = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        found = places(made)
        if not found:
            break
        holder, key = draw(st.sampled_from(found))
        if draw(st.booleans()):
            holder[key] = draw(ANY)
        else:
            del holder[key]
    return made


@pytest.mark.parametrize("column", COLUMNS)
def test_whole_garbage_is_the_declared_error(column: str) -> None:
    cases = [Case(name, load(name)) for name in (f"matrix/{case}.{column}" for case in SPOILED)]
    bodies = st.binary(max_size=40) | ANY.map(json.dumps).map(str.encode)

    @SEEDED
    @given(st.data())
    def check(data: st.DataObject) -> None:
        case = data.draw(st.sampled_from(cases))
        answer = case.fixture["answer"]
        body = data.draw(
            bodies
            | damaged(answer).map(json.dumps).map(str.encode)
            | st.integers(0, 200).map(lambda at: json.dumps(answer).encode()[:at])
        )
        try:
            reply, reported = case.raw_reply(body)
        except UpstreamFailure as error:
            assert (error.status, error.type) == (502, "upstream_decode_error")
            return
        assert isinstance(reported.finish_reason, str)
        if case.same_dialect:
            json.loads(reply)
        else:
            CHECKED[case.dialect](json.loads(reply))

    check()


@pytest.mark.parametrize("column", COLUMNS)
def test_streamed_garbage_is_the_declared_error(column: str) -> None:
    cases = [Case(name, load(name)) for name in (f"matrix/{case}.{column}" for case in SPOILED)]

    @SEEDED
    @given(st.data())
    def check(data: st.DataObject) -> None:
        case = data.draw(st.sampled_from(cases))
        pieces = list(
            map(case.event, data.draw(damaged(case.fixture["events"]).filter(lambda found: documents(case, found))))
        )
        at = data.draw(st.integers(0, len(pieces)))
        pieces[at:at] = data.draw(st.lists(st.binary(max_size=30), max_size=1))
        wire = b"".join(pieces)
        wire = wire[: data.draw(st.none() | st.integers(0, len(wire)))]
        stream = case.opened()
        out = stream.feed(wire[: len(wire) // 2]) + stream.feed(wire[len(wire) // 2 :]) + stream.finish()
        assert stream.failure in range(5)
        assert isinstance(stream.finish_reason, bytes)
        assert stream.ended != bool(stream.failure)
        if stream.failure == 1:
            failure = in_band_failure(stream.failure_data, before_first=False, family=case.endpoint().family)
            assert failure.type == "upstream_in_band_error"
            assert 400 <= failure.status < 600
        if case.endpoint().native:
            return
        if stream.failure:
            error = UpstreamFailure(502, "upstream_decode_error", "x", retryable=False)
            out += stream.fail(render_event(error, DIALECTS[case.dialect]))
        for event in out.split(b"\n\n")[:-1]:
            data = event.rpartition(b"data: ")[2]
            assert data == b"[DONE]" or isinstance(json.loads(data), dict)

    check()


def documents(case: Case, found: Any) -> bool:
    """Whether events are still some, that a writer of the protocol can write."""
    if case.family != "bedrock":
        return isinstance(found, list)
    return isinstance(found, list) and all(isinstance(event, dict) and len(event) == 1 for event in found)
