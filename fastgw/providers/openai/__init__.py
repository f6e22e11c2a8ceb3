"""The OpenAI wire family."""

from fastgw.providers.openai.adapter import Adapter
from fastgw.providers.openai.responses import speaks_responses

__all__ = ["Adapter", "speaks_responses"]
