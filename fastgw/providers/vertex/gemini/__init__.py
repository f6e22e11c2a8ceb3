"""Gemini's protocol."""

from fastgw.providers.vertex.gemini.translate import GeminiTranslator

__all__ = ["GeminiTranslator"]
