"""Vertex AI: Gemini, and the models of other publishers behind their own protocols."""

from fastgw.providers.vertex.adapter import Adapter

__all__ = ["Adapter"]
