"""The OpenAI wire family: where its operations are and what their heads say."""

from typing import Final, Literal

from fastgw.core.errors import invalid_upstream
from fastgw.providers.place import UpstreamURL, check_secret, parse_base, request_head, without_suffix
from fastgw.resources.models import ProviderKey

OpenAIOperation = Literal["chat/completions", "completions", "embeddings", "images/generations"]

DEFAULT_BASE: Final = "https://api.openai.com/v1"
_OFFICIAL_HOST: Final = "api.openai.com"
_OFFICIAL_HOSTS: Final = (".api.openai.com", ".azure.com", ".azure.us", ".azure.cn")

# Longest first: `/completions` also ends `/chat/completions`.
SUFFIXES: Final = (
    "/chat/completions",
    "/completions",
    "/embeddings",
    "/images/generations",
    "/audio/transcriptions",
    "/audio/translations",
    "/audio/speech",
)


def endpoint_url(api_base: str | None, provider: str, operation: OpenAIOperation) -> UpstreamURL:
    """The URL of `operation` under a provider key's base URL.

    A base that is a full endpoint URL is tolerated, its query stays behind the endpoint path. Double slashes inside the
    base are the operator's and stay; none is ever added. Raises the 400 `invalid upstream configuration` for a base
    that is missing and has no default, or is no absolute http(s) URL.
    """
    text = (api_base or "").strip()
    if not text:
        if provider.strip().lower() not in ("", "openai"):
            raise invalid_upstream(f'provider_key for vendor "{provider}" has no upstream base URL configured')
        text = DEFAULT_BASE
    base = parse_base(text)
    path = without_suffix(base.path, SUFFIXES)
    if not path and base.standard and base.host == _OFFICIAL_HOST:
        path = "/v1"
    return base.at(f"{path}/{operation}")


def official(url: UpstreamURL) -> bool:
    """Whether OpenAI itself is there, or Microsoft's edition of it: other upstreams with this API take more."""
    return url.host.endswith(_OFFICIAL_HOSTS) or url.host == _OFFICIAL_HOST


def head(url: UpstreamURL, secret: str, namespace: str, *, stream: bool) -> bytes:
    """The constant head of a request, as `place.request_head`. Raises the 401 for a secret that cannot be sent."""
    check_secret(secret)
    fields = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    if stream:
        fields["Accept"] = "text/event-stream"
    return request_head(url, fields, namespace)


def marked(key: ProviderKey) -> bool | None:
    """Whether the key's streams are to end in `[DONE]`, or are not to; None: either way is right."""
    wanted = key.response.stream_done_marker if key.response is not None else None
    return {"required": True, "none": False}.get(wanted or "")
