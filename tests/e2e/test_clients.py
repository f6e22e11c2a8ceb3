"""Official SDKs and frameworks, unmodified, against every kind of upstream: one conversation with a tool each."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from scripts import tables
from tests.e2e import clients
from tests.e2e.clients import Talk
from tests.support import token_oracle
from tests.support.targets import CALLS, OPENING, TARGETS, THOUGHT, Rig, Target, alias, answer, rig

pytestmark = [
    # LiteLLM reads fields of models as older versions of pydantic had them, and makes plain dictionaries of calls.
    pytest.mark.filterwarnings("ignore:Accessing the 'model_:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning:pydantic"),
]

CHAT, RESPONSES, MESSAGES = ("tool_calls", "stop"), ("completed", "completed"), ("tool_use", "end_turn")
"""How a conversation's two answers end, by what API."""

CLIENTS: dict[str, tuple[Talk, tuple[str, str]]] = {
    "openai-chat": (clients.openai_chat, CHAT),
    "openai-responses": (clients.openai_responses, RESPONSES),
    "anthropic": (clients.anthropic_messages, MESSAGES),
    "anthropic-tool-runner": (clients.anthropic_runner, MESSAGES),
    "langchain-openai": (clients.langchain_chat, CHAT),
    "langchain-openai-responses": (clients.langchain_responses, RESPONSES),
    "langchain-anthropic": (clients.langchain_messages, MESSAGES),
    "litellm-openai": (clients.litellm_chat, CHAT),
    "litellm-anthropic": (clients.litellm_messages, CHAT),
    "litellm-openai-async": (clients.litellm_async, CHAT),
    "litellm-anthropic-async": (clients.litellm_async_messages, CHAT),
}
SUMS = ("langchain-anthropic", "litellm-anthropic", "litellm-anthropic-async")
"""Clients that add what was read from a cache to the prompt, where Anthropic tells it apart."""

THINKING = ("openai-chat", "openai-responses", "anthropic", "langchain-anthropic", "litellm-anthropic")
"""Clients that hold the conversation a second time, with reasoning."""
CASES = [(client, think) for client in CLIENTS for think in (False, True)[: 1 + (client in THINKING)]]


@pytest.fixture(scope="module")
def running() -> Iterator[Rig]:
    with rig() as made:
        yield made
        clients.close(made)


def check_usage(turn: clients.Turn, client: str, target: Target) -> None:
    """The counters are the upstream's. Anthropic's API has no place for what is part of others."""
    used, by_messages = target.used, "anthropic" in client
    summed = used.cached if used.apart and client in SUMS else 0
    assert (turn.prompt, turn.completion) == (used.prompt + summed, used.completion)
    assert turn.total in (None, used.total)
    assert turn.cached == (0 if by_messages and not used.apart else used.cached)
    # LiteLLM counts thoughts by itself where it is not told.
    if not client.startswith("litellm") or (used.thought and not by_messages):
        assert turn.thought in (None, 0 if by_messages else used.thought)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize(("client", "think"), CASES, ids=[name + "-thinking" * think for name, think in CASES])
def test_conversation(running: Rig, client: str, name: str, streamed: bool, think: bool) -> None:
    talk, endings = CLIENTS[client]
    target = TARGETS[name]
    model = alias(target, "thinking-" if think else "", responses=endings is RESPONSES)
    turns = talk(running, model, streamed, think)
    called, told = turns
    assert called.text == OPENING
    assert [(name, given) for _, name, given in called.calls] == [(one["name"], one["arguments"]) for one in CALLS]
    ids: list[Any] = [one for one, _, _ in called.calls]
    assert len({*ids}) == len(ids) and all(ids)
    if target.keeps_ids:
        assert [one.rpartition("_")[2] for one in ids] == ["1", "2"]
    # The upstream repeats calls and results as they reached it.
    assert (told.text, told.calls) == (answer(), [])
    assert (called.finish, told.finish) == endings
    for turn in turns:
        check_usage(turn, client, target)
        assert turn.reasoning in (None, THOUGHT if think else "")


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("client", clients.PARSERS)
def test_answers_in_the_form_of_a_schema(running: Rig, client: str, name: str) -> None:
    model = alias(TARGETS[name], "plain-", responses="responses" in client)
    # The mock fills in the schema that reaches it.
    assert clients.PARSERS[client](running, model) == clients.Forecast(city="mock", days=0, kind="rain", note="mock")


TEXTS = ["Ulm", "Zürich", "Ulm"]
TOKENS_OF = "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken"


@pytest.fixture
def tokens_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The vocabulary that LangChain would download, where it looks first."""
    (tmp_path / hashlib.sha1(TOKENS_OF.encode()).hexdigest()).write_bytes(
        tables.write(token_oracle.ranks("cl100k_base"))
    )
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))


@pytest.mark.usefixtures("tokens_at_hand")
@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if target.embeds])
@pytest.mark.parametrize("client", clients.EMBEDDERS)
def test_embeddings(running: Rig, client: str, name: str) -> None:
    target, embed = TARGETS[name], clients.EMBEDDERS[client]
    if client == "langchain-openai-tokens" and target.adapter in ("vertex", "bedrock"):
        with pytest.raises(openai.BadRequestError) as caught:
            embed(running, f"embed-{name}", TEXTS)
        assert caught.value.param == "input"
        return
    first, second, third = embed(running, f"embed-{name}", TEXTS)
    assert first == third != second
    assert len(first) == len(second) > 1
    assert abs(sum(x * x for x in second) - 1) < 1e-3


@pytest.mark.parametrize("name", ["anthropic", "bedrock-claude"])
def test_embeddings_that_nobody_makes(running: Rig, name: str) -> None:
    for client in ("openai", "langchain-openai"):
        with pytest.raises(openai.InternalServerError, match="embeddings"):
            clients.EMBEDDERS[client](running, f"embed-{name}", TEXTS)


@pytest.mark.parametrize("name", TARGETS)
def test_counting_of_tokens(running: Rig, name: str) -> None:
    asked: Any = {"model": alias(TARGETS[name]), "messages": [clients.ASKED], "tools": [clients.MESSAGES_TOOL]}
    client = clients.anthropic_client(running)
    if TARGETS[name].counts:
        counted = client.messages.count_tokens(**asked)
        with anthropic.Anthropic(base_url=running.mock.origin, api_key="any") as direct:
            assert counted == direct.messages.count_tokens(**asked)
        return
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.messages.count_tokens(**asked)
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["error"] == {
        "type": "invalid_request_error",
        "message": f"request payload is invalid: model `{name}` is not backed by an Anthropic-protocol upstream; "
        "/v1/messages/count_tokens requires a model whose provider key uses the anthropic adapter",
    }
