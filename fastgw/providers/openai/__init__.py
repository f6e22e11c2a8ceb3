"""The OpenAI wire family."""

from fastgw.providers.openai.adapter import Adapter

__all__ = ["Adapter"]
