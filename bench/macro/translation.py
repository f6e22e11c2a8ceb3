"""Streams and answers in another dialect than the upstream's, next to the relay of chat completions as they are."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Sequence
from typing import Any

from bench.macro import upstream
from bench.macro.compare import Effort, compare
from bench.macro.placement import Placement, pinned
from bench.macro.procs import Failed
from bench.macro.targets import Target, ask, count_events
from bench.macro.wire import Request
from bench.peers import Peer
from bench.peers.families import OTHER, FastgwFamilies
from bench.peers.fastgw import Fastgw

PIECES = 96
"""Pieces of text in a stream. CPU is divided by them and not by events, whose number differs between protocols."""

RELAY = "chat from openai"
"""The yardstick."""

PAIRS = (
    ("chat", "openai"),
    ("chat", "anthropic"),
    ("chat", "vertex"),
    ("chat", "bedrock"),
    ("messages", "openai"),
    ("messages", "vertex"),
    ("messages", "bedrock"),
    ("messages", "anthropic"),
    ("responses", OTHER),
    ("responses", "anthropic"),
    ("responses", "openai"),
)
QUICK = PAIRS[:2] + PAIRS[4:5]
NATIVE = {("chat", "openai"), ("messages", "anthropic"), ("responses", "openai")}

SYSTEM, PROMPT = "Be brief.", "Say in one short sentence what a gateway does."
USER = [{"role": "user", "content": PROMPT}]
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (
        "/v1/chat/completions",
        {"max_tokens": 200, "messages": [{"role": "system", "content": SYSTEM}, *USER], "temperature": 0.5},
    ),
    "messages": ("/v1/messages", {"max_tokens": 200, "system": SYSTEM, "messages": USER, "temperature": 0.5}),
    "responses": (
        "/v1/responses",
        {"max_output_tokens": 200, "instructions": SYSTEM, "input": PROMPT, "temperature": 0.5},
    ),
}
"""Path and body by the caller's dialect."""


def translated(kinds: Sequence[type[Peer]], effort: Effort) -> list[dict[str, Any]]:
    """Streams of 96 pieces as fast as the chain takes them, and whole answers, for pairs of a caller's dialect and an
    upstream's protocol."""
    if Fastgw not in kinds:
        return []
    placement = pinned(1)
    with served(placement, PIECES) as peer:
        streams = measured(peer, effort, placement, stream=True)
    whole: dict[str, dict[str, Any]] = {}
    if not effort.quick:
        # Gemini's mock makes a part of each piece, also in a whole answer, where the API has one.
        with served(placement, 1) as peer:
            whole = {row["pair"]: row for row in measured(peer, effort, placement, stream=False)}
    for row in streams:
        if row["pair"] in whole:
            row["whole_cpu_us"], row["whole_ratio"] = (whole[row["pair"]][name] for name in ("cpu_us", "ratio"))
    return streams


@contextlib.contextmanager
def served(placement: Placement, pieces: int) -> Iterator[Peer]:
    """The gateway in front of a mock whose answers have so many pieces of text."""
    with contextlib.ExitStack() as stack:
        mock = upstream.Mock(placement.load, "--tokens", str(pieces))
        stack.callback(mock.stop)
        peer = FastgwFamilies()
        stack.callback(peer.stop)
        peer.start(mock.port, 1, placement.target)
        yield peer


def measured(peer: Peer, effort: Effort, placement: Placement, *, stream: bool) -> list[dict[str, Any]]:
    """One row per pair."""
    pairs = QUICK if effort.quick else PAIRS
    targets = {f"{dialect} from {family}": (dialect, family) for dialect, family in pairs}
    requests = {name: request(peer, *pair, stream=stream) for name, pair in targets.items()}
    rows = compare(
        [Target(name, peer.port, peer.pid, 1, peer) for name in targets],
        lambda one: requests[one.name],
        32,
        effort,
        placement.load,
        PIECES if stream else 1,
        RELAY,
    )
    for row in rows:
        dialect, family = targets[row["target"]]
        row["pair"], row["target"] = row["target"], Fastgw.name
        row["dialect"], row["family"] = dialect, family
        row["path"] = "native" if (dialect, family) in NATIVE else "translated"
    return rows


def request(peer: Peer, dialect: str, family: str, *, stream: bool) -> Request:
    """The request of a pair. The number of events in the answer is counted, and whether each piece has one."""
    path, body = CALLS[dialect]
    encoded = json.dumps({"model": family, "stream": stream, **body}).encode()
    made = Request(peer.port, path, peer.headers(), encoded)
    answer = ask(made)
    events = count_events(answer)
    if stream and events < PIECES:
        raise Failed(f"{dialect} from {family}: {events} events, {answer[:300]!r}")
    return dataclasses.replace(made, events=events) if stream else made
