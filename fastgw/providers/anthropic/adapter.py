"""The Anthropic family: the Messages API as it is for its own callers, translated for those of OpenAI's."""

from functools import partial

from fastgw.core.errors import invalid_request
from fastgw.providers.adapter import Endpoint, Operation
from fastgw.providers.anthropic.endpoint import head, native_url, translated_url
from fastgw.providers.anthropic.translate import AnthropicTranslator
from fastgw.providers.bridge import bridged
from fastgw.resources.models import Model, ProviderKey
from fastgw.resources.report import quoted


class Adapter:
    """Any upstream with the Messages API."""

    located = False

    def endpoint(self, operation: Operation, model: Model, key: ProviderKey, namespace: str) -> Endpoint:
        """The endpoint of an operation."""
        if operation == "messages" or operation == "messages/count_tokens":
            url = native_url(key.api_base, key.provider, key.display_name, operation)
            if not key.api_key.strip():
                raise invalid_request(f"model {quoted(model.display_name)} provider_key has empty api_key")
            translate = None
        else:
            url = translated_url(key.api_base, key.provider)
            translate = bridged(partial(AnthropicTranslator, caching=model.auto_prompt_caching))
        return Endpoint(
            url,
            head(url, key.api_key, namespace, stream=False),
            head(url, key.api_key, namespace, stream=True),
            "anthropic",
            translate,
            native=translate is None,
            flatten=translate is not None,
        )
