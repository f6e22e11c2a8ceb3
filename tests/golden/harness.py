"""Golden fixtures: one conversation of one caller dialect with one wire family, on both sides, whole and streamed.

`<case>.<caller dialect>.<adapter>.json` holds

    model     the upstream's model name (optional)
    vendor    of the model (optional)
    request   what the caller sends
    sent      what the upstream gets
    answer    what the upstream answers, and reply: what the caller gets
    events    the upstream's stream (documents, or text for what is no JSON; `binary` says what they are on Bedrock),
              and stream: the caller's events
    sent_streaming  what the upstream gets for a stream, where it differs by more than `stream`
    status, error, reply_status, reply   for an error answer instead
    refused   status, message and param of the gateway's own refusal instead of all that

`matrix/<case>.json` holds one case for every dialect and every kind of upstream:

    requests  what the caller sends, by dialect
    answers   answer and events of the upstream, by protocol
    cells     by `<caller dialect>.<adapter>`, with `+<variant>` for other protocols of the same adapter: everything
              else of a fixture. Without reply or stream the upstream's bytes are relayed, see `relayed`.

A cell is the fixture `matrix/<case>.<caller dialect>.<adapter>`.

`python -m tests.golden.record NAME...` fills in what the gateway makes of the rest, to be read before it is kept.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fastgw.core.errors import GatewayError, render
from fastgw.endpoints import chat
from fastgw.endpoints.messages import call as messages
from fastgw.endpoints.responses import call as responses
from fastgw.gateway.call import Call
from fastgw.gateway.compile import OPERATIONS
from fastgw.providers.adapter import Endpoint, RelayedStream, Reported, Speaker
from fastgw.providers.failures import answer_failure
from fastgw.providers.registry import adapter_for
from fastgw.providers.vertex.shim import Shim, shimmed
from fastgw.resources.models import Model, ProviderKey
from tests.support import eventstream_reference

HERE = Path(__file__).parent
MODELS = {
    "anthropic": "claude-sonnet-4-5",
    "openai": "gpt-4o",
    "vertex": "gemini-2.5-pro",
    "bedrock": "us.amazon.nova-pro-v1:0",
    "azure-openai": "dep-1",
}
VARIANTS: dict[str, dict[str, str]] = {
    "openai+native": {"vendor": "openai"},
    "bedrock+claude": {"model": "us.anthropic.claude-sonnet-4-5-20250929-v1:0"},
    "vertex+claude": {"model": "claude-sonnet-4-5@20250929"},
    "vertex+llama": {"model": "meta/llama-4-scout"},
}
"""What makes an upstream of an adapter another kind of upstream."""
PROTOCOLS: dict[str, tuple[str, str]] = {
    "openai+native": ("responses", "responses"),
    "bedrock+claude": ("anthropic", "bedrock"),
    "vertex+claude": ("anthropic", "anthropic"),
    "vertex+llama": ("openai", "openai"),
}
"""How it answers, whole and streamed, where not as the others of its adapter."""
COLUMNS = tuple(
    f"{dialect}.{kind}"
    for dialect in ("chat", "messages", "responses")
    for kind in (*MODELS, *VARIANTS)
    if kind != "openai+native" or dialect == "responses"
)
"""The cells that every case of the matrix has."""
BASES = {"azure-openai": "res"}
SECRETS = {
    "vertex": '{"project": "p", "region": "r", "access_token": "t"}',
    "bedrock": '{"access_key_id": "a", "secret_access_key": "s", "region": "r"}',
}
DECODERS: dict[str, tuple[Any, str]] = {
    "chat": (chat.decode, "chat/completions"),
    "messages": (messages.decode, "messages"),
    "responses": (responses.decode, "responses"),
}
DIALECTS: dict[str, Any] = {"chat": "openai", "messages": "anthropic", "responses": "responses"}

Fixture = dict[str, Any]


def fixtures() -> Iterator[str]:
    """Names without `.json`."""
    yield from (path.stem for path in sorted(HERE.glob("*.json")))
    for case in matrix():
        yield from (f"{case}.{column}" for column in COLUMNS)


def matrix() -> list[str]:
    """Names of the cases of the matrix."""
    return [f"matrix/{path.stem}" for path in sorted((HERE / "matrix").glob("*.json"))]


@cache
def document(name: str) -> Fixture:
    """A file of fixtures, which nobody may change."""
    found: Fixture = json.loads((HERE / f"{name}.json").read_text())
    return found


def load(name: str) -> Fixture:
    """One fixture."""
    if not name.startswith("matrix/"):
        return {**document(name)}
    case, _, column = name.partition(".")
    found = document(case)
    dialect, kind = column.split(".")
    whole, streamed = PROTOCOLS.get(kind, (kind, kind))
    made, cell = {**VARIANTS.get(kind, {}), "request": found["requests"][dialect]}, found["cells"][column]
    if "refused" not in cell:
        made["answer"], made["events"] = found["answers"][whole]["answer"], found["answers"][streamed]["events"]
    return {**made, **cell}


class Target:
    """What a speaker wants to know of a target."""

    def __init__(self, model_name: str) -> None:
        self.model_name = model_name
        self.model_json = json.dumps(model_name).encode()
        self.overrides = None


class Case:
    """One fixture, runnable."""

    def __init__(self, name: str, fixture: Fixture) -> None:
        _, self.dialect, kind = name.split(".")
        self.family = kind.partition("+")[0]
        self.named = name.startswith("matrix/")
        self.fixture = fixture
        self.model = fixture.get("model", MODELS[self.family])
        self.logged: list[dict[str, Any]] = []

    def call(self, stream: bool) -> Call:
        """The decoded call."""
        call: Call = DECODERS[self.dialect][0](self.exchange(), self.body(stream))
        return call

    def body(self, stream: bool) -> bytes:
        """The caller's bytes."""
        body = {**self.fixture["request"], "stream": True} if stream else self.fixture["request"]
        return json.dumps(body).encode()

    def exchange(self) -> Any:
        """As much of an exchange as a call wants: a log, whose warnings are kept in `logged`."""
        log = SimpleNamespace(warn=lambda target, message, **fields: self.logged.append(fields))
        return SimpleNamespace(gateway=SimpleNamespace(log=log), request_id=b"r")

    def endpoint(self) -> Endpoint:
        """Where calls of the dialect go."""
        vendor = self.fixture.get("vendor", "acme")
        model = Model(display_name="alias", provider=vendor, model_name=self.model, provider_key_id="k")
        secret = SECRETS.get(self.family, "secret")
        key = ProviderKey(
            display_name="k",
            api_key=secret,
            provider=self.family,
            adapter=self.family,  # type: ignore[arg-type]
            api_base=BASES.get(self.family),
        )
        [operation] = (found for found in OPERATIONS if found == DECODERS[self.dialect][1])
        return adapter_for(operation, model, key).endpoint(operation, model, key, "fastgw")

    def speaker(self, stream: bool) -> tuple[Speaker, Target, Endpoint]:
        """The speaker of an attempt."""
        call, target, endpoint = self.call(stream), Target(self.model), self.endpoint()
        return (call if endpoint.translate is None else endpoint.translate(call, target)), target, endpoint

    @property
    def same_dialect(self) -> bool:
        """The upstream speaks the caller's own."""
        endpoint = self.endpoint()
        return endpoint.translate is None or endpoint.translate is shimmed

    @property
    def spliced(self) -> bool:
        """The caller's bytes go up but for a few places."""
        return self.same_dialect and not isinstance(self.speaker(False)[0], Shim)

    def sent(self, stream: bool) -> Any:
        """The body for the upstream."""
        return json.loads(self.raw_sent(stream))

    def raw_sent(self, stream: bool) -> bytes:
        """The bytes for the upstream."""
        speaker, target, _ = self.speaker(stream)
        return speaker.upstream_body(target)

    def reply(self) -> Any:
        """The whole answer for the caller."""
        body, _ = self.raw_reply(json.dumps(self.fixture["answer"]).encode())
        return settled(json.loads(body))

    def raw_reply(self, answer: bytes) -> tuple[bytes, Reported]:
        """The caller's bytes for the upstream's, and what they say of themselves."""
        speaker, target, _ = self.speaker(False)
        speaker.upstream_body(target)
        return speaker.answer(answer)

    def relayed(self, wire: bytes) -> bytes:
        """The bytes of the caller's own dialect as they are relayed: a chat caller, and a Messages caller who was
        answered by the model that was asked for, reads the alias; a Responses caller the upstream's own name."""
        if self.dialect == "chat":
            return re.sub(rb'"model": "[^"]*"', b'"model": "alias"', wire)
        return wire

    def wire(self) -> bytes:
        """The upstream's stream."""
        if self.family == "bedrock":
            return b"".join(map(binary, self.fixture["events"]))
        return b"".join(map(self.event, self.fixture["events"]))

    def event(self, event: Any) -> bytes:
        """One event. Those of the matrix that have a type are called by it, as they are in life."""
        document = event if isinstance(event, str) else json.dumps(event)
        called = f"event: {event['type']}\n" if self.named and isinstance(event, dict) and "type" in event else ""
        return f"{called}data: {document}\n\n".encode()

    def bytes_out(self, pieces: list[bytes]) -> bytes:
        """The caller's stream for the upstream's in pieces, `fixed`."""
        return fixed(self.raw_bytes_out(pieces))

    def raw_bytes_out(self, pieces: list[bytes]) -> bytes:
        """The caller's stream for the upstream's in pieces."""
        stream = self.opened()
        return b"".join(map(stream.feed, pieces)) + stream.finish()

    def opened(self) -> RelayedStream:
        """The stream on its way to the caller."""
        speaker, target, _ = self.speaker(True)
        speaker.upstream_body(target)
        return speaker.relay(target, chunked=False)

    def stream(self) -> Any:
        """The caller's events."""
        return [settled(event) for event in events(self.bytes_out([self.wire()]))]

    def error(self) -> tuple[int, Any]:
        """Status and body for the caller of an upstream's error, which is a document, or text for what is no JSON."""
        endpoint, error = self.endpoint(), self.fixture["error"]
        body = error.encode() if isinstance(error, str) else json.dumps(error).encode()
        failure = answer_failure(self.fixture["status"], body, None, endpoint.family, own=endpoint.native)
        return failure.status, json.loads(render(failure, DIALECTS[self.dialect]))

    def refused(self, stream: bool = False) -> dict[str, Any]:
        """The gateway's own refusal."""
        try:
            self.sent(stream)
        except GatewayError as error:
            return {"status": error.status, "message": error.message, "param": error.param}
        raise AssertionError("not refused")


def binary(event: dict[str, Any]) -> bytes:
    """One message of a binary stream: its only member is what it is called, after `exception ` or `error ` if it is one
    of these, with its payload."""
    [(name, payload)] = event.items()
    kind, _, rest = name.rpartition(" ")
    return eventstream_reference.event(rest, json.dumps(payload).encode(), kind or "event")


def events(wire: bytes) -> list[Any]:
    """The documents of a stream; what is no JSON as text."""
    found: list[Any] = []
    for event in wire.decode().split("\n\n")[:-1]:
        lines = dict(line.split(": ", 1) for line in event.split("\n"))
        document = json.loads(lines["data"]) if lines["data"] != "[DONE]" else "[DONE]"
        if "event" in lines:
            assert document["type"] == lines["event"]
        found.append(document)
    return found


MINTED = re.compile(rb'"(chatcmpl-|(?:msg|resp|rs|fc|ctc|call)_)(?:[0-9a-f]{32}|[0-9a-f]{24})')


def fixed(wire: bytes) -> bytes:
    """Bytes without what is made afresh for every answer."""
    return re.sub(rb'"(created|created_at)":\d+', rb'"\1":0', MINTED.sub(rb'"\1minted', wire))


def settled(document: Any) -> Any:
    """A document likewise."""
    return json.loads(fixed(json.dumps(document, separators=(",", ":")).encode()))
