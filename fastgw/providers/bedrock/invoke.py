"""Claude by way of `invoke`: the Messages API with the model in the URL and the version in the body."""

from typing import Any, Final

import orjson

from fastgw.providers.anthropic.translate import AnthropicTranslator
from fastgw.providers.bedrock.converse.content import refuse_remote
from fastgw.providers.canonical import Chat
from fastgw.providers.overrides import Overrides

VERSION: Final = "bedrock-2023-05-31"


class InvokeTranslator(AnthropicTranslator):
    """One attempt at it. The provider key changes the Messages request before it becomes Bedrock's."""

    __slots__ = ("_overrides",)

    def __init__(self, chat: Chat, target: Any, stream: bool) -> None:
        super().__init__(chat, target, stream)
        refuse_remote(chat)
        self._overrides: Overrides | None = target.overrides

    def request(self) -> bytes:
        """The Messages request without what the URL says."""
        body = self._request.body
        if self._overrides is not None:
            body = orjson.loads(self._overrides.apply_body(orjson.dumps(body)))
        kept = {name: value for name, value in body.items() if name not in ("model", "stream")}
        return orjson.dumps({**kept, "anthropic_version": VERSION})
