"""The Azure family: OpenAI's documents and streams, spliced, at the deployments of a resource."""

from functools import partial

from fastgw.core.errors import GatewayError
from fastgw.providers.adapter import Endpoint, Operation
from fastgw.providers.azure.credential import credential
from fastgw.providers.azure.endpoint import API_VERSION, VERSION_FIELD, deployment_url, resource_root
from fastgw.providers.bridge import bridged
from fastgw.providers.openai.endpoint import marked, official
from fastgw.providers.openai.translate import ChatTranslator
from fastgw.providers.place import request_head
from fastgw.resources.models import Model, ProviderKey


class Adapter:
    """Azure OpenAI. Embeddings are offered where the key asks for more than the default API version has."""

    located = True

    def endpoint(self, operation: Operation, model: Model, key: ProviderKey, namespace: str) -> Endpoint:
        """The endpoint of an operation."""
        version = key.request.default_body_fields.get(VERSION_FIELD) if key.request is not None else None
        if operation == "embeddings" and version is None and not resource_root(key.api_base)[1]:
            raise GatewayError(501, "not_implemented", "this provider does not support embeddings", fault="gateway")
        wanted = API_VERSION if version is None else str(version)
        native = operation in ("chat/completions", "completions", "embeddings")
        path = operation if native else "chat/completions"
        url = deployment_url(key.api_base, model.model_name or "", path, wanted)
        secret = credential(key.api_key)
        fields = {"Content-Type": "application/json"}
        if isinstance(secret, str):
            fields["api-key"] = secret
        return Endpoint(
            url,
            request_head(url, fields, namespace),
            request_head(url, {**fields, "Accept": "text/event-stream"}, namespace),
            "azure",
            None
            if native
            else bridged(partial(ChatTranslator, vendor=key.provider.strip().lower(), strict=official(url))),
            grant=None if isinstance(secret, str) else secret,
            marked=marked(key),
        )
