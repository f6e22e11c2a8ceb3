"""The Bedrock family: which action serves a call follows from the model's publisher and from whether it streams."""

from typing import Any, Final

from fastgw.core.errors import GatewayError
from fastgw.providers.adapter import Endpoint, Operation, Translate, Translator
from fastgw.providers.bedrock.converse import ConverseTranslator, Options
from fastgw.providers.bedrock.credential import AccessKey, ApiKey, credential
from fastgw.providers.bedrock.embeddings import Cohere, Titan
from fastgw.providers.bedrock.endpoint import Action, embedder_of, model_url, publisher_of
from fastgw.providers.bedrock.invoke import InvokeTranslator
from fastgw.providers.bedrock.sigv4 import Signer
from fastgw.providers.bridge import bridged
from fastgw.providers.canonical import Chat
from fastgw.providers.place import request_head
from fastgw.resources.models import Model, ProviderKey

SERVICE: Final = "bedrock"
UNSENT_FIELDS: Final = frozenset({"x-amz-target", "x-amzn-bedrock-accept"})
"""Headers that would change what a request means: neither configuration nor callers may send them."""

_EMBEDDERS: Final[dict[str, type[Titan] | type[Cohere]]] = {"amazon.titan-embed": Titan, "cohere.embed": Cohere}


class Adapter:
    """Models of an AWS account."""

    located = True

    def endpoint(self, operation: Operation, model: Model, key: ProviderKey, namespace: str) -> Endpoint:
        """The endpoint of an operation."""
        found, name = credential(key.api_key), model.model_name or ""
        if operation == "embeddings":
            embedder = _EMBEDDERS[embedder_of(name)]
            return self._made(found, key, name, ("invoke", "invoke"), namespace, embedder, embedder is Titan)
        if operation not in ("chat/completions", "messages", "responses"):
            raise GatewayError(501, "not_implemented", f"this provider does not support {operation}", fault="gateway")
        # An id is looked at as a whole before its publisher is.
        model_url(key.api_base, found.region, name, "converse")
        claude = publisher_of(name) == "anthropic"
        actions: tuple[Action, Action] = ("invoke" if claude else "converse", "converse-stream")
        return self._made(found, key, name, actions, namespace, _translate(key, claude))

    def _made(
        self,
        found: AccessKey | ApiKey,
        key: ProviderKey,
        model: str,
        actions: tuple[Action, Action],
        namespace: str,
        translate: Translate,
        series: bool = False,
    ) -> Endpoint:
        url, stream_url = (model_url(key.api_base, found.region, model, action) for action in actions)
        fields = {"Content-Type": "application/json"}
        sign = None
        if isinstance(found, ApiKey):
            fields["Authorization"] = f"Bearer {found.api_key}"
        else:
            secret, token = found.secret_access_key, found.session_token
            sign = Signer(found.access_key_id, secret, token, found.region, SERVICE)
        accept = {"Accept": "application/json"} if actions[0] == "invoke" else {}
        return Endpoint(
            url,
            request_head(url, {**fields, **accept}, namespace),
            request_head(stream_url, fields, namespace),
            "bedrock",
            translate,
            edited=False,
            sign=sign,
            series=series,
        )


def _translate(key: ProviderKey, claude: bool) -> Translate:
    """Of what the key changes in bodies, `invoke` gets everything and Converse what it has a place for."""
    limits = key.request.param_constraints if key.request is not None else None
    options = Options(
        limits.temperature_min if limits is not None else None,
        limits.temperature_max if limits is not None else None,
        key.request.default_body_fields if key.request is not None else {},
        claude,
    )

    def translator(chat: Chat, target: Any, stream: bool) -> Translator:
        if claude and not stream:
            return InvokeTranslator(chat, target, stream)
        return ConverseTranslator(chat, target, stream, options=options)

    return bridged(translator)
