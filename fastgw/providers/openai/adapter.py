"""The OpenAI family: its own operations are spliced or relayed, other dialects are translated to chat."""

from functools import partial
from typing import Final

from fastgw.providers.adapter import Endpoint, Operation
from fastgw.providers.bridge import bridged
from fastgw.providers.openai.endpoint import OpenAIOperation, endpoint_url, head, marked, official
from fastgw.providers.openai.responses import responses_head, responses_url, speaks_responses
from fastgw.providers.openai.translate import ChatTranslator
from fastgw.resources.models import Model, ProviderKey

NATIVE: Final[dict[str, OpenAIOperation]] = {
    "chat/completions": "chat/completions",
    "completions": "completions",
    "embeddings": "embeddings",
}


class Adapter:
    """Any upstream with OpenAI's API. Only OpenAI's own models are taken to have the Responses API."""

    located = False

    def endpoint(self, operation: Operation, model: Model, key: ProviderKey, namespace: str) -> Endpoint:
        """The endpoint of an operation."""
        if operation == "responses" and speaks_responses(model, key):
            url = responses_url(key)
            return Endpoint(
                url,
                responses_head(url, model, key, namespace, stream=False),
                responses_head(url, model, key, namespace, stream=True),
                "openai",
                native=True,
                flatten=False,
            )
        path = NATIVE.get(operation)
        url = endpoint_url(key.api_base, key.provider, path or "chat/completions")
        return Endpoint(
            url,
            head(url, key.api_key, namespace, stream=False),
            head(url, key.api_key, namespace, stream=True),
            "openai",
            bridged(partial(ChatTranslator, vendor=key.provider.strip().lower(), strict=official(url)))
            if path is None
            else None,
            marked=marked(key),
        )
