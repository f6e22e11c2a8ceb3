"""Whatever callers ask and models answer comes through, as far as both protocols can say it."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.golden.harness import COLUMNS, VARIANTS, Case
from tests.support.conversations import READERS, WRITERS, Piece, Request, Said, Tool, joined, read_messages

SEEDED = settings(max_examples=20, deadline=None, derandomize=True, database=None)
TRANSLATED = [column for column in COLUMNS if "native" not in column]

WORDS = st.text('ab é\n😀"\\', min_size=1, max_size=8).filter(str.strip)
NAME = st.sampled_from(["tide", "now", "look_up"])
NUMBERS = st.integers(-5, 2**40) | st.sampled_from([0.5, -1.25e-7, 2**64 + 1, -(10**22) - 1])
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text("aé\n", max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=2),
    max_leaves=4,
)
ARGUMENTS = st.dictionaries(st.text("ab", min_size=1, max_size=2), JSON, max_size=3)
TEXT: st.SearchStrategy[Piece] = WORDS.map(lambda text: ("text", text))
PICTURE: st.SearchStrategy[Piece] = st.sampled_from(
    [("data", "image/png", "iVBORw0KGgo="), ("data", "application/pdf", "JVBERi0xLjQK")]
)
REMOTE: st.SearchStrategy[Piece] = st.just(("url", "https://h.example/a.png"))
SCHEMAS = st.sampled_from(
    [
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
        {"type": "object", "properties": {"b": {"type": "array", "items": {"type": "integer"}}}},
    ]
)


@st.composite
def flows(draw: st.DrawFn, pieces: st.SearchStrategy[Piece]) -> tuple[Said, ...]:
    """Turns of a user and a model, whose calls are answered before anything else is said."""
    steps: list[Said] = []
    for turn in range(draw(st.integers(1, 3))):
        steps.append(Said("user", tuple(draw(st.lists(pieces, min_size=1, max_size=3)))))
        if draw(st.booleans()):
            steps.append(Said("assistant", (draw(TEXT),)))
        calls = draw(st.lists(st.tuples(NAME, ARGUMENTS), max_size=2))
        for number, (name, arguments) in enumerate(calls):
            steps.append(Said("call", (), f"c{turn}{number}", name, arguments))
        for number, _ in enumerate(calls):
            said = draw(st.tuples(TEXT) | st.tuples(TEXT, PICTURE))
            steps.append(Said("result", said, f"c{turn}{number}"))
        if not calls and steps[-1].role == "user":
            steps.append(Said("assistant", (draw(TEXT),)))
    return joined([*steps, Said("user", (draw(TEXT),))])


@st.composite
def requests(draw: st.DrawFn, pieces: st.SearchStrategy[Piece]) -> Request:
    """A request with anything that more than one API can say."""
    tools = draw(st.lists(st.builds(Tool, NAME, WORDS, SCHEMAS), max_size=2, unique_by=lambda tool: tool.name))
    chosen = st.sampled_from([None, "auto", "none", "required", *(f"={tool.name}" for tool in tools)])
    return Request(
        draw(flows(pieces)),
        draw(st.none() | WORDS),
        draw(st.integers(1, 9000)),
        draw(st.none() | st.sampled_from([0, 0.25, 1])),
        draw(st.none() | st.sampled_from([0.5, 0.99])),
        draw(st.none() | st.lists(WORDS, min_size=1, max_size=3).map(tuple)),
        draw(st.none() | st.just("u-1")),
        tuple(tools),
        draw(chosen) if tools else None,
        draw(st.sampled_from([None, False])) if tools else None,
        draw(st.none() | SCHEMAS),
    )


def carried(request: Request, dialect: str, kind: str) -> Request:
    """As much of a request as the caller's API and the upstream's can both say."""
    flagged = request.parallel is False
    if dialect == "responses":
        request = replace(request, stop=None)
    if kind in ("bedrock", "vertex"):
        # Neither names users nor forbids calls side by side.
        request = replace(request, user=None, parallel=None)
    if kind == "bedrock":
        request = replace(
            request, tools=offered(request), choice=None if request.choice in ("auto", "none") else request.choice
        )
    if kind == "vertex":
        names = {step.id: step.name for step in request.flow if step.role == "call"}
        request = replace(request, flow=shown(request.flow, names))
        anonymous = [replace(step, id="", name=step.name or names.get(step.id, "")) for step in request.flow]
        request = replace(request, flow=joined(anonymous))
    if kind in ("openai", "azure-openai") and dialect != "chat":
        request = replace(request, flow=shown(request.flow, {}))
    if flagged and (READERS[kind] is read_messages or dialect == "messages"):
        # The flag is a member of the choice, and has no place where nothing may be called.
        if request.choice == "none" or (kind == "bedrock" and not request.tools):
            request = replace(request, parallel=None)
        elif request.choice is None and kind != "bedrock":
            request = replace(request, choice="auto")
    return request


def offered(request: Request) -> tuple[Tool, ...]:
    """The tools of a request for Converse, where those that must not be called are not offered, and turns with calls
    are not taken without any tool."""
    called = dict.fromkeys(step.name for step in request.flow if step.role == "call")
    if not called:
        return () if request.choice == "none" else request.tools
    return request.tools or tuple(Tool(name, "", {"type": "object", "properties": {}}) for name in called)


def shown(flow: tuple[Said, ...], names: dict[str, str]) -> tuple[Said, ...]:
    """A flow for an API whose results of tools are texts: what else they hold is shown by the user, behind them and
    under the names of their calls, or their ids."""
    made: list[Said] = []
    behind: list[Said] = []
    for step in flow:
        if step.role != "result":
            made += [*behind, step]
            behind = []
            continue
        texts = tuple(piece for piece in step.pieces if piece[0] == "text")
        media = tuple(piece for piece in step.pieces if piece[0] != "text")
        made.append(replace(step, pieces=texts))
        if media:
            behind.append(Said("user", (("text", f"Returned by {names.get(step.id, step.id)}:"), *media)))
    return joined([*made, *behind])


@pytest.mark.parametrize("column", TRANSLATED)
def test_requests_lose_nothing_that_both_sides_can_say(column: str) -> None:
    dialect, kind = column.split(".")
    pieces = TEXT | PICTURE if kind.startswith("bedrock") else TEXT | PICTURE | REMOTE

    @SEEDED
    @given(requests(pieces))
    def check(request: Request) -> None:
        document = WRITERS[dialect](request)
        case = Case(f"random.{column}", {**VARIANTS.get(kind, {}), "request": document})
        sent = case.sent(False)
        assert READERS[kind](sent) == carried(request, dialect, kind), json.dumps(document)

    check()
