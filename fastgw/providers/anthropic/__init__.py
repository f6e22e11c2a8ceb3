"""The Anthropic wire family: the Messages API."""

from fastgw.providers.anthropic.adapter import Adapter

__all__ = ["Adapter"]
