"""Claude by way of `invoke`."""

from typing import Any

from fastgw.providers.anthropic.hosted import HostedTranslator
from fastgw.providers.bedrock.converse.content import refuse_remote
from fastgw.providers.canonical import Chat


class InvokeTranslator(HostedTranslator):
    """One attempt at it."""

    __slots__ = ()

    version = "bedrock-2023-05-31"

    def __init__(self, chat: Chat, target: Any, stream: bool) -> None:
        super().__init__(chat, target, stream)
        refuse_remote(chat)
