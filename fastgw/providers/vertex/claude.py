"""Claude on Vertex."""

from fastgw.providers.anthropic.hosted import HostedTranslator


class ClaudeTranslator(HostedTranslator):
    """One attempt at it."""

    __slots__ = ()

    version = "vertex-2023-10-16"
