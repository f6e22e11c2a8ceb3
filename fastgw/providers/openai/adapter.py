"""The OpenAI family: chat, text completions and embeddings are spliced, other dialects are translated to chat."""

from functools import partial
from typing import Final

from fastgw.core.errors import invalid_request
from fastgw.providers.adapter import Endpoint, Operation
from fastgw.providers.bridge import bridged
from fastgw.providers.openai.endpoint import OpenAIOperation, endpoint_url, head
from fastgw.providers.openai.translate import ChatTranslator
from fastgw.resources.models import Model, ProviderKey

NATIVE: Final[dict[str, OpenAIOperation]] = {
    "chat/completions": "chat/completions",
    "completions": "completions",
    "embeddings": "embeddings",
}


class Adapter:
    """Any upstream with OpenAI's API."""

    def endpoint(self, operation: Operation, model: Model, key: ProviderKey, namespace: str) -> Endpoint:
        """The endpoint of an operation."""
        if operation == "messages/count_tokens":
            raise invalid_request(
                f"model `{model.display_name}` is not backed by an Anthropic-protocol upstream; "
                "/v1/messages/count_tokens requires a model whose provider key uses the anthropic adapter"
            )
        path = NATIVE.get(operation)
        url = endpoint_url(key.api_base, key.provider, path or "chat/completions")
        return Endpoint(
            url,
            head(url, key.api_key, namespace, stream=False),
            head(url, key.api_key, namespace, stream=True),
            "openai",
            bridged(partial(ChatTranslator, vendor=key.provider.strip().lower())) if path is None else None,
        )
