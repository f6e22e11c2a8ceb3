"""The set of servers of one scenario: started together, probed once, stopped together."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.macro import procs, upstream
from bench.macro.placement import Placement
from bench.macro.wire import Request
from bench.peers import Peer

PATH = "/v1/chat/completions"
MOCK = "mock"


@dataclass(slots=True)
class Target:
    """A running server; `peer` is None for the mock upstream itself, the baseline of every added latency."""

    name: str
    port: int
    pid: int
    workers: int
    peer: Peer | None

    def request(self, model: str, prompt_bytes: int = 0, events: int = 0) -> Request:
        """A chat request of about 180 bytes, or with a prompt of `prompt_bytes`."""
        name = self.peer.model(model) if self.peer else model
        prompt = "Say in one short sentence what a gateway does." if not prompt_bytes else filler(prompt_bytes)
        body: dict[str, object] = {"model": name}
        if events:
            body["stream"] = True
            body["stream_options"] = {"include_usage": True}
        body["messages"] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": prompt}]
        body["temperature"] = 0.5
        headers = self.peer.headers() if self.peer else {"Authorization": "Bearer sk-bench"}
        path = self.peer.path if self.peer else PATH
        return Request(self.port, path, headers, json.dumps(body).encode(), events)

    def cpu_seconds(self) -> float:
        return procs.cpu_seconds(self.pid)

    def memory_kib(self) -> int:
        return procs.memory_kib(self.pid)[0]


def filler(size: int) -> str:
    """Prose-like text with what JSON has to escape: a quote, a newline and a non-ASCII letter in every sentence."""
    sentence = 'The "gateway" reads the r\u00e9quest once, and copies it.\n'
    return (sentence * (size // len(sentence) + 1))[:size]


def ask(request: Request, seconds: float = 60.0) -> bytes:
    """One request by the standard library's client. Returns the body; raises Failed when the answer is not 200."""
    connection = http.client.HTTPConnection("127.0.0.1", request.port, timeout=seconds)
    with contextlib.closing(connection):
        headers = {"Content-Type": "application/json", **request.headers}
        connection.request("POST", request.path, request.body, headers)
        answer = connection.getresponse()
        body = answer.read()
    if answer.status != 200:
        raise procs.Failed(f"port {request.port}: {answer.status} {body[:300]!r}")
    return body


def count_events(body: bytes) -> int:
    return body.count(b"\n\n")


@contextlib.contextmanager
def running(
    kinds: Sequence[type[Peer]], placement: Placement, workers: Sequence[int] = (1,), with_mock: bool = True
) -> Iterator[list[Target]]:
    """Starts the mock and one instance of each kind per worker count, probes each, and stops all at the end."""
    with contextlib.ExitStack() as stack:
        mock = upstream.Mock(placement.load)
        stack.callback(mock.stop)
        targets = [Target(MOCK, mock.port, mock.pid, 1, None)] if with_mock else []
        for kind in kinds:
            for count in workers:
                peer = kind()
                stack.callback(peer.stop)
                peer.start(mock.port, count, placement.target)
                targets.append(Target(kind.name, peer.port, peer.pid, count, peer))
        for target in targets:
            probe(target)
        yield targets


def probe(target: Target) -> None:
    try:
        answer = json.loads(ask(target.request(upstream.CHAT)))
        if not answer["choices"][0]["message"]["content"]:
            raise procs.Failed(f"{target.name}: empty completion {answer}")
        ask(target.request(upstream.SSE_100, events=1))
    except (OSError, ValueError, LookupError) as error:
        raise procs.Failed(f"{target.name} does not answer: {error!r}\n{tail(target)}") from error
    except procs.Failed as error:
        raise procs.Failed(f"{target.name}: {error}\n{tail(target)}") from error


def tail(target: Target) -> str:
    return target.peer.log_tail() if target.peer else ""
