"""Where the Messages API is under a base URL, and what the heads of its requests say."""

from typing import Final, Literal

from fastgw.core.errors import GatewayError, invalid_request, invalid_upstream
from fastgw.providers.place import UpstreamURL, check_secret, parse_base, request_head, without_suffix
from fastgw.resources.report import quoted

API_VERSION: Final = "2023-06-01"
DEFAULT_BASE: Final = "https://api.anthropic.com"

MessagesOperation = Literal["messages", "messages/count_tokens"]

# A base that is the full URL of any endpoint is tolerated on the native paths. Longest first.
_ENDPOINTS: Final = (
    "/audio/transcriptions",
    "/audio/translations",
    "/audio/speech",
    "/chat/completions",
    "/images/generations",
    "/completions",
    "/embeddings",
    "/responses",
    "/messages",
    "/rerank",
)


def translated_url(api_base: str | None, provider: str) -> UpstreamURL:
    """The URL that translated calls go to; a path prefix of the base stays.

    Raises the 400 `invalid upstream configuration` for a base that is missing and has no default, or is no URL.
    """
    text = (api_base or "").strip()
    if not text:
        if provider.strip().lower() not in ("", "anthropic"):
            raise invalid_upstream(f'provider_key for vendor "{provider}" has no upstream base URL configured')
        text = DEFAULT_BASE
    base = parse_base(text)
    return base.at(without_suffix(base.path, ("/v1/messages", "/v1")) + "/v1/messages")


def native_url(api_base: str | None, provider: str, key_name: str, operation: MessagesOperation) -> UpstreamURL:
    """The URL of a native call.

    Raises 400 for a base that is missing and has no default, 502 `transport_error` for one that is no URL.
    """
    text = (api_base or "").strip()
    if not text:
        vendor = provider.strip().lower()
        if vendor not in ("openai", "anthropic"):
            raise invalid_request(f"provider_key {quoted(key_name)} has no api_base configured")
        text = DEFAULT_BASE if vendor == "anthropic" else "https://api.openai.com/v1"
    try:
        base = parse_base(text)
    except GatewayError as error:
        raise GatewayError(502, "transport_error", f"transport error: {error.message}", fault="gateway") from None
    path = without_suffix(without_suffix(base.path, _ENDPOINTS), ("/v1",))
    return base.at(f"{path}/v1/{operation}")


def head(url: UpstreamURL, secret: str, namespace: str, *, stream: bool) -> bytes:
    """The constant head of a request, as `place.request_head`. Raises the 401 for a secret that cannot be sent."""
    check_secret(secret)
    fields = {"x-api-key": secret, "anthropic-version": API_VERSION, "Content-Type": "application/json"}
    if stream:
        fields["Accept"] = "text/event-stream"
    return request_head(url, fields, namespace)
