"""Translated streams of responses, as OpenAI's SDK reads them."""

import json
from typing import Any

import openai
import pytest
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from fastgw.endpoints.responses.render import Shape
from fastgw.endpoints.responses.stream import ResponsesRenderer
from fastgw.providers.canonical import Usage
from tests.golden.harness import Case, events, fixtures, load

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
TRANSLATED = [name for name in fixtures() if ".responses." in name and "vendor" not in load(name)]
STREAMED = [name for name in TRANSLATED if "events" in load(name)]
WHOLE = [name for name in TRANSLATED if "answer" in load(name)]


def renderer(**body: Any) -> ResponsesRenderer:
    return ResponsesRenderer(Shape("alias", {"input": "x", **body}))


def checked(documents: list[Any]) -> Any:
    """The final response as the SDK's own accumulator makes it of the events, each of which is of its type."""
    state: Any = ResponseStreamState(input_tools=openai.omit, text_format=openai.omit)
    found: list[Any] = []
    for number, document in enumerate(documents):
        event = EVENT.validate_python(document)
        assert event.sequence_number == number
        assert event.to_dict() == document
        found += state.handle_event(event)
    return found[-1].response


@pytest.mark.parametrize("name", STREAMED)
def test_every_event_is_of_the_sdks_types(name: str) -> None:
    case = Case(name, load(name))
    documents = events(case.raw_bytes_out([case.wire()]))
    assert [document["type"] for document in documents[:2]] == ["response.created", "response.in_progress"]
    final = checked(documents)
    assert final.status in ("completed", "incomplete")
    assert {document["response"]["id"] for document in documents if "response" in document} == {final.id}
    items = [item.id for item in final.output]
    assert len(set(items)) == len(items)
    assert {document["item_id"] for document in documents if "item_id" in document} <= set(items)
    added = [document["item"]["type"] for document in documents if document["type"] == "response.output_item.added"]
    assert [item.type for item in final.output] == added
    done = {d["output_index"]: d["item"] for d in documents if d["type"] == "response.output_item.done"}
    assert [done[index] for index in range(len(added))] == documents[-1]["response"]["output"]


@pytest.mark.parametrize("name", WHOLE)
def test_every_answer_is_of_the_sdks_type(name: str) -> None:
    Response.model_validate(Case(name, load(name)).reply())


def written(made: ResponsesRenderer) -> list[Any]:
    return events(made.take())


def test_the_pieces_add_up() -> None:
    made = renderer()
    for piece in ("a", "é", "\n"):
        made.reasoning(piece)
    made.text("one")
    made.refusal("no")
    made.text(" two")
    made.tool(0, "call_0", "f")
    made.tool(1, "call_1", "g")
    made.arguments(1, '{"x":')
    made.arguments(1, "1}")
    made.reasoning("again")
    made.text(" three")
    made.finish("tool_calls")
    assert made.take()
    made.text("too late")
    made.tool(2, "call_2", "h")
    assert made.take() == b""
    made.usage(Usage(3, 4, 7))
    [last] = written(made)
    types = [item["type"] for item in last["response"]["output"]]
    assert types == ["reasoning", "message", "function_call", "function_call", "reasoning"]
    first, message, one, two, second = last["response"]["output"]
    assert (first["summary"][0]["text"], second["summary"][0]["text"]) == ("aé\n", "again")
    assert [part.get("text", part.get("refusal")) for part in message["content"]] == ["one two three", "no"]
    assert (one["arguments"], two["arguments"]) == ("{}", '{"x":1}')
    assert last["response"]["usage"]["total_tokens"] == 7
    made.usage(Usage(5, 5, 10))
    made.end()
    assert made.take() == b""


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [
        ("stop", "completed", None),
        ("tool_calls", "completed", None),
        ("whatever", "completed", None),
        ("length", "incomplete", {"reason": "max_output_tokens"}),
        ("content_filter", "incomplete", {"reason": "content_filter"}),
    ],
)
def test_ends(finish: str, status: str, reason: Any) -> None:
    made = renderer()
    made.finish(finish, None, Usage(1, 2, 3))
    documents = written(made)
    assert [document["type"] for document in documents[:2]] == ["response.created", "response.in_progress"]
    assert documents[2]["type"] == f"response.{status}"
    assert documents[2]["response"]["incomplete_details"] == reason
    checked(documents)


def test_what_is_repeated_of_the_request() -> None:
    request = {
        "instructions": "i",
        "tools": [{"type": "web_search"}],
        "tool_choice": "none",
        "parallel_tool_calls": False,
        "temperature": 0.25,
        "top_p": 0.5,
        "max_output_tokens": 9,
        "metadata": {"a": "b"},
        "reasoning": {"effort": "low", "summary": "auto"},
    }
    made = renderer(**request)
    made.end()
    for document in written(made):
        response = document["response"]
        assert {name: response[name] for name in request if name != "reasoning"} == {
            name: value for name, value in request.items() if name != "reasoning"
        }
        assert response["reasoning"]["effort"] == "low"
        assert response["model"] == "alias"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [('{"input":"ls"}', "ls"), ('{"input": 5}', '{"input": 5}'), ("ls -l", "ls -l"), ("", ""), ("[1]", "[1]")],
)
def test_input_of_custom_tools(arguments: str, text: str) -> None:
    made = renderer(tools=[{"type": "custom", "name": "shell"}])
    made.tool(0, "call_0", "shell")
    for character in arguments:
        made.arguments(0, character)
    made.finish("tool_calls", None, Usage(1, 1, 2))
    documents = written(made)
    deltas = [d["delta"] for d in documents if d["type"] == "response.custom_tool_call_input.delta"]
    assert "".join(deltas) == text
    [item] = documents[-1]["response"]["output"]
    assert json.loads(json.dumps(item))["input"] == text
    checked(documents)
