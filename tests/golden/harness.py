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

`python -m tests.golden.record NAME...` fills in what the gateway makes of the rest, to be read before it is kept.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fastgw.core.errors import GatewayError, render
from fastgw.endpoints import chat
from fastgw.endpoints.messages import call as messages
from fastgw.endpoints.responses import call as responses
from fastgw.gateway.call import Call
from fastgw.gateway.compile import OPERATIONS
from fastgw.providers.adapter import Endpoint, Speaker
from fastgw.providers.failures import answer_failure
from fastgw.providers.registry import adapter_for
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
BASES = {"azure-openai": "res"}
SECRETS = {
    "vertex": '{"project": "p", "region": "r", "access_token": "t"}',
    "bedrock": '{"access_key_id": "a", "secret_access_key": "s", "region": "r"}',
}
DECODERS: dict[str, Any] = {"chat": chat.decode, "messages": messages.decode, "responses": responses.decode}
DIALECTS: dict[str, Any] = {"chat": "openai", "messages": "anthropic", "responses": "responses"}

Fixture = dict[str, Any]


def fixtures() -> Iterator[str]:
    """Names without `.json`."""
    return (path.stem for path in sorted(HERE.glob("*.json")))


def load(name: str) -> Fixture:
    """One fixture."""
    found: Fixture = json.loads((HERE / f"{name}.json").read_text())
    return found


class Target:
    """What a speaker wants to know of a target."""

    def __init__(self, model_name: str) -> None:
        self.model_name = model_name
        self.model_json = json.dumps(model_name).encode()
        self.overrides = None


class Case:
    """One fixture, runnable."""

    def __init__(self, name: str, fixture: Fixture) -> None:
        _, self.dialect, self.family = name.split(".")
        self.fixture = fixture
        self.model = fixture.get("model", MODELS[self.family])
        self.logged: list[dict[str, Any]] = []

    def call(self, stream: bool) -> Call:
        """The decoded call."""
        body = {**self.fixture["request"], "stream": True} if stream else self.fixture["request"]
        call: Call = DECODERS[self.dialect](self.exchange(), json.dumps(body).encode())
        return call

    def exchange(self) -> Any:
        """As much of an exchange as a call wants: a log, whose warnings are kept in `logged`."""
        log = SimpleNamespace(warn=lambda target, message, **fields: self.logged.append(fields))
        return SimpleNamespace(gateway=SimpleNamespace(log=log), request_id=b"r")

    def speaker(self, stream: bool) -> tuple[Speaker, Target, Endpoint]:
        """The speaker of an attempt."""
        call, target = self.call(stream), Target(self.model)
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
        [operation] = (found for found in OPERATIONS if found == call.operation)
        endpoint = adapter_for(operation, model, key).endpoint(operation, model, key, "fastgw")
        return (call if endpoint.translate is None else endpoint.translate(call, target)), target, endpoint

    def sent(self, stream: bool) -> Any:
        """The body for the upstream."""
        speaker, target, _ = self.speaker(stream)
        return json.loads(speaker.upstream_body(target))

    def reply(self) -> Any:
        """The whole answer for the caller."""
        speaker, target, _ = self.speaker(False)
        speaker.upstream_body(target)
        body, _ = speaker.answer(json.dumps(self.fixture["answer"]).encode())
        return settled(json.loads(body))

    def wire(self) -> bytes:
        """The upstream's stream."""
        if self.family == "bedrock":
            return b"".join(map(binary, self.fixture["events"]))
        documents = (event if isinstance(event, str) else json.dumps(event) for event in self.fixture["events"])
        return "".join(f"data: {document}\n\n" for document in documents).encode()

    def bytes_out(self, pieces: list[bytes]) -> bytes:
        """The caller's stream for the upstream's in pieces, `fixed`."""
        return fixed(self.raw_bytes_out(pieces))

    def raw_bytes_out(self, pieces: list[bytes]) -> bytes:
        """The caller's stream for the upstream's in pieces."""
        speaker, target, _ = self.speaker(True)
        speaker.upstream_body(target)
        stream = speaker.relay(target, chunked=False)
        return b"".join(map(stream.feed, pieces)) + stream.finish()

    def stream(self) -> Any:
        """The caller's events."""
        return [settled(event) for event in events(self.bytes_out([self.wire()]))]

    def error(self) -> tuple[int, Any]:
        """Status and body for the caller of an upstream's error."""
        _, _, endpoint = self.speaker(False)
        body = json.dumps(self.fixture["error"]).encode()
        failure = answer_failure(self.fixture["status"], body, None, endpoint.family, own=endpoint.native)
        return failure.status, json.loads(render(failure, DIALECTS[self.dialect]))

    def refused(self) -> dict[str, Any]:
        """The gateway's own refusal."""
        try:
            self.sent(False)
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


MINTED = re.compile(rb'"(msg|resp|rs|fc|ctc|call)_(?:[0-9a-f]{32}|[0-9a-f]{24})')


def fixed(wire: bytes) -> bytes:
    """Bytes without what is made afresh for every answer."""
    return re.sub(rb'"(created|created_at)":\d+', rb'"\1":0', MINTED.sub(rb'"\1_minted', wire))


def settled(document: Any) -> Any:
    """A document likewise."""
    return json.loads(fixed(json.dumps(document, separators=(",", ":")).encode()))
