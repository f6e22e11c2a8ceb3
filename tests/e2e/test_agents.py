"""Long conversations with tools, as agents have them, through every kind of upstream and in every dialect."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest
import yaml

from tests.support.agents import BETAS, LAST, PNG, Agent, ChatAgent, MessagesAgent, ResponsesAgent, Use, script
from tests.support.families import AWS_SECRET, VERTEX_SECRET, Families
from tests.support.gateway import API_KEY, gateway, resources
from tests.support.mock import Mock, mock_upstream

ROUNDS = 31
UPSTREAMS = {
    "openai": ("openai", "openai", "gpt-5"),
    "compatible": ("acme", "openai", "some-model"),
    "anthropic": ("anthropic", "anthropic", "claude-sonnet-4-5"),
    "azure": ("azure", "azure-openai", "dep-1"),
    "gemini": ("google", "vertex", "gemini-3-pro-preview"),
    "vertex-claude": ("google", "vertex", "claude-sonnet-4-5@20250929"),
    "nova": ("aws", "bedrock", "us.amazon.nova-pro-v1:0"),
    "bedrock-claude": ("aws", "bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
}
"""Alias: vendor, adapter, the upstream's model."""
LONG = {
    "messages": ("anthropic", "azure", "gemini", "nova"),
    "responses": ("openai", "compatible", "vertex-claude", "bedrock-claude"),
    "chat": (),
}
"""Where a loop has all the rounds: once for each upstream. Elsewhere it has one of every kind of turn."""
SECRETS = {"vertex": VERTEX_SECRET, "bedrock": AWS_SECRET}
SCRIPTS: dict[str, list[dict[str, Any]]] = {
    "": script(ROUNDS),
    "-short": script(6),
    "-brief": [{"content": LAST}],
    "-slow": [{"tool_calls": [{"name": "run", "arguments": {"command": "x" * 500}}], "tokens": 100, "cadence_ms": 50}],
}


def document(mock: Mock) -> str:
    found = resources(mock.url)
    for alias, (vendor, adapter, model) in UPSTREAMS.items():
        for suffix, turns in SCRIPTS.items():
            name = alias + suffix
            key = {
                "display_name": name,
                "provider": vendor,
                "adapter": adapter,
                "api_key": SECRETS.get(adapter, "key"),
                "api_base": mock.url if adapter == "openai" else mock.origin,
                "request": {"default_body_fields": {"mock": {"turns": turns}}},
            }
            if not suffix:
                key["request"]["forward_client_headers"] = ["anthropic-beta"]
            found["provider_keys"].append(key)
            found["models"].append(
                {"display_name": name, "provider": vendor, "model_name": model, "provider_key": name, "retries": 0}
            )
    # YAML reads JSON, but for characters that JSON escapes in two halves.
    text: str = yaml.safe_dump(found)
    return text


@pytest.fixture(scope="module")
def world() -> Iterator[Families]:
    with mock_upstream(record=1) as mock, gateway(document(mock)) as gw:
        yield Families(mock, gw)


@pytest.fixture
def http(world: Families) -> Iterator[httpx2.Client]:
    headers = {"authorization": f"Bearer {API_KEY}", "content-type": "application/json"}
    with httpx2.Client(base_url=world.gateway.base, headers=headers, timeout=60) as made:
        yield made


@contextmanager
def agent(world: Families, dialect: str, model: str) -> Iterator[Agent]:
    if dialect == "messages":
        with world.anthropic() as client:
            yield MessagesAgent(client, model)
    else:
        with world.openai() as other:
            yield (ResponsesAgent if dialect == "responses" else ChatAgent)(other, model)


def texts(found: object) -> str:
    """Everything in a document that is text, in its order; JSON in texts is read."""
    return json.dumps(found, ensure_ascii=False)


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("dialect", ["messages", "responses", "chat"])
def test_long_loop(world: Families, dialect: str, upstream: str) -> None:
    suffix = "" if upstream in LONG[dialect] else "-short"
    with agent(world, dialect, upstream + suffix) as working:
        working.run()
    turns = SCRIPTS[suffix]
    wanted = [[Use(call["name"], call["arguments"]) for call in turn.get("tool_calls", ())] for turn in turns]
    assert working.told == wanted
    assert working.heard == [turn.get("content", "") for turn in turns]
    # Everything that tools have given back has arrived: texts once, pictures as often as they were made.
    sent = json.loads(world.sent()["body"])
    sent.pop("mock", None)
    body = texts(sent)
    uses = [use for turn in wanted for use in turn]
    for number, use in enumerate(uses):
        expected = 0 if "nothing" in texts(use.input) else 1
        assert body.count(f"result {number} of {use.name}: <tool> ünï") == expected
    assert body.count(PNG) == sum("picture" in texts(use.input) for use in uses)
    assert API_KEY not in body


@pytest.mark.parametrize("upstream", ["anthropic", "compatible", "nova"])
def test_beta_headers(world: Families, upstream: str) -> None:
    for suffix, expected in (("", BETAS), ("-brief", None)):
        with agent(world, "messages", upstream + suffix) as working:
            working.ask()
        fields = {name.lower(): value for name, value in world.sent()["headers"]}
        assert fields.get("anthropic-beta") == expected
    body = json.loads(world.sent()["body"])
    assert ("context_management" in body) is (upstream == "anthropic")


def conversation(rounds: int, size: int) -> list[dict[str, Any]]:
    """A Messages conversation with that many calls, each with a result of `size` characters."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Fix it."}]
    for number in range(rounds):
        use = {"type": "tool_use", "id": f"toolu_{number}", "name": "read", "input": {"path": f"ü{number}"}}
        text = f"<{number}>" + 'line "ü"\n' * (size // 9)
        result = {"type": "tool_result", "tool_use_id": f"toolu_{number}", "content": text}
        messages.append({"role": "assistant", "content": [{"type": "text", "text": "Next."}, use]})
        messages.append({"role": "user", "content": [result]})
    return messages


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_long_history(world: Families, http: httpx2.Client, upstream: str) -> None:
    messages = conversation(400, 5000)
    body = {"model": f"{upstream}-brief", "max_tokens": 100, "messages": messages, "tools": [{"name": "read"}]}
    body["tools"] = [{"name": "read", "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}}}]
    answer = http.post("/v1/messages", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["content"] == [{"type": "text", "text": LAST}]
    sent = world.sent()["body"]
    assert len(sent) > 2_000_000
    assert all(sent.count(f"<{number}>") == 1 for number in range(400))


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_leaving_in_the_middle_of_a_call(world: Families, http: httpx2.Client, upstream: str) -> None:
    before = world.mock.stats()["streams_aborted"]
    tools = [{"name": "run", "input_schema": {"type": "object", "properties": {"command": {"type": "string"}}}}]
    body = {
        "model": f"{upstream}-slow",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "x"}],
        "tools": tools,
    }
    with http.stream("POST", "/v1/messages", json={**body, "stream": True}) as answer:
        assert answer.status_code == 200
        # Gemini sends a call in one piece.
        wanted = "content_block_start" if upstream == "gemini" else "input_json_delta"
        for line in answer.iter_lines():
            if wanted in line:
                break
    if upstream != "gemini":
        world.mock.wait(lambda stats: stats["streams_aborted"] > before)
    world.mock.wait(lambda stats: stats["open_streams"] == 0)
    assert http.post("/v1/messages", json={**body, "model": f"{upstream}-brief"}).status_code == 200


def test_previous_response_id(world: Families, http: httpx2.Client) -> None:
    output = {"type": "function_call_output", "call_id": "call_1", "output": "x"}
    body = {"input": [output], "previous_response_id": "resp_1", "store": True}
    answer = http.post("/v1/responses", json={**body, "model": "openai-brief"})
    assert answer.status_code == 200
    assert json.loads(world.sent()["body"])["previous_response_id"] == "resp_1"
    # Elsewhere it is accepted and has no effect, so that what is sent must make sense by itself.
    said = {**body, "input": "Go on.", "model": "anthropic-brief"}
    assert http.post("/v1/responses", json=said).status_code == 200
    assert "previous_response_id" not in json.loads(world.sent()["body"])
    world.gateway.wait_log("stored responses cannot be followed by this target")
    refused = http.post("/v1/responses", json={**body, "model": "anthropic-brief"})
    assert refused.status_code == 400
    assert "tool_use_id" in refused.json()["error"]["message"]


@pytest.mark.parametrize("then", UPSTREAMS)
@pytest.mark.parametrize("dialect", ["messages", "responses"])
def test_another_model_goes_on(world: Families, dialect: str, then: str) -> None:
    with agent(world, dialect, "gemini") as working:
        for number in range(3):
            uses = working.ask()
            working.answer([(id, use, f"text {number} {at}", False, False) for at, (id, use) in enumerate(uses)])
        working.model = f"{then}-brief"
        assert working.ask() == []
    assert working.heard[-1] == LAST
    assert all(world.sent()["body"].count(f"text {number} 0") == 1 for number in range(3))


def test_the_documents_configurations_load(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/agents.md").read_text()
    (codex,) = re.findall(r"^```\n(model = .*?)^```$", page, re.DOTALL | re.MULTILINE)
    provider = tomllib.loads(codex)["model_providers"]["fastgw"]
    assert provider["wire_api"] == "responses"
    (documented,) = re.findall(r"^```yaml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    (tmp_path / "resources.yaml").write_text(documented)
    environment = {**os.environ, "ANTHROPIC_API_KEY": "a", "OPENAI_API_KEY": "b", "AGENT_KEY": "sk-agent"}
    validate = [sys.executable, "-m", "fastgw", "validate", "--resources", str(tmp_path / "resources.yaml")]
    finished = subprocess.run(validate, env=environment, capture_output=True, text=True, timeout=60)
    assert finished.returncode == 0, finished.stderr


def test_a_refused_turn_reads_like_the_upstreams(world: Families) -> None:
    """The mock's rules do bite: a result without its call is the caller's mistake."""
    result: Any = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "x"}]}
    with world.anthropic() as client, pytest.raises(anthropic.BadRequestError, match="tool"):
        client.messages.create(model="anthropic-brief", max_tokens=9, messages=[result])
