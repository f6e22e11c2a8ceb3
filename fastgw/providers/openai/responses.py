"""Where the Responses API is under a provider key that has it, and what the heads of its requests say."""

from typing import Final

from fastgw.core.errors import GatewayError, invalid_request, misconfigured
from fastgw.providers.openai.endpoint import DEFAULT_BASE, SUFFIXES
from fastgw.providers.place import UpstreamURL, parse_base, request_head, visible, without_suffix
from fastgw.resources.models import Model, ProviderKey
from fastgw.resources.report import quoted

_ENDPOINTS: Final = (*SUFFIXES, "/responses", "/messages", "/rerank")


def speaks_responses(model: Model, key: ProviderKey) -> bool:
    """Whether requests go to the Responses API itself: the model is OpenAI's and the key speaks its protocol."""
    return model.provider == "openai" and (key.adapter or key.provider) == "openai"


def responses_url(key: ProviderKey) -> UpstreamURL:
    """The URL of the Responses API: `/v1` is added to a base without a path.

    Raises 400 for a base that is missing and has no default, 502 `transport_error` for one that is no URL.
    """
    text = (key.api_base or "").strip()
    if not text:
        if key.provider.strip().lower() != "openai":
            raise invalid_request(f"provider_key {quoted(key.display_name)} has no api_base configured")
        text = DEFAULT_BASE
    try:
        base = parse_base(text)
    except GatewayError as error:
        raise GatewayError(502, "transport_error", f"transport error: {error.message}", fault="gateway") from None
    return base.at(f"{without_suffix(base.path, _ENDPOINTS) or '/v1'}/responses")


def responses_head(url: UpstreamURL, model: Model, key: ProviderKey, namespace: str, *, stream: bool) -> bytes:
    """The constant head of a request, as `place.request_head`.

    Raises the 400 for a key without a secret or a model without an upstream name, and the 500 for a secret that cannot
    be sent in a header field.
    """
    name = quoted(model.display_name)
    if not key.api_key.strip():
        raise invalid_request(f"model {name} provider_key has empty api_key")
    if not visible(key.api_key):
        raise misconfigured("api key contains invalid header chars: it is no visible ASCII")
    if not model.model_name:
        raise invalid_request(f"model {name} has no model_name (routing models can't be dispatched directly)")
    fields = {"Authorization": f"Bearer {key.api_key}", "Content-Type": "application/json"}
    if stream:
        fields["Accept"] = "text/event-stream"
    return request_head(url, fields, namespace)
