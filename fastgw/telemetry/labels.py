"""Label values that depend on the path of a request only: a small fixed set, whatever is asked for."""

from typing import Final

FIXED: Final = frozenset(
    (
        "/livez",
        "/readyz",
        "/v1/models",
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/images/generations",
        "/v1/images/edits",
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/v1/rerank",
        "/v1/responses",
        "/v1/audio/transcriptions",
        "/v1/audio/translations",
        "/v1/audio/speech",
        "/v1/videos",
        "/v1/realtime",
        "/v1/files",
        "/v1/batches",
        "/v1/fine_tuning/jobs",
        "/mcp",
    )
)
"""Paths that are their own template."""

_BELOW: Final = (
    ("/v1/models/", "/v1/models/:id"),
    ("/v1/videos/", "/v1/videos/:id"),
    ("/v1/files/", "/v1/files/:id"),
    ("/v1/batches/", "/v1/batches/:id"),
    ("/v1/fine_tuning/jobs/", "/v1/fine_tuning/jobs/:id"),
    ("/mcp/", "/mcp/{server}"),
    ("/a2a/", "/a2a"),
    ("/passthrough/", "/passthrough_route"),
)

HANDLERS: Final = {
    "/v1/chat/completions": "chat",
    "/v1/messages": "messages",
    "/v1/responses": "responses",
    "/v1/completions": "completions",
    "/v1/embeddings": "embeddings",
    "/v1/rerank": "rerank",
    "/v1/images/generations": "images",
    "/v1/images/edits": "images",
    "/v1/audio/transcriptions": "audio",
    "/v1/audio/translations": "audio",
    "/v1/audio/speech": "audio",
    "/v1/videos": "videos",
    "/v1/videos/:id": "videos",
    "/v1/realtime": "realtime",
    "/v1/files": "files",
    "/v1/files/:id": "files",
    "/v1/batches": "batches",
    "/v1/batches/:id": "batches",
    "/v1/fine_tuning/jobs": "fine_tuning",
    "/v1/fine_tuning/jobs/:id": "fine_tuning",
    "/mcp": "mcp",
    "/mcp/{server}": "mcp",
    "/a2a": "a2a",
    "/passthrough_route": "passthrough_route",
}
"""Endpoint to the `handler` of its usage events. What is not listed has none."""

_NO_MODEL: Final = frozenset(("files", "batches", "fine_tuning", "mcp", "a2a", "passthrough_route"))
INFERENCE: Final = frozenset(
    ("/v1/messages/count_tokens", *(path for path, handler in HANDLERS.items() if handler not in _NO_MODEL))
)
"""Endpoints that feed the `llm_` request families."""

TRACKED: Final = frozenset(("chat", "messages", "responses"))
"""Handlers whose attempts are told apart: each is a usage event and counts for its deployment. The requests of the
others are one event each."""

_PROTOCOLS: Final = {
    "/v1/messages": "anthropic",
    "/v1/messages/count_tokens": "anthropic",
    "/v1/realtime": "realtime",
    "/mcp": "mcp",
    "/mcp/{server}": "mcp",
    "/a2a": "a2a",
    "/passthrough_route": "passthrough",
}
_EVENT_PROTOCOLS: Final = frozenset(("openai", "anthropic", "mcp"))


def endpoint_of(path: bytes) -> str:
    """The `endpoint` label for a request path."""
    text = path.decode("latin-1")
    if text in FIXED:
        return text
    if text == "/mcp/":
        return "/mcp"
    for prefix, template in _BELOW:
        if text.startswith(prefix) and len(text) > len(prefix):
            return template
    return "/passthrough_route" if text == "/passthrough/" else "other"


def inbound_protocol(endpoint: str) -> str:
    """The `inbound_protocol` label of an endpoint."""
    return _PROTOCOLS.get(endpoint, "openai")


def event_protocol(endpoint: str) -> str:
    """The `inbound_protocol` label of usage events, which knows fewer values."""
    protocol = inbound_protocol(endpoint)
    return protocol if protocol in _EVENT_PROTOCOLS else "other"


def outcome(status: int) -> str:
    """The `outcome` label of a status."""
    if status == 429:
        return "rate_limited"
    if 200 <= status < 400:
        return "success"
    return "client_error" if 400 <= status < 500 else "upstream_error"


def status_class(status: int) -> str:
    """`2xx` for 200."""
    return f"{status // 100}xx"
