"""The interface of a wire family: how upstreams of one kind are addressed and spoken to.

An adapter turns a provider key and an operation into an `Endpoint`, once per configuration. It says where requests
go, what their constant head is, and by what `translate` a call gets there:

* None: the upstream speaks the caller's dialect. The call's own code splices the caller's bytes, nothing is rebuilt.
* otherwise: called once per attempt with the call and the target; the `Speaker` it returns makes the body of the
  upstream request and turns the answer into the caller's dialect. For the chat-like operations that is a `Bridge`
  (bridge.py) around the family's `Translator`: the call supplies the canonical chat form (canonical.py) and a renderer
  for its dialect, the translator supplies the protocol of the upstream.

Everything here is sans-IO: bytes and plain data in, bytes and plain data out. To add a family, write a package like
providers/anthropic with one file each for the endpoint, the request, the answer, the stream and the usage, and put
its adapter into the table in registry.py. Error vocabularies are tables in failures.py. An operation that a family
does not have is refused by `endpoint` with the error that its callers get.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from fastgw.core.errors import GatewayError
from fastgw.core.grants import Grant
from fastgw.providers.canonical import Chat, Completion, Renderer, Usage
from fastgw.providers.failures import Family
from fastgw.providers.heard import Heard
from fastgw.providers.place import UpstreamURL
from fastgw.resources.models import Model, ProviderKey

Operation = Literal["chat/completions", "completions", "embeddings", "messages", "messages/count_tokens", "responses"]
"""What callers can ask for. The name of a call's `operation`."""


class RelayedStream(Protocol):
    """A stream on its way to the caller: what `gateway.relay.StreamRelay` needs of it.

    `feed` takes bytes of the upstream's body, split anywhere, and returns bytes for the caller, framed for its HTTP
    version. `frames` counts the events read. `ended`: the stream is complete and its end was returned. `failure`: 0,
    or 1 an event that reports an error (its payload is in `failure_data`), 2 an event that is not understood, 3 an
    event that is too large, 4 bytes that are no whole events, 5 a stream that is too large; nothing more is read then.
    `complete`: the caller has the last event of its dialect; `finish` ends its stream, whatever came of the upstream's.
    `fail` ends the caller's stream with an error event whose data is `payload`; b"" when the dialect has no way to say
    so, then the connection is cut. Counters are the largest seen.
    `said` is what the caller was told, for counting: content, reasoning, names and arguments of tools, at most about
    1 MiB; `said_beyond` the bytes that were not kept. Once completion tokens were reported nothing needs to be kept.
    `id` and `model` are the upstream's names for the answer and for its model, b"" until known, as is
    `finish_reason`, why it ended in the words of chat completions.
    """

    @property
    def id(self) -> bytes: ...
    @property
    def model(self) -> bytes: ...
    @property
    def finish_reason(self) -> bytes: ...

    @property
    def frames(self) -> int: ...
    @property
    def ended(self) -> bool: ...
    @property
    def complete(self) -> bool: ...
    @property
    def failure(self) -> int: ...
    @property
    def failure_data(self) -> bytes: ...
    @property
    def prompt_tokens(self) -> int: ...
    @property
    def completion_tokens(self) -> int: ...
    @property
    def total_tokens(self) -> int: ...
    @property
    def said(self) -> bytes: ...
    @property
    def said_beyond(self) -> int: ...
    def feed(self, data: bytes, /) -> bytes: ...
    def finish(self) -> bytes:
        """The upstream's body has ended cleanly: the rest for the caller, the end of its stream included."""

    def fail(self, payload: bytes, /) -> bytes: ...
    def comment(self) -> bytes:
        """A keep-alive comment."""


class Reported(Protocol):
    """What a whole answer says about itself: token counters, the upstream's names for it and for its model, and why it
    ended in the words of chat completions, empty when it has none."""

    @property
    def id(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def finish_reason(self) -> str: ...
    @property
    def prompt_tokens(self) -> int: ...
    @property
    def completion_tokens(self) -> int: ...
    @property
    def total_tokens(self) -> int: ...


class Speaker(Protocol):
    """One attempt's side of the conversation with the upstream. A call is the speaker of its own dialect."""

    def upstream_body(self, target: Any, /) -> bytes:
        """The request body, before the overrides of the provider key if those apply."""

    def answer(self, body: bytes, /) -> tuple[bytes, Reported]:
        """A whole answer in the caller's dialect. Raises `UpstreamFailure` when the upstream's is not understood."""

    def relay(self, target: Any, /, *, chunked: bool) -> RelayedStream:
        """A fresh translator of the upstream's stream."""


class Series(Speaker, Protocol):
    """A speaker that needs several requests, one after the other, for its answer."""

    @property
    def used(self) -> int:
        """Tokens that the answers so far report."""

    def following(self, body: bytes, /) -> bytes | None:
        """The body of the next request, given a whole answer; None when that was the last one, which is what `answer`
        gets. Raises a decode error."""


class Dialect(Protocol):
    """What a call gives to a translator: its request in the canonical form, and its own way to read answers."""

    @property
    def stream(self) -> bool: ...
    def canonical(self) -> Chat:
        """The request as a chat request; a fresh object. Raises the 400 for one that cannot be expressed."""

    def place(self, error: GatewayError, /) -> None:
        """Name the caller's own place instead of the one in the canonical request, which `error.param` is."""

    def render(self, completion: Completion, /) -> bytes:
        """A whole answer for the caller."""

    def renderer(self) -> Renderer:
        """A fresh writer of a stream for the caller."""


class Texts(Protocol):
    """What a call for embeddings gives to a family with a protocol of its own."""

    @property
    def dimensions(self) -> int | None: ...
    def texts(self) -> list[str]:
        """The inputs in order. Raises the 400 for token arrays, which mean something to OpenAI's models alone."""


class Decoder(Protocol):
    """Reads an upstream's stream and tells a renderer. `failure` as in RelayedStream; `done`: the protocol's own end
    has come. `feed` returns what it could write by itself with the renderer's `frame`; the rest was told to the
    renderer afterwards."""

    @property
    def frames(self) -> int: ...

    failure: int
    failure_data: bytes
    done: bool
    usage: Usage

    def feed(self, data: bytes, /) -> bytes: ...
    def finish(self) -> None:
        """The body has ended: a last event without its blank line counts."""


class Translator(Protocol):
    """One attempt in the protocol of a family. Made per attempt, so that answers can be read with the request in
    mind."""

    def request(self) -> bytes:
        """The upstream's request body. Raises a GatewayError (400) for what the protocol cannot express."""

    def answer(self, body: bytes, /) -> Completion:
        """A whole answer. Raises a decode error."""

    def decoder(self, renderer: Heard, /) -> Decoder:
        """The reader of the answer's stream."""


Translate = Callable[[Any, Any], Speaker]
"""(call, target) -> the speaker of one attempt."""

Sign = Callable[[bytes, bytes, float], bytes]
"""(head, body, Unix time) -> the lines to add to the head, which says everything else and ends with a whole line."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where and how one operation of one target is called.

    Heads as made by `place.request_head`. `family` is the vocabulary of errors. `native`: relayed as it is,
    content type included; a 4xx keeps its error object. `flatten`: `content_list_to_string` applies.
    `grant`: where the bearer token of each request comes from, when the secret is none. `edited`: the key's body
    overrides apply to what the speaker makes. `marked`: whether a stream is to end in `[DONE]`, None where nothing says
    so. `sign`: each request is signed. `series`: the speaker is a Series.
    """

    url: UpstreamURL
    head: bytes
    stream_head: bytes
    family: Family
    translate: Translate | None = None
    native: bool = False
    flatten: bool = True
    grant: Grant | None = None
    edited: bool = True
    marked: bool | None = None
    sign: Sign | None = None
    series: bool = False


class Adapter(Protocol):
    """A wire family. `located`: its URLs name the model, so that each name that a wildcard serves has endpoints of its
    own."""

    @property
    def located(self) -> bool: ...

    def endpoint(self, operation: Operation, model: Model, key: ProviderKey, namespace: str) -> Endpoint:
        """The endpoint of an operation. Raises the GatewayError that every call of it gets when there is none."""
