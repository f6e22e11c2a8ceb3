"""Official SDKs and frameworks for Node, unmodified, against every kind of upstream: one conversation with a tool each.

All of them run in one process of Node; the tests look at what it has seen.
"""

import json
import shutil
import subprocess
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import API_KEY, gateway
from tests.support.mock import Mock, mock_upstream
from tests.support.targets import CALLS, OPENING, QUESTION, TARGETS, THOUGHT, alias, answer, document

FOLDER = Path(__file__).parent / "node"
pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed"),
    pytest.mark.skipif(
        not (FOLDER / "node_modules" / "ai").is_dir(), reason="npm ci has not been run in tests/e2e/node"
    ),
]

CHAT, RESPONSES, MESSAGES = ("tool_calls", "stop"), ("completed", "completed"), ("tool_use", "end_turn")
VERCEL = ("tool-calls", "stop")
"""How a conversation's two answers end, by what API or, for Vercel's SDK, always."""

CLIENTS = {
    "openai-chat": CHAT,
    "openai-chat-runner": CHAT,
    "openai-responses": RESPONSES,
    "anthropic": MESSAGES,
    "anthropic-tool-runner": MESSAGES,
    "ai-openai-chat": VERCEL,
    "ai-openai-responses": VERCEL,
    "ai-anthropic": VERCEL,
}
PARSERS = (
    *(f"parse-{client}" for client in ("openai-chat", "openai-responses", "anthropic")),
    *(f"parse-{kind}-{client}" for kind in ("object", "output") for client in CLIENTS if client.startswith("ai-")),
)
"""What makes an object of an answer: each SDK's own helper, and Vercel's two."""
UNKNOWN = "no-such-model"
BROKEN = {
    "content": "one two three four five six",
    "tokens": 6,
    "fault": "truncate",
    "at": "after_events",
    "events_before": 5,
}
"""The script of aliases that begin with `broken-`: a stream that is cut."""

Job = tuple[str, str, bool, bool]
"""Client, alias, whether it streams, whether it asks for reasoning."""


def model_of(client: str, target: str, prefix: str = "") -> str:
    return alias(TARGETS[target], prefix, responses="responses" in client)


def jobs() -> list[Job]:
    both = (False, True)
    talks = product(CLIENTS, TARGETS, both, both)
    return [
        *(
            (client, model_of(client, name, "thinking-" * think), streamed, think)
            for client, name, streamed, think in talks
        ),
        *(
            (client, model_of(client, name, "plain-"), streamed, False)
            for client, name, streamed in product(PARSERS, TARGETS, both)
        ),
        *(("anthropic-count", name, False, False) for name in TARGETS),
        *((client, model_of(client, name, "broken-"), True, False) for client, name in product(CLIENTS, TARGETS)),
        *((client, UNKNOWN, streamed, False) for client, streamed in product((*CLIENTS, *PARSERS), both)),
    ]


def resources(mock: Mock) -> dict[str, Any]:
    """The usual aliases, and for each plain one another that is broken."""
    found = document(mock)
    for kind, link in (("provider_keys", "display_name"), ("models", "provider_key")):
        for row in [row for row in found[kind] if row["display_name"].startswith("plain-")]:
            made = {**row, "display_name": row["display_name"].replace("plain-", "broken-")}
            made[link] = made["display_name"]
            if "request" in made:
                made["request"] = {"default_body_fields": {"mock": BROKEN}}
            found[kind].append(made)
    return found


@pytest.fixture(scope="module")
def seen() -> dict[Job, Any]:
    """What every client has seen."""
    given = {str(number): job for number, job in enumerate(jobs())}
    names = ("name", "client", "model", "streamed", "think")
    rows = [dict(zip(names, (name, *job), strict=True)) for name, job in given.items()]
    with mock_upstream() as mock, gateway(resources(mock)) as gw:
        finished = subprocess.run(
            ["node", "talk.mjs"],
            cwd=FOLDER,
            input=json.dumps({"base": gw.base, "key": API_KEY, "question": QUESTION, "jobs": rows}),
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert finished.returncode == 0, finished.stderr
    found = json.loads(finished.stdout)
    assert found.keys() == given.keys()
    return {given[name]: result for name, result in found.items()}


def check_usage(turn: dict[str, Any], client: str, name: str) -> None:
    """The counters are the upstream's. Anthropic's API has no place for what is part of others."""
    used, by_messages = TARGETS[name].used, "anthropic" in client
    # Vercel's SDK adds what was read from a cache to the prompt where Anthropic tells it apart, and sums by itself.
    summed = used.cached if used.apart and client == "ai-anthropic" else 0
    assert (turn["prompt"], turn["completion"]) == (used.prompt + summed, used.completion)
    assert turn["total"] in (None, turn["prompt"] + turn["completion"] if client.startswith("ai-") else used.total)
    assert turn["cached"] == (0 if by_messages and not used.apart else used.cached)
    assert turn["thought"] in (None, 0 if by_messages else used.thought)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("think", [False, True], ids=["plain", "thinking"])
@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("client", CLIENTS)
def test_conversation(seen: dict[Job, Any], client: str, name: str, think: bool, streamed: bool) -> None:
    turns = seen[client, model_of(client, name, "thinking-" * think), streamed, think]
    assert isinstance(turns, list), turns
    called, told = turns
    assert called["text"] == OPENING
    assert [call[1:] for call in called["calls"]] == [[one["name"], one["arguments"]] for one in CALLS]
    ids = [call[0] for call in called["calls"]]
    assert len({*ids}) == len(ids)
    assert all(ids)
    if TARGETS[name].keeps_ids:
        assert [one.rpartition("_")[2] for one in ids] == ["1", "2"]
    # The upstream repeats calls and results as they reached it.
    assert (told["text"], told["calls"]) == (answer(), [])
    assert (called["finish"], told["finish"]) == CLIENTS[client]
    for turn in turns:
        check_usage(turn, client, name)
        assert turn["reasoning"] in (None, THOUGHT if think else "")


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("client", PARSERS)
def test_answers_in_the_form_of_a_schema(seen: dict[Job, Any], client: str, name: str, streamed: bool) -> None:
    made = seen[client, model_of(client, name, "plain-"), streamed, False]
    # The mock fills in the schema that reaches it, with the least number where there is one.
    assert made.pop("days", None) in (0, -(2**53) + 1), made
    assert made == {"city": "mock", "kind": "rain", "note": "mock"}


@pytest.mark.parametrize("name", TARGETS)
def test_counting_of_tokens(seen: dict[Job, Any], name: str) -> None:
    counted = seen["anthropic-count", name, False, False]
    if TARGETS[name].counts:
        assert counted.keys() == {"input_tokens"}
        assert counted["input_tokens"] > 0
        return
    failure = counted["failure"]
    assert (failure["class"], failure["status"]) == ("BadRequestError", 400)
    assert f"model `{name}` is not backed by an Anthropic-protocol upstream" in failure["message"]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("client", [*CLIENTS, *PARSERS])
def test_refusals(seen: dict[Job, Any], client: str, streamed: bool) -> None:
    failure = seen[client, UNKNOWN, streamed, False]["failure"]
    kind = "AI_APICallError" if "-ai-" in f"-{client}" else "NotFoundError"
    assert (failure["class"], failure["status"]) == (kind, 404), failure
    assert UNKNOWN in failure["message"]


# What a client says of a stream that breaks off: in the words of the gateway, or of its own where it is relayed as
# it is. Vercel's SDK does not know an error event of the Responses API without a number, and shows it whole.
BREAKS = {
    "openai-chat": "APIError",
    "openai-chat-runner": "APIError",
    "openai-responses": None,
    "anthropic": "APIError",
    "anthropic-tool-runner": "APIError",
    "ai-openai-chat": None,
    "ai-openai-responses": "AI_TypeValidationError",
    "ai-anthropic": None,
}
NATIVE = {"openai-responses": "openai", "anthropic": "anthropic", "anthropic-tool-runner": "anthropic"}
NATIVE |= {"ai-openai-responses": "openai", "ai-anthropic": "anthropic"}


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("client", CLIENTS)
def test_streams_that_break_off_fail(seen: dict[Job, Any], client: str, name: str) -> None:
    failure = seen[client, model_of(client, name, "broken-"), True, False]["failure"]
    if NATIVE.get(client) == name:
        assert failure["class"] in ("OpenAIError", "AnthropicError", "AI_APICallError")
        return
    assert failure["class"] == BREAKS[client]
    assert "upstream cancelled the response mid-stream" in failure["message"]
    assert "stream_aborted" in failure["message"] or client.startswith("openai-chat")
