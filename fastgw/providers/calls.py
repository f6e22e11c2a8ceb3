"""Ids of tool calls as the provider of the next turn takes them.

A conversation may hold calls that models of other providers have made: a group can fail over between two turns, and
agents change models. Every provider has its own rules for ids; a call and its result get the same new one.
"""

import hashlib
import re
from typing import Final

PLAIN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What Anthropic and Bedrock take."""
SHORT: Final = re.compile(r".{1,40}", re.S)
"""What OpenAI takes."""


def call_id(id: str, taken: re.Pattern[str]) -> str:
    """The id, or one that stands for it and that the provider takes."""
    if taken.fullmatch(id) is not None:
        return id
    return f"call_{hashlib.sha256(id.encode('utf-8', 'surrogatepass')).hexdigest()[:24]}"
