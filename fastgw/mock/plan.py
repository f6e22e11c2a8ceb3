"""A request compiled into the bytes of its answer.

Only three things differ between two answers to equal requests: the request id, the document id made of it, and the
time of creation. Everything else is encoded once, so that playing an answer is joining a few byte strings.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from . import bedrock, gemini, http1, messages, responses, rules, shapes
from .conversation import turns_spoken
from .http1 import Head
from .recount import recount
from .script import Script, ScriptError, build, of_model

Step = tuple[float, bytes]
"""Milliseconds to wait after the step before, and the bytes to write then."""

_EOL = {"lf": b"\n", "crlf": b"\r\n", "cr": b"\r"}
_STAMP_TAIL = 24 + 10  # hex id, seconds since 1970


class Plan:
    """The answer to all requests with one (route, model in path, body). Immutable once built."""

    __slots__ = (
        "_fields",
        "_framed",
        "infix",
        "lead",
        "middle",
        "parts",
        "plain",
        "post",
        "script",
        "status",
        "stream",
    )

    def __init__(self, script: Script, status: int, documents: shapes.Documents | None) -> None:
        self.script = script
        self.status = status
        self.stream = False
        self.infix = b""
        # What goes before and after the stamp; without an "after" there is no stamp in that part.
        self.parts: list[tuple[bytes, bytes | None]] = []
        kind = "application/json"
        own: tuple[tuple[str, str], ...] = ()
        if script.raw is not None:
            self.parts.append((script.raw.encode(), None))
            kind = "text/plain; charset=utf-8"
        elif documents is not None:
            self.stream = documents.stream
            if self.stream:
                kind = bedrock.CONTENT_TYPE if documents.binary else "text/event-stream; charset=utf-8"
            self._encode(documents)
            own = documents.fields
        names = {name.lower() for name, _ in script.headers}
        custom = [*((name, value) for name, value in own if name not in names), *script.headers]
        if script.retry_after is not None:
            custom.append(("retry-after", f"{script.retry_after:g}"))
        taken = {name.lower() for name, _ in custom}
        self._fields = [(n, v) for n, v in [("content-type", kind)] if n not in taken] + custom
        self._framed = self._frame() if self.stream else []
        self._prepare(taken)

    def _encode(self, documents: shapes.Documents) -> None:
        script = self.script
        eol = _EOL[script.line_end]
        before, after = (b"data: ", eol + eol) if self.stream else (b"", b"")
        if documents.binary:
            self.parts = [(bedrock.framed(event), None) for event in documents.items or script.events or ()]
        elif documents.prefix:
            self.infix = b'","object":"%b","created":' % documents.kind.encode()
            opening = before + b'{"id":"' + documents.prefix.encode()
            self.parts = [(opening, b"," + orjson.dumps(item)[1:] + after) for item in documents.items]
        elif documents.named and documents.items:
            named = ((item["type"].encode(), orjson.dumps(item)) for item in documents.items)
            self.parts = [(b"event: " + name + eol + before + item + after, None) for name, item in named]
        elif documents.items:
            self.parts = [(before + orjson.dumps(item) + after, None) for item in documents.items]
        elif self.stream:
            payloads = [e if isinstance(e, str) else orjson.dumps(e).decode() for e in script.events or ()]
            # A payload with line breaks is several data lines of one event.
            lines = [[before + line.encode() + eol for line in payload.split("\n")] for payload in payloads]
            if documents.named:
                types = [e.get("type") if isinstance(e, dict) else None for e in script.events or ()]
                lines = [
                    [b"event: " + str(kind).encode() + eol, *event] if kind else event
                    for kind, event in zip(types, lines, strict=True)
                ]
            self.parts = [(b"".join(event) + eol, None) for event in lines]
        if self.stream and not script.no_done and documents.marker and not documents.named and not documents.binary:
            self.parts.append((b"data: [DONE]" + eol + eol, None))

    def _frame(self) -> list[tuple[bytes, bytes | None]]:
        framed: list[tuple[bytes, bytes | None]] = []
        for pre, post in self.parts:
            if post is None:
                framed.append((http1.chunk(pre), None))
            else:
                size = len(pre) + _STAMP_TAIL + len(self.infix) + len(post)
                framed.append((b"%x\r\n" % size + pre, post + b"\r\n"))
        if framed:
            pre, last = framed.pop()
            end = http1.LAST_CHUNK
            framed.append((pre + end, None) if last is None else (pre, last + end))
        else:
            framed.append((http1.LAST_CHUNK, None))
        return framed

    def _prepare(self, taken: set[str]) -> None:
        """The plain answer: no waiting, no fault, nothing that the connection must know. One join sends it."""
        s = self.script
        odd = s.latency_ms or s.first_ms or s.gzip or s.split or s.fault or s.fail_times
        odd = odd or s.close_after is not None or s.close_chance is not None or self.status in (204, 304)
        self.plain = not (odd or self.stream or taken & {"x-request-id", "content-length", "transfer-encoding"})
        pre, post = self.parts[0] if self.parts else (b"", None)
        stamp = 0 if post is None else _STAMP_TAIL + len(self.infix)
        length = len(pre) + stamp + len(post or b"")
        self.lead = http1.response_head(self.status, [*self._fields, ("content-length", str(length))])
        self.lead += b"x-request-id: req_"
        self.middle = b"\r\n\r\n" + pre
        self.post = post

    def head(self, request: Head, rid: bytes, length: int | None) -> bytes:
        """The response head for this very request. `length` None: chunked, or until the close for HTTP/1.0."""
        fields = list(self._fields)
        if self.status not in (204, 304):
            if length is not None:
                fields.append(("content-length", str(length)))
            elif request.version == 1:
                fields.append(("transfer-encoding", "chunked"))
        if self.script.gzip:
            fields.append(("content-encoding", "gzip"))
        if not self.keeps(request):
            fields.append(("connection", "close"))
        elif request.version == 0:
            fields.append(("connection", "keep-alive"))
        fields.append(("x-request-id", f"req_{rid.decode()}"))
        custom = {name.lower() for name, _ in self.script.headers}
        own = {"content-length", "transfer-encoding", "content-encoding", "connection", "x-request-id"}
        kept = [(n, v) for n, v in fields[len(self._fields) :] if not (n in own and n in custom)]
        return http1.response_head(self.status, self._fields + kept) + b"\r\n"

    def keeps(self, request: Head) -> bool:
        """Whether the connection outlives the answer."""
        return request.keep_alive and (request.version == 1 or not self.stream)

    def steps(self, request: Head, rid: bytes, now: bytes) -> Iterator[Step]:
        """The answer write by write: the head first, then the body or the events."""
        script = self.script
        stamp = rid + self.infix + now
        chunked = self.stream and request.version == 1
        bodiless = request.method == "HEAD" or self.status in (204, 304)
        if chunked and not script.gzip and not bodiless:
            yield script.latency_ms, self.head(request, rid, None)
            gap = script.first_ms
            for pre, post in self._framed:
                yield gap, pre if post is None else b"".join((pre, stamp, post))
                gap = script.cadence_ms
            return
        payload = [pre if post is None else pre + stamp + post for pre, post in self.parts]
        if script.gzip:
            payload = _gzip(payload)
        if not self.stream:
            body = b"".join(payload)
            head = self.head(request, rid, len(body))
            body = b"" if bodiless else body
            if script.first_ms or not body:
                yield script.latency_ms, head
            if body:
                yield (script.first_ms, body) if script.first_ms else (script.latency_ms, head + body)
            return
        yield script.latency_ms, self.head(request, rid, None)
        gap = script.first_ms
        for index, event in enumerate(() if bodiless else payload, 1):
            end = http1.LAST_CHUNK if index == len(payload) else b""
            yield gap, http1.chunk(event) + end if chunked else event
            gap = script.cadence_ms


def _gzip(payload: list[bytes]) -> list[bytes]:
    """Each item compressed so that it can be read without the next one."""
    packer = zlib.compressobj(wbits=31)
    packed = [packer.compress(item) + packer.flush(zlib.Z_SYNC_FLUSH) for item in payload]
    tail = packer.flush()
    return [*packed[:-1], packed[-1] + tail] if packed else [tail]


def _raw_predict(request: dict[str, Any], script: Script) -> shapes.Documents:
    """A publisher's own protocol on Vertex: Anthropic's says its version in the body."""
    if request.pop("anthropic_version", None) is None:
        return shapes.chat(request, script)
    return messages.messages(request, script)


_BUILDERS = {
    http1.CHAT: shapes.chat,
    http1.COMPLETION: shapes.completion,
    http1.EMBEDDINGS: shapes.embeddings,
    http1.MESSAGES: messages.messages,
    http1.COUNT_TOKENS: messages.count_tokens,
    http1.RESPONSES: responses.responses,
    http1.GENERATE: gemini.generate,
    http1.GENERATE_STREAM: gemini.stream,
    http1.PREDICT: gemini.predict,
    http1.RAW_PREDICT: _raw_predict,
    http1.CONVERSE: bedrock.converse,
    http1.CONVERSE_STREAM: bedrock.stream,
    http1.INVOKE: bedrock.invoke,
}


def _claude(request: dict[str, Any]) -> None:
    """The rules of the Messages API where the model may be another's."""
    if "claude" in request["model"]:
        rules.messages(request)


_RULES: dict[str, Callable[[dict[str, Any]], None]] = {
    http1.CHAT: rules.chat,
    http1.MESSAGES: rules.messages,
    http1.RESPONSES: rules.responses,
    http1.GENERATE: rules.gemini,
    http1.GENERATE_STREAM: rules.gemini,
    http1.RAW_PREDICT: _claude,
    http1.CONVERSE: rules.converse,
    http1.CONVERSE_STREAM: rules.converse,
    http1.INVOKE: _claude,
}
_ANTHROPIC = (http1.MESSAGES, http1.COUNT_TOKENS, http1.RAW_PREDICT)
_GOOGLE = (http1.GENERATE, http1.GENERATE_STREAM, http1.PREDICT)
_AMAZON = (http1.CONVERSE, http1.CONVERSE_STREAM, http1.INVOKE)


def compile_plan(flags: dict[str, object], method: str, path: str, body: bytes, healthy: bool) -> Plan:
    """The plan for a request; a request that is wrong compiles to its refusal.

    `healthy` leaves the scripted failure out. Costs grow with the body and the answer; callers memoise.
    """
    script = Script()
    route, name = http1.route(path)
    try:
        script = build(flags)
        request: dict[str, Any] = {}
        if route in _BUILDERS:
            request = _request(method, path, name, body)
            own = request.get("mock") or (request.get("additionalModelRequestFields") or {}).get("mock")
            if own is not None and not isinstance(own, dict):
                raise ScriptError("'mock' must be an object")
            directives = {**flags, **of_model(request["model"]), **(own or {})}
            script = build(directives)
            if script.turns:
                turn = min(turns_spoken(request), len(script.turns) - 1)
                script = build({**directives, **script.turns[turn]})
            if script.recount and (told := recount(request)):
                script = script.saying(told)
            if script.at == "connect" and flags.get("at") != "connect":
                raise ScriptError("mock directive at: a request comes too late for connect, use a server flag")
        script = script.healthy() if healthy else script
        return Plan(script, script.status, _documents(method, path, request, script))
    except ScriptError as error:
        document = shapes.error_document(str(error), "invalid_request_error", "mock", "invalid_mock_directive")
        return _refused(route, 400, document)
    except shapes.Refusal as refusal:
        return _refused(route, refusal.status, refusal.document)
    except (TypeError, ValueError, AttributeError, KeyError, RecursionError) as error:
        # A field of a type that the API does not have; which one does not matter to anyone who meant to send it.
        document = shapes.error_document(f"The request is malformed: {error}.", "invalid_request_error")
        return _refused(route, 400, document)


def unsigned(reason: str) -> Plan:
    """The answer to a request whose signature is wrong."""
    return Plan(Script(), 403, bedrock.failed(403, reason))


def _refused(route: str, status: int, document: dict[str, Any]) -> Plan:
    if route in _AMAZON:
        return Plan(Script(), status, bedrock.failed(status, document["error"]["message"]))
    if route in _ANTHROPIC:
        document = messages.translated(document, status)
    elif route in _GOOGLE:
        document = gemini.translated(document, status)
    return Plan(Script(), status, shapes.Documents([document]))


def _not_allowed(method: str, path: str) -> shapes.Refusal:
    return shapes.Refusal(405, f"Not allowed to {method} on {path}.", None, "method_not_supported")


def _request(method: str, path: str, name: str, body: bytes) -> dict[str, Any]:
    if method != "POST":
        raise _not_allowed(method, path)
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise shapes.Refusal(400, f"The body of the request is not JSON: {error}.") from None
    if not isinstance(request, dict):
        raise shapes.Refusal(400, "The body of the request must be a JSON object.")
    if "model" in request and http1.route(path)[0] in _AMAZON:
        raise shapes.Refusal(400, "model: Extra inputs are not permitted")
    model = request.setdefault("model", name or None)
    if not isinstance(model, str) or not model:
        raise shapes.Refusal(400, "You must provide a model parameter.", "model", "missing_required_parameter")
    return request


def _documents(method: str, path: str, request: dict[str, Any], script: Script) -> shapes.Documents | None:
    if script.error is not None or script.status >= 400:
        route = http1.route(path)[0]
        if route in _AMAZON:
            return bedrock.scripted_error(script)
        made = shapes.scripted_error
        if route in _ANTHROPIC or route in _GOOGLE:
            made = messages.scripted_error if route in _ANTHROPIC else gemini.scripted_error
        return shapes.Documents([made(script)])
    if script.status in (204, 304) or script.raw is not None:
        return None
    route, name = http1.route(path)
    if script.events is not None and route in _BUILDERS:
        named, binary = route in _ANTHROPIC or route == http1.RESPONSES, route in _AMAZON
        return shapes.Documents([], stream=True, named=named, marker=route not in _GOOGLE, binary=binary)
    if route == http1.MODELS:
        if method not in ("GET", "HEAD"):
            raise _not_allowed(method, path)
        return shapes.models(name)
    if route not in _BUILDERS:
        raise shapes.Refusal(404, f"Invalid URL ({method} {path}).")
    documents = _BUILDERS[route](request, script)
    if route in _RULES:
        _RULES[route](request)
    return documents
