"""Claude at another cloud: the Messages API with the model in the URL and the version in the body."""

from typing import Any, ClassVar

from fastgw.core.json import read, write
from fastgw.providers.anthropic.translate import AnthropicTranslator
from fastgw.providers.canonical import Chat
from fastgw.providers.overrides import Overrides


class HostedTranslator(AnthropicTranslator):
    """One attempt at it. The provider key changes the Messages request before it becomes the cloud's: `Endpoint.edited`
    is False."""

    __slots__ = ("_overrides",)

    version: ClassVar[str]

    def __init__(self, chat: Chat, target: Any, stream: bool) -> None:
        super().__init__(chat, target, stream)
        self._overrides: Overrides | None = target.overrides

    def request(self) -> bytes:
        """The Messages request without what the URL says; `stream` is for streaming methods alone."""
        body = self._request.body
        said = ("model",) if body["stream"] else ("model", "stream")
        if self._overrides is not None:
            body = read(self._overrides.apply_body(write(body)))
        kept = {name: value for name, value in body.items() if name not in said}
        return write({**kept, "anthropic_version": self.version})
