"""Claude on Vertex: the Messages API with the model in the URL and the version in the body."""

from typing import Final

import orjson

from fastgw.providers.anthropic.translate import AnthropicTranslator

VERSION: Final = "vertex-2023-10-16"


class ClaudeTranslator(AnthropicTranslator):
    """One attempt at it."""

    __slots__ = ()

    def request(self) -> bytes:
        """The Messages request; `stream` is for the streaming method alone."""
        body = {name: value for name, value in self._request.body.items() if name != "model"}
        if not body["stream"]:
            del body["stream"]
        return orjson.dumps({**body, "anthropic_version": VERSION})
