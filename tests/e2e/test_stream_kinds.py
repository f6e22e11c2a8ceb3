"""The mechanics of streams, on every combination of a caller's dialect and a wire family that there is: comments while
the upstream is silent, deadlines, ends with and without the protocol's marker, errors inside of the stream."""

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest

from tests.support import eventstream_reference
from tests.support.canned import Canned, Sent, canned, chunk, stream_head
from tests.support.gateway import API_KEY, KEY_HASH, Gateway, gateway
from tests.support.wire import Answer, Wire, request

CHAT, TEXT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/messages", "/v1/responses"
BODIES: dict[str, dict[str, Any]] = {
    CHAT: {"messages": [{"role": "user", "content": "hi"}]},
    TEXT: {"prompt": "hi"},
    MESSAGES: {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9},
    RESPONSES: {"input": "hi"},
}


class Upstream(NamedTuple):
    """How a family's stream begins, goes on and ends, each piece whole events; an error of status 429 in it, and an
    event that is none of its own."""

    first: bytes
    rest: bytes
    marker: bytes
    error: bytes
    junk: bytes = b"data: nonsense\n\n"
    kind: str = "text/event-stream"


def sse(*documents: Any) -> bytes:
    return b"".join(b"data: %b\n\n" % json.dumps(one).encode() for one in documents)


def aws(name: str, document: Any, kind: str = "event") -> bytes:
    return eventstream_reference.event(name, json.dumps(document).encode(), kind)


def chat_chunk(delta: Any, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice], **more}


def text_chunk(text: str, finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "text": text, "finish_reason": finish}
    return {"id": "c", "object": "text_completion", "model": "m", "choices": [choice]}


def gemini(text: str, **more: Any) -> dict[str, Any]:
    return {"candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": text}]}, **more}]}


COUNTED = {"usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}
DONE = b"data: [DONE]\n\n"
LIMITED = {"error": {"message": "slow down", "type": "rate", "code": 429}}
DELTA = {"type": "content_block_delta", "index": 0}
UPSTREAMS = {
    "openai": Upstream(
        sse(chat_chunk({"role": "assistant", "content": "Hel"})),
        sse(chat_chunk({"content": "lo"}), chat_chunk({}, "stop", **COUNTED)),
        DONE,
        sse(LIMITED),
    ),
    "text": Upstream(sse(text_chunk("Hel")), sse(text_chunk("lo", "stop")), DONE, sse(LIMITED)),
    "anthropic": Upstream(
        sse(
            {"type": "message_start", "message": {"id": "m", "model": "c", "usage": {"input_tokens": 3}}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {**DELTA, "delta": {"type": "text_delta", "text": "Hel"}},
        ),
        sse(
            {**DELTA, "delta": {"type": "text_delta", "text": "lo"}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        ),
        sse({"type": "message_stop"}),
        sse({"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}}),
    ),
    "responses": Upstream(
        sse(
            {"type": "response.created", "response": {"id": "r", "model": "m", "status": "in_progress"}},
            {"type": "response.output_text.delta", "item_id": "i", "delta": "Hel"},
        ),
        sse({"type": "response.output_text.delta", "item_id": "i", "delta": "lo"}),
        sse(
            {
                "type": "response.completed",
                "response": {"id": "r", "model": "m", "usage": {"input_tokens": 3, "output_tokens": 2}},
            }
        ),
        sse({"type": "error", "code": "429", "message": "slow down"}),
    ),
    "gemini": Upstream(
        sse(gemini("Hel")),
        sse(gemini("lo", finishReason="STOP") | {"usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2}}),
        b"",
        sse({"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}}),
    ),
    "bedrock": Upstream(
        aws("messageStart", {"role": "assistant"}) + aws("contentBlockDelta", {"delta": {"text": "Hel"}}),
        aws("contentBlockDelta", {"delta": {"text": "lo"}}) + aws("messageStop", {"stopReason": "end_turn"}),
        aws("metadata", {"usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}}),
        aws("throttlingException", {"message": "slow down"}, "exception"),
        eventstream_reference.event("contentBlockDelta", b"nonsense"),
        "application/vnd.amazon.eventstream",
    ),
}
GOOGLE = json.dumps({"project": "p", "region": "r", "access_token": "t"})
KEYS: dict[str, dict[str, Any]] = {
    "openai": {"adapter": "openai", "api_key": "k"},
    "anthropic": {"adapter": "anthropic", "api_key": "k"},
    "azure": {"adapter": "azure-openai", "api_key": "k"},
    "vertex": {"adapter": "vertex", "api_key": GOOGLE},
    "bedrock": {
        "adapter": "bedrock",
        "api_key": json.dumps({"access_key_id": "a", "secret_access_key": "s", "region": "r"}),
    },
}
MODELS = {
    "openai": ("openai", "acme", "m"),
    "native": ("openai", "openai", "m"),
    "anthropic": ("anthropic", "acme", "c"),
    "azure": ("azure", "acme", "m"),
    "gemini": ("vertex", "google", "gemini-2"),
    "claude": ("vertex", "google", "claude-4"),
    "mistral": ("vertex", "google", "mistral-1"),
    "bedrock": ("bedrock", "aws", "amazon.nova-1"),
}
"""Alias: provider key, vendor, upstream model."""
SPOKEN = {"openai": "openai", "azure": "openai", "mistral": "openai", "claude": "anthropic", "native": "responses"}
TRANSLATED = [
    *(
        (path, model)
        for path in (CHAT, MESSAGES, RESPONSES)
        for model in MODELS
        if model not in ("native", "anthropic")
    ),
    (TEXT, "openai"),
    (CHAT, "anthropic"),
    (RESPONSES, "anthropic"),
]
NATIVE = [(MESSAGES, "anthropic"), (RESPONSES, "native")]
KINDS = [*TRANSLATED, *NATIVE]
LAST = b"0\r\n\r\n"
Answers = Iterator[tuple[tuple[str, str], Answer]]
GAP_MS = 1500


def upstream_of(path: str, model: str) -> Upstream:
    return UPSTREAMS["text" if path == TEXT else SPOKEN.get(model, model)]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Canned]:
    with canned() as server:
        yield server


@pytest.fixture(scope="module")
def gw(upstream: Canned) -> Iterator[Gateway]:
    """`alias` has no deadline of its own, `alias-t` has one."""
    keys = [{"display_name": name, "provider": "byo", "api_base": upstream.origin, **key} for name, key in KEYS.items()]
    models = []
    for alias, (key, vendor, model) in MODELS.items():
        common = {"provider": vendor, "model_name": model, "provider_key": key, "retries": 0}
        models.append({"display_name": alias, **common})
        models.append({"display_name": f"{alias}-t", "stream_timeout": GAP_MS, **common})
    for marker in ("required", "optional", "none"):
        for name in ("openai", "azure"):
            response = {"response": {"stream_done_marker": marker}}
            keys.append({**next(key for key in keys if key["display_name"] == name), **response})
            keys[-1]["display_name"] = key = f"{name}-{marker}"
            models.append({"display_name": key, "provider": "acme", "model_name": "m", "provider_key": key})
    callers = [{"display_name": "caller", "key_hash": KEY_HASH, "allowed_models": ["*"]}]
    document = {"_format_version": "1", "provider_keys": keys, "models": models, "api_keys": callers}
    with gateway(document, {"downstream": {"sse_keepalive_interval_secs": 1}}) as running:
        yield running


def call(gw: Gateway, path: str, model: str) -> Answer:
    with Wire(("127.0.0.1", gw.port)) as wire:
        head, _, rest = request({"model": model, "stream": True, **BODIES[path]}, path).partition(b"\r\n")
        wire.send(b"%b\r\nauthorization: Bearer %b\r\n%b" % (head, API_KEY.encode(), rest))
        return wire.answer()


def play(upstream: Canned, gw: Gateway, path: str, model: str, *pieces: bytes | float, end: bool = True) -> Answer:
    """A call whose upstream sends these pieces of a body; `end`: and then the end of it."""
    found = upstream_of(path, model.split("-")[0])
    framed = [chunk(piece) if isinstance(piece, bytes) else piece for piece in pieces]
    upstream.answer = [stream_head(found.kind), *framed, *([LAST] if end else [])]
    return call(gw, path, model)


def error_of(path: str, answer: Answer) -> Any:
    """The data of the error event at the end of a translated stream: type and message."""
    last = answer.body.split(b"event: error\ndata: ")
    assert len(last) == 2, answer.body
    assert last[1].endswith(b"\n\n")
    told = json.loads(last[1])
    if path == RESPONSES:
        assert told.keys() == {"type", "code", "message"}
        return told["code"], told["message"]
    assert path != MESSAGES or told["type"] == "error"
    return told["error"]["type"], told["error"]["message"]


def is_whole(path: str, answer: Answer) -> bool:
    ends = {CHAT: b"data: [DONE]\n\n", TEXT: b"data: [DONE]\n\n", MESSAGES: b"message_stop", RESPONSES: b"completed"}
    return answer.end == "complete" and ends[path] in answer.body and b"event: error" not in answer.body


@pytest.mark.parametrize(("path", "model"), KINDS)
def test_whole(upstream: Canned, gw: Gateway, path: str, model: str) -> None:
    found = upstream_of(path, model)
    for alias in (model, f"{model}-t"):
        answer = play(upstream, gw, path, alias, found.first, found.rest, found.marker)
        assert answer.status == 200
        assert is_whole(path, answer), answer.body
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["x-fastgw-request-id"]
        if (path, model) in NATIVE:
            assert answer.body == found.first + found.rest + found.marker


def at_once(
    upstream: Canned, gw: Gateway, suffix: str, pieces: Callable[[Upstream], Iterable[bytes | float]]
) -> Answers:
    """A call of every kind at the same time; `pieces` of an answer behind its head."""

    def answer(sent: Sent) -> Iterable[bytes | float]:
        found = spoken_at(sent.path)
        return [stream_head(found.kind), *pieces(found)]

    upstream.answer = answer
    with ThreadPoolExecutor(len(KINDS)) as pool:
        yield from zip(KINDS, pool.map(lambda kind: call(gw, kind[0], kind[1] + suffix), KINDS), strict=True)


def spoken_at(path: str) -> Upstream:
    """The protocol of an endpoint."""
    if path.startswith("/v1/projects/"):
        publisher = path.split("/publishers/")[1].split("/")[0]
        return UPSTREAMS[{"google": "gemini", "anthropic": "anthropic"}.get(publisher, "openai")]
    for part, name in (("/chat/completions", "openai"), ("/completions", "text"), ("/messages", "anthropic")):
        if part in path:
            return UPSTREAMS[name]
    return UPSTREAMS["bedrock" if "/model/" in path else "responses"]


def test_comments_while_the_upstream_is_silent(upstream: Canned, gw: Gateway) -> None:
    def pieces(found: Upstream) -> Iterable[bytes | float]:
        return 1.6, chunk(found.first), 1.6, chunk(found.rest + found.marker), LAST

    for kind, answer in at_once(upstream, gw, "", pieces):
        assert is_whole(kind[0], answer), (kind, answer.body)
        assert answer.body.startswith(b":\n\n"), (kind, answer.body)
        assert answer.body.count(b":\n\n") >= 2, (kind, answer.body)


def test_silence_before_the_first_event(upstream: Canned, gw: Gateway) -> None:
    for (path, model), answer in at_once(upstream, gw, "-t", lambda _: [GAP_MS / 1000 + 3]):
        assert answer.status == 504, model
        error = answer.json()["error"]
        assert error["type"] == ("api_error" if path == MESSAGES else "timeout")
        assert error["message"] == f"upstream request timed out after {GAP_MS}ms"


def test_silence_in_the_middle(upstream: Canned, gw: Gateway) -> None:
    for kind, answer in at_once(upstream, gw, "-t", lambda found: [chunk(found.first), GAP_MS / 1000 + 3]):
        assert answer.status == 200, kind
        if kind in NATIVE:
            assert (answer.end, answer.body.replace(b":\n\n", b"")) == ("eof", upstream_of(*kind).first)
        else:
            assert answer.end == "complete", kind
            assert error_of(kind[0], answer) == ("timeout", f"upstream request timed out after {GAP_MS}ms")


@pytest.mark.parametrize(("path", "model"), KINDS)
def test_a_clean_end_without_a_marker(upstream: Canned, gw: Gateway, path: str, model: str) -> None:
    found = upstream_of(path, model)
    for pieces in ((found.first,), (found.first, found.rest)):
        answer = play(upstream, gw, path, model, *pieces)
        assert answer.status == 200
        if (path, model) in NATIVE:
            assert (answer.end, answer.body) == ("complete", b"".join(pieces))
        else:
            assert is_whole(path, answer), answer.body


@pytest.mark.parametrize(("path", "model"), KINDS)
def test_a_cut_is_an_error(upstream: Canned, gw: Gateway, path: str, model: str) -> None:
    found = upstream_of(path, model)
    answer = play(upstream, gw, path, model, found.first, end=False)
    assert answer.status == 200
    if (path, model) in NATIVE:
        assert (answer.end, answer.body) == ("eof", found.first)
    else:
        assert answer.end == "complete"
        assert error_of(path, answer)[0] == "stream_aborted"


@pytest.mark.parametrize(("path", "model"), KINDS)
def test_an_empty_stream(upstream: Canned, gw: Gateway, path: str, model: str) -> None:
    answer = play(upstream, gw, path, f"{model}-t")
    assert answer.status == 502
    error = answer.json()["error"]
    assert error["message"] == "upstream cancelled the response mid-stream"
    assert error["type"] == ("api_error" if path == MESSAGES else "stream_aborted")


@pytest.mark.parametrize(("path", "model"), KINDS)
def test_an_error_that_comes_first(upstream: Canned, gw: Gateway, path: str, model: str) -> None:
    answer = play(upstream, gw, path, f"{model}-t", upstream_of(path, model).error)
    assert answer.status == 429, answer
    error = answer.json()["error"]
    assert error["type"] == ("rate_limit_error" if path == MESSAGES else "upstream_error")
    canned = MODELS[model][0] in ("azure", "vertex", "bedrock")
    assert error["message"] == ("upstream rate limited" if canned else "slow down")
    if path != MESSAGES and model not in ("openai", "azure", "mistral", "native"):
        assert error["code"] == "rate_limit_exceeded"


@pytest.mark.parametrize(("path", "model"), TRANSLATED)
def test_an_error_that_comes_later(upstream: Canned, gw: Gateway, path: str, model: str) -> None:
    found = upstream_of(path, model)
    answer = play(upstream, gw, path, model, found.first, found.error)
    assert answer.end == "complete"
    kind, message = error_of(path, answer)
    assert kind == "upstream_in_band_error"
    words = "upstream rate limited" if model == "bedrock" else "slow down"
    assert message == f"upstream reported an in-band stream error: {words}"


@pytest.mark.parametrize(("path", "model"), TRANSLATED)
def test_an_event_that_is_none(upstream: Canned, gw: Gateway, path: str, model: str) -> None:
    found = upstream_of(path, model)
    answer = play(upstream, gw, path, model, found.first, found.junk)
    assert error_of(path, answer)[0] == "upstream_decode_error"
    answer = play(upstream, gw, path, f"{model}-t", found.junk)
    assert answer.status == 502
    assert answer.json()["error"]["type"] == ("api_error" if path == MESSAGES else "upstream_decode_error")


@pytest.mark.parametrize("family", ["openai", "azure"])
@pytest.mark.parametrize("path", [CHAT, MESSAGES])
def test_an_end_marker_that_is_not_as_configured_is_told(upstream: Canned, gw: Gateway, family: str, path: str) -> None:
    found = UPSTREAMS["openai"]
    for marker, warned in (
        ("required", (None, "upstream stream ended without [DONE]")),
        ("optional", (None, None)),
        ("none", ("upstream stream ended in an unexpected [DONE]", None)),
    ):
        for end, text in zip((found.marker, b""), warned, strict=True):
            answer = play(upstream, gw, path, f"{family}-{marker}", found.first, found.rest, end)
            assert is_whole(path, answer)
            id = answer.headers["x-fastgw-request-id"]
            if text is not None:
                name = f"{family}-{marker}"
                gw.wait_log(f'{text} model="{name}" provider_key="{name}" request_id="{id}"')
            else:
                assert not [line for line in gw.log.splitlines() if id in line and "[DONE]" in line]
