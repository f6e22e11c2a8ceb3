"""Keys, models and bases of every wire family on a running gateway: where requests go, and what callers are told when
they cannot go anywhere."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.e2e.target_refusals import AWS, CASES, CHAT, COUNT, EMBED, GOOGLE, MESSAGES, RESPONSES, TEXT
from tests.support.canned import Canned, canned, error
from tests.support.gateway import API_KEY, KEY_HASH, Gateway, gateway
from tests.support.wire import Answer, Wire, request

BODIES: dict[str, dict[str, Any]] = {
    CHAT: {"messages": [{"role": "user", "content": "hi"}]},
    TEXT: {"prompt": "hi"},
    EMBED: {"input": "hi"},
    MESSAGES: {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9},
    COUNT: {"messages": [{"role": "user", "content": "hi"}]},
    RESPONSES: {"input": "hi"},
}


def document(upstream: Canned) -> dict[str, Any]:
    """One provider key and one model per case."""
    keys: list[dict[str, Any]] = []
    models: list[dict[str, Any]] = []
    for number, case in enumerate(CASES):
        secret = case.secret if isinstance(case.secret, str) else json.dumps(case.secret)
        adapter = {"adapter": case.adapter} if case.adapter is not None else {}
        where = {"api_base": case.base} if case.base is not None else {}
        keys.append({"display_name": f"k{number}", "provider": case.provider, "api_key": secret, **adapter, **where})
        models.append(
            {
                "display_name": f"t{number}",
                "provider": case.vendor,
                "model_name": case.model,
                "provider_key": f"k{number}",
                "retries": 0,
            }
        )
    places = [(f"p{number}", place, {}) for number, place in enumerate(PLACES)]
    places += [(f"c{number}", place, CHANGES) for number, (place, _) in enumerate(CHANGED)]
    for name, place, changes in places:
        secret = place.secret if isinstance(place.secret, str) else json.dumps(place.secret)
        where = {"provider": place.provider, "adapter": place.adapter, "api_base": upstream.origin + place.base}
        keys.append({"display_name": name, "api_key": secret, **where, **changes})
        what = {"provider": place.vendor, "model_name": place.model, "provider_key": name, "retries": 0}
        models.append({"display_name": name, **what})
    callers = [{"display_name": "caller", "key_hash": KEY_HASH, "allowed_models": ["*"]}]
    return {"_format_version": "1", "provider_keys": keys, "models": models, "api_keys": callers}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Canned]:
    with canned() as server:
        yield server


@pytest.fixture(scope="module")
def gw(upstream: Canned) -> Iterator[Gateway]:
    with gateway(document(upstream)) as running:
        yield running


def call(gw: Gateway, path: str, model: str, headers: dict[str, str] | None = None, **more: Any) -> Answer:
    with Wire(("127.0.0.1", gw.port)) as wire:
        head, _, rest = request({"model": model, **BODIES[path], **more}, path).partition(b"\r\n")
        fields = {"authorization": f"Bearer {API_KEY}", **(headers or {})}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        wire.send(b"%b\r\n%b%b" % (head, lines.encode(), rest))
        return wire.answer()


@pytest.mark.parametrize("number", range(len(CASES)))
def test_what_callers_are_told(gw: Gateway, number: int) -> None:
    case = CASES[number]
    wanted = case.message.replace("MODEL", f"t{number}").replace("KEY", f"k{number}")
    for path in case.paths:
        answer = call(gw, path, f"t{number}")
        told = answer.json()["error"]
        assert answer.status == case.status, (path, told)
        if path in (MESSAGES, COUNT):
            assert answer.json()["type"] == "error"
        else:
            assert told["type"] == case.type, path
        assert told["message"].startswith(wanted.removesuffix("…")), path
        assert wanted.endswith("…") or told["message"] == wanted, path
        assert "s3cret" not in answer.body.decode()


class Place(NamedTuple):
    """A provider key and where a call of an endpoint goes: path, and headers next to those of every request."""

    adapter: str
    path: str
    base: str
    wanted: str
    headers: dict[str, str]
    stream: bool = False
    model: str = "m-1"
    provider: str = "byo"
    vendor: str = "acme"
    secret: Any = "k-9"


BEARER, KEYED = {"authorization": "Bearer k-9"}, {"x-api-key": "k-9", "anthropic-version": "2023-06-01"}
SSE = {"accept": "text/event-stream"}
AZURE = {"api-key": "k-9"}
TOKEN = {"authorization": "Bearer s3cret"}
IN = "/v1/projects/p/locations/r"
CLAUDE, MISTRAL = "claude-4@1", "mistral-x"


def vertex(model: str, stream: bool, wanted: str, path: str = CHAT) -> Place:
    return Place("vertex", path, "/", IN + wanted, TOKEN, stream, model, secret=GOOGLE)


PLACES = [
    *(
        Place("openai", path, base, wanted, BEARER)
        for path, base, wanted in (
            (CHAT, "", "/chat/completions"),
            (CHAT, "/v1/", "/v1/chat/completions"),
            (CHAT, "/a//b", "/a//b/chat/completions"),
            (CHAT, "/v2 ", "/v2/chat/completions"),
            (CHAT, "/v1/chat/completions", "/v1/chat/completions"),
            (EMBED, "/v1/chat/completions/", "/v1/embeddings"),
            (CHAT, "/v1/completions", "/v1/chat/completions"),
            (CHAT, "/v1/embeddings", "/v1/chat/completions"),
            (CHAT, "/v1/images/generations", "/v1/chat/completions"),
            (CHAT, "/v1/audio/transcriptions", "/v1/chat/completions"),
            (CHAT, "/v1/audio/translations", "/v1/chat/completions"),
            (TEXT, "/v1/audio/speech", "/v1/completions"),
            (CHAT, "/v1/responses", "/v1/responses/chat/completions"),
            (MESSAGES, "/v1", "/v1/chat/completions"),
            (RESPONSES, "/v1", "/v1/chat/completions"),
        )
    ),
    *(Place("openai", path, "/v1", f"{path}", BEARER | SSE, True) for path in (CHAT, TEXT)),
    Place("openai", RESPONSES, "/v1", "/v1/chat/completions", BEARER | SSE, True),
    *(
        Place("openai", RESPONSES, base, wanted, BEARER, vendor="openai")
        for base, wanted in (
            ("", "/v1/responses"),
            ("/v2", "/v2/responses"),
            ("/v1/", "/v1/responses"),
            ("/v1/responses", "/v1/responses"),
            ("/v1/messages", "/v1/responses"),
            ("/v1/rerank", "/v1/responses"),
            ("/v1/chat/completions", "/v1/responses"),
            ("/responses", "/v1/responses"),
        )
    ),
    *(
        Place("anthropic", path, base, f"{prefix}/v1/messages", KEYED)
        for path in (CHAT, RESPONSES, MESSAGES)
        for base, prefix in (
            ("", ""),
            ("/v1", ""),
            ("/v1/messages/", ""),
            ("/anthropic", "/anthropic"),
            ("/a/v1", "/a"),
        )
    ),
    Place("anthropic", CHAT, "/v1", "/v1/messages", KEYED | SSE, True),
    Place("anthropic", COUNT, "/a/v1/messages", "/a/v1/messages/count_tokens", KEYED),
    Place("anthropic", MESSAGES, "/v1/chat/completions", "/v1/messages", KEYED),
    Place("openai", MESSAGES, "/v1", "/v1/messages", KEYED, vendor="anthropic", provider="openai"),
    Place("openai", MESSAGES, "/v1", "/v1/chat/completions", BEARER, vendor="deepseek", provider="openai"),
    *(
        Place(
            "azure-openai", path, base, f"{root}/openai/deployments/m-1/chat/completions?api-version=2024-10-21", AZURE
        )
        for path, base, root in ((CHAT, "", ""), (CHAT, "/x/", "/x"), (MESSAGES, "", ""), (RESPONSES, "", ""))
    ),
    Place(
        "azure-openai", CHAT, "", "/openai/deployments/m-1/chat/completions?api-version=2024-10-21", AZURE | SSE, True
    ),
    Place("azure-openai", EMBED, "/openai/v1", "/openai/v1/embeddings", AZURE),
    vertex("Gemini-2", False, "/publishers/google/models/Gemini-2:generateContent"),
    vertex("gemini-2", True, "/publishers/google/models/gemini-2:streamGenerateContent?alt=sse"),
    vertex(CLAUDE, False, f"/publishers/anthropic/models/{CLAUDE}:rawPredict"),
    vertex(CLAUDE, True, f"/publishers/anthropic/models/{CLAUDE}:streamRawPredict"),
    *(
        vertex(model, stream, "/endpoints/openapi/chat/completions")
        for stream in (False, True)
        for model in ("meta/llama-4", "llama3", "deepseek-r1", "qwen3", "openai/gpt-oss-120b")
    ),
    *(
        vertex(model, False, "/endpoints/openapi/chat/completions", MESSAGES)
        for model in ("minimaxai/m", "moonshotai/k2", "zai-org/glm")
    ),
    *(
        vertex(model, stream, f"/publishers/{who}/models/{model}:{verb}")
        for stream, verb in ((False, "rawPredict"), (True, "streamRawPredict"))
        for model, who in ((MISTRAL, "mistralai"), ("codestral-2", "mistralai"), ("jamba-2", "ai21"))
    ),
    vertex("text-embedding-5", False, "/publishers/google/models/text-embedding-5:predict", EMBED),
    *(
        Place("bedrock", CHAT, "", f"/model/{quoted}/{action}", {}, stream, model, secret=AWS)
        for stream, model, quoted, action in (
            (False, "us.anthropic.claude-v1:0", "us.anthropic.claude-v1%3A0", "invoke"),
            (True, "us.anthropic.claude-v1:0", "us.anthropic.claude-v1%3A0", "converse-stream"),
            (False, "amazon.nova-v1:0", "amazon.nova-v1%3A0", "converse"),
            (True, "us-gov.meta.llama3", "us-gov.meta.llama3", "converse-stream"),
        )
    ),
]


@pytest.mark.parametrize("number", range(len(PLACES)))
def test_where_requests_go(gw: Gateway, upstream: Canned, number: int) -> None:
    place = PLACES[number]
    upstream.answer = error(418, {"error": {"message": "no"}})
    more = {"stream": True} if place.stream else {}
    assert call(gw, place.path, f"p{number}", **more).status == 418
    assert upstream.last.path == place.wanted
    headers = dict(upstream.last.headers)
    assert headers.pop("host") == f"127.0.0.1:{upstream.port}"
    assert int(headers.pop("content-length")) == len(upstream.last.body)
    assert headers.pop("user-agent") == "fastgw/0.1"
    assert headers.pop("content-type") == "application/json"
    assert headers.pop("x-fastgw-request-id")
    if place.adapter == "bedrock":
        assert headers.pop("x-amz-date")
        scope = headers.pop("authorization").split(", ")[0]
        assert scope.startswith("AWS4-HMAC-SHA256 Credential=AKID/")
        assert scope.endswith("/us-west-2/bedrock/aws4_request")
        assert headers.pop("accept", None) == ("application/json" if place.wanted.endswith("/invoke") else None)
    assert headers == place.headers
    assert API_KEY not in str(upstream.last)


CHANGES: dict[str, Any] = {
    "request": {
        "param_renames": {"top_p": "nucleus"},
        "param_constraints": {"temperature_max": 0.5},
        "default_body_fields": {"extra": 1.50, "model": "x", "stream": "x", "anthropic_version": "x"},
        "default_headers": {
            "x-set": "$${model.name}/$${provider_key.name}",
            "x-both": "ours",
            "x-blank": "$${request.api_key.team_id}",
            "x-unknown": "$${model.secret}",
            "x-open": "$${model.name",
            "Authorization": "mine",
            "x-goog-api-key": "mine",
        },
        "forward_client_headers": ["X-Pass-*", "x-both", "authorization", "x-fastgw-*", "x-stainless-*", "cookie"],
    },
    "response": {"content_list_to_string": True},
}
SENT = {
    "x-pass-one": "1",
    "X-Both": "theirs",
    "x-fastgw-tag": "t",
    "x-stainless-os": "o",
    "cookie": "c=1",
    "x-other": "2",
}
TEXTS = [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]
ADDED = {"nucleus": 0.25, "temperature": 0.5, "extra": 1.5}
NAMED_VERSION = {"anthropic_version": "x"}
FLAT, BLOCKS = [{"role": "user", "content": "ab"}], [{"role": "user", "content": TEXTS[0]["content"]}]
ANTHROPIC = {"max_tokens": 9, "stream": False, "model": "m-1", **NAMED_VERSION, **ADDED}
CLAUDES = {"max_tokens": 9, **ADDED, "messages": FLAT}
CHANGED: list[tuple[Place, dict[str, Any]]] = [
    (
        Place("openai", CHAT, "", "/chat/completions", BEARER),
        {"model": "m-1", "messages": FLAT, "max_tokens": 9, "stream": False, **NAMED_VERSION, **ADDED},
    ),
    (
        Place("azure-openai", CHAT, "", "", AZURE),
        {"model": "m-1", "messages": FLAT, "max_tokens": 9, "stream": False, **NAMED_VERSION, **ADDED},
    ),
    (
        Place("openai", MESSAGES, "", "/chat/completions", BEARER),
        {"model": "m-1", "messages": FLAT, "max_tokens": 9, "stream": False, **ADDED, "anthropic_version": "x"},
    ),
    (
        Place("openai", EMBED, "", "/embeddings", BEARER),
        {"model": "m-1", "input": "hi", "extra": 1.5, "stream": "x", **NAMED_VERSION},
    ),
    (
        Place("openai", TEXT, "", "/completions", BEARER),
        {"model": "m-1", "prompt": "hi", "messages": FLAT, "max_tokens": 9, "stream": "x", **NAMED_VERSION, **ADDED},
    ),
    (Place("anthropic", CHAT, "", "/v1/messages", KEYED), {**ANTHROPIC, "messages": FLAT}),
    (
        Place("anthropic", MESSAGES, "", "/v1/messages", KEYED),
        {**ANTHROPIC, "messages": BLOCKS, "stream": "x"},
    ),
    (
        Place("anthropic", COUNT, "", "/v1/messages/count_tokens", KEYED),
        {**ANTHROPIC, "messages": BLOCKS, "stream": "x"},
    ),
    (
        Place("openai", RESPONSES, "", "/v1/responses", BEARER, vendor="openai"),
        {"model": "m-1", "input": "hi", "messages": BLOCKS, "max_tokens": 9, "stream": "x", **NAMED_VERSION, **ADDED},
    ),
    (vertex(CLAUDE, False, ""), {**CLAUDES, "anthropic_version": "vertex-2023-10-16"}),
    (vertex(CLAUDE, True, ""), {**CLAUDES, "anthropic_version": "vertex-2023-10-16", "stream": True}),
    (
        vertex(MISTRAL, False, ""),
        {"model": MISTRAL, "messages": FLAT, "max_tokens": 9, "stream": False, **NAMED_VERSION, **ADDED},
    ),
    (
        vertex("text-embedding-5", False, "", EMBED),
        {"instances": [{"content": "hi"}], "extra": 1.5, "model": "x", "stream": "x", **NAMED_VERSION},
    ),
    (
        Place("bedrock", CHAT, "", "", {}, False, "anthropic.claude-v1:0", secret=AWS),
        {**CLAUDES, "anthropic_version": "bedrock-2023-05-31"},
    ),
]


@pytest.mark.parametrize("number", range(len(CHANGED)))
def test_what_a_key_changes(gw: Gateway, upstream: Canned, number: int) -> None:
    place, body = CHANGED[number]
    upstream.answer = error(418, {"error": {"message": "no"}})
    more: dict[str, Any] = {"temperature": 0.9, "top_p": 0.25, "max_tokens": 9}
    more = {} if place.path == EMBED else {**more, "messages": TEXTS}
    if place.stream:
        more["stream"] = True
    assert call(gw, place.path, f"c{number}", headers=SENT, **more).status == 418
    assert upstream.last.json() == body
    headers = upstream.last.headers
    assert headers["x-set"] == f"c{number}/c{number}"
    assert headers["x-both"] == "ours"
    assert headers["x-pass-one"] == "1"
    unwanted = {
        "x-blank",
        "x-unknown",
        "x-open",
        "x-goog-api-key",
        "x-fastgw-tag",
        "x-stainless-os",
        "cookie",
        "x-other",
    }
    assert not unwanted & headers.keys()
    assert headers.items() >= place.headers.items()
    assert "mine" not in headers.values()
    if place.adapter == "bedrock":
        assert "x-both;x-fastgw-request-id;x-pass-one;x-set" in headers["authorization"]
