"""The Vertex family: which protocol a model speaks follows from its id."""

from collections.abc import Callable
from functools import partial

from fastgw.providers.adapter import Endpoint, Operation, Translate
from fastgw.providers.bridge import bridged
from fastgw.providers.openai.translate import ChatTranslator
from fastgw.providers.place import UpstreamURL, request_head
from fastgw.providers.vertex.claude import ClaudeTranslator
from fastgw.providers.vertex.credential import Credential, credential
from fastgw.providers.vertex.embeddings import embedded
from fastgw.providers.vertex.endpoint import Project, Publisher, publisher_of
from fastgw.providers.vertex.gemini import GeminiTranslator
from fastgw.providers.vertex.shim import shimmed
from fastgw.resources.models import Model, ProviderKey

TRANSLATED: dict[Publisher, Callable[[ProviderKey], Translate]] = {
    "google": lambda key: bridged(partial(GeminiTranslator, request=key.request)),
    "anthropic": lambda _: bridged(ClaudeTranslator),
}
"""Publishers with a protocol of their own; the others speak OpenAI's."""


class Adapter:
    """Models of a Google Cloud project."""

    located = True

    def endpoint(self, operation: Operation, model: Model, key: ProviderKey, namespace: str) -> Endpoint:
        """The endpoint of an operation."""
        found, name = credential(key.api_key), model.model_name or ""
        project = Project(key.api_base, found.project, found.region)
        if operation == "embeddings":
            return self._made(found, project.embeddings(name), None, namespace, embedded)
        publisher = publisher_of(name)
        translate: Translate
        if publisher in TRANSLATED:
            translate = TRANSLATED[publisher](key)
        elif operation == "chat/completions":
            translate = shimmed
        else:
            translate = bridged(partial(ChatTranslator, vendor=""))
        return self._made(
            found,
            project.chat(publisher, name, stream=False),
            project.chat(publisher, name, stream=True),
            namespace,
            translate,
            edited=publisher != "anthropic",
        )

    def _made(
        self,
        found: Credential,
        url: UpstreamURL,
        stream_url: UpstreamURL | None,
        namespace: str,
        translate: Translate,
        *,
        edited: bool = True,
    ) -> Endpoint:
        fields = {"Content-Type": "application/json"}
        if found.token is not None:
            fields["Authorization"] = f"Bearer {found.token}"
        return Endpoint(
            url,
            request_head(url, fields, namespace),
            request_head(stream_url or url, fields, namespace),
            "vertex",
            translate,
            grant=found.grant,
            edited=edited,
        )
