"""Counters that the upstream left at 0 are counted by the gateway, and nobody but the accounts notices."""

import json
import os
import random
import signal
import string
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastgw.core.tables import DATA, load
from fastgw.policy.estimate import estimate_chat_prompt
from tests.support.gateway import API_KEY, Gateway, gateway, resources
from tests.support.mock import Mock, mock_upstream
from tests.support.observe import total, until
from tests.support.token_oracle import expected
from tests.support.wire import Answer, Wire

HI = [{"role": "user", "content": "hi"}]
CHAT, TEXT, EMBED = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
# Each upstream model with the vocabulary that it must be counted with.
MODELS = {
    "mock-gpt": "cl100k_base",
    "gpt-4o-mini": "o200k_base",
    "ft:gpt-4.1:acme::x": "o200k_base",
    "gpt-4-turbo": "cl100k_base",
    "text-davinci-003": "p50k_base",
    "davinci": "r50k_base",
}
WORDS = "naïve déjà-vu 中文网关 12345678    return x;\n\n\t\tdef f(): ЖЖЖ"
SLOW = "".join(random.Random(3).choices(string.ascii_lowercase, k=1 << 20))  # one word: as slow to count as text can be
PACED = {"tokens": 2, "cadence_ms": 30}
"""`Hello `, `world` and the end in events that arrive one by one."""


def document(mock: Mock) -> dict[str, Any]:
    made = resources(mock.url)
    made["models"] += [
        {"display_name": f"as {name}", "provider": "mock", "model_name": name, "provider_key": "up"} for name in MODELS
    ]
    made["models"].append({**made["models"][0], "display_name": "any-*", "model_name": "*"})
    made["models"].append({**made["models"][0], "display_name": "patient", "stream_timeout": 30_000})
    return made


@pytest.fixture(scope="module")
def mock() -> Iterator[Mock]:
    with mock_upstream(usage=False, content="Hello world") as running:
        yield running


@pytest.fixture(scope="module", params=[1, 3], ids=["1 worker", "3 workers"])
def gw(mock: Mock, request: pytest.FixtureRequest) -> Iterator[Gateway]:
    with gateway(document(mock), {"proxy": {"workers": request.param}}) as running:
        yield running


@pytest.fixture(scope="module")
def single(mock: Mock) -> Iterator[Gateway]:
    with gateway(document(mock)) as running:
        yield running


def wire_request(path: str, body: dict[str, Any]) -> bytes:
    data = json.dumps({"model": "fast-chat", **body}).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {API_KEY}\r\n"
    return f"{head}content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n".encode() + data


def counters(gw: Gateway) -> tuple[int, int]:
    metrics = gw.metrics()
    return (
        int(total(metrics, "fastgw_llm_input_tokens_total")),
        int(total(metrics, "fastgw_llm_output_tokens_total")),
    )


class Counted:
    """What one request added to the counters by the time its answer was complete."""

    def __init__(self, gw: Gateway) -> None:
        self._gw = gw
        self._before = counters(gw)

    def __call__(self) -> tuple[int, int]:
        after = counters(self._gw)
        return after[0] - self._before[0], after[1] - self._before[1]


def ask(gw: Gateway, path: str, **body: Any) -> tuple[Answer, tuple[int, int]]:
    """The answer, and the tokens that were counted when it had been read."""
    counted = Counted(gw)
    with Wire(("127.0.0.1", gw.port), timeout=30) as wire:
        wire.send(wire_request(path, body))
        answer = wire.answer()
    return answer, counted()


def read_until(wire: Wire, text: bytes) -> bytes:
    got = b""
    while text not in got:
        data = wire.socket.recv(65536)
        assert data, got
        got += data
    return got


@pytest.mark.parametrize("stream", [False, True])
class TestAnchors:
    def test_chat(self, gw: Gateway, stream: bool) -> None:
        answer, tokens = ask(gw, CHAT, messages=HI, stream=stream)
        assert (answer.status, answer.end) == (200, "complete")
        assert tokens == (8, 2)
        if stream:
            assert answer.payloads()[-1] == "[DONE]"
            assert not any("usage" in chunk for chunk in answer.chunks())
        else:
            zero = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
            assert answer.json()["usage"] == zero, "the body is never filled from an estimate"

    def test_completions(self, gw: Gateway, stream: bool) -> None:
        prompts = ["Hello world"] if stream else ["Hello world", "hi"]
        answer, tokens = ask(gw, TEXT, prompt=prompts, stream=stream)
        assert answer.status == 200
        assert b"prompt_tokens" not in answer.body
        assert tokens == ((2, 2) if stream else (3, 4))

    def test_http_1_0(self, gw: Gateway, stream: bool) -> None:
        counted = Counted(gw)
        with Wire(("127.0.0.1", gw.port)) as wire:
            wire.send(wire_request(CHAT, {"messages": HI, "stream": stream}).replace(b"HTTP/1.1", b"HTTP/1.0", 1))
            assert wire.answer().status == 200
        assert counted() == (8, 2)


@pytest.mark.parametrize("name", MODELS)
def test_the_upstream_model_says_how(gw: Gateway, name: str) -> None:
    _, tokens = ask(gw, EMBED, model=f"as {name}", input=[WORDS, "hi"])
    assert tokens == (expected(MODELS[name], WORDS) + 1, 0)
    _, tokens = ask(gw, CHAT, model=f"any-{name}", messages=HI, mock={"content": WORDS}, stream=True)
    assert tokens[1] == expected(MODELS[name], WORDS)
    if MODELS[name] == "o200k_base":
        assert expected("o200k_base", WORDS) != expected("cl100k_base", WORDS)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"prompt_tokens": 50}, (50, 2)),
        ({"completion_tokens": 7}, (8, 7)),
        ({"prompt_tokens": 50, "completion_tokens": 7, "total_tokens": 57}, (50, 7)),
        ({"prompt_tokens": 0, "completion_tokens": None, "total_tokens": 9}, (8, 2)),
        ({}, (8, 2)),
    ],
)
def test_each_counter_by_itself(gw: Gateway, usage: dict[str, Any], counts: tuple[int, int], stream: bool) -> None:
    answer, tokens = ask(gw, CHAT, messages=HI, stream=stream, mock={"usage": usage})
    assert answer.status == 200
    assert tokens == counts


class TestEmbeddings:
    @pytest.mark.parametrize(
        ("given", "tokens"),
        [("Hello world", 2), (["hi", "Hello world"], 3), ([5, 6, 7], 3), ([[1, 2], [3]], 3), (["a"] * 70_000, 70_000)],
    )
    def test_input(self, gw: Gateway, given: Any, tokens: int) -> None:
        answer, counted = ask(gw, EMBED, input=given, dimensions=1)
        assert answer.json()["usage"] == {"prompt_tokens": 0, "total_tokens": 0}
        assert counted == (tokens, 0)

    @pytest.mark.parametrize(
        ("usage", "tokens"),
        [({"total_tokens": 9}, 9), ({"prompt_tokens": 0, "total_tokens": 9}, 9), ({"prompt_tokens": 4}, 4), ({}, 2)],
    )
    def test_prompt_else_total_else_estimate(self, gw: Gateway, usage: dict[str, int], tokens: int) -> None:
        assert ask(gw, EMBED, input="Hello world", mock={"usage": usage})[1] == (tokens, 0)


@pytest.mark.parametrize("stream", [False, True])
def test_tools(gw: Gateway, stream: bool) -> None:
    tools = [
        {
            "type": "function",
            "function": {
                "name": "get_weather",
                "description": "Says how it is outside.",
                "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
            },
        }
    ]
    arguments = '{"city":"Zürich","when":["now","later"]}'
    body = {"messages": [{"role": "system", "content": "Be brief."}, *HI], "tools": tools, "tool_choice": "auto"}
    calls = [{"name": "get_weather", "arguments": arguments}, {"name": "get_time", "arguments": "{}"}]
    _, tokens = ask(gw, CHAT, **body, stream=stream, mock={"tool_calls": calls})
    prompt = estimate_chat_prompt(load("cl100k_base"), json.dumps(body).encode())
    assert prompt > 30
    assert tokens == (prompt, expected("cl100k_base", f"Hello worldget_weather{arguments}get_time{{}}"))


def chunks(*deltas: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta}]} for delta in deltas]


def test_content_then_reasoning_then_calls(gw: Gateway) -> None:
    call = {"index": 0, "id": "x", "function": {"name": "look", "arguments": "{}"}}
    events = chunks(
        {"role": "assistant", "reasoning": "Let me th"},
        {"reasoning": "ink."},
        {"content": "Hello"},
        {"tool_calls": [call]},
        {"content": " world", "refusal": "none"},
    )
    _, tokens = ask(gw, CHAT, messages=HI, stream=True, mock={"events": events})
    assert tokens == (8, expected("cl100k_base", "Hello worldLet me think.look{}"))


class TestCut:
    """Streams that do not come to their end."""

    @pytest.mark.parametrize("fault", ["reset", "close", "truncate", "garbage"])
    def test_by_an_error(self, gw: Gateway, fault: str) -> None:
        faulty = {"content": "Hello world again and again", "tokens": 6, "cadence_ms": 5, "fault": fault}
        answer, tokens = ask(
            gw, CHAT, messages=HI, stream=True, mock={**faulty, "at": "after_events", "events_before": 3}
        )
        payloads = answer.payloads()
        assert payloads[-1].startswith("event: error")
        said = "".join(json.loads(p)["choices"][0]["delta"].get("content") or "" for p in payloads[:-1])
        assert said
        assert tokens == (8, expected("cl100k_base", said))

    @pytest.mark.parametrize("model", ["fast-chat", "patient"])
    def test_by_an_error_event(self, gw: Gateway, model: str) -> None:
        events = [*chunks({"content": "Hello world"}), {"error": {"message": "no more"}}]
        answer, tokens = ask(gw, CHAT, model=model, messages=HI, stream=True, mock={"events": events})
        assert "event: error" in answer.body.decode()
        assert tokens == (8, 2)

    def test_before_anything_was_said(self, gw: Gateway) -> None:
        """The prompt has been taken; nothing was delivered."""
        broken = {"fault": "reset", "at": "after_events", "events_before": 0}
        answer, tokens = ask(gw, CHAT, messages=HI, stream=True, mock=broken)
        assert answer.status == 200
        assert tokens == (8, 0)

    def test_failures_before_the_head_are_not_counted(self, gw: Gateway) -> None:
        answer, tokens = ask(gw, CHAT, messages=HI, mock={"status": 400})
        assert answer.status == 400
        events = [{"error": {"message": "no"}}]
        assert ask(gw, CHAT, model="patient", messages=HI, stream=True, mock={"events": events})[0].status >= 400
        assert tokens == (0, 0)


class TestLeft:
    """Callers that do not stay."""

    def left(self, gw: Gateway, mock: Mock, text: bytes, body: dict[str, Any]) -> tuple[int, int]:
        """What is counted for a caller that leaves when it has read `text`."""
        counted = Counted(gw)
        open_streams = mock.stats()["open_streams"]
        with Wire(("127.0.0.1", gw.port)) as wire:
            wire.send(wire_request(CHAT, {"messages": HI, "stream": True, **body}))
            read_until(wire, text)
        mock.wait(lambda stats: stats["open_streams"] == open_streams)
        return until(counted, lambda tokens: tokens != (0, 0))

    @pytest.mark.parametrize("model", ["fast-chat", "patient"])
    def test_what_was_delivered_counts(self, gw: Gateway, mock: Mock, model: str) -> None:
        script = {"content": "Hello world again", "tokens": 3, "fault": "stall", "at": "after_events"}
        said = "Hello world again"[:12]
        body = {"model": model, "mock": {**script, "events_before": 3}}
        assert self.left(gw, mock, said[6:].encode(), body) == (8, expected("cl100k_base", said))

    def test_nothing_was_delivered(self, gw: Gateway, mock: Mock) -> None:
        body = {"mock": {"fault": "stall", "at": "after_events", "events_before": 0}}
        assert self.left(gw, mock, b"\r\n\r\n", body) == (8, 0)

    def test_before_the_head(self, gw: Gateway, mock: Mock) -> None:
        counted = Counted(gw)
        requests = mock.stats()["requests"]
        with Wire(("127.0.0.1", gw.port)) as wire:
            wire.send(wire_request(CHAT, {"messages": HI, "mock": {"fault": "stall", "at": "head"}}))
            mock.wait(lambda stats: stats["requests"] > requests)
        name = "fastgw_proxy_client_cancelled_requests_total"
        until(lambda: total(gw.metrics(), name), lambda cancelled: cancelled >= 1)
        assert counted() == (0, 0)

    def test_while_it_is_being_counted(self, single: Gateway, mock: Mock) -> None:
        """What has begun to be counted is counted to its end, and nothing of it stays behind."""
        counted = Counted(single)
        body = {"messages": [{"role": "user", "content": SLOW[:500_000]}] * 4, "stream": True, "mock": PACED}
        finished = mock.stats()["streams_finished"]
        with Wire(("127.0.0.1", single.port)) as wire:
            wire.send(wire_request(CHAT, body))
            read_until(wire, b"world")
            mock.wait(lambda stats: stats["streams_finished"] > finished)
        prompt, completion = until(counted, lambda tokens: tokens != (0, 0), seconds=60)
        assert prompt == 3 + 4 * (3 + 1 + expected("cl100k_base", SLOW[:500_000]))
        assert completion == 2
        assert ask(single, CHAT, messages=HI)[1] == (8, 2)
        assert "defect" not in single.log
        assert "failed" not in single.log


def test_counting_does_not_hold_up_others(single: Gateway) -> None:
    """The end of one answer waits for its count, the events before it do not, and the same worker answers others."""
    body = {"messages": [{"role": "user", "content": SLOW}] * 6, "stream": True, "mock": PACED}
    counted = Counted(single)
    with Wire(("127.0.0.1", single.port), timeout=60) as slow, Wire(("127.0.0.1", single.port)) as other:
        slow.send(wire_request(CHAT, body))
        got = read_until(slow, b"world")
        asked = answers = 0
        slow.socket.setblocking(False)
        while not got.endswith(b"0\r\n\r\n"):
            other.send(wire_request(CHAT, {"messages": HI, "mock": {"usage": {"prompt_tokens": 1}}}))
            assert other.answer().status == 200
            asked += 1
            try:
                got += slow.socket.recv(65536)
            except BlockingIOError:
                answers += 1
    assert answers >= 3
    assert b"[DONE]" in got
    prompt = 3 + 6 * (3 + 1 + expected("cl100k_base", SLOW)) + asked
    assert counted()[0] == prompt


@pytest.mark.parametrize("stream", [False, True])
def test_long_answers(single: Gateway, stream: bool) -> None:
    """More than is counted at once, and more than is counted exactly."""
    for size in (100_000, 1_500_000):
        text = ("The quick brown fox. " * (size // 20))[:size]
        answer, tokens = ask(
            single, CHAT, messages=HI, stream=stream, mock={"content": text, "tokens": 40, "coalesce": True}
        )
        assert (answer.status, answer.end) == (200, "complete")
        kept = min(size, 1 << 20)
        assert tokens == (8, expected("cl100k_base", text[:kept]) + (size - kept) // 4)


def test_the_connection_of_the_upstream_is_free_while_its_answer_is_counted(single: Gateway, mock: Mock) -> None:
    before = mock.stats()["accepted_connections"]
    for _ in range(3):
        ask(single, CHAT, messages=[{"role": "user", "content": SLOW[:200_000]}], stream=True)
        ask(single, CHAT, messages=[{"role": "user", "content": SLOW[:200_000]}])
    assert mock.stats()["accepted_connections"] - before <= 1


@pytest.mark.parametrize("workers", [1, 3])
def test_a_new_worker_counts_as_well(mock: Mock, workers: int) -> None:
    with gateway(document(mock), {"proxy": {"workers": workers}}) as gw:
        assert ask(gw, CHAT, messages=HI)[1] == (8, 2)
        old = gw.workers()
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        until(gw.workers, lambda pids: len(pids) == workers and not set(pids) & set(old), seconds=30)
        until(lambda: gw.log.count("worker ended unexpectedly"), lambda count: count == workers)
        for name, encoding in MODELS.items():
            tokens = ask(gw, CHAT, model=f"as {name}", messages=HI, mock={"content": WORDS})[1]
            assert tokens[1] == expected(encoding, WORDS)


def memory(pid: int) -> dict[str, int]:
    """Resident bytes of a process by kind."""
    lines = (line.partition(":") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {name: int(value.split()[0]) * 1024 for name, _, value in lines if name.startswith("Rss")}


def test_tables_cost_a_worker_next_to_nothing(mock: Mock) -> None:
    """All four vocabularies are 15 MB, once for the gateway. A worker maps them and keeps no copy."""
    with gateway(document(mock), {"proxy": {"workers": 1}}) as gw:
        (worker,) = gw.workers()
        known = {"usage": {"prompt_tokens": 1, "completion_tokens": 1}}
        for _ in range(20):
            for name in MODELS:
                ask(gw, CHAT, model=f"as {name}", messages=HI, mock={**known, "content": WORDS})
        before = memory(worker)
        for _ in range(20):
            for name in MODELS:
                ask(gw, CHAT, model=f"as {name}", messages=HI, mock={"content": WORDS * 20})
        after = memory(worker)
        assert after["RssAnon"] - before["RssAnon"] < 3_000_000
        assert after["RssShmem"] > before["RssShmem"], "the tables are shared memory"
        mapped = Path(f"/proc/{worker}/maps").read_text()
        assert all(f"fastgw-{name} " in mapped for name in set(MODELS.values()))


BOOT = """
import sys
from pathlib import Path
from fastgw.core import tables
tables.DATA = Path(sys.argv.pop(1))
from fastgw.cli.main import main
main()
"""


@pytest.mark.parametrize("size", [0, 30, 200, 50_000])
def test_damaged_tables_stop_the_start(mock: Mock, tmp_path: Path, size: int) -> None:
    for file in DATA.glob("*.bpe.z"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    damaged = tmp_path / "o200k_base.bpe.z"
    damaged.write_bytes(damaged.read_bytes()[:size])
    gw = Gateway(tmp_path, document(mock), {}, {})
    done = subprocess.run(
        [sys.executable, "-c", BOOT, str(tmp_path), "--config", str(gw.directory / "config.yaml")],
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "token table" in done.stderr
    assert "Traceback" not in done.stderr
